"""Ten times the load: what is accepted keeps its pace, the rest hears 503 with Retry-After, memory stays bounded.

    python -m tests.benchmarks.ingest_overload [--seconds 10] [--clients 320] [--silent 600]

First the pace without overload, then with ten times the connections sending batches as fast as replies allow, with as
many silent clients beside them that have sent half a request each; memory is read all the while.
"""

import argparse
import asyncio
import tempfile
from itertools import cycle
from pathlib import Path

import uvloop

from tests.benchmarks.ingest_batches import bodies
from tests.benchmarks.ingest_posts import readings
from tests.benchmarks.ingest_wire import Tally, drive
from tests.ingest.running import RunningService, scratch


async def _watch(service: RunningService, seen: list[float]) -> None:
    while True:
        seen.append(service.memory_mib())
        await asyncio.sleep(0.1)


async def overload(
    service: RunningService, clients: int, silent: int, seconds: float
) -> tuple[Tally, Tally, Tally, float]:
    calm = await drive(service.port, readings(), clients // 10, seconds / 2)
    halves = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(silent)]
    for _, writer in halves:
        writer.write(b"POST /metrics/heart-rate HTTP/1.1\r\nhost: s\r\ncontent-length: 100\r\n\r\n{")
    memory: list[float] = []
    watching = asyncio.create_task(_watch(service, memory))
    singles, batches = await asyncio.gather(
        drive(service.port, readings(), clients, seconds),
        drive(service.port, cycle(bodies(1, 2_000)), clients // 10, seconds),
    )
    watching.cancel()
    for _, writer in halves:
        writer.transport.abort()
    return calm, singles, batches, max(memory)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--clients", type=int, default=320)
    parser.add_argument("--silent", type=int, default=600)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=scratch()) as folder, RunningService(Path(folder)) as service:
        before = service.memory_mib()
        calm, singles, batches, peak = uvloop.run(overload(service, options.clients, options.silent, options.seconds))
        print(f"calm    {calm.line(202)}")
        for name, tally in (("single", singles), ("batch", batches)):
            for status in sorted(tally.latencies):
                print(f"{name:7} {tally.line(status)}")
        print(f"broken {singles.broken + batches.broken}; memory {before:.0f} MiB before, {peak:.0f} MiB at most")


if __name__ == "__main__":
    main()
