"""What the spans of one download that are through have come to: in any order in, one state and one tally out.

Rules: no tasks. Neighbours are merged at once, so that a state is held for each run of spans and not for each span.
Lines are counted from the first row of a run; with the run that begins at byte 0 they are the download's.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from mockexport.formats.tally import Tally
from mockexport.model import Span
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
    """What the rows of a span have come to, which lie from byte `begin` to `offset` and are so many lines."""

    span: Span
    begin: int
    offset: int
    lines: int
    tally: Tally
    state: S


class Landed(Generic[S]):
    """Collects stretches; `reducer` is in the engine's form."""

    def __init__(self, reducer: Reducer[S, Any]) -> None:
        self._reducer = reducer
        self._runs: RangeMerger[Stretch[S]] = RangeMerger(partial(_joined, merging(reducer)))

    def add(self, stretch: Stretch[S]) -> None:
        """Take in a stretch that overlaps with none."""
        self._runs.add(stretch.span.start, stretch.span.end, stretch)

    @property
    def stretches(self) -> list[Stretch[S]]:
        """What is there, in order; no two of them are neighbours."""
        return [stretch for _, _, stretch in self._runs.runs()]

    def restore(self, saved: SavedFlight) -> None:
        """Take in what is saved of a span that is done.

        Raises:
            StateError: it cannot be read.
        """
        tally, state = Tally.from_bytes(saved.tally), load_state(self._reducer, saved.state)
        self.add(Stretch(saved.span, saved.start, saved.offset, saved.line - 1, tally, state))

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

    def saved(self, header: str, mark: Mark) -> list[SavedFlight]:
        """Return what another run can go on from."""
        return [
            SavedFlight(
                stretch.span.download_id,
                max(stretch.offset, stretch.span.end or 0),
                stretch.lines + 1,
                header,
                mark,
                self._reducer.dump(stretch.state),
                stretch.tally.to_bytes(),
                stretch.span.start,
                stretch.span.end,
            )
            for stretch in self.stretches
        ]


def _joined(merge: Callable[[S, S], S], earlier: Stretch[S], later: Stretch[S]) -> Stretch[S]:
    earlier.tally.merge(later.tally, lines=earlier.lines)
    state = merge(earlier.state, later.state)
    span = Span(earlier.span.download_id, earlier.span.start, later.span.end)
    lines = earlier.lines + later.lines
    return Stretch(span, earlier.begin, max(earlier.offset, later.offset), lines, earlier.tally, state)


def borders_of(total: int, span_bytes: int, *, beyond: int) -> Sequence[int]:
    """Return where to divide a download of `total` bytes into spans of about `span_bytes`; all lie beyond a byte.

    The last span may be half as long again, so that none is too short to be worth its request.
    """
    span_bytes = max(span_bytes, -(-total // MAX_SPANS))
    first = (beyond // span_bytes + 1) * span_bytes
    return range(first, total - span_bytes // 2, span_bytes)
