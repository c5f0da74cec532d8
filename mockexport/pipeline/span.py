"""A span on its way (SpanRun), and how far it has got (SpanState, the one form of it).

A SpanState is what a checkpoint keeps, what a worker of a cluster is sent and sends back, and what waits to be merged.
A span's chunks are folded one at a time and in order, so it always describes exactly the bytes up to an offset.
"""

import asyncio
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from mockexport.engine.fold import Fold
from mockexport.errors import BadRowError, HeaderError
from mockexport.formats import Cutter
from mockexport.formats.tally import Tally
from mockexport.model import Chunk, Reading, Span
from mockexport.pipeline.streams import Mark
from mockexport.pipeline.variety import Limited
from mockexport.reducers import Reducer, load_state

__all__ = ["Begun", "FoldingSpan", "Held", "PackedSpan", "SpanRun", "SpanState", "fresh"]

S = TypeVar("S")
T = TypeVar("T")
U = TypeVar("U")


@dataclass(frozen=True, slots=True)
class SpanState(Generic[T, S]):
    """How far a span has got, and what it holds.

    Its rows from byte `begin` to `offset` are `lines` lines. They were read as `entered` says, and are read on as
    `left` says. Tally and state are live (Held) or packed into bytes (PackedSpan); packed, both are empty where nothing
    has been read yet.
    """

    span: Span
    begin: int
    offset: int
    lines: int
    entered: Reading
    left: Reading
    tally: T
    state: S

    @property
    def is_done(self) -> bool:
        """Whether all of the span's rows are in it; never of one that goes to the download's end."""
        return self.span.end is not None and self.offset >= self.span.end

    @property
    def size_bytes(self) -> int:
        """The length of its rows."""
        return max(0, self.offset - self.begin)

    def packed(self: "Held[U]", reducer: Reducer[U, Any]) -> "PackedSpan":
        """Return it with tally and state as bytes."""
        tally, state = self.tally.to_bytes(), reducer.dump(self.state)
        return SpanState(self.span, self.begin, self.offset, self.lines, self.entered, self.left, tally, state)

    def unpacked(self: "PackedSpan", reducer: Reducer[U, Any]) -> "Held[U]":
        """Return it with a live tally and state.

        Raises:
            StateError: they cannot be read.
        """
        tally, state = Tally.from_bytes(self.tally), load_state(reducer, self.state)
        return SpanState(self.span, self.begin, self.offset, self.lines, self.entered, self.left, tally, state)


Held = SpanState[Tally, S]
PackedSpan = SpanState[bytes, bytes]


def fresh(span: Span, entered: Reading | None = None, begin: int | None = None) -> PackedSpan:
    """Return the state of a span of which nothing is read; its first row begins at `begin`, None if it is not known."""
    entered = entered or Reading()
    if begin is None:
        return SpanState(span, span.start, span.read_from, 0, entered, entered, b"", b"")
    return SpanState(span, begin, begin, 0, entered, entered, b"", b"")


@dataclass(frozen=True, slots=True)
class Begun:
    """What there is of a download without a verdict: the mark of its content, and spans that do not overlap."""

    mark: Mark
    spans: tuple[PackedSpan, ...]


class SpanRun:
    """A span on its way, or waiting for it, wherever it is brought in. What it holds is what it goes on from.

    Args:
        begun: where it goes on from.
    """

    def __init__(self, begun: PackedSpan) -> None:
        self.begun = begun
        self.span: Span = begun.span
        self.entered: Reading = begun.entered
        self.first_attempt: int = 1  # of the attempts at the download, which others were before
        self.attempts: int = 1
        self._fetched_bytes = 0
        self.abandoned: bool = False
        self.turn: asyncio.Lock = asyncio.Lock()  # held while its state changes, or is looked into
        self._tally_before = Tally.from_bytes(begun.tally) if begun.tally else None

    @property
    def tally(self) -> Tally:
        """The counts of the rows so far; it must be at rest."""
        return self._tally_before or Tally()

    @property
    def rows(self) -> int:
        """The rows folded so far."""
        return 0 if self._tally_before is None else self._tally_before.rows

    @property
    def folded_bytes(self) -> int:
        """The length of the rows folded so far."""
        return self.begun.size_bytes

    @property
    def received_bytes(self) -> int:
        """The bytes received so far that are of use, those that a checkpoint spared included."""
        return self.begun.size_bytes

    @property
    def fetched_bytes(self) -> int:
        """The bytes fetched, those of no use included."""
        return self._fetched_bytes

    def came(self, attempts: int, fetched_bytes: int) -> None:
        """Take note of what it took to bring it in elsewhere."""
        self.attempts, self._fetched_bytes = attempts, fetched_bytes

    def saved(self) -> PackedSpan | None:
        """Return what another run can go on from, None if there is nothing; it must be at rest."""
        return self.begun if self.begun.tally else None

    def abandon(self) -> None:
        """Let nothing more come of it."""
        self.abandoned = True


