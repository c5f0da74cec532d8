"""What the pipeline asks of those who bring the bytes: the Source protocol, and a download's stream.

A stream is pieces of bytes with a few markers between them, which tell what became of the bytes so far. A reader that
knows `StartOver` alone reads right; the other markers are for the account and for checkpoints.

A stream may receive bytes straight into the reader's memory, if the reader has offered that (`offer`): such a piece is
a view of it, and good until the next piece is asked for. Whatever else is yielded as bytes is copied there.
"""

from collections.abc import AsyncGenerator
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
    "offer",
]


@dataclass(frozen=True, slots=True)
class Mark:
    """By what a body is known again: a strong entity tag, quotes included, its length if told, and who sent it."""

    etag: str
    total: int | None
    origin: str


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
    """A body begins at its first byte. `mark` is None if it cannot be resumed."""

    mark: Mark | None


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


@runtime_checkable
class ReceivingStream(Protocol):
    """A ByteStream that can receive into a reader's memory; its pieces are then views of that, or bytes as ever."""

    def receive_into(self, room: Room) -> None:
        """Put bytes there from now on, where that saves a copy; to be called before the first piece is asked for."""


def offer(stream: ByteStream, room: Room) -> None:
    """Let a stream receive into `room`, if it can."""
    if isinstance(stream, ReceivingStream):
        stream.receive_into(room)


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


@runtime_checkable
class DatedSource(Protocol):
    """A Source whose metadata would not show that its data has changed: what of it is in a checkpoint may be stale."""

    def as_of(self) -> str:
        """Return a line that differs once the data of the export discovered does."""


@runtime_checkable
class ResumableSource(Protocol):
    """A Source that can also begin in the middle of a download: where an earlier run has stopped, or at a span."""

    def stream_from(
        self, export_id: str, download: Download, offset: int, mark: Mark, *, until: int | None = None
    ) -> ByteStream:
        """Return the download's bytes from `offset` on, if it still is what `mark` says; else StartOver and all.

        With `until`, bytes from there on are not likely to be needed: no more should be asked for until they are.
        """
