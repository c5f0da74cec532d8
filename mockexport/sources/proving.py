"""Another stream's bytes, held at their end against a SHA-256 and a length that were announced for them."""

import hashlib
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from mockexport.model import Verdict
from mockexport.pipeline.streams import ByteStream, Opened, Piece, Room, StartOver, offer

__all__ = ["ProvenStream"]


class ProvenStream:
    """A stream (streams.ByteStream) that begins anew where it was not what was announced.

    A digest needs all bytes from the first on, so such a stream has no mark to go on from in another run.
    """

    def __init__(self, stream: ByteStream, *, sha256: str | None, sent_bytes: int | None) -> None:
        self._stream = stream
        self._sha256 = sha256
        self._sent_bytes = sent_bytes

    def receive_into(self, room: Room) -> None:
        """Let bytes be received there (see streams.ReceivingStream)."""
        offer(self._stream, room)

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the bytes, and the stream's markers (see ByteStream.pieces)."""
        while True:
            digest, received = hashlib.sha256(), 0
            async with aclosing(self._stream.pieces()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, bytes | memoryview):
                        digest.update(piece)
                        received += len(piece)
                    elif isinstance(piece, StartOver):
                        digest, received = hashlib.sha256(), 0
                    yield replace(piece, mark=None) if isinstance(piece, Opened) else piece
            if self._sent_bytes is not None and received != self._sent_bytes:
                problem = f"{received:,} bytes came of {self._sent_bytes:,} announced"
            elif self._sha256 is not None and digest.hexdigest() != self._sha256:
                problem = "its SHA-256 is not the one announced"
            else:
                return
            yield self._stream.start_over(problem)

    def start_over(self, problem: str) -> StartOver:
        """Void the stream (see ByteStream.start_over)."""
        return self._stream.start_over(problem)

    async def close(self, verdict: Verdict | None) -> None:
        """End the stream."""
        await self._stream.close(verdict)
