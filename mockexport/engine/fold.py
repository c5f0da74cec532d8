"""What the pipeline asks of an engine: a fold of one span's chunks, one at a time and in order.

Synchronous and single-threaded by design: each chunk may come in whatever thread is free. So what a fold holds always
describes exactly the bytes from the span's start to `offset`.
"""

from typing import Protocol, TypeVar

from mockexport.formats.tally import Tally
from mockexport.model import Chunk, Span

__all__ = ["Fold", "NewFold"]

S_co = TypeVar("S_co", covariant=True)


class Fold(Protocol[S_co]):
    """What the pipeline asks of an engine."""

    offset: int
    download_id: str
    line: int  # that begins at `offset`

    @property
    def header(self) -> str | None:
        """The header line, None while it has not come: with it, another fold can go on where this one is."""

    @property
    def pending(self) -> bytes:
        """The beginning, before `offset`, of a row that may go on in the next chunk: it is in no count yet."""

    @property
    def rows(self) -> int:
        """The number of rows so far; may be asked for at any time."""

    @property
    def known(self) -> tuple[int, int]:
        """How many patients and event types there are so far, at the least; cheap."""

    @property
    def tally(self) -> Tally:
        """The counts of the rows so far; not to be asked for during `feed`."""

    @property
    def state(self) -> S_co:
        """The state of the rows so far, in the engine's form."""

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk.

        Raises:
            HeaderError: if the first row does not name the columns.
            BadRowError: for the first bad row, where none is allowed.
            ReducerError: if the reducer raises.
        """

    def finish(self) -> None:
        """Take in what is pending: the download has ended. May be called again.

        Raises:
            HeaderError, BadRowError, ReducerError: as `feed` does.
        """


class NewFold(Protocol[S_co]):
    """Makes folds."""

    def __call__(self, span: Span, header: str | None = None, pending: bytes = b"") -> Fold[S_co]:
        """Return an empty fold of a span; one that does not begin with the header is given that, and what pends."""
