"""The command line: parse the arguments, call one function of the library, print what it returns.

arguments.py   all commands, as arguments   groups.py   the options that commands share, by groups
parser.py      help and environment         words.py    what an option's word means
completion.py  what a shell completes       exits.py    exit codes
running.py     one command from start to end: signals, log, errors; hints.py: what may help
analyze.py, look.py, formats.py, browse.py, keep.py, serve.py, doctor.py    the commands
statistics.py, fhir.py, fetching.py, cluster.py    options in, the library's values out: which statistics, FHIR,
               how hard to try and with which rights, on which machines
faces.py       the report as columns, CSV, a page   outputs.py   where results go
progress.py    what is shown during a run: bars.py, lines that stay at the bottom of a terminal, or lines.py, and
               preview.py, totals that are provisional
text.py        text for people
"""

import atexit
import gc
import sys
from collections.abc import Sequence

__all__ = ["counts", "main", "server"]

# New objects, net, before a look for garbage: more than all imports of a run make. Python's own number is 700.
GARBAGE_THRESHOLD = 75_000


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `mockexport ARGUMENTS…` and return its exit code."""
    return _run(sys.argv[1:] if arguments is None else arguments)


def counts(arguments: Sequence[str] | None = None) -> int:
    """Run `cli …`: `mockexport analyze … --counts`."""
    return _run(["analyze", *(sys.argv[1:] if arguments is None else arguments)], counts=True)


def server(arguments: Sequence[str] | None = None) -> int:
    """Run `server …`: `mockexport serve …`."""
    return main(["serve", *(sys.argv[1:] if arguments is None else arguments)])


def _run(arguments: Sequence[str], *, counts: bool = False) -> int:
    # What is imported stays: looking through it for garbage is a tenth of a short run, and another quarter at exit,
    # when the modules are taken down.
    gc.set_threshold(GARBAGE_THRESHOLD)
    atexit.register(gc.freeze)
    try:  # from here on there is no traceback for Ctrl-C; what is imported is not there sooner than it is needed
        from mockexport.cli.arguments import parse

        options = parse(arguments, counts=counts)
        from mockexport.cli.running import run
    except KeyboardInterrupt:
        return 130  # as exits.INTERRUPTED, which may not be there yet

    return run(options)
