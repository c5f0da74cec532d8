"""One user's day of 86,400 readings from two devices, asked for again and again while 500 a second come in.

    python -m tests.benchmarks.ingest_query [--seconds 15] [--users 12]

Target on two cores, the generators included: p99 under 40 ms, cold file cache aside. The file holds the
other users' readings too (a million with 12 users); those that come in belong to the same user and day.
"""

import argparse
import asyncio
import tempfile
from collections.abc import Iterator
from itertools import repeat
from pathlib import Path

import uvloop

from tests.benchmarks.ingest_stored import fill
from tests.benchmarks.ingest_wire import Tally, drive, get_request, post_request
from tests.ingest.running import RunningService, scratch


def posts() -> Iterator[bytes]:
    for number in range(10**9):
        second, micros = divmod(number * 86_400 // 100_000, 86_400)
        body = (
            f'{{"device_id": "device_{"ab"[number % 2]}", "user_id": "user_003", "timestamp":'
            f' "2024-01-15T{micros // 3600:02d}:{micros // 60 % 60:02d}:{micros % 60:02d}.{number % 10**6:06d}Z",'
            f' "heart_rate": {60 + (second + number) % 60}}}'
        )
        yield post_request("/metrics/heart-rate", body.encode())


async def both(port: int, seconds: float, rate: float, post_rate: float) -> tuple[Tally, Tally]:
    query = "/metrics/heart-rate?user_id=user_003&start=2024-01-15T00:00:00Z&end=2024-01-15T23:59:59.999999Z"
    await drive(port, iter([get_request(query)] * 20), 1, 5)
    return await asyncio.gather(
        drive(port, repeat(get_request(query)), 2, seconds, rate), drive(port, posts(), 8, seconds, post_rate)
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--users", type=int, default=12)
    parser.add_argument("--rate", type=float, default=20, help="GETs per second")
    parser.add_argument("--posts", type=float, default=500, help="POSTs per second")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder:
        stored = fill(Path(folder) / "data", 1, options.users)
        with RunningService(Path(folder)) as service:
            gets, sent = uvloop.run(both(service.port, options.seconds, options.rate, options.posts))
            print(f"{stored:,} readings stored; GET  {gets.line(200)}")
            print(f"POST {sent.line(202)}; memory {service.memory_mib():.0f} MiB")


if __name__ == "__main__":
    main()
