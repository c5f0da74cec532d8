"""One command from start to end: its log, its signals, its errors in words, its exit code."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress

from mockexport.cli import exits
from mockexport.cli.text import quieten, say
from mockexport.errors import MockExportError

__all__ = ["run"]

# Most commands run in the event loop; one that brings a loop of its own returns its exit code at once.
Command = Callable[[argparse.Namespace], Awaitable[int] | int]


def run(options: argparse.Namespace) -> int:
    """Run the command that `options` name; return its exit code, whatever happens."""
    quiet = getattr(options, "quiet", False) and not options.verbose
    quieten(quiet=quiet)
    _start_log(verbose=options.verbose, quiet=quiet)
    for variable, meant in options.misspelt.items():
        say(f"warning: {variable} is read by nothing; did you mean {meant}?")
    try:
        work = _command(options.command)(options)
        return work if isinstance(work, int) else asyncio.run(_until_terminated(work))
    except KeyboardInterrupt:
        say("interrupted")
        return exits.INTERRUPTED
    except _Terminated:
        say("terminated")
        return exits.TERMINATED
    except MockExportError as error:
        say(f"error: {error}")
        from mockexport.cli.hints import about_error  # no sooner: most runs end well

        if (hint := about_error(error, options)) is not None:
            say(hint)
        return exits.of_error(error)
    except BrokenPipeError:
        # Whoever read our output has left. Python would complain at exit once more, to nobody.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return exits.OTHER
    except OSError as error:
        say(f"error: {error.filename or 'stdout'}: {error.strerror or type(error).__name__}")
        return exits.OTHER


def _command(name: str) -> Command:
    if name in ("analyze", "download"):
        _settle_heap()
    if name == "analyze":
        from mockexport.cli.analyze import analyze

        return analyze
    if name == "download":
        from mockexport.cli.keep import download

        return download
    if name == "formats":
        from mockexport.cli.formats import formats

        return formats
    if name == "look":
        from mockexport.cli.look import look

        return look
    if name == "generate":
        from mockexport.cli.keep import generate

        return generate
    if name == "serve":
        from mockexport.cli.serve import serve

        return serve
    if name == "ingest":
        from mockexport.cli.serve import ingest

        return ingest
    if name == "doctor":
        from mockexport.cli.doctor import doctor

        return doctor
    if name == "completion":
        from mockexport.cli.completion import completion

        return completion
    from mockexport.cli import browse

    return browse.show if name == "show" else browse.list_exports


def _settle_heap() -> None:
    """Keep a run's memory together, and what it frees (native/heap.h)."""
    with suppress(ImportError):  # no compiled kernel: then other things are slow
        from mockexport import _kernel

        _kernel.settle_heap()


class _Terminated(Exception):  # noqa: N818 - no error: somebody asked for it
    """SIGTERM came."""


async def _until_terminated(work: Awaitable[int]) -> int:
    """Await `work`; SIGTERM cancels it, as Ctrl-C does, so that everything is closed."""
    task = asyncio.ensure_future(work)
    terminated = False

    def terminate() -> None:
        nonlocal terminated
        terminated = True
        task.cancel()

    with suppress(NotImplementedError, RuntimeError):  # Windows, or not the main thread: the default will do
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, terminate)
    try:
        return await task
    except asyncio.CancelledError:
        if terminated:
            raise _Terminated from None
        raise


class _Said(logging.Handler):
    """Says every record. It looks up stderr each time, which the progress bars put themselves in front of."""

    def emit(self, record: logging.LogRecord) -> None:
        say(self.format(record))


def _start_log(*, verbose: bool, quiet: bool) -> None:
    handler = _Said()
    if verbose:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    log = logging.getLogger("mockexport")
    log.handlers[:] = [handler]
    log.propagate = False
    log.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)
