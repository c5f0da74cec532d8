"""Merges the states of an export's downloads in time order, as they come in any order.

Because `merge` is associative, neighbours are merged at once, without waiting for the first: what is held is one state
per run of finished downloads, and runs are only ever parted by downloads in flight.
"""

from collections.abc import Callable
from typing import Any, Generic, TypeVar

from mockexport.errors import reducer_at_work
from mockexport.reducers import Reducer

__all__ = ["Merger"]

S = TypeVar("S")


class Merger(Generic[S]):
    """Collects one state, or nothing, for each of the positions 0 … in time order."""

    def __init__(self, reducer: Reducer[S, Any]) -> None:
        self._reducer = reducer
        self._runs: dict[int, tuple[int, S]] = {}  # first position → (position after the last, merged state)
        self._starts: dict[int, int] = {}  # position after the last → first position
        self._apart: dict[int, S] = {}  # by position

    def __repr__(self) -> str:
        return f"<Merger {len(self._runs)} runs>"

    @property
    def held(self) -> int:
        """How many states are held now."""
        return len(self._runs) + len(self._apart)

    def runs(self) -> list[tuple[int, int, S]]:
        """Return what is merged so far as (first position, position after the last, state); the states are in use."""
        return [(start, end, state) for start, (end, state) in self._runs.items()]

    def restore(self, start: int, end: int, state: S) -> None:
        """Put a merged state for the positions from `start` to `end` (exclusive), which must be free."""
        self._runs[start] = (end, state)
        self._starts[end] = start

    def add(self, position: int, state: S, end: int | None = None) -> None:
        """Put `state` at `position`, or at those before `end`, which must be free, and merge it with its neighbours."""
        start, end = position, position + 1 if end is None else end
        if start in self._starts:
            earlier_start = self._starts.pop(start)
            _, earlier = self._runs.pop(earlier_start)
            start, state = earlier_start, self._merge(earlier, state)
        if end in self._runs:
            end, later = self._runs.pop(end)
            state = self._merge(state, later)
        self._runs[start] = (end, state)
        self._starts[end] = start

    def apart(self) -> list[tuple[int, S]]:
        """Return what is kept out of `runs`."""
        return list(self._apart.items())

    def add_apart(self, position: int, state: S) -> None:
        """Put `state` at `position`, and keep it out of `runs`: another run is to replace it."""
        self._apart[position] = state

    def skip(self, position: int) -> None:
        """Leave `position` without rows: a download that failed."""
        self.add(position, self._empty())

    def copy(self, copied: Callable[[S], S]) -> "Merger[S]":
        """Return a merger that holds the same, of each state what `copied` makes of it."""
        twin = Merger(self._reducer)
        for start, (end, state) in self._runs.items():
            twin.restore(start, end, copied(state))
        for position, state in self._apart.items():
            twin.add_apart(position, copied(state))
        return twin

    def merged(self) -> S:
        """Return all states merged in time order."""
        merged = self._empty()
        states = {start: state for start, (_, state) in self._runs.items()} | self._apart
        for _, state in sorted(states.items(), key=lambda item: item[0]):
            merged = self._merge(merged, state)
        return merged

    def _empty(self) -> S:
        with reducer_at_work(self._reducer, "empty"):
            return self._reducer.empty()

    def _merge(self, earlier: S, later: S) -> S:
        with reducer_at_work(self._reducer, "merge"):
            return self._reducer.merge(earlier, later)