class FoldingSpan(SpanRun, Generic[S]):
    """A span that is brought in here: its chunks in order, and what they have been folded into.

    Args:
        begun: where it goes on from.
        fold: an empty one, that begins as `begun` was left.
        cutter: of the span, from that offset on.
        reducer: in the engine's form.
    """

    def __init__(self, begun: PackedSpan, fold: Fold[S], cutter: Cutter, reducer: Limited[S, Any]) -> None:
        super().__init__(begun)
        self.fold = fold
        self.cutter = cutter
        fold.offset, fold.line, cutter.begin = begun.offset, begun.lines + 1, begun.begin
        self.kept: int = 0  # bytes that are not fetched, but read from what an earlier run has kept
        self.error: HeaderError | BadRowError | None = None
        self.reading: asyncio.Timeout | None = None  # ends the reading, when it is of no use any more
        self._reducer = reducer
        self._unfolded = 0
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def tally(self) -> Tally:
        if self._tally_before is None:
            return self.fold.tally
        tally = Tally.from_bytes(self.begun.tally)
        tally.merge(self.fold.tally)
        return tally

    @property
    def state(self) -> S:
        """The state of the rows so far; the fold must be at rest."""
        if self._tally_before is None:
            return self.fold.state
        return self._reducer.merge(load_state(self._reducer, self.begun.state), self.fold.state)

    @property
    def rows(self) -> int:
        return super().rows + self.fold.rows

    @property
    def folded_bytes(self) -> int:
        return max(0, self.fold.offset - self.cutter.begin)

    @property
    def received_bytes(self) -> int:
        return max(0, self.cutter.at - self.cutter.begin)

    @property
    def fetched_bytes(self) -> int:
        return max(0, self.cutter.received - self.kept)

    def end_at(self, end: int) -> None:
        """Let the span end at a byte of which nothing has been received."""
        self.span: Span = replace(self.span, end=end)
        self.cutter.end_at(end)

    def held(self, *, landed: bool = False) -> Held[S]:
        """Return what it holds; the fold must be at rest. `landed`: all of the span has been read and folded."""
        fold, offset = self.fold, self.cutter.offset if landed else self.fold.offset
        left = Reading(fold.header, fold.pending)
        return SpanState(
            self.span, self.cutter.begin, offset, fold.line - 1, self.entered, left, self.tally, self.state
        )

    def saved(self) -> PackedSpan | None:
        if not self.fold.offset or self.fold.header is None or self.error is not None:
            return None
        return self.held().packed(self._reducer)

    def abandon(self) -> None:
        super().abandon()
        self._end_reading()

    def fail(self, error: HeaderError | BadRowError) -> None:
        """Take note of why no more chunks are of use."""
        self.error = error
        self._end_reading()

    def _end_reading(self) -> None:
        if self.reading is not None:
            self.reading.reschedule(asyncio.get_running_loop().time())
            self.reading = None

    def chunk_put(self) -> None:
        """Take note that a chunk is in the queue."""
        self._unfolded += 1
        self._drained.clear()

    def numbered(self, chunk: Chunk) -> Chunk:
        """Return the next chunk to be folded with its line number, which is known once the one before is folded."""
        return Chunk(chunk.span, chunk.data, chunk.offset, chunk.end, self.fold.line)

    def check(self) -> None:
        """Hold what is folded to the limits of the run.

        Raises:
            LimitError: there are more groups, patients or event types than there may be.
        """
        self._reducer.check(self.fold)

    def chunk_done(self) -> None:
        """Take note that a chunk has been folded."""
        self._unfolded -= 1
        if not self._unfolded:
            self._drained.set()

    async def drained(self) -> None:
        """Wait until every chunk that was put has been folded."""
        await self._drained.wait()
