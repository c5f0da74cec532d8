"""Another stream's bytes, held at their end against a SHA-256 and a length that were announced for them."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from mockexport.model import Verdict
from mockexport.pipeline.streams import ByteStream, Opened, Piece, Room, StartOver, offer

__all__ = ["ProvenStream"]


class ProvenStream:
    """A stream (streams.ByteStream) that begins again where it was not what was announced.

    A digest needs all bytes from the first on, so a stream that has one has no mark to go on from. A length alone, the
    mark has, too. `begin` is the byte at which the stream begins.
    """

    def __init__(self, stream: ByteStream, *, sha256: str | None, sent_bytes: int | None, begin: int = 0) -> None:
        self._stream = stream
        self._sha256 = sha256
        self._sent_bytes = sent_bytes
        self._begin = begin

    def receive_into(self, room: Room) -> None:
        """Let bytes be received there (see streams.ReceivingStream)."""
        offer(self._stream, room)

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the bytes, and the stream's markers (see ByteStream.pieces)."""
        while True:
            digest, received = hashlib.sha256(), self._begin
            async with aclosing(self._stream.pieces()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, bytes | memoryview):
                        digest.update(piece)
                        received += len(piece)
                    elif isinstance(piece, StartOver):
                        digest, received = hashlib.sha256(), 0
                    elif isinstance(piece, Opened) and not self._may_be_gone_on_with(piece):
                        piece = replace(piece, mark=None)
                    yield piece
            if self._sent_bytes is not None and received != self._sent_bytes:
                problem = f"{received:,} bytes came of {self._sent_bytes:,} announced"
            elif self._sha256 is not None and digest.hexdigest() != self._sha256:
                problem = "its SHA-256 is not the one announced"
            else:
                return
            self._begin = 0
            yield self._stream.start_over(problem)

    def _may_be_gone_on_with(self, opened: Opened) -> bool:
        return self._sha256 is None and opened.mark is not None and opened.mark.total == self._sent_bytes

    def start_over(self, problem: str) -> StartOver:
        """Void the stream (see ByteStream.start_over)."""
        self._begin = 0
        return self._stream.start_over(problem)

    async def close(self, verdict: Verdict | None) -> None:
        """End the stream."""
        await self._stream.close(verdict)
