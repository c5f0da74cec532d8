"""What is shown of a run's figures while it runs: provisional totals, after how much of all they are of."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from mockexport.report.plain import counted, wrapped

if TYPE_CHECKING:
    from mockexport.live import Snapshot

__all__ = ["provisional"]


def provisional(snapshot: "Snapshot[Any]", width: int, height: int) -> list[str]:
    """Return what is known so far, after how much of all that is: patients if they fit the window, else totals."""
    from mockexport.report.report import Report
    from mockexport.report.table import to_table  # no sooner: most runs have no preview

    told = [line for sentence in _covered(snapshot) for line in wrapped(sentence, width)]
    report = replace(snapshot.report, incomplete=(), notes=())
    room = max(height - len(told) - 1, 1)
    lines: list[str] = []
    if sum(map(len, report.patients.values())) < room:
        lines = to_table(report, width=width).splitlines()
    if not lines or len(lines) > room:
        lines = to_table(Report({}, report.totals, (), report.account), width=width).splitlines()
    if len(lines) > room:
        lines = [*lines[: room - 1], f"… and {counted(len(lines) - room + 1, 'more line')}"]
    return [*told, *lines, ""]


def _covered(snapshot: "Snapshot[Any]") -> tuple[str, str]:
    """Return in words of how much of the data the figures are."""
    rows, announced_rows = f"{snapshot.rows:,}", snapshot.announced_rows
    downloads = snapshot.finished + snapshot.in_flight + snapshot.to_come
    if snapshot.share is None or announced_rows is None:
        told = f"PROVISIONAL, of {rows} rows so far; how many there are is not known"
    else:
        told = f"PROVISIONAL, of {snapshot.share:.0%} of the data: {rows} of {announced_rows:,} rows"
    return told, f"{snapshot.finished:,} of {downloads:,} downloads finished, {snapshot.in_flight:,} under way"
