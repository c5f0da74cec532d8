"""What goes to stdout and stderr: results, and lines for people, harmless for a terminal."""

import os
import re
import sys
from collections.abc import Iterable, Sequence
from contextlib import suppress

from mockexport.errors import OutputError
from mockexport.model import Download
from mockexport.report.plain import counted
from mockexport.shown import shown

__all__ = ["announced", "inform", "put", "quieten", "say"]

_quiet = False


def put(pieces: str | Iterable[str]) -> None:
    """Write a command's result, whole or in pieces, to stdout, what its encoding does not know escaped.

    Raises:
        OutputError: stdout is closed.
    """
    if sys.stdout is None:  # so Python has it where a process is started with it closed
        raise OutputError("the result to stdout", "it is closed; name a file with --output")
    encoding = sys.stdout.encoding or "utf-8"
    for text in [pieces] if isinstance(pieces, str) else pieces:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


# What the library's messages call parameters, and what the command line does.
_OPTIONS = {
    "Access.token": "--token-file",
    "Access.proxy": "--proxy",
    "Access.cacert": "--cacert",
    "Access.cert": "--cert",
    "Access.key": "--key",
    "Access.link_local": "--link-local",
    "SizeLimits.downloads": "--max-downloads",
    "SizeLimits.announced": "--max-announced",
    "SizeLimits.groups": "--max-groups",
    "SizeLimits.types": "--max-types",
    "SizeLimits.resources": "--max-resources",
    "SizeLimits.distinct": "--max-distinct",
    "SizeLimits.window_bytes": "--max-window",
    "SizeLimits.reply_bytes": "--max-reply",
    "SizeLimits.list_bytes": "--max-list",
    "SizeLimits.checkpoint_bytes": "--max-checkpoint",
    "(most_bytes)": "(--max-rules)",
    "analyze.workers_s": "--dask-wait",
    "analyze.max_bad": "--max-bad",
    "connected.ca": "--dask-ca",
    "connected.cert": "--dask-cert",
    "connected.key": "--dask-key",
}


def say(text: str) -> None:
    """Write a line for people to stderr, parameters in it as options. Where nobody listens, the work goes on."""
    called = r"\b(Access|SizeLimits|analyze|connected)\.[a-z_]+|\(most_bytes\)"
    text = re.sub(called, lambda found: _OPTIONS.get(found[0], found[0]), text)
    if sys.stderr is None:
        return
    try:
        print(f"mockexport: {shown(text)}", file=sys.stderr, flush=True)
    except OSError:
        # What is left unsaid must not be tried again at exit, which would change the exit code.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def inform(text: str) -> None:
    """Say what is as it should be; with --quiet, do not."""
    if not _quiet:
        say(text)


def quieten(*, quiet: bool) -> None:
    """Take --quiet to heart, in this process: from now on `inform` says nothing, or again what it is given."""
    global _quiet
    _quiet = quiet


def announced(downloads: Sequence[Download]) -> str:
    """Say how many downloads there are, and how many rows they announce."""
    rows = [download.rows for download in downloads if download.rows is not None]
    whose = "its" if len(downloads) == 1 else "their"
    told = f"{sum(rows):,} rows announced" if rows or not downloads else f"{whose} rows are not known beforehand"
    return f"{counted(len(downloads), 'download')}, {told}"
