"""Coverage over time: how many rows there were in each hour of UTC, bounded however long the time and odd the clocks.

Counts are kept by bucket, sparsely. A bucket is an hour; when there are more than MAX_BUCKETS that hold rows, it
becomes twice as wide until they fit. So widths are powers of two in hours, buckets begin at multiples of their width
since 1970, and the outcome is the narrowest width that fits: it depends on the rows alone, not on their order or split.

Every well-formed row counts, with or without a value, asked for or not: something was recorded then.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from mockexport.formats.fields import format_time

__all__ = ["HOUR_US", "MAX_BUCKETS", "Coverage", "HourCounts"]

HOUR_US = 3_600_000_000

# Half a year by the hour, in some 64 KiB; far more than a picture has columns. native/coverage.h has the same number.
MAX_BUCKETS = 4096


@dataclass(slots=True)
class HourCounts:
    """Rows by bucket, a state like a reducer's, that merges: `rows` by hours since 1970, buckets `width` hours wide."""

    width: int = 1
    rows: dict[int, int] = field(default_factory=dict)

    def add(self, times_us: Iterable[int]) -> None:
        """Count rows of these times, in microseconds of UTC since 1970."""
        self._add(Counter(time_us // HOUR_US for time_us in times_us))

    def merge(self, other: "HourCounts") -> None:
        """Take in the rows of another count, and leave it alone."""
        if other.width > self.width:
            self._widen(other.width)
        self._add(other.rows)

    def _add(self, rows: Mapping[int, int]) -> None:
        for hour, number in rows.items():
            bucket = hour - hour % self.width
            self.rows[bucket] = self.rows.get(bucket, 0) + number
            # Now and not at the end: between the two there may be millions.
            while len(self.rows) > MAX_BUCKETS:
                self._widen(2 * self.width)

    def _widen(self, width: int) -> None:
        rows, self.rows, self.width = self.rows, {}, width
        for hour, number in rows.items():
            bucket = hour - hour % width
            self.rows[bucket] = self.rows.get(bucket, 0) + number

    def copy(self) -> "HourCounts":
        """Return an equal count that shares nothing with this one."""
        return HourCounts(self.width, dict(self.rows))

    def to_plain(self) -> list[Any]:
        """Return what JSON can hold, the same for equal counts."""
        return [self.width, sorted(self.rows.items())]

    @classmethod
    def from_plain(cls, plain: Any) -> "HourCounts":
        """Return the count that `to_plain` told.

        Raises:
            ValueError, TypeError: if it is none.
        """
        width, rows = plain
        counts = cls(width, dict(rows))
        whole = all(type(number) is int for number in (width, *counts.rows, *counts.rows.values()))
        if not whole or width < 1 or width & (width - 1) or len(counts.rows) > MAX_BUCKETS:
            raise ValueError("no counts by hour")
        if len(counts.rows) != len(rows) or any(hour % width or n < 1 for hour, n in counts.rows.items()):
            raise ValueError("no counts by hour")
        return counts


@dataclass(frozen=True, slots=True)
class Coverage:
    """Where in time a download's rows are, and where its metadata says that they are.

    `announced_start_us` (inclusive) and `announced_end_us` (exclusive) are the metadata's, `first_us` and `last_us` the
    times of the earliest and the latest row: microseconds of UTC since 1970, None where there is none. `rows` are those
    in each bucket of `bucket_hours` hours that has any, by the hours since 1970 at which it begins, in order.
    """

    announced_start_us: int | None
    announced_end_us: int | None
    first_us: int | None
    last_us: int | None
    bucket_hours: int
    rows: Mapping[int, int]

    def to_plain(self) -> dict[str, Any]:
        """Return the coverage as what JSON can hold; times as texts."""

        def told(time_us: int | None) -> str | None:
            return None if time_us is None else format_time(time_us)

        return {
            "announced_start": told(self.announced_start_us),
            "announced_end": told(self.announced_end_us),
            "first": told(self.first_us),
            "last": told(self.last_us),
            "bucket_hours": self.bucket_hours,
            "rows": {format_time(hour * HOUR_US): number for hour, number in self.rows.items()},
        }
