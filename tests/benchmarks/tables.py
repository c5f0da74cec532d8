"""The kernel alone over wide tables: `python -m tests.benchmarks.tables` prints GB/s and million rows/s as JSON.

The look-alikes of tests/lookalikes.py beside rows in the usual layout; as they are, in local time, filtered, all fields
quoted. All in one process and in turn; the best of many rounds, which is what a quiet machine would do.
"""

import json
import sys
import time
from dataclasses import replace

from mockexport.engine.choosing import choose_engine
from mockexport.formats import Cutter
from mockexport.formats.filters import Filter
from mockexport.formats.schema import Schema
from mockexport.model import Span
from mockexport.reducers import Summary
from tests import lookalikes
from tests.benchmarks.kernel import chunks

ROWS = 120_000
ROUNDS = 60
LOCAL = "America/New_York"


def quoted(data: bytes) -> bytes:
    """Quote every field, as some programs do."""
    return b"\n".join(b'"' + line.replace(b",", b'","') + b'"' for line in data.splitlines()) + b"\n"


def main() -> int:
    """Run the command; return its exit code."""
    usual = b"".join(chunk.data for chunk in chunks(10, "integers"))[:12_000_000]
    charts, measured = lookalikes.chartevents(ROWS), lookalikes.measurement(ROWS)
    chart, measurement = lookalikes.CHARTEVENTS, lookalikes.MEASUREMENT
    cases: dict[str, tuple[bytes, Schema, Filter | None]] = {
        "usual": (usual, Schema(), None),
        "usual, a day of it": (usual, Schema(), Filter.of(since="2025-08-27", until="2025-08-28")),
        "usual, all quoted": (quoted(usual), Schema(), None),
        "chartevents": (charts, chart, None),
        "chartevents, nothing quoted": (lookalikes.chartevents(ROWS, quoted=0), chart, None),
        "chartevents, local time": (charts, replace(chart, timezone=LOCAL), None),
        "chartevents, heart rate": (charts, chart, Filter.of(event_types=["220045"])),
        "measurement": (measured, measurement, None),
        "measurement, local time": (measured, replace(measurement, timezone=LOCAL), None),
    }
    fed, folds, best = {}, {}, dict.fromkeys(cases, float("inf"))
    for name, (data, schema, asked) in cases.items():
        cutter = Cutter(Span("d"), 384 * 1024)
        header, *fed[name] = [*cutter.feed(data), *cutter.finish()]
        folds[name] = choose_engine(Summary(), schema, asked=asked, wanted="kernel").new_fold(Span("d"))
        folds[name].feed(header)
    for _ in range(ROUNDS):
        for name, fold in folds.items():
            start = time.perf_counter()
            for chunk in fed[name]:
                fold.feed(chunk)
            best[name] = min(best[name], time.perf_counter() - start)
    figures = {}
    for name, seconds in best.items():
        size = sum(len(chunk.data) for chunk in fed[name])
        rows = sum(bytes(chunk.data).count(b"\n") for chunk in fed[name])
        figures[name] = {"GB/s": round(size / seconds / 1e9, 2), "Mrows/s": round(rows / seconds / 1e6, 1)}
    sys.stdout.write(json.dumps(figures, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
