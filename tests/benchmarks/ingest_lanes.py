"""A day's question beside long ones: 64 at once over 30 days of one reading a second, or over 47,000 sparse days.

    python -m tests.benchmarks.ingest_lanes [--long 64] [--seconds 20]

Targets on two cores, the generators included: the day's p99 under 200 ms; 30 days under 1 s and all 47,000 sparse days
under 2 s when asked alone; the service under 600 MB with 64 at once.
"""

import argparse
import asyncio
import random
import tempfile
import time
from itertools import repeat
from pathlib import Path

import uvloop

from mockexport.ingest.readings import DAY_US, Reading
from mockexport.ingest.settings import Settings
from mockexport.ingest.store import Store
from tests.benchmarks.ingest_stored import fill
from tests.benchmarks.ingest_wire import Tally, drive, get_request
from tests.ingest.running import RunningService, scratch

_PATH = "/metrics/heart-rate?user_id="
DAY = f"{_PATH}user_003&start=2024-01-20T00:00:00Z&end=2024-01-20T23:59:59.999999Z"
MONTH = f"{_PATH}user_003&start=2024-01-15T00:00:00Z&end=2024-02-13T23:59:59.999999Z"
ALL_TIME = f"{_PATH}sparse&start=1970-01-01T00:00:00Z&end=2099-12-31T23:59:59Z"


def _fill_sparse(data: Path) -> None:
    draw = random.Random(1)
    days = [*range(47_000), *range(3_000)]
    readings = [Reading("sparse", "watch", day * DAY_US + draw.randrange(DAY_US), 60 + day % 100) for day in days]
    draw.shuffle(readings)
    store = Store(Settings(data=data))
    for start in range(0, len(readings), 10_000):
        asyncio.run(store.journal.write(readings[start : start + 10_000]))
    began = time.perf_counter()
    store.compactor.compact()
    seconds = time.perf_counter() - began
    files = list((data / "readings").glob("*/*"))
    print(f"50,000 readings over 47,000 days: a pass of {seconds:.1f} s; {len(files)} files in all")
    store.close()


async def _ask(service: RunningService, long: int, seconds: float) -> None:
    alone = Tally()
    for name, query in (("a day", DAY), ("30 days", MONTH), ("all time", ALL_TIME)):
        alone = await drive(service.port, iter([get_request(query)] * 6), 1, 60)
        print(f"{name} alone: {alone.line(200)}")
    for name, query in (("30 days", MONTH), ("all time", ALL_TIME)):
        short, many = await asyncio.gather(
            drive(service.port, repeat(get_request(DAY)), 1, seconds, 10),
            drive(service.port, repeat(get_request(query)), long, seconds),
        )
        print(f"beside {long} over {name}: the day {short.line(200)}")
        print(f"    the long ones {many.line(200)}; refused {many.count(503)}; memory {service.memory_mib():.0f} MiB")


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--long", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=20)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        fill(Path(folder) / "data", 30, 4)
        _fill_sparse(Path(folder) / "data")
        with RunningService(Path(folder)) as service:
            uvloop.run(_ask(service, options.long, options.seconds))


if __name__ == "__main__":
    main()
