"""Bytes that come by themselves, once, as a source: standard input, or whatever yields them."""

import asyncio
import os
import stat
import sys
from collections.abc import AsyncGenerator, AsyncIterable

import aiofiles

from mockexport.errors import ExportNotFound, OptionError, TransferError
from mockexport.model import Download, Export, SizeLimits, Verdict
from mockexport.pipeline.streams import Piece, StartOver
from mockexport.unpacking.compression import START_BYTES, compression_of
from mockexport.unpacking.stream import UnpackedStream

__all__ = ["Piped", "standard_input"]

# Read at once: as much as a chunk of the default size.
PIECE_BYTES = 256 * 1024
STANDARD_INPUT = 0


class Piped:
    """A Source of one download, whose bytes are read as they come; compressed ones are decompressed.

    It can be read once, and nothing is known of it: a fault is final, and a good end is unverifiable. Whoever writes
    into a pipe may die on the way, and the pipe then ends like any other: so no bytes at all, or a last row without its
    end, are faults. Compressed bytes show their end by themselves.

    Args:
        pieces: the bytes of a CSV, in pieces of any size.
        name: what to call the source, its export and its download.
        size_limits: how much memory zstd may ask for.
    """

    def __init__(
        self, pieces: AsyncIterable[bytes], *, name: str = "stdin", size_limits: SizeLimits | None = None
    ) -> None:
        self._limits = size_limits
        self._pieces: AsyncIterable[bytes] | None = pieces
        self.name = name

    async def export_ids(self) -> list[str]:
        """Return the one id, its name."""
        return [self.name]

    async def discover(self, export_id: str) -> Export:
        """Return the export with its one download (see streams.Source.discover)."""
        if export_id != self.name:
            raise ExportNotFound(export_id, self.name, [self.name])
        return Export(export_id, (Download(self.name),))

    def stream(self, export_id: str, download: Download) -> UnpackedStream:
        """Return the bytes (see streams.Source.stream)."""
        pieces, self._pieces = self._pieces, None
        return UnpackedStream(_PipedStream(pieces, self.name), download.id, self.name, self._limits)


class _PipedStream:
    def __init__(self, pieces: AsyncIterable[bytes] | None, name: str) -> None:
        self._pieces = pieces
        self._name = name
        self._received = 0

    async def pieces(self) -> AsyncGenerator[Piece]:
        if self._pieces is None:
            raise self._fault("it can be read only once")
        start, last = b"", b""
        try:
            async for given in self._pieces:
                piece = _as_bytes(given)
                self._received += len(piece)
                if len(start) < START_BYTES:
                    start += piece[:START_BYTES]
                last = piece[-1:] or last
                yield piece
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}") from error
        if not start:
            raise self._fault("nothing came; did the command before the pipe fail?")
        # A JSON object shows its end by itself.
        if last not in (b"\n", b"}") and compression_of(start) is None:
            raise self._fault("it ended in the middle of a row; if that row is whole, put a line end after it")

    def start_over(self, problem: str) -> StartOver:
        raise self._fault(problem)

    def _fault(self, problem: str) -> TransferError:
        return TransferError(self._name, self._name, problem, offset=self._received)

    async def close(self, verdict: Verdict | None) -> None:
        """Nothing is left to do: the maker of the pieces closes them."""


def _as_bytes(piece: object) -> bytes:
    """Return what a user's iterator yields: bytes, or what can be seen as them."""
    if isinstance(piece, bytes):
        return piece
    if isinstance(piece, bytearray | memoryview):
        return bytes(piece)
    raise OptionError("source", f"its pieces must be bytes, and one is of the type {type(piece).__name__}")


def standard_input() -> AsyncGenerator[bytes]:
    """Return what comes on standard input, piece by piece: of a pipe as it comes, and no faster than it is taken.

    Raises:
        OptionError: it is a terminal, or closed.
    """
    if sys.stdin is None:  # so Python has it where a process is started with it closed
        raise OptionError("from", "standard input is closed; pipe a CSV into it")
    if sys.stdin.isatty():
        raise OptionError("from", "standard input is a terminal; pipe a CSV into it, or name a file")
    mode = os.fstat(STANDARD_INPUT).st_mode
    return _pipe() if stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode) else _file()


async def _pipe() -> AsyncGenerator[bytes]:
    # Not in a thread: one that waits for a silent pipe cannot be told to stop.
    reader = asyncio.StreamReader(limit=PIECE_BYTES)
    with open(os.dup(STANDARD_INPUT), "rb", buffering=0) as pipe:  # noqa: ASYNC230 - it is open already
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), pipe
        )
        try:
            while piece := await reader.read(PIECE_BYTES):
                yield piece
        finally:
            transport.close()


async def _file() -> AsyncGenerator[bytes]:
    async with aiofiles.open(STANDARD_INPUT, "rb", closefd=False) as file:
        while piece := await file.read(PIECE_BYTES):
            yield piece
