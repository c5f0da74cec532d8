"""Load from one thread: plain sockets and epoll, since every microsecond that the client takes is one less to ask in.

`kept` keeps connections and sends the next request as soon as the last one is answered, whatever the answer was, or,
where it is to heed it, a second after a 503. `fresh` opens a connection for each request, at a rate or so many at once.
A latency is from the first byte sent (`fresh`: from the connect) to the reply's last byte, and holds what the client
itself took to get there.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field

__all__ = ["SETTLE_S", "Address", "Load", "fresh", "kept"]

Address = tuple[str, int]

_REFUSED = b"HTTP/1.1 503 "
_RETRY_AFTER_S = 1.0
# What comes in the first second is not counted.
SETTLE_S = 1.0
# Connections in flight at once; beyond it, what is due is not sent, and counted.
_IN_FLIGHT = 12_000


@dataclass(slots=True)
class Load:
    """What came of it: latencies in seconds by status; `busy` is the share of the time that the client used itself."""

    latencies: dict[int, list[float]] = field(default_factory=dict)
    seconds: float = 0.0
    broken: int = 0
    unsent: int = 0
    busy: float = 0.0

    def rate(self, status: int) -> float:
        return len(self.latencies.get(status, ())) / self.seconds

    def percentile_ms(self, status: int, share: float) -> float:
        ordered = sorted(self.latencies.get(status, ()))
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


class _Clock:
    """Knows which seconds count."""

    def __init__(self, loads: list[Load], seconds: float) -> None:
        self._loads = loads
        self._from = time.perf_counter() + SETTLE_S
        self._until = self._from + seconds
        self._used: float | None = None

    def running(self) -> bool:
        now = time.perf_counter()
        if self._used is None and now >= self._from:
            self._used = time.process_time()
        if now < self._until:
            return True
        for load in self._loads:
            load.seconds = now - self._from
            load.busy = (time.process_time() - (self._used or 0.0)) / load.seconds
        return False

    def count(self, load: Load, reply: bytes, began: float) -> None:
        now = time.perf_counter()
        if self._from <= now:
            load.latencies.setdefault(int(reply[9:12]), []).append(now - began)


def _is_whole(reply: bytes) -> bool:
    end = reply.find(b"\r\n\r\n")
    if end < 0:
        return False
    mark = reply.find(b"content-length: ", 0, end)
    return len(reply) >= end + 4 + int(reply[mark + 16 : reply.index(b"\r", mark)])


class _Kept:
    """One kept connection with one request in flight; opened anew where the other side closes it."""

    def __init__(self, address: Address, poll: select.epoll, requests: Iterator[bytes], load: Load) -> None:
        self._address, self._poll, self._requests, self.load = address, poll, requests, load
        self.began = 0.0
        self._left = self._reply = b""
        self.open()

    def open(self) -> None:
        self.socket = socket.create_connection(self._address)
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._poll.register(self.socket.fileno(), select.EPOLLIN)

    def send(self) -> None:
        self.began = time.perf_counter()
        self._push(next(self._requests))

    def _push(self, request: bytes) -> None:
        waited = bool(self._left)
        try:
            self._left = request[self.socket.send(request) :]
        except BlockingIOError:
            self._left = request
        if waited != bool(self._left):
            self._poll.modify(self.socket.fileno(), select.EPOLLIN | (select.EPOLLOUT if self._left else 0))

    def happened(self, events: int) -> bytes | None:
        """Do what the events call for; return a reply that is whole now; None where there is none.

        Raises:
            OSError: the connection is gone.
        """
        if events & select.EPOLLOUT and self._left:
            self._push(self._left)
        if not events & ~select.EPOLLOUT:
            return None
        piece = self.socket.recv(65536)
        if not piece:
            raise ConnectionResetError
        self._reply += piece
        if not _is_whole(self._reply):
            return None
        reply, self._reply = self._reply, b""
        return reply

    @property
    def half_sent(self) -> bool:
        """Whether the reply came before the request was whole."""
        return bool(self._left)

    @property
    def closed(self) -> bool:
        return self.socket.fileno() < 0

    def close(self) -> None:
        self.socket.close()
        self._left = self._reply = b""


def kept(
    address: Address, groups: list[tuple[int, Iterator[bytes]]], seconds: float, *, heed: bool = False
) -> list[Load]:
    """Send over kept connections, so many per group, each with the next of its group's requests in flight.

    `heed` is to heed `Retry-After`: a connection that was refused is silent for a second.
    """
    silent: deque[tuple[float, _Kept]] = deque()
    loads = [Load() for _ in groups]
    with select.epoll() as poll:
        connections: dict[int, _Kept] = {}
        for load, (count, requests) in zip(loads, groups, strict=True):
            for _ in range(count):
                each = _Kept(address, poll, requests, load)
                connections[each.socket.fileno()] = each

        def send(each: _Kept) -> None:
            if each.closed:
                each.open()
                connections[each.socket.fileno()] = each
            each.send()

        clock = _Clock(loads, seconds)
        for each in connections.values():
            each.send()
        while clock.running():
            while silent and silent[0][0] <= time.perf_counter():
                send(silent.popleft()[1])
            for number, events in poll.poll(0.01 if silent else 0.1):
                each = connections[number]
                try:
                    reply = each.happened(events)
                    if reply is not None:
                        clock.count(each.load, reply, each.began)
                        if each.half_sent:
                            raise ConnectionResetError
                        waits = heed and reply.startswith(_REFUSED)
                        if b"\r\nconnection: close\r\n" in reply:
                            del connections[number]
                            each.close()
                        if waits:
                            silent.append((time.perf_counter() + _RETRY_AFTER_S, each))
                        else:
                            send(each)
                except OSError:
                    each.load.broken += 1
                    del connections[number]
                    each.close()
                    send(each)
        for each in connections.values():
            each.socket.close()
    return loads


def fresh(
    address: Address, requests: Iterator[bytes], seconds: float, *, rate: float | None = None, at_once: int = 32
) -> Load:
    """Send each request over a connection of its own: `rate` a second, or `at_once` at any time."""
    load = Load()
    clock = _Clock([load], seconds)
    flying: dict[int, tuple[socket.socket, float, bytes]] = {}
    began = time.perf_counter()
    number = 0
    with select.epoll() as poll:
        while clock.running():
            while True:
                now = time.perf_counter()
                if len(flying) >= at_once if rate is None else now < began + number / rate:
                    break
                number += 1
                if len(flying) >= _IN_FLIGHT:
                    load.unsent += 1
                    continue
                each = socket.socket()
                each.setblocking(False)
                each.connect_ex(address)
                flying[each.fileno()] = each, now, b""
                poll.register(each.fileno(), select.EPOLLOUT)
            due = now + 0.05 if rate is None else began + number / rate
            for fd, events in poll.poll(min(0.05, max(0.0, due - time.perf_counter()))):
                each, since, reply = flying[fd]
                piece = b""
                with suppress(OSError):
                    if events & select.EPOLLOUT:
                        each.send(next(requests))
                        poll.modify(fd, select.EPOLLIN)
                        continue
                    piece = each.recv(65536)
                reply += piece
                if _is_whole(reply):
                    clock.count(load, reply, since)
                elif piece:
                    flying[fd] = each, since, reply
                    continue
                else:
                    load.broken += 1
                del flying[fd]
                each.close()
        for each, _, _ in flying.values():
            each.close()
    return load
