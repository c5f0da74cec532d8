"""A load generator that costs little: one request in flight per connection, bytes prepared beforehand, no HTTP library.

Shared by the benchmarks of the heart-rate service; it measures every request from its first byte to its reply's last.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import cast

from tests.ingest.running import RunningService

__all__ = ["Tally", "cost", "drive", "get_request", "post_request"]


@dataclass(slots=True)
class Tally:
    """Latencies in seconds by status."""

    latencies: dict[int, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    broken: int = 0

    def count(self, status: int) -> int:
        return len(self.latencies.get(status, ()))

    def percentile_ms(self, status: int, share: float) -> float:
        ordered = sorted(self.latencies.get(status, ()))
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")

    def line(self, status: int) -> str:
        rate = self.count(status) / self.seconds
        figures = " ".join(
            f"p{share * 100:g} {self.percentile_ms(status, share):.1f}" for share in (0.5, 0.9, 0.99, 0.999)
        )
        figures += f" max {self.percentile_ms(status, 1):.1f}"
        return f"{status}: {self.count(status)} replies, {rate:,.0f}/s, ms: {figures}"


def cost(service: RunningService, before_s: float, own_s: float, units: int) -> str:
    """Say what one unit of work cost in processor time, which other load on the machine changes little."""
    served, made = service.cpu_s() - before_s, time.process_time() - own_s
    return f"processor time per unit: service {served / units * 1e6:.1f} µs, generator {made / units * 1e6:.1f} µs"


def post_request(path: str, body: bytes) -> bytes:
    fields = f"host: localhost\r\ncontent-type: application/json\r\ncontent-length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\n{fields}\r\n\r\n"
    return head.encode() + body


def get_request(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()


class _Connection(asyncio.Protocol):
    def __init__(self, requests: Iterator[tuple[float, bytes]], tally: Tally, done: asyncio.Future[None]) -> None:
        self._requests, self._tally, self._done = requests, tally, done
        self._buffer = bytearray()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport
        self._began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being a subclass
        self._next()

    def _next(self) -> None:
        try:
            due, request = next(self._requests)
        except StopIteration:
            self._transport.close()
            return
        wait = due - time.perf_counter()
        if wait > 0:
            self._loop.call_later(wait, self._send, request)
        else:
            self._send(request)

    def _send(self, request: bytes) -> None:
        self._began = time.perf_counter()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        mark = self._buffer.find(b"content-length: ", 0, end)
        if mark < 0:
            # In chunks: the last one is empty.
            if not self._buffer.endswith(b"\r\n0\r\n\r\n"):
                return
        elif len(self._buffer) < end + 4 + int(self._buffer[mark + 16 : self._buffer.index(b"\r", mark)]):
            return
        self._tally.latencies.setdefault(int(self._buffer[9:12]), []).append(time.perf_counter() - self._began)
        self._buffer = bytearray()
        self._next()

    def connection_lost(self, exc: Exception | None) -> None:
        if exc is not None or self._buffer:
            self._tally.broken += 1
        if not self._done.done():
            self._done.set_result(None)


async def drive(
    port: int, requests: Sequence[bytes] | Iterator[bytes], connections: int, seconds: float, rate: float | None = None
) -> Tally:
    """Send requests for so many seconds; `rate` in requests per second, None is as fast as replies allow."""
    tally = Tally()
    began = time.perf_counter()

    def schedule() -> Iterator[tuple[float, bytes]]:
        for index, request in enumerate(requests):
            due = began if rate is None else began + index / rate
            if max(due, time.perf_counter()) - began >= seconds:
                return
            yield due, request

    shared = schedule()
    loop = asyncio.get_running_loop()
    waits = []
    for _ in range(connections):
        done: asyncio.Future[None] = loop.create_future()
        make: Callable[[], _Connection] = lambda done=done: _Connection(shared, tally, done)  # type: ignore[misc]  # noqa: E731
        await loop.create_connection(make, "127.0.0.1", port)
        waits.append(done)
    await asyncio.gather(*waits)
    tally.seconds = time.perf_counter() - began
    return tally
