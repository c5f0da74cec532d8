"""Where the marks of an axis are: round values, and round times of UTC.

Rules: numbers in, marks out; no markup. There are never more than a few, whatever the range.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import ceil, floor, log10

__all__ = ["time_marks", "time_unit", "value_marks"]

_MOST_VALUES, _MOST_TIMES = 5, 7
_DAY = 24
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FIRST_HOUR = round((datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) / timedelta(hours=1))
_END_HOUR = round((datetime(9999, 12, 31, 23, tzinfo=UTC) - _EPOCH) / timedelta(hours=1))
_HOURS = (1, 2, 3, 6, 12, _DAY, 2 * _DAY, 7 * _DAY)
_MONTHS = (1, 2, 3, 6, *(12 * round_ * 10**zeros for zeros in range(4) for round_ in (1, 2, 5)))


def value_marks(low: float, high: float) -> list[tuple[float, str]]:
    """Return multiples of 1, 2 or 5 times a power of ten from `low` to `high`, and how each is written."""
    if not low < high:
        return [(low, f"{low:,g}")]
    power = floor(log10((high - low) / _MOST_VALUES))
    steps = ((power + more, digit) for more in (0, 1) for digit in (1, 2, 5))
    exponent, digit = next((e, d) for e, d in steps if (high - low) / (d * 10.0**e) <= _MOST_VALUES)
    step = digit * 10.0**exponent
    first, last = ceil(low / step), floor(high / step)
    return [(number * step, f"{number * step:,.{max(-exponent, 0)}f}") for number in range(first, last + 1)]


def time_marks(start: int, end: int) -> list[tuple[int, str]]:
    """Return round times from `start` to `end`, both in hours since 1970, and how each is written."""
    start, end = max(start, _FIRST_HOUR), min(end, _END_HOUR)
    for step in _HOURS:
        if (end - start) // step < _MOST_TIMES:
            # Weeks begin on Mondays, and 1970 on a Thursday.
            shift = 4 * _DAY if step == 7 * _DAY else 0
            first = start + -(start - shift) % step
            return [(hour, _written(hour, step)) for hour in range(first, end + 1, step)]
    found: list[tuple[int, str]] = []
    for months in _MONTHS:
        found = list(_by_months(start, end, months))
        if len(found) <= _MOST_TIMES:
            break
    return found


def _written(hour: int, step: int) -> str:
    at = _EPOCH + timedelta(hours=hour)
    return f"{at:%m-%d}" if step >= _DAY or at.hour == 0 else f"{at:%H:%M}"


def _by_months(start: int, end: int, step: int) -> Iterator[tuple[int, str]]:
    first, last = (_EPOCH + timedelta(hours=hour) for hour in (start, end))
    month = first.year * 12 + first.month - 1
    month += -month % step
    while month <= last.year * 12 + last.month - 1:
        at = datetime(month // 12, month % 12 + 1, 1, tzinfo=UTC)
        hour = round((at - _EPOCH) / timedelta(hours=1))
        if start <= hour <= end:
            yield hour, f"{at.year:04}" if step % 12 == 0 else f"{at.year:04}-{at.month:02}"
        month += step


def time_unit(hours: int) -> str:
    """Return what a piece of `hours` hours is called: `hour`, `2 hours`, `day`, `4 days`."""
    number, unit = (hours // _DAY, "day") if hours % _DAY == 0 else (hours, "hour")
    return unit if number == 1 else f"{number:,} {unit}s"
