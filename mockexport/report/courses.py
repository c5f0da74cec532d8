"""The course of values over time, of each event type and of the most anomalous patients, as parts of the page.

Rules: how much is drawn is bounded whatever the data; a chart itself is course_chart.py's.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from mockexport.model import AnomalyRule
from mockexport.reducers.course import Piece
from mockexport.reducers.drawing import DRAWING, Drawing
from mockexport.report.course_chart import Charts
from mockexport.report.markup import Markup, element, named
from mockexport.report.plain import counted

__all__ = ["Drawings", "course_parts", "drawings_of", "own_courses"]

# By patient, None for all of them, and event type.
Drawings = dict[tuple[str | None, str], Drawing]

# Event types that are drawn: a page is read from its top.
MAX_DRAWN_TYPES = 40
# Pieces of time of a course, and of all courses of event types and of patients: each takes some 90 bytes on the page.
MAX_PIECES, _OF_TYPES, _OF_PATIENTS = 400, 4_000, 11_000


def drawings_of(rows: Sequence[dict[str, Any]]) -> Drawings:
    """Take the drawings out of a report's flat rows."""
    found: Drawings = {}
    for row in rows:
        drawn = row.pop(DRAWING, None)
        if drawn is not None:
            found[row["patient_id"], row["event_type"]] = drawn
    return found


def course_parts(
    drawings: Drawings, totals: Sequence[Mapping[str, Any]], rules: Mapping[str, AnomalyRule], charts: Charts
) -> list[Markup]:
    """Return the course and the distribution of each event type."""
    of_types = [row["event_type"] for row in totals if (None, row["event_type"]) in drawings]
    if not of_types:
        return []
    parts = [
        element("h2", "Course over time"),
        element(
            "p",
            "The line is the median, the band reaches from the 5th percentile to the 95th, the shaded part is within"
            " the bounds. Red marks below show when there were anomalies, the higher the larger their share.",
            class_="soft",
        ),
    ]
    drawn_types = of_types[:MAX_DRAWN_TYPES]
    most = min(MAX_PIECES, _OF_TYPES // len(drawn_types))
    for event_type in drawn_types:
        drawn, rule = drawings[None, event_type], rules.get(event_type)
        pieces = list(drawn.pieces(most))
        told = _share(pieces, ruled=rule is not None)
        parts += [
            element("h3", named(event_type), element("span", f" {told}", class_="bounds")),
            element(
                "div",
                charts.course(event_type, pieces, rule),
                charts.distribution(event_type, drawn, rule),
                class_="pair",
            ),
        ]
    if len(of_types) > MAX_DRAWN_TYPES:
        left_out = counted(len(of_types) - MAX_DRAWN_TYPES, "further event type")
        parts.append(element("p", f"{left_out} not drawn.", class_="note"))
    return parts


def own_courses(
    drawings: Drawings, rules: Mapping[str, AnomalyRule], groups: int, charts: Charts
) -> tuple[list[Markup], dict[tuple[str | None, str], int]]:
    """Return the courses of patients, to be unfolded, and which number each has, from 0: those with most anomalies."""
    of_patients = [key for key in drawings if key[0] is not None]
    if not of_patients:
        return [], {}
    most = min(MAX_PIECES, _OF_PATIENTS // len(of_patients))
    lines = []
    for number, (patient, event_type) in enumerate(of_patients):
        rule = rules.get(event_type)
        pieces = list(drawings[patient, event_type].pieces(most))
        share = _share(pieces, ruled=rule is not None)
        told = element("summary", named(patient or ""), ", ", named(event_type), f": {share}")
        chart = charts.course(f"{patient}, {event_type}", pieces, rule)
        lines.append(element("details", told, chart, id=f"course-{number}", class_="own"))
    chosen = "" if len(lines) == groups else f" Of {groups:,}, those with the largest shares of anomalies."
    return [
        element("h3", "A patient's own course"),
        element("p", f"Unfold a line to see it.{chosen}", class_="soft"),
        element("div", *lines, class_="courses"),
    ], {key: number for number, key in enumerate(of_patients)}


def _share(pieces: Sequence[Piece], *, ruled: bool) -> str:
    values, anomalies = sum(piece.count for piece in pieces), sum(piece.anomalies for piece in pieces)
    if not ruled:
        return f"{counted(values, 'value')}, no bounds"
    share = anomalies / values if values else 0.0
    told = f"{share:.1%}" if share == 0 or share >= 0.001 else "below 0.1%"
    return f"{told} of {counted(values, 'value')} are anomalies"
