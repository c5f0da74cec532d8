"""A report, or a look at one that is not finished, as what a notebook shows under a cell.

It is the totals, and what a reader must know first; a notebook gets no patient that nobody asked for.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mockexport.report.frame import flat_rows
from mockexport.report.markup import Markup, element, figure, named, shown
from mockexport.report.notes import Note
from mockexport.report.plain import columns_of, counted, heading

__all__ = ["report_cell"]

_PLACES = 2
# A cell is for a look; who has more event types asks the report for them.
_MOST_TYPES = 30


def report_cell(export_id: str, told: str, totals: Mapping[str, Any], notes: Sequence[Note]) -> Markup:
    """Return a report's totals and notes as a piece of HTML, behind what is `told` of it."""
    rows = list(flat_rows(None, totals))
    names = [name for name in columns_of(rows)[0] if name not in ("patient_id", "event_type")]
    head = element("tr", element("th", "event type"), *(element("th", shown(heading(name, rows))) for name in names))
    lines = [
        element(
            "tr",
            element("th", named(row["event_type"])),
            *(element("td", figure(row.get(name), _PLACES)) for name in names),
        )
        for row in rows[:_MOST_TYPES]
    ]
    left_out = len(rows) - _MOST_TYPES
    more = [element("p", f"and {counted(left_out, 'more event type')}")] if left_out > 0 else []
    return element(
        "div",
        element("p", element("b", named(export_id)), f": {told}"),
        element("table", element("thead", head), element("tbody", *lines)),
        *more,
        *(element("p", f"Note: {shown(str(note))}") for note in notes),
    )
