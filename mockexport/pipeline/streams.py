"""What the pipeline asks of those who bring the bytes: the Source protocol, and a download's stream.

A stream is pieces of bytes with a few markers between them, which say what became of the bytes so far. A reader that
knows `StartOver` alone reads right; the other markers are for the account and for checkpoints.

A stream may receive bytes straight into the reader's memory, if the reader has offered that (`offer`): such a piece is
a view of it, and good until the next piece is asked for. Whatever else is yielded as bytes is copied there.
"""

import hashlib
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from io import FileIO
from typing import Protocol, runtime_checkable

from mockexport.model import Download, Export, Verdict

__all__ = [
    "ByteStream",
    "DatedSource",
    "Kept",
    "Mark",
    "Marker",
    "Opened",
    "Piece",
    "ReceivingStream",
    "ResumableSource",
    "Resumed",
    "Retry",
    "Room",
    "Source",
    "StartOver",
    "is_unchanged",
    "offer",
    "version_of",
]

# Some servers put whole policies into a tag; what is remembered of each download is bounded.
MAX_VERSION = 256


@dataclass(frozen=True, slots=True)
class Mark:
    """By what a body is known again: a strong entity tag, quotes included, its length if told, and who sent it."""

    etag: str
    total: int | None
    origin: str

    @property
    def version(self) -> str | None:
        """Which version of the content it is (see Opened)."""
        return version_of(self.etag)


@dataclass(frozen=True, slots=True)
class StartOver:
    """The next piece is the first byte again, and all before it is void.

    `attempt` is the one that failed, counted from 1; `wait_s` is waited before the next piece; `reason` says why.
    `asked_s` is how long the server asked to wait, None if it did not.
    """

    attempt: int
    wait_s: float
    reason: str
    asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Retry:
    """An attempt failed, and nothing is void: the next piece follows the last, byte `offset` of the download."""

    attempt: int
    wait_s: float
    reason: str
    offset: int
    asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Opened:
    """A body begins at its first byte. `mark` is None if it cannot be resumed.

    `version` is a text that differs once the content does, by the entity tag or the date and length that came with it;
    None if there was none of these.
    """

    mark: Mark | None
    version: str | None = None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The source goes on with byte `offset`."""

    offset: int


@dataclass(frozen=True, slots=True)
class Kept:
    """The bytes up to `offset`, which come next, are read from what an earlier run has kept: they are not fetched.

    `finished` if they are all of the download.
    """

    offset: int
    finished: bool = False


Marker = StartOver | Retry | Opened | Resumed | Kept
Piece = bytes | memoryview | Marker


class Room(Protocol):
    """Memory of a reader that the next bytes may be put into: from its beginning on, as many as there are."""

    async def free(self) -> memoryview:
        """Return it; waits until there is some."""

    async def read(self, file: FileIO, offset: int) -> memoryview:
        """Read a file from `offset` on into it; return what came, nothing at the file's end.

        Raises:
            OSError: it cannot be read.
        """

    async def fill(self, pour: Callable[[memoryview], int]) -> memoryview:
        """Have a function put bytes into it, in a thread, and return how many; return those."""


class ByteStream(Protocol):
    """The bytes of one download, in order, for one reader."""

    def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the bytes as they come, and markers between them.

        Raises:
            TransferError: when the bytes cannot be had, all attempts included.
        """

    def start_over(self, problem: str) -> StartOver:
        """Void a stream that ended well but did not hold what was promised; `pieces()` then begins again.

        Raises:
            TransferError: if no attempt is left.
        """

    async def close(self, verdict: Verdict | None) -> None:
        """End the stream. `verdict` is the download's; None if there is none yet: it was broken off, or was a part."""


class ReceivingStream(Protocol):
    """A ByteStream that can receive into a reader's memory; its pieces are then views of that, or bytes as ever."""

    def receive_into(self, room: Room) -> None:
        """Put bytes there from now on, where that saves a copy; to be called before the first piece is asked for."""


def offer(stream: ByteStream, room: Room) -> None:
    """Let a stream receive into `room`, if it can."""
    receive_into = getattr(stream, "receive_into", None)  # not isinstance, which takes long to look at a protocol
    if receive_into is not None:
        receive_into(room)


class Source(Protocol):
    """Lists exports and their downloads, and opens their bytes."""

    @property
    def name(self) -> str:
        """Where the data comes from, fit for messages: no credentials, no query."""

    async def export_ids(self) -> list[str]:
        """Return the ids of the exports there are."""

    async def discover(self, export_id: str) -> Export:
        """Return an export with the metadata of all its downloads, in time order.

        Raises:
            ExportNotFound: naming the exports there are.
            SourceError: if the source does not answer, or not sensibly.
        """

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the bytes of a download of an export; nothing is asked for before the first piece."""


def version_of(etag: str | None, modified: str | None = None, length: int | None = None) -> str | None:
    """Return which version a body is, by what came with it: its tag, weak or strong, or else its date and length."""
    if etag is not None:
        text = etag.removeprefix("W/")  # the same content, packed for the transfer, may have a weak one
    elif modified is not None:
        text = modified if length is None else f"{modified}, {length} bytes"
    else:
        return None
    if len(text) > MAX_VERSION or not text.isprintable():
        return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()
    return text


async def is_unchanged(stream: ByteStream, version: str) -> bool:
    """Tell whether a download is the version that was fetched before. Its body is not read.

    Raises:
        TransferError: it cannot be had.
    """
    try:
        async with aclosing(stream.pieces()) as pieces:
            async for piece in pieces:
                if isinstance(piece, Opened):
                    return piece.version == version
        return False
    finally:
        await stream.close(None)


@runtime_checkable
class DatedSource(Protocol):
    """A Source whose metadata would not show that its data has changed: what of it is in a checkpoint may be stale."""

    def as_of(self) -> str:
        """Return a line that differs once the data of the export discovered does."""


@runtime_checkable
class PlainSource(Protocol):
    """A Source over files of this machine: where none is compressed, reading takes no memory beside the slabs."""

    @property
    def is_plain(self) -> bool:
        """Whether no file is compressed, by their names."""


@runtime_checkable
class ResumableSource(Protocol):
    """A Source that can also begin in the middle of a download: where an earlier run has stopped, or at a span."""

    def stream_from(
        self, export_id: str, download: Download, offset: int, mark: Mark, *, until: int | None = None
    ) -> ByteStream:
        """Return the download's bytes from `offset` on, if it still is what `mark` says; else StartOver and all.

        With `until`, bytes from there on are not likely to be needed: no more should be asked for until they are.
        """
