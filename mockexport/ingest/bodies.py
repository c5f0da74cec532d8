"""Request bodies, taken in bounded pieces: capped in size, in time, and in what all of them together may hold."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from starlette.requests import Request

from mockexport.ingest.errors import BodyTooLarge, BodyTooSlow, ClientGone, Overloaded, RequestProblem

__all__ = ["MAX_BATCH_BYTES", "MAX_READING_BYTES", "BodyRoom"]

# Two ids of 128 characters, each of twelve bytes at worst (an escaped surrogate pair), and room for keys to ignore.
MAX_READING_BYTES = 16 << 10
# Ten thousand readings of 400 bytes; the usual one has 100. Ids of the longest kind need smaller batches.
MAX_BATCH_BYTES = 4 << 20
# What all unfinished bodies together may hold: with a thousand clients this, not the single cap, bounds memory.
_ALL_BODIES_BYTES = 64 << 20
# How long a body may take. A reading fits into one packet, a batch takes a second over a poor line.
BODY_TIMEOUT_S = 15.0


class BodyRoom:
    """The room for bodies that are being read or worked on."""

    def __init__(self, room_bytes: int = _ALL_BODIES_BYTES, timeout_s: float = BODY_TIMEOUT_S) -> None:
        self._room_bytes, self._timeout_s = room_bytes, timeout_s
        self._held_bytes = 0

    @property
    def held_bytes(self) -> int:
        """How much is held now."""
        return self._held_bytes

    @contextmanager
    def _hold(self, size: int) -> Iterator[None]:
        if self._held_bytes + size > self._room_bytes:
            raise Overloaded("too many bodies at once")
        self._held_bytes += size
        try:
            yield
        finally:
            self._held_bytes -= size

    async def read(self, request: Request, limit_bytes: int) -> bytes:
        """Return the body.

        Raises:
            BodyTooLarge: it is announced to be, or is, larger than the limit; at most the limit was read.
            BodyTooSlow: it did not arrive in time.
            Overloaded: all bodies together hold too much.
            ClientGone: the client left.
        """
        declared = _declared(request)
        if declared is not None and declared > limit_bytes:
            raise BodyTooLarge(limit_bytes)
        # Without a length it may become as large as the limit.
        with self._hold(limit_bytes if declared is None else declared):
            pieces: list[bytes] = []
            try:
                async with asyncio.timeout(self._timeout_s):
                    await self._gather(request, pieces, limit_bytes)
            except TimeoutError:
                raise BodyTooSlow(self._timeout_s) from None
            body = b"".join(pieces)
            if len(body) > limit_bytes:
                raise BodyTooLarge(limit_bytes)
            return body

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
