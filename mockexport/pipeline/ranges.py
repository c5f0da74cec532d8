"""The one merger: what comes of neighbouring ranges, in any order in, is joined in order.

A range is of positions in time order, or of bytes of a download. Because joining is associative, neighbours are joined
at once, without waiting for the first: what is held is one value per run of ranges, and runs are only ever parted by
ranges that are not in yet. A merge begins with the first value; there is no empty one beside it.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from mockexport.errors import reducer_at_work
from mockexport.reducers import Reducer

__all__ = ["RangeMerger", "merging"]

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
