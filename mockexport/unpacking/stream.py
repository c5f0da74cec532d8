"""Another stream's bytes, decompressed on their way if they turn out to be compressed; in threads, as it takes time."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from io import FileIO

from mockexport.errors import TransferError
from mockexport.model import SizeLimits, Verdict
from mockexport.pipeline.streams import ByteStream, Opened, Piece, Resumed, Room, StartOver, offer
from mockexport.unpacking.compression import (
    START_BYTES,
    BadCompression,
    Compression,
    Decoder,
    compression_of,
    refuse_others,
)

__all__ = ["OwnRoom", "UnpackedStream", "decoded"]

# A compressed piece this short is decoded in less time than a thread takes to be told of it.
IN_LINE_BYTES = 2 * 1024
# Received at once of a compressed body, or by whoever has no memory of a reader to put bytes into.
ROOM_BYTES = 256 * 1024


class OwnRoom:
    """Memory (streams.Room) that is used again for every piece."""

    def __init__(self) -> None:
        self._memory = memoryview(bytearray(ROOM_BYTES))

    async def free(self) -> memoryview:
        """Return all of it."""
        return self._memory

    async def read(self, file: FileIO, offset: int) -> memoryview:
        """Read a file into it (see Room.read)."""
        file.seek(offset)
        return self._memory[: await asyncio.to_thread(file.readinto, self._memory)]

    async def fill(self, pour: Callable[[memoryview], int]) -> memoryview:
        """Have it filled in a thread (see Room.fill)."""
        return self._memory[: await asyncio.to_thread(pour, self._memory)]


class _Rooms:
    """A reader's room for as long as the bytes are rows as they come, and an own one once they are to be unpacked."""

    def __init__(self, readers: Room) -> None:
        self._readers = readers
        self._own: OwnRoom | None = None

    @property
    def _in_use(self) -> Room:
        return self._own or self._readers

    def use_own(self, *, own: bool) -> None:
        self._own = (self._own or OwnRoom()) if own else None

    async def free(self) -> memoryview:
        return await self._in_use.free()

    async def read(self, file: FileIO, offset: int) -> memoryview:
        return await self._in_use.read(file, offset)

    async def fill(self, pour: Callable[[memoryview], int]) -> memoryview:
        return await self._in_use.fill(pour)


