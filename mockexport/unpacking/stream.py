"""Another stream's bytes, decompressed on their way if they turn out to be compressed; in threads, as it takes time."""

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import aclosing
from dataclasses import replace

from mockexport.errors import TransferError
from mockexport.model import Verdict
from mockexport.pipeline.streams import ByteStream, Opened, Piece, Resumed, StartOver
from mockexport.unpacking.compression import (
    START_BYTES,
    BadCompression,
    Compression,
    Decoder,
    compression_of,
    refuse_others,
)

__all__ = ["IN_LINE_BYTES", "UnpackedStream", "next_step"]

# A compressed piece this short is decoded in less time than a thread takes to be told of it.
IN_LINE_BYTES = 2 * 1024


class UnpackedStream:
    """The rows of a stream (streams.ByteStream) whose body may be gzip or zstd.

    What comes out of a compressed body cannot be gone on with in the middle: such a stream has no mark.

    Args:
        stream: the bytes as they are kept.
        download_id, where: for messages.
    """

    def __init__(self, stream: ByteStream, download_id: str, where: str) -> None:
        self._stream = stream
        self._download_id = download_id
        self._where = where

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
                if isinstance(piece, Opened):
                    opened, start, decoder, decided = piece, b"", None, False
                    continue
                if not isinstance(piece, bytes):
                    if opened is not None:
                        yield replace(opened, mark=None)
                        opened = None
                    if isinstance(piece, StartOver):
                        start, decoder, decided = b"", None, False
                    elif isinstance(piece, Resumed) and not start:
                        decided = True  # it begins in the middle, which a compressed one never does
                    yield piece
                    continue
                if not decided:
                    start += piece
                    if len(start) < START_BYTES:
                        continue
                    piece, decided = start, True
                    decoder = _decoder(start)
                if opened is not None:
                    yield opened if decoder is None else replace(opened, mark=None)
                    opened = None
                if decoder is None:
                    yield piece
                else:
                    async for step in _steps(decoder, piece):
                        yield step
        if opened is not None:
            yield opened
        if not decided and start:
            yield start
        if decoder is not None:
            decoder.finish()

    def start_over(self, problem: str) -> StartOver:
        """Void the stream (see ByteStream.start_over)."""
        return self._stream.start_over(problem)

    async def close(self, verdict: Verdict | None) -> None:
        """End the stream."""
        await self._stream.close(verdict)


def _decoder(start: bytes) -> Decoder | None:
    compression = compression_of(start)
    if compression is None:
        refuse_others(start)
        return None
    return _decoder_for(compression)


def _decoder_for(compression: Compression) -> Decoder:
    """Return a decoder.

    Raises:
        BadCompression: it is in an extra that is not installed.
    """
    if compression is Compression.GZIP:
        from mockexport.unpacking.gunzip import Gunzip

        return Gunzip()
    from mockexport.unpacking.unzstd import Unzstd

    return Unzstd()


async def _steps(decoder: Decoder, piece: bytes) -> AsyncGenerator[bytes]:
    steps = decoder.feed(piece)
    while step := await next_step(steps, in_line=len(piece) <= IN_LINE_BYTES):
        yield step


async def next_step(steps: Iterator[bytes], *, in_line: bool) -> bytes:
    """Return what the next step of decoding gives, none at the end; a step is some milliseconds of work."""
    return next(steps, b"") if in_line else await asyncio.to_thread(next, steps, b"")
