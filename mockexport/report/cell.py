"""A report, or a look at one that is not finished, as what a notebook shows under a cell.

It is the totals, and what a reader must know first; a notebook gets no patient that nobody asked for.
"""

from typing import Any

from mockexport.report.markup import Markup, element, named, shown
from mockexport.report.plain import columns_of, counted, heading
from mockexport.report.report import Report

__all__ = ["report_cell"]

_PLACES = 2
# A cell is for a look; who has more event types asks the report for them.
_MOST_TYPES = 30


def report_cell(report: Report[Any], told: str | None = None) -> Markup:
    """Return a report as a piece of HTML, behind what is `told` of it; by default, whether it is whole."""
    report = report.allowing_incomplete()
    patients = counted(len(report.patients), "patient")
    if told is None:
        told = f"{patients}, {counted(report.account.rows, 'row')}"
        if report.incomplete:
            number = counted(len(report.incomplete), "download")
            told = f"INCOMPLETE, {number} failed or not as announced; the others: {told}"
    rows = [row for row in report.rows(totals=True) if row["patient_id"] is None]
    names = [name for name in columns_of(rows)[0] if name not in ("patient_id", "event_type")]
    head = element("tr", element("th", "event type"), *(element("th", shown(heading(name, rows))) for name in names))
    lines = [
        element("tr", element("th", named(row["event_type"])), *(element("td", _cell(row.get(name))) for name in names))
        for row in rows[:_MOST_TYPES]
    ]
    more = [element("p", f"and {len(rows) - _MOST_TYPES:,} more event types")] if len(rows) > _MOST_TYPES else []
    notes = [element("p", f"Note: {shown(note)}") for note in report.notes]
    drawn = element("table", element("thead", head), element("tbody", *lines))
    title = element("p", element("b", named(report.account.export_id)), f": {told}")
    return element("div", title, drawn, *more, *notes)


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:,.{_PLACES}f}"
    return f"{value:,}" if isinstance(value, int) else shown(str(value))
