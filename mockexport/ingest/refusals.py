"""Refusals that cost next to nothing: 503 from constants, before a request is parsed, and never too many a second.

A request that is plainly whole is recognised by its bytes, and its refusal is written as it stands. Even so, most of
what a refusal costs is the kernel's, and clients that ask again at once, whatever they have heard, could take all of
the time with being refused. So who heeds `Retry-After` is refused at once, and for those who are back before there is a
pace. Below it they are refused at once, too; above it they wait for their turn, which is also what slows them down.
"""

from collections import deque
from functools import lru_cache
from typing import Protocol

__all__ = [
    "BUSY_BODY",
    "LAST_REFUSAL",
    "REFUSAL",
    "RETRY_AFTER_S",
    "Refusals",
    "Waiting",
    "is_whole_post",
    "last_words",
]

# What a refused client is asked to wait.
RETRY_AFTER_S = 1
# At some 25 µs each it is a thirteenth of a core. A thousand impatient connections wait for a third of a second, as
# many as there may be for little more than the second that they have been asked to wait.
REFUSALS_PER_S = 3_000
# So many may be said at once after a quiet moment.
_BURST = 500


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


def is_whole_post(data: bytes) -> bool:
    """Tell whether these bytes are one whole POST, and nothing else, of which nobody could think otherwise. Pure."""
    end = data.find(b"\r\n\r\n")
    return end >= 0 and len(data) == end + 4 + _announced(data[: end + 2])


# Clients say the same head again and again.
@lru_cache(maxsize=1_024)
def _announced(head: bytes) -> int:
    """Return how many bytes of a body a POST's head announces; -1 of anything else, and of a head that is unusual.

    Chunks, an `Expect`, a second length, a wish for the connection and HTTP/1.0 are unusual.
    """
    if not head.startswith(b"POST "):
        return -1
    head = head.lower().replace(b"\r\nconnection: keep-alive\r\n", b"\r\n", 1)
    mark = head.find(b"\r\ncontent-length:")
    if (
        mark < 0
        or head.count(b"content-length") != 1
        or b"transfer-encoding" in head
        or b"\nconnection" in head
        or b"\nexpect" in head
        or not head.startswith(b" http/1.1\r\n", head.find(b"\r\n") - 9)
    ):
        return -1
    length = head[mark + 17 : head.find(b"\r\n", mark + 2)].strip()
    return int(length) if length.isdigit() and len(length) < 10 else -1


class Waiting(Protocol):
    """A connection whose refusal waits for its turn."""

    def say_refusal(self) -> bool:
        """Say it, unless it has been said or nobody is left; return whether."""


class Refusals:
    """The pace of refusals. `flush` is called some hundred times a second while any wait."""

    def __init__(self) -> None:
        self._queue: deque[Waiting] = deque()
        self._allowed: float = _BURST
        self._since = 0.0

    @property
    def waiting(self) -> int:
        """How many are not said yet."""
        return len(self._queue)

    def take_one(self) -> bool:
        """Tell whether one may be said now to a connection that is back too soon; while any waits, none may."""
        if self._allowed < 1:
            return False
        self._allowed -= 1
        return True

    def wait(self, connection: Waiting) -> None:
        """Let a connection hear it when its turn comes."""
        self._queue.append(connection)

    def flush(self, now: float) -> None:
        """Say those whose turn has come."""
        self._allowed = min(_BURST, self._allowed + (now - self._since) * REFUSALS_PER_S)
        self._since = now
        while self._queue and self._allowed >= 1:
            self._allowed -= self._queue.popleft().say_refusal()
