"""The overload table: how much is accepted, and how soon, while far more is asked than can be done.

    python -m tests.benchmarks.ingest_overload [--seconds 5] [--only kept,fresh,mixed,client]

The client has the machine's last core to itself and the service the others, so neither takes the other's time.

    kept    connections that ask again at once, whatever they heard; the last of them heed Retry-After
    fresh   a connection for each request: 32 at once, then at that rate, 6,000 and 12,000 a second, which is nearly
            what the client can
    mixed   kept connections beside some that send batches and 600 that have sent half a request
    client  the client's own limit: the same against a server that answers a constant

`busy` is how much of its core the client used, `server` how much of the others the service did: whichever is near 100 %
could do no more. `of best` compares what was accepted with the best row of its kind so far.
"""

import argparse
import asyncio
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import cycle
from pathlib import Path

import uvloop

from tests.benchmarks.ingest_batches import bodies
from tests.benchmarks.ingest_posts import readings
from tests.benchmarks.loading import SETTLE_S, Address, Load, fresh, kept
from tests.ingest.running import RunningService, scratch
from tests.ingest.serving import POST

KEPT = (32, 320, 1_000, 2_000, 3_500)
MANY_A_SECOND = (6_000.0, 12_000.0)
_HEADING = (
    f"{'':26} {'asked/s':>8} {'202/s':>7} {'of best':>7} {'p50 ms':>7} {'p99 ms':>7}"
    f" {'503/s':>7} {'p50 ms':>7} {'p99 ms':>7} {'503':>5} {'busy':>6} {'server':>6} {'MiB':>5}"
)
_CONSTANT = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\nretry-after: 1\r\n\r\n{}"


class _Answering(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._transport.write(_CONSTANT)  # type: ignore[attr-defined]  # uvloop's is a transport without being a subclass


async def _answer() -> None:
    server = await asyncio.get_running_loop().create_server(_Answering, "127.0.0.1", 0, backlog=4_096)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class _Table:
    """Prints a row for each load as it ends."""

    def __init__(self, service: RunningService | None, cores: int) -> None:
        self._service, self._cores, self.best = service, cores, 0.0

    def row(self, name: str, load: Callable[[], Load]) -> Load:
        used = self._service.cpu_s() if self._service else 0.0
        result = load()
        self.show(name, result, self._service.cpu_s() - used if self._service else 0.0)
        return result

    def show(self, name: str, load: Load, used_s: float) -> None:
        accepted, refused = load.rate(202), load.rate(503)
        asked = sum(map(len, load.latencies.values())) / load.seconds or float("nan")
        self.best = max(self.best, accepted)
        cells = [
            f"{name:26} {asked:8,.0f} {accepted:7,.0f}",
            f"{accepted / self.best:7.0%}" if accepted else f"{'':7}",
            *(f"{load.percentile_ms(202, share):7.0f}" for share in (0.5, 0.99)),
            f"{refused:7,.0f}",
            *(f"{load.percentile_ms(503, share):7.0f}" for share in (0.5, 0.99)),
            f"{refused / asked:5.0%} {load.busy:6.0%}",
        ]
        if self._service:
            cells.append(f"{used_s / (load.seconds + SETTLE_S) / self._cores:6.0%} {self._service.memory_mib():5.0f}")
        odd = {str(status): len(found) for status, found in load.latencies.items() if status not in (202, 503)}
        odd |= {"broken": load.broken} if load.broken else {}
        odd |= {"not sent": load.unsent} if load.unsent else {}
        print(*cells, odd or "", flush=True)


def half_sent(address: Address, count: int) -> list[socket.socket]:
    opened = [socket.create_connection(address) for _ in range(count)]
    for each in opened:
        each.sendall(POST + b"content-length: 100\r\n\r\n{")
    return opened


def against_the_service(only: list[str], seconds: float, own: set[int], others: set[int]) -> None:
    requests: Iterator[bytes] = readings()
    os.sched_setaffinity(0, others)
    with tempfile.TemporaryDirectory(dir=scratch()) as folder, RunningService(Path(folder)) as service:
        os.sched_setaffinity(0, own)
        address = ("127.0.0.1", service.port)
        if "kept" in only:
            table = _Table(service, len(others))
            for count in KEPT:
                table.row(f"{count} kept", lambda count=count: kept(address, [(count, requests)], seconds)[0])  # type: ignore[misc]
            heeding = lambda: kept(address, [(KEPT[-1], requests)], seconds, heed=True)[0]  # noqa: E731
            table.row(f"{KEPT[-1]} kept that heed it", heeding)
        if "fresh" in only:
            table = _Table(service, len(others))
            at_once = table.row("new, 32 at once", lambda: fresh(address, requests, seconds))
            for rate in (at_once.rate(202), *MANY_A_SECOND):
                name = f"new, {rate:,.0f}/s"
                table.row(name, lambda rate=rate: fresh(address, requests, seconds, rate=rate))  # type: ignore[misc]
        if "mixed" in only:
            time.sleep(1)  # what came before is answered
            table, silent = _Table(service, len(others)), half_sent(address, 600)
            used = service.cpu_s()
            groups = [(320, requests), (32, cycle(bodies(1, 2_000)))]
            for name, load in zip(("320 kept", " and 32 of batches"), kept(address, groups, seconds), strict=True):
                table.show(name, load, service.cpu_s() - used)
            for each in silent:
                each.close()


def against_a_constant(seconds: float, own: set[int], others: set[int]) -> None:
    os.sched_setaffinity(0, others)
    command = [sys.executable, "-m", "tests.benchmarks.ingest_overload", "--answer"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        os.sched_setaffinity(0, own)
        assert process.stdout is not None
        address, requests = ("127.0.0.1", int(process.stdout.readline())), readings()
        table = _Table(None, len(others))
        for count in (KEPT[0], KEPT[-1]):
            table.show(f"a constant: {count} kept", kept(address, [(count, requests)], seconds)[0], 0)
        table.show("a constant: new, 32", fresh(address, requests, seconds), 0)
        process.kill()


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--only", default="kept,fresh,mixed,client")
    parser.add_argument("--answer", action="store_true", help="be the server that answers a constant")
    options = parser.parse_args()
    if options.answer:
        uvloop.run(_answer())
        return
    cores = sorted(os.sched_getaffinity(0))
    own = {cores[-1]}
    others = set(cores[:-1]) or own
    only = options.only.split(",")
    print(
        f"client on core {own}, service on {others}; load of the machine before: {os.getloadavg()[0]:.1f}\n{_HEADING}"
    )
    against_the_service(only, options.seconds, own, others)
    if "client" in only:
        against_a_constant(options.seconds, own, others)


if __name__ == "__main__":
    main()