class UnpackedStream:
    """The rows of a stream (streams.ByteStream) whose body may be gzip or zstd.

    What comes out of a compressed body cannot be gone on with in the middle: such a stream has no mark.

    Args:
        stream: the bytes as they are kept.
        download_id, where: for messages.
        size_limits: how much memory zstd may ask for.
    """

    def __init__(self, stream: ByteStream, download_id: str, where: str, size_limits: SizeLimits | None = None) -> None:
        self._limits = size_limits or SizeLimits()
        self._stream = stream
        self._download_id = download_id
        self._where = where
        self._room: Room | None = None  # the reader's
        self._rooms: _Rooms | None = None

    def receive_into(self, room: Room) -> None:
        """Let bytes that are not compressed be received there (see streams.ReceivingStream)."""
        self._room, self._rooms = room, _Rooms(room)
        offer(self._stream, self._rooms)

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the rows' bytes, and the stream's markers (see ByteStream.pieces)."""
        while True:
            try:
                async with aclosing(self._unpacked()) as pieces:
                    async for piece in pieces:
                        yield piece
            except BadCompression as bad:
                if not bad.passing:
                    raise TransferError(self._download_id, self._where, bad.problem) from bad
                restart = self._stream.start_over(bad.problem)
            else:
                return
            yield restart

    async def _unpacked(self) -> AsyncGenerator[Piece]:
        start, decoder, decided = b"", None, False
        opened: Opened | None = None  # held back until its first bytes tell whether it can be gone on with
        async with aclosing(self._stream.pieces()) as pieces:
            async for piece in pieces:
                if isinstance(piece, Opened | StartOver):
                    start, decoder, decided = b"", None, False
                    self._use_own_room(own=False)
                if isinstance(piece, Opened):
                    opened = piece
                    continue
                if not isinstance(piece, bytes | memoryview):
                    if opened is not None:
                        yield replace(opened, mark=None)
                        opened = None
                    if isinstance(piece, Resumed) and not start:
                        decided = True  # it begins in the middle, which a compressed one never does
                    yield piece
                    continue
                if not decided:
                    # What is not yielded is not received, and what comes next is put in its place.
                    if start or len(piece) < START_BYTES:
                        piece = start = start + bytes(piece)
                    if len(piece) < START_BYTES:
                        continue
                    decided = True
                    decoder = _decoder(bytes(piece[:START_BYTES]), self._limits)
                    self._use_own_room(own=decoder is not None)
                    if decoder is not None:
                        piece = bytes(piece)  # it may be where what is in it goes
                if opened is not None:
                    piece = bytes(piece)  # the reader turns to the marker first: what it is in may be moved on
                    yield opened if decoder is None else replace(opened, mark=None)
                    opened = None
                if decoder is None:
                    yield piece
                else:
                    async with aclosing(decoded(decoder, piece, self._room)) as made:
                        async for step in made:
                            yield step
        if opened is not None:
            yield opened
        if not decided and start:
            yield start
        if decoder is not None:
            decoder.finish()

    def _use_own_room(self, *, own: bool) -> None:
        if self._rooms is not None:
            self._rooms.use_own(own=own)

    def start_over(self, problem: str) -> StartOver:
        """Void the stream (see ByteStream.start_over)."""
        return self._stream.start_over(problem)

    async def close(self, verdict: Verdict | None) -> None:
        """End the stream."""
        await self._stream.close(verdict)


def _decoder(start: bytes, limits: SizeLimits) -> Decoder | None:
    compression = compression_of(start)
    if compression is None:
        refuse_others(start)
        return None
    return _decoder_for(compression, limits)


def _decoder_for(compression: Compression, limits: SizeLimits) -> Decoder:
    """Return a decoder.

    Raises:
        BadCompression: it is in an extra that is not installed.
    """
    from mockexport.unpacking.transcoding import InsideUtf16, Utf16

    if compression is Compression.GZIP:
        from mockexport.unpacking.gunzip import Gunzip

        return InsideUtf16(Gunzip())
    if compression is Compression.UTF16:
        return Utf16()
    if compression is Compression.XML:
        from mockexport.unpacking.health import HealthExport

        return HealthExport()
    from mockexport.unpacking.unzstd import Unzstd, ZstdLimits

    return InsideUtf16(Unzstd(ZstdLimits.of(limits)))


async def decoded(decoder: Decoder, piece: bytes | memoryview, room: Room | None) -> AsyncGenerator[bytes | memoryview]:
    """Yield what a piece holds, decoded into a reader's room, or as bytes where there is none; a long one in a thread.

    Raises:
        BadCompression: see Decoder.feed; what else would have come into the room with it is not yielded.
    """
    pouring = _Pouring(decoder.feed(piece))
    into = room or OwnRoom()
    while not pouring.is_done:
        if len(piece) > IN_LINE_BYTES:
            made = await into.fill(pouring.pour)
        else:
            free = await into.free()
            made = free[: pouring.pour(free)]
        if made:
            yield bytes(made) if room is None else made


class _Pouring:
    """Steps of decoding, poured into memory one after the other; one that is cut by its end goes on in the next."""

    def __init__(self, steps: Iterator[bytes]) -> None:
        self._steps = steps
        self._rest = memoryview(b"")
        self.is_done: bool = False

    def pour(self, into: memoryview) -> int:
        """Fill memory, as far as there is something to fill it with; return how many bytes that are."""
        size = 0
        while size < len(into):
            if not self._rest:
                step = next(self._steps, None)
                if step is None:
                    self.is_done = True
                    break
                self._rest = memoryview(step)
            poured = min(len(self._rest), len(into) - size)
            into[size : size + poured] = self._rest[:poured]
            self._rest = self._rest[poured:]
            size += poured
        return size
