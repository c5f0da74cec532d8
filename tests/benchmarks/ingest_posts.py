"""Single readings, one POST each: how many a second, and how long each waits for its commit.

    python -m tests.benchmarks.ingest_posts [--seconds 10] [--connections 32] [--rate 2500]

Target on two cores, this generator included: 2,500 a second and more with p99 under 50 ms.
"""

import argparse
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import uvloop

from tests.benchmarks.ingest_wire import cost, drive, post_request
from tests.ingest.running import RunningService, scratch


def readings() -> Iterator[bytes]:
    number = 0
    while True:
        minute, second = divmod(number // 200, 60)
        hour, minute = divmod(minute, 60)
        body = (
            f'{{"device_id": "device_{"ab"[number % 2]}", "user_id": "user_{number % 200 // 2:03d}",'
            f' "timestamp": "2024-01-{15 + hour // 24:02d}T{hour % 24:02d}:{minute:02d}:{second:02d}Z",'
            f' "heart_rate": {60 + number % 60}}}'
        )
        yield post_request("/metrics/heart-rate", body.encode())
        number += 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--rate", type=float, default=None)
    parser.add_argument("--metrics", action="store_true", help="print the service's own numbers afterwards")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder, RunningService(Path(folder)) as service:
        before_s, own_s = service.cpu_s(), time.process_time()
        tally = uvloop.run(drive(service.port, readings(), options.connections, options.seconds, options.rate))
        print(tally.line(202), f"broken {tally.broken}, memory {service.memory_mib():.0f} MiB")
        print(cost(service, before_s, own_s, tally.count(202)))
        print({status: tally.count(status) for status in tally.latencies})
        if options.metrics:
            print(urllib.request.urlopen(f"{service.url}/metrics").read().decode())
        assert service.stop() in (0, -15)


if __name__ == "__main__":
    main()
