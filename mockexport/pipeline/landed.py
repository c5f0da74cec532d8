"""What the spans of one download that are through have come to: in any order in, one state and one tally out.

Rules: no tasks. Neighbours are merged at once, so that a state is held for each run of spans and not for each span.
Lines are counted from the first row of a run; with the run that begins at byte 0 they are the download's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from mockexport.formats.tally import Tally
from mockexport.model import Entry, Reading, Span
from mockexport.pipeline.checkpoint import SavedFlight
from mockexport.pipeline.ranges import RangeMerger, merging
from mockexport.pipeline.streams import Mark
from mockexport.reducers import Reducer, load_state

__all__ = ["Landed", "Stretch", "borders_of"]

# Each span costs a request, and for a while a state.
MAX_SPANS = 10_000

S = TypeVar("S")


@dataclass(slots=True)
class Stretch(Generic[S]):
    """What the rows of a span have come to, which lie from byte `begin` to `offset` and are so many lines.

    They were read as `entered` says, and how to read on behind them is in `left`.
    """

    span: Span
    begin: int
    offset: int
    lines: int
    tally: Tally
    state: S
    entered: Reading
    left: Reading

    @property
    def is_empty(self) -> bool:
        """Whether none of the download's lines begins in the span."""
        return not self.lines and not self.tally.rows and not self.left.pending


class Landed(Generic[S]):
    """Collects stretches; `reducer` is in the engine's form."""

    def __init__(self, reducer: Reducer[S, Any]) -> None:
        self._reducer = reducer
        self._runs: RangeMerger[Stretch[S]] = RangeMerger(partial(_joined, merging(reducer)), fits)

    def add(self, stretch: Stretch[S]) -> tuple[Span, Entry] | None:
        """Take in a stretch that overlaps with none; return what is to be done over, and how to begin with it.

        What is read from the middle of a download on takes for granted where its first row begins and which header is
        in force. Once all before it is in, that is known; if it was wrong, what was read so is dropped.
        """
        self._runs.add(stretch.span.start, stretch.span.end, stretch)
        stretches = self.stretches
        if len(stretches) < 2 or stretches[0].span.start or stretches[0].span.end != stretches[1].span.start:
            return None
        first, wrong = stretches[0], self._runs.take_out(stretches[1].span.start)
        return wrong.span, Entry(first.left, first.offset)

    @property
    def stretches(self) -> list[Stretch[S]]:
        """What is there, in order; no two neighbours fit."""
        return [stretch for _, _, stretch in self._runs.runs()]

    def restore(self, saved: SavedFlight) -> tuple[Span, Entry] | None:
        """Take in what is saved of a span that is done; return what is to be done over (see add).

        Raises:
            StateError: it cannot be read.
        """
        tally, state = Tally.from_bytes(saved.tally), load_state(self._reducer, saved.state)
        left = Reading(saved.header, saved.pending)
        return self.add(
            Stretch(saved.span, saved.start, saved.offset, saved.line - 1, tally, state, saved.entered, left)
        )

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(stretch.tally.rows for stretch in self.stretches)

    @property
    def size_bytes(self) -> int:
        """The length of the rows."""
        return sum(max(0, stretch.offset - stretch.begin) for stretch in self.stretches)

    @property
    def state(self) -> S:
        """The state of all rows, once they are a whole download's."""
        (whole,) = self.stretches
        return whole.state

    @property
    def tally(self) -> Tally:
        """The counts of all rows; bad rows are named as far as their lines are known."""
        merged = Tally()
        for stretch in self.stretches:
            merged.merge(stretch.tally, lines=self.lines_before(stretch.span.start))
        return merged

    @property
    def offset(self) -> int:
        """The byte that follows the last row."""
        stretches = self.stretches
        return stretches[-1].offset if stretches else 0

    def is_whole(self, total: int | None) -> bool:
        """Tell whether this is all of a download that is so long; None where it was not divided."""
        return [(stretch.span.start, stretch.span.end) for stretch in self.stretches] == [(0, total)]

    def lines_before(self, start: int) -> int | None:
        """Return how many lines there are before byte `start`, where a span begins; None while that is not known."""
        if not start:
            return 0
        first = next(iter(self.stretches), None)
        return first.lines if first is not None and first.span.start == 0 and first.span.end == start else None

    def saved(self, mark: Mark) -> list[SavedFlight]:
        """Return what another run can go on from."""
        return [
            SavedFlight(
                stretch.span.download_id,
                max(stretch.offset, stretch.span.end or 0),
                stretch.lines + 1,
                stretch.left.header,
                mark,
                self._reducer.dump(stretch.state),
                stretch.tally.to_bytes(),
                stretch.span.start,
                stretch.span.end,
                stretch.left.pending,
                stretch.entered,
            )
            for stretch in self.stretches
            if stretch.left.header is not None
        ]


def _joined(merge: Callable[[S, S], S], earlier: Stretch[S], later: Stretch[S]) -> Stretch[S]:
    entered = later.entered if earlier.is_empty else earlier.entered
    left = earlier.left if later.is_empty else later.left
    earlier.tally.merge(later.tally, lines=earlier.lines)
    state = merge(earlier.state, later.state)
    span = Span(earlier.span.download_id, earlier.span.start, later.span.end)
    lines = earlier.lines + later.lines
    return Stretch(span, earlier.begin, max(earlier.offset, later.offset), lines, earlier.tally, state, entered, left)


def fits(earlier: Stretch[Any], later: Stretch[Any]) -> bool:
    """Tell whether a stretch was read as the one before it has been left."""
    if later.is_empty and not earlier.left.pending:
        return True
    return earlier.is_empty or earlier.left == later.entered


def borders_of(total: int, span_bytes: int, *, beyond: int) -> Sequence[int]:
    """Return where to divide a download of `total` bytes into spans of about `span_bytes`; all lie beyond a byte.

    The last span may be half as long again, so that none is too short to be worth its request.
    """
    span_bytes = max(span_bytes, -(-total // MAX_SPANS))
    first = (beyond // span_bytes + 1) * span_bytes
    return range(first, total - span_bytes // 2, span_bytes)
