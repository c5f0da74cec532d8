"""The course of values over time: for each piece of time how often which values came, and how many were anomalies.

A piece of time is at first an hour, and a value is kept to its first eight bits. When more different entries come than
MAX_ENTRIES, all of them go down LEVELS, a step at a time, until they fit: pieces become longer, values coarser. Each
level is a coarsening of the one before, so the outcome, the finest that fits, depends on the values and times alone,
not on their order or split. Of a value five bits are kept at least: a quantile is off by 6.3 % at the most, and mostly
by far less, as values are taken to be spread evenly over their bucket.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

from mockexport.model import VALUE_SCALE, AnomalyRule
from mockexport.reducers.protocol import check_counts

__all__ = ["LEVELS", "MAX_ENTRIES", "Course", "Piece"]

_HOUR_US = 3_600_000_000
# At the most 256 KiB for a group in the kernel: of a heart rate, a week by the hour, eleven months by the day.
MAX_ENTRIES = 12_000
# Hours of a piece, and leading bits of values. Days begin at midnight, UTC; pieces of 2,900 years are few of any data.
LEVELS = ((1, 8), (1, 7), (2, 7), (4, 7), (8, 7), (8, 6), (24, 6), (24, 5), *((48 << n, 5) for n in range(20)))
_LAST = len(LEVELS) - 1
# An entry's key is its piece, its value's bucket and whether it is an anomaly: in 64 bits, and in the order of time.
_ZERO = 1 << 15
_BUCKETS = 1 << 16


def _bucket_of(value: int) -> int:
    """Return the number of a value's bucket of eight bits, ascending with the values."""
    size = abs(value)
    spare = max(size.bit_length() - 8, 0)
    number = spare << 8 | size >> spare
    return number if value >= 0 else -number


def _fewer(bucket: int, dropped: int) -> int:
    """Return the bucket's number when `dropped` of its bits are dropped."""
    return bucket >> dropped if bucket >= 0 else -(-bucket >> dropped)


def _edges(bucket: int, bits: int) -> tuple[int, int]:
    """Return what a bucket of `bits` bits is between, in units of 10⁻¹⁸."""
    spare, leading = divmod(abs(bucket) << 8 - bits, 256)
    low, high = leading << spare, leading + (1 << 8 - bits) << spare
    return (low, high) if bucket >= 0 else (-high, -low)


@dataclass(frozen=True, slots=True)
class Piece:
    """The values of a piece of time: the hour since 1970 at which it begins, its hours; quantiles are approximate."""

    hour: int
    hours: int
    count: int
    anomalies: int
    p5: float
    median: float
    p95: float


class Course:
    """How often each entry came: a piece of time, a bucket of values, and whether they are anomalies."""

    __slots__ = ("counts", "level")
    kept: ClassVar[str] = f"course {MAX_ENTRIES} {len(LEVELS)}"
    counts_apart: ClassVar[bool] = True
    over_note: ClassVar[str] = ""
    # Its pieces say how long they are.
    over: ClassVar[bool] = False

    def __init__(self) -> None:
        self.level: int = 0
        self.counts: dict[int, int] = {}

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
        if self.level < other.level:
            self._go_to(other.level)
        self._take(other.counts, other.level)

    def _take(self, counts: Mapping[int, int], level: int) -> None:
        for key, count in counts.items():
            own = _coarser(key, level, self.level)
            self.counts[own] = self.counts.get(own, 0) + count
        while len(self.counts) > MAX_ENTRIES and self.level < _LAST:
            self._go_to(self.level + 1)

    def _go_to(self, level: int) -> None:
        finer, self.counts = self.counts, {}
        for key, count in finer.items():
            own = _coarser(key, self.level, level)
            self.counts[own] = self.counts.get(own, 0) + count
        self.level = level

    def to_plain(self) -> list[int]:
        """Return the level, and then keys and counts in turn, in order."""
        return [self.level, *(number for entry in sorted(self.counts.items()) for number in entry)]

    @classmethod
    def from_plain(cls, plain: Sequence[int]) -> Self:
        """Return the state that `to_plain` gave."""
        level, *numbers = plain
        course = cls()
        course.level = level
        course.counts = dict(zip(numbers[::2], numbers[1::2], strict=True))
        if level > _LAST or (len(course.counts) > MAX_ENTRIES and level < _LAST):
            raise ValueError("there are more entries than are kept")
        return course

    def check(self, count: int, total: int) -> None:
        """Raise ValueError if it is of other than `count` values (see Family.check)."""
        check_counts(self.counts, count)

    def pieces(self, most: int, low: int, high: int) -> Iterator[Piece]:
        """Yield the pieces in which there are values, in order, at most `most`, which are as long as that takes.

        All values are from `low` to `high`, in units of 10⁻¹⁸.
        """
        shortest, bits = LEVELS[self.level]
        begins = {key // (2 * _BUCKETS) * shortest for key in self.counts}
        lengths = [hours for hours, _ in LEVELS[self.level :]]
        hours = next((n for n in lengths if len({begin // n for begin in begins}) <= most), lengths[-1])
        found: dict[int, dict[int, int]] = {}
        anomalies: dict[int, int] = {}
        for key, count in sorted(self.counts.items()):
            piece, rest = divmod(key, 2 * _BUCKETS)
            begin = piece * shortest // hours * hours
            buckets = found.setdefault(begin, {})
            bucket = rest // 2 - _ZERO
            buckets[bucket] = buckets.get(bucket, 0) + count
            anomalies[begin] = anomalies.get(begin, 0) + (count if rest % 2 else 0)
        for begin, buckets in found.items():
            ascending = sorted(buckets.items())
            p5, median, p95 = (_quantile(ascending, bits, share, low, high) for share in (0.05, 0.5, 0.95))
            yield Piece(begin, hours, sum(buckets.values()), anomalies[begin], p5, median, p95)


def _coarser(key: int, level: int, coarser: int) -> int:
    """Return what an entry's key at a level is at a coarser one."""
    (hours, bits), (longer, fewer) = LEVELS[level], LEVELS[coarser]
    piece, rest = divmod(key, 2 * _BUCKETS)
    bucket = _fewer(rest // 2 - _ZERO, bits - fewer)
    return (piece * hours // longer * _BUCKETS + bucket + _ZERO) * 2 + rest % 2


def _quantile(buckets: Sequence[tuple[int, int]], bits: int, share: float, low: int, high: int) -> float:
    """Return the value below which a share of the values lies, as if they were spread evenly over their buckets."""
    place = share * sum(count for _, count in buckets)
    begin = end = low
    for bucket, count in buckets:
        begin, end = (min(max(edge, low), high) for edge in _edges(bucket, bits))
        if place <= count:
            return min(begin + round((end - begin) * place / count), high) / VALUE_SCALE
        place -= count
    return end / VALUE_SCALE
