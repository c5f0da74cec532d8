"""Batches: how many readings a second, compaction running, every reply durable.

    python -m tests.benchmarks.ingest_batches [--seconds 12] [--size 5000] [--connections 4]

Target on two cores, this generator included: 150,000 readings a second and more. The bodies are made beforehand; every
reading is another one. Afterwards the journal is left to drain, and that is timed too: a rate that compaction cannot
follow is no rate.
"""

import argparse
import json
import tempfile
import time
import urllib.request
from pathlib import Path

import uvloop

from tests.benchmarks.ingest_wire import cost, drive, post_request
from tests.ingest.running import RunningService, scratch


def bodies(seconds: float, size: int, users: int = 50) -> list[bytes]:
    made = []
    for number in range(int(seconds * 300_000 / size)):
        rows = []
        for index in range(size):
            step = number * size + index
            second = step // (2 * users)
            day, hour, minute = 15 + second // 86_400, second // 3_600 % 24, second // 60 % 60
            rows.append(
                f'{{"device_id":"device_{"ab"[step % 2]}","user_id":"user_{step // 2 % users:03d}",'
                f'"timestamp":"2024-01-{day:02d}T{hour:02d}:{minute:02d}:{second % 60:02d}Z",'
                f'"heart_rate":{60 + step % 60}}}'
            )
        made.append(post_request("/metrics/heart-rate/batch", f'{{"readings":[{",".join(rows)}]}}'.encode()))
    return made


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=12)
    parser.add_argument("--size", type=int, default=5_000)
    parser.add_argument("--connections", type=int, default=4)
    options = parser.parse_args()
    prepared = bodies(options.seconds, options.size)
    with tempfile.TemporaryDirectory(dir=scratch()) as folder, RunningService(Path(folder)) as service:
        before_s, own_s = service.cpu_s(), time.process_time()
        tally = uvloop.run(drive(service.port, prepared, options.connections, options.seconds))
        accepted = tally.count(202) * options.size
        began = time.perf_counter()
        left = json.load(urllib.request.urlopen(f"{service.url}/health"))["journal_readings"]
        rest = left
        while rest >= 200_000 and time.perf_counter() - began < 60:
            time.sleep(0.1)
            rest = json.load(urllib.request.urlopen(f"{service.url}/health"))["journal_readings"]
        drained = time.perf_counter() - began
        print(tally.line(202))
        print({status: tally.count(status) for status in tally.latencies}, f"broken {tally.broken}")
        print(cost(service, before_s, own_s, accepted))
        through = (accepted - rest) / (tally.seconds + drained)
        print(
            f"{accepted:,} readings in {tally.seconds:.1f} s: {accepted / tally.seconds:,.0f}/s; journal then {left:,},"
            f" below the threshold after {drained:.1f} s more: {through:,.0f}/s through to Parquet;"
            f" memory {service.memory_mib():.0f} MiB"
        )


if __name__ == "__main__":
    main()
