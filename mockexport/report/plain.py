"""Text for terminals: names from data made harmless, shortened in the middle, aligned by the cells that they take."""

import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mockexport.formats.fields import format_time
from mockexport.shown import printable

__all__ = [
    "aligned",
    "cells_of",
    "columns_of",
    "counted",
    "heading",
    "shortened",
    "size",
    "when",
    "wrapped",
]


def cells_of(text: str) -> int:
    """Return how many cells of a terminal `text` takes: wide characters two, marks on others none."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.category(c) in ("Mn", "Me") else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def shortened(text: str, cells: int) -> str:
    """Return `text`, or its beginning and end around an ellipsis, in at most `cells` cells."""
    if cells_of(text) <= cells:
        return text
    begin, end = "", ""
    for place in range(len(text)):
        more = begin + text[place]
        if cells_of(more) > (cells - 1 + 1) // 2:
            break
        begin = more
    for place in range(len(text) - 1, -1, -1):
        more = text[place] + end
        if cells_of(begin) + 1 + cells_of(more) > cells:
            break
        end = more
    return f"{begin}…{end}"


def wrapped(text: str, width: int) -> list[str]:
    """Return printable text as lines of at most `width` cells, broken at spaces; a word that is wider is shortened."""
    lines: list[str] = []
    for word in text.split():
        word = shortened(word, width)
        if lines and cells_of(lines[-1]) + 1 + cells_of(word) <= width:
            lines[-1] += f" {word}"
        else:
            lines.append(word)
    return lines


def columns_of(rows: Iterable[Mapping[str, Any]]) -> tuple[list[str], list[str]]:
    """Return the fields of a report's flat rows that can be columns, and those that are maps and too many for one."""
    kept = list(rows)
    names = list(dict.fromkeys(name for row in kept for name in row))
    maps = [name for name in names if any(isinstance(row.get(name), Mapping | list | tuple) for row in kept)]
    return [name for name in names if name not in maps], maps


def heading(name: str, rows: Iterable[Mapping[str, Any]]) -> str:
    """Return what a report's field is called: a result without a name (see Report.rows) is a count if all are integers.

    A fraction, say, that some reducer makes is none, and to call it one would be a wrong figure.
    """
    if name != "result" or not all(type(row.get(name)) is int for row in rows):
        return name
    return "count"


def counted(number: int, thing: str, things: str | None = None) -> str:
    """Return a number of things: `1 bad row`, `1,200 bad rows`; `things` is their plural, with an s by default."""
    return f"{number:,} {thing if number == 1 else things or thing + 's'}"


def size(number: float) -> str:
    """Return a number of bytes in the largest unit that leaves a digit before the point."""
    for unit in ("B", "kB", "MB", "GB"):
        if number < 1000:
            return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
        number /= 1000
    return f"{number:.1f} TB"


def when(time_us: int) -> str:
    """Return a time, microseconds of UTC since 1970, for people: `2025-08-26 05:00 UTC`, or with seconds and a Z.

    Rows have times of the years 1 to 9999; what counts them by hours may end after that.
    """
    if not -62_135_596_800_000_000 <= time_us < 253_402_300_800_000_000:
        return "beyond the calendar"
    text = format_time(time_us).replace("T", " ")
    return text.removesuffix(":00Z") + " UTC" if text.endswith(":00Z") else text


def aligned(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int = 1) -> str:
    """Return rows of cells as aligned columns under `head`; the first `left` columns to the left, others right."""
    lines = [[printable(cell) for cell in row] for row in (head, *rows)]
    widths = [max(cells_of(line[column]) for line in lines) for column in range(len(head))]
    return "".join(_line(line, widths, left) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    padded = []
    for column, (cell, width) in enumerate(zip(cells, widths, strict=True)):
        space = " " * (width - cells_of(cell))
        padded.append(cell + space if column < left else space + cell)
    return "  ".join(padded).rstrip() + "\n"
