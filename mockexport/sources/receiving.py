"""The rest of a body, received from its connection straight into a reader's memory, without aiohttp's hands on it.

Once the head is in, nothing is left to parse in a body of known length. So what aiohttp has buffered of it is taken,
its protocol steps aside, and this one, an `asyncio.BufferedProtocol`, has the transport put every byte where it is to
be. At the body's end aiohttp gets its connection back, as if it had seen that end; before it, only to close it.

Rules: bytes are taken only while somebody waits for them; in between, the transport does not read, and TCP stops the
sender. Should it read all the same, the few bytes that it gets are kept for who comes next. Whoever is called off has
no bytes written to his memory afterwards.

A sender that is faster than we are has sent the next bytes by the time they are asked for. So they are looked for in
the socket first, and the transport reads only if they are not there yet: the event loop is asked to watch a socket only
when there is something to wait for.
"""

import asyncio
import os
from contextlib import suppress

import aiohttp

from mockexport.resuming.exchange import ExchangeFailed

__all__ = ["Receiver", "take_over"]

# Less than this is not worth a change of hands.
LEAST_BYTES = 64 * 1024
# Room for bytes that come while nobody waits: reading is paused with the first of them.
SPARE_BYTES = 256


class Receiver(asyncio.BufferedProtocol):
    """Has `left` bytes of a response's body put into memory. Made by `take_over`."""

    def __init__(self, response: aiohttp.ClientResponse, transport: asyncio.Transport, left: int) -> None:
        self._response = response
        self._transport = transport
        self._theirs = transport.get_protocol()
        socket = transport.get_extra_info("socket")
        self._fd = -1 if socket is None or not hasattr(os, "readv") else socket.fileno()
        self._left = left
        self._into = memoryview(b"")
        self._filled = 0
        self._spare = bytearray(SPARE_BYTES)
        self._early = bytearray()  # what came while nobody waited
        self._waiter: asyncio.Future[None] | None = None
        self._failed: ExchangeFailed | None = None
        self._is_lost = False
        self._is_over = False
        transport.pause_reading()
        transport.set_protocol(self)

    async def receive(self, into: memoryview) -> int:
        """Fill `into`; return how many bytes came: fewer at the body's end or if `flush` is called, none after it.

        Raises:
            ExchangeFailed: the body broke off.
        """
        if self._failed is not None:
            raise self._failed
        if not self._left:
            return 0
        self._into, self._filled = into[: self._left], 0
        self._take_early()
        if self._filled < len(self._into):
            self._take_what_is_there()
        try:
            if self._filled < len(self._into):
                await self._wait()
            else:
                await asyncio.sleep(0)  # others have had no turn while nobody waited
        finally:
            self._into = memoryview(b"")
        if not self._filled and self._failed is not None:
            raise self._failed
        if not self._left:
            self._give_back(whole=not self._early)  # more than was announced is no part of another reply
        return self._filled

    async def _wait(self) -> None:
        """Have the transport read until there is no room left, or nothing more to come."""
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            self._transport.resume_reading()
            await self._waiter
        finally:
            self._waiter = None
            if not self._is_lost:
                self._transport.pause_reading()

    def _take_what_is_there(self) -> None:
        """Take the bytes that the socket has; its end, and what has become of the connection, is for the transport."""
        if self._fd >= 0 and not self._transport.is_closing():  # then the descriptor may be another's by now
            with suppress(OSError):
                self._count(os.readv(self._fd, [self._into[self._filled :]]))

    def _take_early(self) -> None:
        size = min(len(self._early), len(self._into))
        if size:
            self._into[:size] = self._early[:size]
            del self._early[:size]
            self._count(size)

    def flush(self) -> int:
        """Have `receive` return what has come so far; return how much that is."""
        filled = self._filled if self._waiter is not None else 0
        if filled:
            self._wake()
        return filled

    def abort(self, failed: ExchangeFailed) -> None:
        """Have `receive` raise that."""
        self._failed = self._failed or failed
        self._wake()

    def close(self) -> None:
        """Let go of a connection that is not known to have brought all; it is closed."""
        if not self._is_over:
            self._give_back(whole=False)

    def _give_back(self, *, whole: bool) -> None:
        """Give aiohttp its connection back, which goes to the pool after a whole body, if it may be used again."""
        self._is_over = True
        if not self._is_lost:
            self._transport.set_protocol(self._theirs)
        if whole and not self._is_lost:
            self._response.content.feed_eof()
        else:
            self._response.close()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # ---- what the transport calls

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where the next bytes go."""
        return self._into[self._filled :] or memoryview(self._spare)

    def buffer_updated(self, nbytes: int) -> None:
        """Take note of further bytes."""
        if self._filled >= len(self._into):
            self._early += self._spare[:nbytes]
            self._transport.pause_reading()
        else:
            self._count(nbytes)
            if self._filled == len(self._into):
                self._transport.pause_reading()

    def _count(self, nbytes: int) -> None:
        self._filled += nbytes
        self._left -= nbytes
        if self._filled == len(self._into):
            self._wake()

    def eof_received(self) -> None:
        """The other side sends no more; the connection is lost next."""

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that no more comes, and pass it on."""
        self._is_lost = True
        self._theirs.connection_lost(exc)
        if self._left:
            self.abort(ExchangeFailed("the body broke off before its end", passing=True))

    def pause_writing(self) -> None:
        """Pass it on."""
        self._theirs.pause_writing()

    def resume_writing(self) -> None:
        """Pass it on."""
        self._theirs.resume_writing()


def take_over(response: aiohttp.ClientResponse) -> tuple[bytes, Receiver | None]:
    """Return what aiohttp has buffered of a body, and who receives the rest: None where that is best left to aiohttp.

    So it is with bodies of no known length, short ones, and connections that are more than a socket.

    Raises:
        aiohttp.ClientError, ExchangeFailed: the body has broken off.
    """
    connection, length = response.connection, response.content_length
    if connection is None or length is None or "Transfer-Encoding" in response.headers:
        return b"", None
    transport = connection.transport
    if (
        transport is None
        or length - response.content.total_bytes < LEAST_BYTES
        or transport.get_extra_info("sslcontext") is not None
        or transport.get_protocol() is not connection.protocol
    ):
        return b"", None
    pieces = []
    while piece := response.content.read_nowait():  # the parser may have kept some more back
        pieces.append(piece)
    left = length - response.content.total_bytes
    if left <= 0 or response.content.is_eof():
        return b"".join(pieces), None
    return b"".join(pieces), Receiver(response, transport, left)
