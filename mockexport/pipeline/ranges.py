"""The one merger: what comes of neighbouring ranges, in any order in, is joined in order; and the spans of a download.

A range is of positions in time order, or of bytes of a download. Because joining is associative, neighbours are joined
at once, without waiting for the first: what is held is one value per run of ranges, and runs are only ever parted by
ranges that are not in yet. A merge begins with the first value; there is no empty one beside it.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from mockexport.errors import reducer_at_work
from mockexport.formats.tally import Tally
from mockexport.model import Span
from mockexport.pipeline.span import Held, PackedSpan, SpanState, fresh
from mockexport.reducers import Reducer

__all__ = ["Landed", "RangeMerger", "borders_of", "merging"]

# Each span costs a request, and for a while a state.
MAX_SPANS = 10_000

S = TypeVar("S")
T = TypeVar("T")


def merging(reducer: Reducer[S, Any]) -> Callable[[S, S], S]:
    """Return the reducer's `merge`, whose errors name the reducer."""

    def merge(earlier: S, later: S) -> S:
        with reducer_at_work(reducer, "merge"):
            return reducer.merge(earlier, later)

    return merge


class RangeMerger(Generic[T]):
    """Collects values of ranges that do not overlap; `join(earlier, later)` makes one of two neighbours that fit."""

    def __init__(self, join: Callable[[T, T], T], fits: Callable[[T, T], bool] | None = None) -> None:
        self._join = join
        self._fits = fits or (lambda earlier, later: True)
        self._runs: dict[int, tuple[int | None, T]] = {}  # start → (end, joined value)
        self._starts: dict[int, int] = {}  # end → start
        self._apart: dict[int, T] = {}  # by position

    def __repr__(self) -> str:
        return f"<RangeMerger {len(self._runs)} runs>"

    @property
    def held(self) -> int:
        """How many values are held now."""
        return len(self._runs) + len(self._apart)

    def runs(self) -> list[tuple[int, int | None, T]]:
        """Return what is joined so far as (start, end, value), in order; the values are in use."""
        return [(start, *self._runs[start]) for start in sorted(self._runs)]

    def values(self) -> list[T]:
        """Return what is joined so far, in any order; the values are in use."""
        return [value for _, value in self._runs.values()]

    def add(self, start: int, end: int | None, value: T) -> None:
        """Put the value of the range [start, end), and join it with its neighbours; `end` None is the very end."""
        if start in self._starts and self._fits(self._runs[self._starts[start]][1], value):
            start = self._starts.pop(start)
            value = self._join(self._runs.pop(start)[1], value)
        if end in self._runs and self._fits(value, self._runs[end][1]):
            end, later = self._runs.pop(end)
            value = self._join(value, later)
        self._runs[start] = (end, value)
        if end is not None:
            self._starts[end] = start

    def take_out(self, start: int) -> T:
        """Take the value of the run out that begins there."""
        end, value = self._runs.pop(start)
        if end is not None:
            del self._starts[end]
        return value

    def apart(self) -> list[tuple[int, T]]:
        """Return what is kept out of `runs`, by position."""
        return list(self._apart.items())

    def add_apart(self, position: int, value: T) -> None:
        """Put a value at `position`, and keep it out of `runs`: another run is to replace it."""
        self._apart[position] = value

    def copy(self, copied: Callable[[T], T]) -> "RangeMerger[T]":
        """Return a merger that holds the same, of each value what `copied` makes of it."""
        twin = RangeMerger(self._join, self._fits)
        for start, end, value in self.runs():
            twin.add(start, end, copied(value))
        for position, value in self._apart.items():
            twin.add_apart(position, copied(value))
        return twin

    def take(self) -> T | None:
        """Take all values out, joined in order; None if there are none."""
        values = {start: value for start, (_, value) in self._runs.items()} | self._apart
        self._runs, self._starts, self._apart = {}, {}, {}
        joined: T | None = None
        for start in sorted(values):
            value = values.pop(start)
            joined = value if joined is None else self._join(joined, value)
        return joined


class Landed(Generic[S]):
    """The spans of one download that are read to their ends, joined; `reducer` is in the engine's form.

    Lines are counted from the first row of a run of spans; with the run that begins at byte 0 they are the download's.
    """

    def __init__(self, reducer: Reducer[S, Any]) -> None:
        self._reducer = reducer
        self._runs: RangeMerger[Held[S]] = RangeMerger(partial(_joined, merging(reducer)), _fits)

    def add(self, held: Held[S]) -> PackedSpan | None:
        """Take in a span that overlaps with none; return one that is to be read again, and how to begin with it.

        What is read from the middle of a download on takes for granted where its first row begins and which header is
        in force. Once all before it is in, that is known; if it was wrong, what was read so is dropped.
        """
        self._runs.add(held.span.start, held.span.end, held)
        spans = self.spans
        if len(spans) < 2 or spans[0].span.start or spans[0].span.end != spans[1].span.start:
            return None
        first, wrong = spans[0], self._runs.take_out(spans[1].span.start)
        return fresh(wrong.span, first.left, first.offset)

    @property
    def spans(self) -> list[Held[S]]:
        """What there is, in order; no two neighbours fit."""
        return [held for _, _, held in self._runs.runs()]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(held.tally.rows for held in self._runs.values())

    @property
    def size_bytes(self) -> int:
        """The length of the rows."""
        return sum(held.size_bytes for held in self._runs.values())

    @property
    def state(self) -> S:
        """The state of all rows, once they are a whole download's."""
        (whole,) = self.spans
        return whole.state

    @property
    def offset(self) -> int:
        """The byte that follows the last row."""
        spans = self.spans
        return spans[-1].offset if spans else 0

    def lines_before(self, start: int) -> int | None:
        """Return how many lines there are before byte `start`, where a span begins; None while that is not known."""
        if not start:
            return 0
        first = next(iter(self.spans), None)
        return first.lines if first is not None and first.span.start == 0 and first.span.end == start else None

    def saved(self) -> list[PackedSpan]:
        """Return what another run can go on from."""
        return [held.packed(self._reducer) for held in self.spans if held.left.header is not None]


def _joined(merge: Callable[[S, S], S], earlier: Held[S], later: Held[S]) -> Held[S]:
    entered = later.entered if _is_empty(earlier) else earlier.entered
    left = earlier.left if _is_empty(later) else later.left
    earlier.tally.merge(later.tally, lines=earlier.lines)
    return SpanState(
        span=Span(earlier.span.download_id, earlier.span.start, later.span.end),
        begin=earlier.begin,
        offset=max(earlier.offset, later.offset),
        lines=earlier.lines + later.lines,
        entered=entered,
        left=left,
        tally=earlier.tally,
        state=merge(earlier.state, later.state),
    )


def _fits(earlier: Held[Any], later: Held[Any]) -> bool:
    """Tell whether a span was read as the one before it has been left."""
    if _is_empty(later) and not earlier.left.pending:
        return True
    return _is_empty(earlier) or earlier.left == later.entered


def _is_empty(held: SpanState[Tally, Any]) -> bool:
    """Tell whether none of the download's lines begins in a span."""
    return not held.lines and not held.tally.rows and not held.left.pending


def borders_of(total: int, span_bytes: int, *, beyond: int) -> Sequence[int]:
    """Return where to divide a download of `total` bytes into spans of about `span_bytes`; all lie beyond a byte.

    The last span may be half as long again, so that none is too short to be worth its request.
    """
    span_bytes = max(span_bytes, -(-total // MAX_SPANS))
    first = (beyond // span_bytes + 1) * span_bytes
    return range(first, total - span_bytes // 2, span_bytes)
