"""The course of values over time: for each piece of time how often which values came, and how many were anomalies.

A value is kept to its first six bits, so to within 1.6 %: enough to draw a band of quantiles. A piece of time is an
hour; when more different entries come than MAX_ENTRIES, it becomes twice as long until they fit. So lengths are powers
of two in hours, pieces begin at multiples of their length since 1970, and the outcome is the shortest length that fits:
it depends on the values and times alone, not on their order or split.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from mockexport.model import VALUE_SCALE, AnomalyRule
from mockexport.reducers.protocol import check_counts

__all__ = ["MAX_ENTRIES", "Course", "Piece"]

_HOUR_US = 3_600_000_000
# At the most 128 KiB for a group in the kernel: a week of hours where sixty different values come in each.
MAX_ENTRIES = 4096
# Pieces of 1,900 years: nothing is longer than a few of them.
MAX_DOUBLINGS = 24
# An entry's key is its piece, its value's bucket and whether it is an anomaly: in 64 bits, and in the order of time.
_ZERO = 1 << 13
_BUCKETS = 1 << 14


def _bucket_of(value: int) -> int:
    """Return the number of a value's bucket, ascending with the values."""
    size = abs(value)
    spare = max(size.bit_length() - 8, 0)
    number = (spare << 8 | size >> spare) >> 2
    return number if value >= 0 else -number


def _edges(bucket: int) -> tuple[int, int]:
    """Return what a bucket's values are between, in units of 10⁻¹⁸."""
    spare, leading = divmod(abs(bucket), 64)
    low, high = leading * 4 << spare, leading * 4 + 4 << spare
    return (low, high) if bucket >= 0 else (-high, -low)


@dataclass(frozen=True, slots=True)
class Piece:
    """What came in a piece of time, which begins at an hour since 1970 and is so many long; quantiles within 1.6 %."""

    hour: int
    hours: int
    count: int
    anomalies: int
    p5: float
    median: float
    p95: float


class Course:
    """How often each entry came: a piece of time, a bucket of values, and whether they are anomalies."""

    __slots__ = ("counts", "doublings")
    kept: ClassVar[str] = f"course {MAX_ENTRIES} {MAX_DOUBLINGS}"
    counts_apart: ClassVar[bool] = True
    over_note: ClassVar[str] = ""
    # It says of itself how long its pieces are.
    over: ClassVar[bool] = False

    def __init__(self) -> None:
        self.doublings = 0
        self.counts: dict[int, int] = {}

    @property
    def piece_hours(self) -> int:
        """How long a piece is."""
        return 1 << self.doublings

    def add(self, times: Sequence[int], values: Sequence[int], rule: AnomalyRule | None = None) -> None:
        """Take in values (see Family.add)."""
        low, high = (0, 0) if rule is None else rule.normal
        self._take(
            Counter(
                (time_us // _HOUR_US * _BUCKETS + _bucket_of(value) + _ZERO) * 2
                + (rule is not None and not low <= value <= high)
                for time_us, value in zip(times, values, strict=True)
            ),
            0,
        )

    def merge(self, other: Self) -> None:
        """Take in all that `other` holds."""
        while self.doublings < other.doublings:
            self._double()
        self._take(other.counts, other.doublings)

    def _take(self, counts: Mapping[int, int], doublings: int) -> None:
        for key, count in counts.items():
            own = _longer(key, self.doublings - doublings)
            self.counts[own] = self.counts.get(own, 0) + count
        while len(self.counts) > MAX_ENTRIES and self.doublings < MAX_DOUBLINGS:
            self._double()

    def _double(self) -> None:
        shorter, self.counts = self.counts, {}
        self.doublings += 1
        for key, count in shorter.items():
            own = _longer(key, 1)
            self.counts[own] = self.counts.get(own, 0) + count

    def to_plain(self) -> list[int]:
        """Return how often the pieces were doubled, and then keys and counts in turn, in order."""
        return [self.doublings, *(number for entry in sorted(self.counts.items()) for number in entry)]

    @classmethod
    def from_plain(cls, plain: Sequence[int]) -> Self:
        """Return the state that `to_plain` gave."""
        doublings, *numbers = plain
        course = cls()
        course.doublings = doublings
        course.counts = dict(zip(numbers[::2], numbers[1::2], strict=True))
        if doublings > MAX_DOUBLINGS or (len(course.counts) > MAX_ENTRIES and doublings < MAX_DOUBLINGS):
            raise ValueError("there are more entries than are kept")
        return course

    def check(self, count: int, total: int) -> None:
        """Raise ValueError if it is of other than `count` values (see Family.check)."""
        check_counts(self.counts, count)

    def coarser(self, most: int) -> "Course":
        """Return a course of the same values with at most so many pieces."""
        course = Course()
        course.doublings, course.counts = self.doublings, self.counts
        while len({key // (2 * _BUCKETS) for key in course.counts}) > most and course.doublings < MAX_DOUBLINGS:
            course._double()
        return course

    def pieces(self, low: int, high: int) -> Iterator[Piece]:
        """Yield the pieces in which there are values, in order; all are from `low` to `high`, in units of 10⁻¹⁸."""
        found: dict[int, dict[int, int]] = {}
        anomalies: dict[int, int] = {}
        for key, count in sorted(self.counts.items()):
            piece, rest = divmod(key, 2 * _BUCKETS)
            bucket = rest // 2 - _ZERO
            buckets = found.setdefault(piece, {})
            buckets[bucket] = buckets.get(bucket, 0) + count
            anomalies[piece] = anomalies.get(piece, 0) + (count if rest % 2 else 0)
        for piece, buckets in found.items():
            p5, median, p95 = (_quantile(buckets, share, low, high) for share in (0.05, 0.5, 0.95))
            hour = piece << self.doublings
            yield Piece(hour, self.piece_hours, sum(buckets.values()), anomalies[piece], p5, median, p95)


def _longer(key: int, doublings: int) -> int:
    piece, rest = divmod(key, 2 * _BUCKETS)
    return (piece >> doublings) * 2 * _BUCKETS + rest


def _quantile(buckets: Mapping[int, int], share: float, low: int, high: int) -> float:
    """Return the value below which a share of the values lies, as if they were spread evenly over their buckets."""
    place = share * sum(buckets.values())
    begin = end = low
    for bucket, count in buckets.items():
        begin, end = (min(max(edge, low), high) for edge in _edges(bucket))
        if place <= count:
            return min(begin + round((end - begin) * place / count), high) / VALUE_SCALE
        place -= count
    return end / VALUE_SCALE
