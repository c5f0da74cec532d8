"""All patients as data for the page's script: as many lines as a page may weigh, the most anomalous first."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from mockexport.report.markup import shown

__all__ = ["MAX_BYTES", "listed"]

# What is searched and sorted; with all else a page stays below two megabytes.
MAX_BYTES = 1_000_000


def listed(
    rows: Sequence[Mapping[str, Any]], names: Sequence[str], courses: Mapping[tuple[str | None, str], int], places: int
) -> tuple[int, dict[str, Any]]:
    """Return how many lines are listed, and what page.js reads: columns, patients, event types, and lines.

    A line is the numbers of its patient and event type, the figures, and the number of its course, if it has one.
    """
    patients = {id_: number for number, id_ in enumerate(sorted({str(row["patient_id"]) for row in rows}))}
    types = {name: number for number, name in enumerate(sorted({str(row["event_type"]) for row in rows}))}
    lines: list[list[Any]] = []
    used = sum(len(shown(patient)) + 3 for patient in patients)
    for row in sorted(rows, key=_share, reverse=True):
        line = [
            patients[row["patient_id"]],
            types[row["event_type"]],
            *(_figure(row.get(name), places) for name in names),
        ]
        course = courses.get((row["patient_id"], row["event_type"]))
        if course is not None:
            line.append(course)
        used += len(json.dumps(line, separators=(",", ":"))) + 1
        if used > MAX_BYTES and lines:
            break
        lines.append(line)
    kept = sorted({line[0] for line in lines})
    number_of = {number: place for place, number in enumerate(kept)}
    names_of = list(patients)
    return len(lines), {
        "columns": list(names),
        "places": places,
        "patients": [shown(names_of[number]) for number in kept],
        "types": [shown(name) for name in types],
        "rows": sorted([number_of[line[0]], *line[1:]] for line in lines),
    }


def _share(row: Mapping[str, Any]) -> float:
    anomalies, count = row.get("anomalies"), row.get("count")
    return anomalies / count if isinstance(anomalies, int) and isinstance(count, int) and count else 0.0


def _figure(value: Any, places: int) -> Any:
    if isinstance(value, float):
        return round(value, places)
    return value if value is None or isinstance(value, int) else shown(str(value))
