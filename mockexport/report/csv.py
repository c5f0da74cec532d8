"""The report as CSV (RFC 4180): a line per patient and event type, and at the end the totals.

A total's patient_id is empty, which no patient's is. Ids stay what they are, also those that begin with = + - or @ and
that a spreadsheet would take for a formula: an id that is changed is a wrong one. Let such a program import the columns
as text; `formulas` counts them, so that somebody can be told.
"""

import csv
import io
from typing import Any

from mockexport.report.plain import columns_of, heading
from mockexport.report.report import Report

__all__ = ["formulas", "to_csv"]

# What makes a spreadsheet take a cell for a formula (OWASP, "CSV Injection").
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def to_csv(report: Report[Any], *, round_to: int | None = None) -> str:
    """Return the report as CSV (RFC 4180) with a header; lines end with CR LF, fractions are in full unless rounded.

    What is no number is empty where there is none; fields that are maps, such as per_hour, are not in it. The lines of
    an incomplete report have one more field, `incomplete`: how many downloads are not in it or differ.
    """
    report = report.allowing_incomplete()  # it says so
    rows = list(report.rows(totals=True))
    names = columns_of(rows)[0] or ["patient_id", "event_type"]
    further = {"incomplete": len(report.incomplete)} if report.incomplete else {}
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*(heading(name, rows) for name in names), *further])
    for row in rows:
        writer.writerow([*(_told(row.get(name), round_to) for name in names), *further.values()])
    return text.getvalue()


def _told(value: Any, round_to: int | None) -> Any:
    return round(value, round_to) if isinstance(value, float) and round_to is not None else value


def formulas(report: Report[Any]) -> int:
    """Return how many patients and event types have ids that a spreadsheet would take for a formula."""
    report = report.allowing_incomplete()  # no figure is told
    ids = {*report.patients, *(event_type for types in report.patients.values() for event_type in types)}
    return sum(text.startswith(_FORMULA) for text in ids)
