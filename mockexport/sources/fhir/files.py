"""The streams of a job's files: their lines with the version that they are of, and what stands for a failure."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from mockexport.errors import TransferError
from mockexport.model import Verdict
from mockexport.pipeline.streams import Opened, Piece, Room, StartOver
from mockexport.resuming.stream import ResumingStream

__all__ = ["Dated", "Failing"]


class Dated:
    """A file's stream, whose version also says of which manifest it is: files seldom have an entity tag."""

    def __init__(self, stream: ResumingStream, of: str) -> None:
        self._stream = stream
        self._of = of

    def receive_into(self, room: Room) -> None:
        self._stream.receive_into(room)

    async def pieces(self) -> AsyncGenerator[Piece]:
        async with aclosing(self._stream.pieces()) as pieces:
            async for piece in pieces:
                yield Opened(piece.mark, f"{self._of} {piece.version or ''}") if isinstance(piece, Opened) else piece

    def start_over(self, problem: str) -> StartOver:
        return self._stream.start_over(problem)

    async def close(self, verdict: Verdict | None) -> None:
        await self._stream.close(verdict)


class Failing:
    """In place of what the server could not export: a stream that says so."""

    def __init__(self, download_id: str, where: str, problem: str) -> None:
        self._error = TransferError(download_id, where, problem)

    async def pieces(self) -> AsyncGenerator[Piece]:
        nothing: tuple[Piece, ...] = ()
        for piece in nothing:
            yield piece
        raise self._error

    def start_over(self, problem: str) -> StartOver:
        raise self._error

    async def close(self, verdict: Verdict | None) -> None:
        """Nothing is open."""
