"""Start with ten million stored readings: from the start of the process until it answers /health, and a first query.

    python -m tests.benchmarks.ingest_start [--millions 10] [--journal 150000] [--times 5]

Target on two cores: under 2 seconds.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path

from mockexport.ingest.readings import DAY_US, Reading
from mockexport.ingest.settings import Settings
from mockexport.ingest.store import Store
from tests.benchmarks.ingest_stored import FIRST_DAY, fill
from tests.ingest.running import RunningService, scratch


def _leave_in_journal(data: Path, rows: int) -> None:
    store = Store(Settings(data=data))
    first = FIRST_DAY * DAY_US
    readings = [Reading(f"user_{index % 50:03d}", "watch", first + index * 10**5, 70) for index in range(rows)]
    for start in range(0, rows, 10_000):
        asyncio.run(store.journal.write(readings[start : start + 10_000]))
    store.close()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--millions", type=float, default=10)
    parser.add_argument("--journal", type=int, default=150_000)
    parser.add_argument("--times", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        days = max(1, round(options.millions * 1e6 / (12 * 86_400)))
        stored = fill(Path(folder) / "data", days, 12)
        _leave_in_journal(Path(folder) / "data", options.journal)
        starts, opens, queries = [], [], []
        for _ in range(options.times):
            service = RunningService(Path(folder), compact_age_s=3600)
            began = time.perf_counter()
            with service:
                urllib.request.urlopen(f"{service.url}/health").read()
                starts.append(time.perf_counter() - began)
                began = time.perf_counter()
                query = "user_id=user_003&start=2024-01-15T00:00:00Z&end=2024-01-15T23:59:59Z"
                reply = json.load(urllib.request.urlopen(f"{service.url}/metrics/heart-rate?{query}"))
                queries.append(time.perf_counter() - began)
                assert reply["count"] == 1_440
            opens += [float(str(line["seconds"])) for line in service.log_lines() if line["event"] == "store opened"][
                -1:
            ]
        print(
            f"{stored:,} readings in {days} files and {options.journal:,} in the journal, {options.times} starts:"
            f" median {statistics.median(starts):.2f} s, worst {max(starts):.2f} s, of which opening the store"
            f" {statistics.median(opens):.2f} s; then a first query {statistics.median(queries):.2f} s"
        )


if __name__ == "__main__":
    main()
