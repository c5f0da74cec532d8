"""The report as columns for people: a line per patient and event type, and below a rule the totals.

Lines fit the width: long ids are shortened in the middle, and statistics that do not fit side by side follow in further
blocks. Anomalies are marked with an exclamation mark, so that the mark needs no colour.
"""

import re
from collections.abc import Sequence
from typing import Any

from mockexport.report.plain import aligned, cells_of, columns_of, counted, heading, shortened, wrapped
from mockexport.report.report import Report
from mockexport.shown import printable

__all__ = ["DEFAULT_WIDTH", "to_table"]

DEFAULT_WIDTH = 80
# An id is shortened to no less than this, even where the line gets too long by it.
_LEAST_ID = 8
_PLACES = 2
# Downloads of an incomplete report that are named, the first in time; the account has them all.
_MOST_NAMED = 10
_KEY = ("patient_id", "event_type")
_MARK, _NO_MARK = " !", "  "
_MARKED = re.compile(r"[\d,]+ !")
_BOLD_YELLOW, _PLAIN = "\x1b[1;33m", "\x1b[0m"


def to_table(
    report: Report[Any], *, round_to: int | None = None, width: int = DEFAULT_WIDTH, colored: bool = False
) -> str:
    """Return the report as aligned columns.

    Args:
        report: any report.
        round_to: decimal places of fractions; two by default.
        width: cells of a line.
        colored: mark anomalies with colour, too.
    """
    report = report.allowing_incomplete()  # it says so
    rows = list(report.rows(totals=True))
    fields, left_out = columns_of(rows)
    names = [name for name in fields if name not in _KEY]
    places = _PLACES if round_to is None else round_to
    lines = [[_cell(name, row.get(name), places) for name in names] for row in rows]
    names = [heading(name, rows) for name in names]
    for at in [at for at, name in enumerate(names) if any(line[at].endswith(_MARK) for line in lines)]:
        names[at] += _NO_MARK
        for line in lines:
            line[at] += "" if line[at].endswith(_MARK) else _NO_MARK
    ids = [(row["patient_id"] or "all", row["event_type"]) for row in rows]
    patients = sum(row["patient_id"] is not None for row in rows)
    marked = any(cell.endswith(_MARK) for line in lines for cell in line)
    text = "\n".join(
        _block([names[at] for at in block], ids, [[line[at] for at in block] for line in lines], patients, width)
        for block in _blocks(names, lines, width)
    )
    if not rows:
        text = "no rows\n"
    elif colored:
        text = _MARKED.sub(f"{_BOLD_YELLOW}\\g<0>{_PLAIN}", text)
    return text + _legend(report, names, left_out, width, marked=marked)


def _cell(name: str, value: Any, places: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.{places}f}"
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}{_MARK if value and name == 'anomalies' else ''}"
    return printable(str(value))


def _blocks(names: Sequence[str], lines: Sequence[Sequence[str]], width: int) -> list[list[int]]:
    """Return which columns stand side by side: as many as fit beside ids of a readable length."""
    blocks: list[list[int]] = [[]]
    used = 0
    for at, name in enumerate(names):
        cells = 2 + max([cells_of(name), *(cells_of(line[at]) for line in lines)])
        if blocks[-1] and used + cells > width - 2 * _LEAST_ID - 4:
            blocks.append([])
            used = 0
        blocks[-1].append(at)
        used += cells
    return blocks


def _block(
    names: Sequence[str],
    ids: Sequence[tuple[str, str]],
    lines: Sequence[Sequence[str]],
    patients: int,
    width: int,
) -> str:
    """Return some statistics of all lines; without patients there is no column for them, and no rule."""
    taken = sum(2 + max([cells_of(name), *(cells_of(line[at]) for line in lines)]) for at, name in enumerate(names))
    heads = ("patient", "event type")
    wanted = [max([cells_of(head), *(cells_of(printable(pair[at])) for pair in ids)]) for at, head in enumerate(heads)]
    room = width - taken - 2
    first = min(wanted[0], max(_LEAST_ID, room - wanted[1], room // 2))
    second = min(wanted[1], max(_LEAST_ID, room - first))
    rows = [
        [shortened(printable(patient), first), shortened(printable(event_type), second), *line]
        for (patient, event_type), line in zip(ids, lines, strict=True)
    ]
    if ids and not patients:
        return aligned([heads[1], *names], [row[1:] for row in rows])
    made = aligned([*heads, *names], rows, left=2).splitlines(keepends=True)
    rule = "-" * max(cells_of(line.rstrip("\n")) for line in made) + "\n"
    return "".join([*made[: 1 + patients], rule, *made[1 + patients :]])


def _legend(report: Report[Any], names: Sequence[str], left_out: Sequence[str], width: int, *, marked: bool) -> str:
    told = []
    if marked:
        told.append("! values outside the bounds of their event type")
    if "latency" in names:
        told.append("latency: mean seconds between events")
    paragraphs = [told]
    if left_out:
        names_left_out = ", ".join(map(printable, left_out))
        paragraphs.append(wrapped(f"Not in columns: {names_left_out}; they are in the JSON.", width))
    paragraphs += [wrapped(f"Note: {printable(str(note))}", width) for note in report.notes]
    if report.incomplete:
        ids = ", ".join(map(printable, report.incomplete[:_MOST_NAMED]))
        more = len(report.incomplete) - _MOST_NAMED
        ids += f" and {more:,} more" if more > 0 else ""
        number = len(report.incomplete)
        failed = f"INCOMPLETE: {counted(number, 'download')} failed or {'differs' if number == 1 else 'differ'}: {ids}"
        paragraphs.append(wrapped(failed, width))
    return "".join("\n" + "".join(f"{line}\n" for line in lines) for lines in paragraphs if lines)
