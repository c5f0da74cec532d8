"""Request bodies, taken in bounded pieces: capped in size, in time, and in what all of them together may hold."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.requests import Request

from mockexport.ingest.errors import BodyTooLarge, BodyTooSlow, ClientGone, Overloaded, RequestProblem

__all__ = ["ALL_BATCHES_BYTES", "ALL_READINGS_BYTES", "MAX_BATCH_BYTES", "MAX_READING_BYTES", "BodyRoom"]

# Two ids of 128 characters, each of twelve bytes at worst (an escaped surrogate pair), and room for keys to ignore.
MAX_READING_BYTES = 16 << 10
# Ten thousand readings of 400 bytes; the usual one has 100. Ids of the longest kind need smaller batches.
MAX_BATCH_BYTES = 4 << 20
# What all bodies of a kind may hold together while they arrive and are worked on: with a thousand clients this, not the
# single cap, bounds memory. For batches it is also some tenths of a second of work, which is all that should wait.
ALL_READINGS_BYTES = 8 << 20
ALL_BATCHES_BYTES = 8 << 20
# How long a body may take. A reading fits into one packet, a batch takes a second over a poor line.
BODY_TIMEOUT_S = 15.0


class BodyRoom:
    """The room for bodies of one kind, each up to a limit, that are being read or worked on."""

    def __init__(self, limit_bytes: int, room_bytes: int, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._limit_bytes, self._room_bytes, self._timeout_s = limit_bytes, room_bytes, timeout_s
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much is held now."""
        return self._held_bytes

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[bytes]:
        """Read the body and hold its room until the block ends.

        Raises:
            BodyTooLarge: it is announced to be, or is, larger than the limit; at most the limit was read.
            BodyTooSlow: it did not arrive in time.
            Overloaded: all bodies together hold too much.
            ClientGone: the client left.
        """
        limit = self._limit_bytes
        declared = _declared(request)
        if declared is not None and declared > limit:
            raise BodyTooLarge(limit)
        # Without a length it may become as large as the limit.
        size = limit if declared is None else declared
        if self._held_bytes + size > self._room_bytes:
            raise Overloaded("too many bodies at once")
        self._held_bytes += size
        try:
            pieces: list[bytes] = []
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._gather(request, pieces, limit)
            except TimeoutError:
                raise BodyTooSlow(self._timeout_s) from None
            body = b"".join(pieces)
            if len(body) > limit:
                raise BodyTooLarge(limit)
            yield body
        finally:
            self._held_bytes -= size

    async def _gather(self, request: Request, pieces: list[bytes], limit_bytes: int) -> None:
        size, more = 0, True
        while more and size <= limit_bytes:
            message = await request.receive()
            if message["type"] == "http.disconnect":
                raise ClientGone("the client left")
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            more = message.get("more_body", False)


def _declared(request: Request) -> int | None:
    text = request.headers.get("content-length")
    if text is None:
        # No length and no chunks: no body (RFC 9112, section 6.3).
        return None if "transfer-encoding" in request.headers else 0
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise RequestProblem("content-length", "must be a number")
    return int(text)
