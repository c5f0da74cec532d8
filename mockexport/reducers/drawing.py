"""What the page draws of a group: its course over time and its distribution. Of the most anomalous groups alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from heapq import heappush, heappushpop
from itertools import count
from typing import Any

from mockexport.model import VALUE_SCALE
from mockexport.reducers.course import Course, Piece
from mockexport.reducers.histogram import Histogram

__all__ = ["DRAWING", "MAX_DRAWN", "Drawing", "Drawn"]

# What a result calls it.
DRAWING = "drawing"
# Groups that are drawn: more are looked at by nobody, and each is some ten kilobytes on the page.
MAX_DRAWN = 120


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Drawing:
    """A group's course and values, as they are kept; `low` and `high` are the least and the greatest value."""

    course: Course
    values: Histogram
    low: int
    high: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Drawing) and self._plain == other._plain

    @property
    def _plain(self) -> tuple[object, ...]:
        return self.course.to_plain(), self.values.to_plain(), self.low, self.high

    def pieces(self, most: int) -> Iterator[Piece]:
        """Yield the course in at most `most` pieces, which are as long as that takes."""
        return self.course.pieces(most, self.low, self.high)

    def distribution(self) -> list[tuple[float, int]]:
        """Return values, ascending, and how often each came; where they are too many, the middles of buckets."""
        return [(value / VALUE_SCALE, times) for value, times in sorted(self.values.counts.items())]


class Drawn:
    """Keeps the drawings of the groups with the largest shares of anomalies, the first of equal ones."""

    def __init__(self) -> None:
        self._most: list[tuple[float, int, dict[str, Any]]] = []
        self._order = count(0, -1)

    def see(self, share: float, chosen: dict[str, Any]) -> None:
        """Take note of a group; the drawing of the one that is one too many is left out of what is chosen of it."""
        entry = (share, next(self._order), chosen)
        if len(self._most) < MAX_DRAWN:
            heappush(self._most, entry)
        else:
            heappushpop(self._most, entry)[2][DRAWING] = None
