"""Request bodies, taken in bounded pieces: capped in size, in time, and in what they may hold together.

Room is counted by the bytes that came. What a client announces costs nothing, so nobody reserves room by promising much
and sending little. Where room is short, the slowest of the bodies that are still arriving is sent away first.
"""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from mockexport.ingest.errors import BodySentAway, BodyTooLarge, BodyTooSlow, ClientGone, RequestProblem

__all__ = ["ALL_BATCHES_BYTES", "ALL_READINGS_BYTES", "MAX_BATCH_BYTES", "MAX_READING_BYTES", "BodyRoom", "Pace"]

# Two ids of 128 characters, each of twelve bytes at worst (an escaped surrogate pair), and room for keys to ignore.
MAX_READING_BYTES = 16 << 10
# Ten thousand readings of 400 bytes; the usual one has 100. Ids of the longest kind need smaller batches.
MAX_BATCH_BYTES = 4 << 20
# What all bodies of a kind may hold together while they arrive and are worked on: with a thousand clients this, not the
# single cap, bounds memory. For batches it is also some tenths of a second of work, which is all that should wait.
ALL_READINGS_BYTES = 8 << 20
ALL_BATCHES_BYTES = 16 << 20
# One peer's part of that: the other half is for the others, whatever one of them does.
_PEER_SHARE = 2
# How long a body may take. A reading fits into one packet, a batch takes a second over a poor line.
BODY_TIMEOUT_S = 15.0
# A body's pace is what came lately: a byte counts for less and less, by this time constant, so that one that brought
# much and then stopped is soon slower than one that goes on.
_LATELY_S = 1.0
# What a new body starts with: it has had no time yet to show a pace, and a stopped one is below this within seconds.
_CREDIT_BYTES = 64 << 10


class Pace:
    """How fast a body comes: its bytes, which count for less the longer ago they came. Pure: times (s) are given."""

    def __init__(self, now: float) -> None:
        self._bytes, self._since = float(_CREDIT_BYTES), now

    def add(self, size: int, now: float) -> None:
        """Learn how many bytes have come."""
        self._bytes, self._since = self.at(now) + size, now

    def at(self, now: float) -> float:
        """Return what still counts of the bytes that came."""
        return self._bytes * math.exp((self._since - now) / _LATELY_S)


class _Arriving:
    """A body that is not whole yet."""

    def __init__(self, peer: str, now: float, clock: asyncio.Timeout) -> None:
        self.peer, self.pace, self._clock = peer, Pace(now), clock
        self.pieces: list[bytes] = []
        self.size = 0
        self.sent_away = False

    def add(self, piece: bytes, now: float) -> None:
        self.pieces.append(piece)
        self.size += len(piece)
        self.pace.add(len(piece), now)

    def send_away(self, now: float) -> None:
        """End the wait for the rest."""
        self.sent_away = True
        self.pieces.clear()
        if not self._clock.expired():
            self._clock.reschedule(now)


class BodyRoom:
    """The room for bodies of one kind, each up to a limit, that are being read or worked on."""

    def __init__(self, limit_bytes: int, room_bytes: int, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._limit_bytes, self._room_bytes, self._timeout_s = limit_bytes, room_bytes, timeout_s
        self._held_bytes = 0
        self._held_of: dict[str, int] = {}
        self._arriving: set[_Arriving] = set()

    @property
    def held_bytes(self) -> int:
        """How much is held now."""
        return self._held_bytes

    @property
    def arriving(self) -> int:
        """How many bodies are not whole yet."""
        return len(self._arriving)

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read the body and hold its room until the block ends.

        Raises:
            BodyTooLarge: it is announced to be, or is, larger than the limit; at most the limit was read.
            BodyTooSlow: it did not arrive in time.
            BodySentAway: all bodies together, or this peer's, hold too much, and this one is the slowest.
            ClientGone: the client left.
        """
        limit = self._limit_bytes
        declared = _declared(request)
        if declared is not None and declared > limit:
            raise BodyTooLarge(limit)
        peer = request.client.host if request.client is not None else ""
        body = await self._whole(request, peer)
        try:
            yield body
        finally:
            self._give_back(peer, len(body))

    async def _whole(self, request: Request, peer: str) -> bytes:
        """Read a body to its end. What is returned is held; where this raises, nothing is."""
        now = asyncio.get_running_loop().time
        clock = asyncio.timeout(self._timeout_s)
        arriving = _Arriving(peer, now(), clock)
        self._arriving.add(arriving)
        try:
            async with clock:
                more = True
                while more:
                    message = await request.receive()
                    if arriving.sent_away:
                        raise BodySentAway
                    if message["type"] == "http.disconnect":
                        raise ClientGone("the client left")
                    more = message.get("more_body", False)
                    if not more:
                        self._arriving.discard(arriving)
                    if piece := message.get("body", b""):
                        self._take(piece, arriving, now())
        except BaseException as error:
            if not arriving.sent_away:
                self._give_back(peer, arriving.size)
            if isinstance(error, TimeoutError):
                raise (BodySentAway() if arriving.sent_away else BodyTooSlow(self._timeout_s)) from None
            raise
        finally:
            self._arriving.discard(arriving)
        return b"".join(arriving.pieces)

    def _take(self, piece: bytes, arriving: _Arriving, now: float) -> None:
        if arriving.size + len(piece) > self._limit_bytes:
            raise BodyTooLarge(self._limit_bytes)
        arriving.add(piece, now)
        self._held_bytes += len(piece)
        self._held_of[arriving.peer] = self._held_of.get(arriving.peer, 0) + len(piece)
        self._make_room(arriving, now)

    def _make_room(self, newest: _Arriving, now: float) -> None:
        """Send the slowest of those that are not whole away until everything fits.

        Raises:
            BodySentAway: it is the newest itself, or there is no other.
        """
        while True:
            if self._held_of[newest.peer] > self._room_bytes // _PEER_SHARE:
                choice = [each for each in self._arriving if each.peer == newest.peer and each.size]
            elif self._held_bytes > self._room_bytes:
                choice = [each for each in self._arriving if each.size]
            else:
                return
            slowest = min(choice, key=lambda each: each.pace.at(now), default=newest)
            self._arriving.discard(slowest)
            self._give_back(slowest.peer, slowest.size)
            slowest.send_away(now)
            if slowest is newest:
                raise BodySentAway

    def _give_back(self, peer: str, size: int) -> None:
        self._held_bytes -= size
        left = self._held_of.get(peer, 0) - size
        if left:
            self._held_of[peer] = left
        else:
            self._held_of.pop(peer, None)


def _declared(request: Request) -> int | None:
    text = request.headers.get("content-length")
    if text is None:
        # No length and no chunks: no body (RFC 9112, section 6.3).
        return None if "transfer-encoding" in request.headers else 0
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise RequestProblem("content-length", "must be a number")
    return int(text)
