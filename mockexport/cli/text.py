"""What goes to stdout and stderr: names from data made harmless for a terminal, numbers grouped, columns aligned."""

import os
import sys
import unicodedata
from collections.abc import Sequence
from contextlib import suppress

from mockexport.errors import OutputError
from mockexport.model import Download

__all__ = ["announced", "printable", "put", "say", "size", "table"]


def printable(text: str) -> str:
    """Return `text` without what could steer a terminal or turn the writing direction; line ends become spaces."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        " " if character in "\r\n\t" else "" if unicodedata.category(character)[0] == "C" else character
        for character in text
    )


def put(text: str) -> None:
    """Write a command's result to stdout, what its encoding does not know escaped.

    Raises:
        OutputError: stdout is closed.
    """
    if sys.stdout is None:  # so Python has it where a process is started with it closed
        raise OutputError("the result to stdout", "it is closed; name a file with --output")
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
    sys.stdout.flush()


def say(text: str) -> None:
    """Write a line for people to stderr. Where nobody listens there, the work goes on all the same."""
    if sys.stderr is None:
        return
    try:
        print(f"mockexport: {printable(text)}", file=sys.stderr, flush=True)
    except OSError:
        # What is left unsaid must not be tried again at exit, which would change the exit code.
        with suppress(OSError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())


def size(number: float) -> str:
    """Return a number of bytes in the largest unit that leaves a digit before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def announced(downloads: Sequence[Download]) -> str:
    """Say how many downloads there are, and how many rows they announce."""
    count = f"{len(downloads)} download{'' if len(downloads) == 1 else 's'}"
    rows = [download.rows for download in downloads if download.rows is not None]
    told = f"{sum(rows):,} rows announced" if rows or not downloads else "their rows are not known beforehand"
    return f"{count}, {told}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return rows of cells as aligned columns under `head`; the first `left` columns to the left, others right."""
    lines = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    return "".join(
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        + "\n"
        for line in lines
    )
