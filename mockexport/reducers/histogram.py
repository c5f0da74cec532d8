"""Quantiles, from how often each value came.

While a group's different values are few, each has a count of its own, and quantiles are exact. Where there are more,
every value is kept to its first eight bits, so that the middle of its bucket is within 0.4 % of it. These are the
log-linear buckets of HdrHistogram, on integers: they depend on the value alone and not on what came before, as those of
t-digest or KLL do. So states merge in any order to the same bytes, and whether a group is coarse depends on its values
alone: if a part has too many, so has the whole.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import ClassVar, Self

from mockexport.model import VALUE_SCALE, AnomalyRule
from mockexport.reducers.protocol import MAX_VALUE_SIZE, check_counts

__all__ = ["MAX_EXACT_VALUES", "RELATIVE_ERROR", "Histogram", "bucket_of"]

# All that a bedside monitor shows, with a decimal place, stays exact; at the most 128 KiB for a group in the kernel.
MAX_EXACT_VALUES = 4096
# A coarse value's leading bits: some 26,600 buckets between ±10¹⁵, of which heart rates touch five hundred.
KEPT_BITS = 8
# Half a bucket's width, over the least value in it.
RELATIVE_ERROR = 2.0**-KEPT_BITS


def bucket_of(value: int) -> int:
    """Return the middle of a value's bucket: the same for every value in it, itself included."""
    size = abs(value)
    spare = size.bit_length() - KEPT_BITS
    if spare <= 0:
        return value
    middle = (size >> spare << spare) + (1 << spare - 1)
    return middle if value > 0 else -middle


class Histogram:
    """How often each value came, in units of 10⁻¹⁸; each bucket, where they are too many."""

    __slots__ = ("counts", "over")
    kept: ClassVar[str] = f"values {MAX_EXACT_VALUES} {KEPT_BITS}"
    counts_apart: ClassVar[bool] = True
    over_note: ClassVar[str] = (
        f"quantiles are approximate, made of values kept to within {RELATIVE_ERROR:.1%}, where there are more than"
        f" {MAX_EXACT_VALUES:,} different ones"
    )

    def __init__(self) -> None:
        self.over: bool = False
        self.counts: dict[int, int] = {}

    def add(self, times: Sequence[int], values: Sequence[int], rule: AnomalyRule | None = None) -> None:
        """Take in values (see Family.add)."""
        self._take(Counter(values))

    def merge(self, other: Self) -> None:
        """Take in all that `other` holds."""
        if other.over:
            self._coarsen()
        self._take(other.counts)

    def _take(self, counts: Mapping[int, int]) -> None:
        for value, count in counts.items():
            key = bucket_of(value) if self.over else value
            self.counts[key] = self.counts.get(key, 0) + count
        if len(self.counts) > MAX_EXACT_VALUES:
            self._coarsen()

    def _coarsen(self) -> None:
        if not self.over:
            exact, self.counts, self.over = self.counts, {}, True
            self._take(exact)

    def to_plain(self) -> list[int]:
        """Return whether it is coarse, and then values and counts in turn, in order."""
        return [int(self.over), *(number for entry in sorted(self.counts.items()) for number in entry)]

    @classmethod
    def from_plain(cls, plain: Sequence[int]) -> Self:
        """Return the state that `to_plain` gave."""
        coarse, *numbers = plain
        histogram = cls()
        if coarse:
            histogram._coarsen()
        histogram._take(dict(zip(numbers[::2], numbers[1::2], strict=True)))
        return histogram

    def check(self, count: int, total: int) -> None:
        """Raise ValueError if it is of other than `count` values (see Family.check)."""
        check_counts(self.counts, count, MAX_VALUE_SIZE)

    def quantile(self, share: Fraction, low: int, high: int) -> float:
        """Return the value below which a `share` of the values lies, correctly rounded.

        Between neighbours it is interpolated linearly: type 7 of Hyndman and Fan, "Sample Quantiles in Statistical
        Packages" (The American Statistician 50, 1996), which is the default of R, NumPy and others.

        Args:
            share: from 0 to 1.
            low: the least of all values, which is known exactly, and no bucket's middle may undercut.
            high: the greatest of them.
        """
        last = sum(self.counts.values()) - 1
        parts, whole = share.as_integer_ratio()
        place, part = divmod(last * parts, whole)
        below, above = (
            low if at == 0 else high if at == last else min(max(value, low), high)
            for at, value in enumerate(self._neighbours(place), place)
        )
        return (whole * below + part * (above - below)) / (whole * VALUE_SCALE)

    def _neighbours(self, place: int) -> tuple[int, int]:
        """Return the value at a place in the order of all values, from 0, and the one behind it, if there is one."""
        passed, below = 0, None
        for value, count in sorted(self.counts.items()):
            passed += count
            if below is None and passed > place:
                below = value
            if below is not None and passed > place + 1:
                return below, value
        if below is None:
            raise ValueError("there is no such place")
        return below, below
