"""Refusals that cost next to nothing: 503 from constants, before a request is parsed, and never too many a second.

A request that is plainly whole is recognised by its bytes, and its refusal is written as it stands. Even so, most of
what a refusal costs is the kernel's, and clients that ask again at once, whatever they have heard, could take all of
the time with being refused. So who heeds `Retry-After` is refused at once, and for those who are back before there is a
pace. Below it they are refused at once, too; above it they wait for their turn, which is also what slows them down.
"""

from collections import deque
from typing import Protocol

__all__ = [
    "BUSY_BODY",
    "LAST_REFUSAL",
    "REFUSAL",
    "RETRY_AFTER_S",
    "Refusals",
    "Waiting",
    "last_words",
    "price",
]

# What a refused client is asked to wait.
RETRY_AFTER_S = 1
# At some 12 µs each it is an eighth of a core. Three thousand impatient connections wait for a third of a second.
REFUSALS_PER_S = 10_000
# What may be said at once after a quiet moment.
_BURST = 500
# Bytes of a body that cost as much as a refusal by itself.
_BYTES_OF_ONE = 16_384


def _words(status: str, body: bytes, connection: str) -> bytes:
    fields = f"content-type: application/json\r\ncontent-length: {len(body)}\r\nretry-after: {RETRY_AFTER_S}\r\n"
    return f"HTTP/1.1 {status}\r\n{fields}{connection}\r\n".encode("ascii") + body


def last_words(status: str, detail: str) -> bytes:
    """Return a whole reply after which the connection is closed: said where no application is involved."""
    return _words(status, f'{{"detail":"{detail}"}}'.encode("ascii"), "connection: close\r\n")


_BUSY = "503 Service Unavailable"
BUSY_BODY: bytes = b'{"detail":"overloaded: too many requests at once; try again later"}'
REFUSAL: bytes = _words(_BUSY, BUSY_BODY, "")
LAST_REFUSAL: bytes = _words(_BUSY, BUSY_BODY, "connection: close\r\n")


class Waiting(Protocol):
    """A connection whose refusal waits for its turn."""

    def say_refusal(self) -> bool:
        """Say it, unless it has been said or nobody is left; return whether."""


def price(body_bytes: int) -> int:
    """Return how many usual refusals one costs whose request has such a body: all of it is taken from the kernel."""
    return 1 + body_bytes // _BYTES_OF_ONE


class Refusals:
    """The pace of refusals. `flush` is called some hundred times a second while any wait."""

    def __init__(self) -> None:
        self._queue: deque[tuple[Waiting, int]] = deque()
        self._allowed: float = _BURST
        self._since = 0.0

    @property
    def waiting(self) -> int:
        """How many are not said yet."""
        return len(self._queue)

    def take(self, cost: int) -> bool:
        """Tell whether one may be said now to a connection that is back too soon; while any waits, none may."""
        if self._allowed < 1:
            return False
        self._allowed -= cost
        return True

    def wait(self, connection: Waiting, cost: int) -> None:
        """Let a connection hear it when its turn comes."""
        self._queue.append((connection, cost))

    def flush(self, now: float) -> None:
        """Say those whose turn has come."""
        self._allowed = min(_BURST, self._allowed + (now - self._since) * REFUSALS_PER_S)
        self._since = now
        while self._queue and self._allowed >= 1:
            connection, cost = self._queue.popleft()
            if connection.say_refusal():
                self._allowed -= cost
