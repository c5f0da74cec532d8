"""How many values came in each hour and on each day of UTC."""

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import ClassVar, Self

from mockexport.formats.fields import format_time
from mockexport.model import AnomalyRule
from mockexport.reducers.protocol import check_counts

__all__ = ["MAX_UNITS", "Days", "Hours"]

# Thirty years of hours, in a group or over all: at the most 8 MiB for one in the kernel. More is a clock gone wild, and
# would fill memory: a right number or none.
MAX_UNITS = 262_144

_HOUR_US = 3_600_000_000


class Hours:
    """Counts by hours since 1970; None once there are more than MAX_UNITS different ones."""

    __slots__ = ("counts",)
    unit_us: ClassVar[int] = _HOUR_US
    kept: ClassVar[str] = f"hours {MAX_UNITS}"
    counts_apart: ClassVar[bool] = True
    over_note: ClassVar[str] = f"per_hour is null where there are more than {MAX_UNITS:,} different hours"

    def __init__(self) -> None:
        self.counts: dict[int, int] | None = {}

    @property
    def over(self) -> bool:
        """Whether there were too many hours to count."""
        return self.counts is None

    def add(self, times: Sequence[int], values: Sequence[int], rule: AnomalyRule | None = None) -> None:
        """Take in values (see Family.add)."""
        unit_us = self.unit_us
        self._take(Counter([time_us // unit_us for time_us in times]))

    def merge(self, other: Self) -> None:
        """Take in all that `other` holds."""
        self._take(other.counts)

    def _take(self, counts: Mapping[int, int] | None) -> None:
        if self.counts is None or counts is None:
            self.counts = None
            return
        for unit, count in counts.items():
            self.counts[unit] = self.counts.get(unit, 0) + count
        if len(self.counts) > MAX_UNITS:
            self.counts = None

    def to_plain(self) -> list[int]:
        """Return whether there were too many, and then hours and counts in turn, in order."""
        if self.counts is None:
            return [1]
        return [0, *(number for entry in sorted(self.counts.items()) for number in entry)]

    @classmethod
    def from_plain(cls, plain: Sequence[int]) -> Self:
        """Return the state that `to_plain` gave."""
        too_many, *numbers = plain
        calendar = cls()
        calendar._take(None if too_many else dict(zip(numbers[::2], numbers[1::2], strict=True)))
        return calendar

    def check(self, count: int, total: int) -> None:
        """Raise ValueError if it is of other than `count` values (see Family.check)."""
        if self.counts is not None:
            check_counts(self.counts, count)

    def by_time(self) -> dict[str, int] | None:
        """Return the counts by the time at which an hour begins, such as 2025-08-26T05:00:00Z, in order."""
        if self.counts is None:
            return None
        return {self.named(unit): count for unit, count in sorted(self.counts.items())}

    # A report's groups share most of their hours, and so the texts.
    @staticmethod
    @lru_cache(maxsize=16_384)
    def named(unit: int) -> str:
        """Return the name of an hour since 1970."""
        return format_time(unit * _HOUR_US)


class Days(Hours):
    """Counts by days since 1970, named as 2025-08-26; None once there are more than MAX_UNITS different ones."""

    __slots__ = ()
    unit_us: ClassVar[int] = 24 * _HOUR_US
    kept: ClassVar[str] = f"days {MAX_UNITS}"
    over_note: ClassVar[str] = f"per_day is null where there are more than {MAX_UNITS:,} different days"

    @staticmethod
    @lru_cache(maxsize=16_384)
    def named(unit: int) -> str:
        """Return the name of a day since 1970."""
        return format_time(unit * 24 * _HOUR_US).partition("T")[0]
