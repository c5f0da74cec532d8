"""Days, months and years: which of them a day's readings are filed under. Pure.

A file holds readings of one period. The periods that have files never overlap, so all files that can hold a key belong
to one period, and which of several readings counts is decided among them. A day with many readings is a period of its
own. Days with few share a month, months with few a year: 47,000 days of one reading are 130 files. A month or year that
has grown is split, which its readings survive a few times at most, since the sizes for the two are apart.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta
from typing import NamedTuple

__all__ = ["MANY_PARTS", "SPARSE_ROWS", "SPLIT_ROWS", "Period", "sparse_periods", "spread", "targets"]

# A month or year is kept together up to this many rows: reading one user's day out of it costs a few milliseconds.
SPARSE_ROWS = 250_000
# Beyond this many it is split. Twice as many, so that a period on the edge is not joined and split by turns.
SPLIT_ROWS = 2 * SPARSE_ROWS
# A few days on their own do no harm, and a damaged file then costs one day; with more parts the period is joined.
MANY_PARTS = 8

_EPOCH = date(1970, 1, 1).toordinal()


class Period(NamedTuple):
    """A day, a month or a year, as its first and last day number (days since 1970-01-01)."""

    first_day: int
    last_day: int

    @property
    def is_day(self) -> bool:
        """Whether it cannot be split any further."""
        return self.first_day == self.last_day

    @property
    def folder(self) -> str:
        """The name of the folder that its files lie in."""
        first, last = date.fromordinal(self.first_day + _EPOCH), date.fromordinal(self.last_day + _EPOCH)
        if self.is_day:
            return f"day={first.isoformat()}"
        return f"month={first.isoformat()[:7]}" if first.month == last.month else f"year={first.year:04d}"

    def holds(self, other: "Period") -> bool:
        """Tell whether another period lies within this one."""
        return self.first_day <= other.first_day and other.last_day <= self.last_day


def _day(day: int) -> Period:
    return Period(day, day)


def _month(day: int) -> Period:
    first = date.fromordinal(day + _EPOCH).replace(day=1)
    following = (first + timedelta(days=31)).replace(day=1)
    return Period(first.toordinal() - _EPOCH, following.toordinal() - _EPOCH - 1)


def _year(day: int) -> Period:
    year = date.fromordinal(day + _EPOCH).year
    return Period(date(year, 1, 1).toordinal() - _EPOCH, date(year, 12, 31).toordinal() - _EPOCH)


def _child(period: Period) -> Callable[[int], Period]:
    return _month if period.last_day - period.first_day > 31 else _day


def _grouped(periods: Iterable[Period], by: Callable[[int], Period]) -> dict[Period, list[Period]]:
    groups: dict[Period, list[Period]] = {}
    for period in periods:
        groups.setdefault(by(period.first_day), []).append(period)
    return groups


def targets(
    held: Mapping[Period, int], arrived: Mapping[int, int], may_join: Callable[[list[Period]], bool]
) -> dict[int, Period]:
    """Decide the period of each day that rows arrive for.

    Args:
        held: the periods that have files, with their rows.
        arrived: how many rows arrive, by day.
        may_join: tells whether the files of some held periods can be rewritten as one.

    Returns:
        The period of each of those days. Each is one that is held, or holds none or several that are to be joined.
    """
    found: dict[int, Period] = {}
    held_by_year = _grouped(held, _year)
    for year, days in _grouped(map(_day, arrived), _year).items():
        _place(year, {part: held[part] for part in held_by_year.get(year, ())}, days, arrived, may_join, found)
    return found


def _place(
    period: Period,
    held: Mapping[Period, int],
    days: list[Period],
    arrived: Mapping[int, int],
    may_join: Callable[[list[Period]], bool],
    found: dict[int, Period],
) -> None:
    rows = sum(held.values()) + sum(arrived[day.first_day] for day in days)
    if period in held or period.is_day or (_is_sparse(rows, len({*held, *days})) and may_join(list(held))):
        found.update((day.first_day, period) for day in days)
        return
    by = _child(period)
    held_by_child = _grouped(held, by)
    for child, part in _grouped(days, by).items():
        inside = {each: held[each] for each in held_by_child.get(child, ())}
        _place(child, inside, part, arrived, may_join, found)


def _is_sparse(rows: int, parts: int) -> bool:
    return parts > MANY_PARTS and rows <= SPARSE_ROWS


def sparse_periods(held: Mapping[Period, int]) -> list[Period]:
    """Return the years and months whose files are so many and so small that they are better joined."""
    found = []
    for year, parts in _grouped(held, _year).items():
        if _is_sparse(sum(held[part] for part in parts), len(parts)):
            found.append(year)
        elif year not in held:
            for month, days in _grouped(parts, _month).items():
                if _is_sparse(sum(held[day] for day in days), len(days)):
                    found.append(month)
    return found


def spread(period: Period, rows: Mapping[int, int]) -> list[Period]:
    """Split a period that is too large; `rows` are its rows by day. Those that have none are left out."""
    if period.is_day or sum(rows.values()) <= SPARSE_ROWS:
        return [period]
    return [
        part
        for child, days in _grouped(map(_day, sorted(rows)), _child(period)).items()
        for part in spread(child, {day.first_day: rows[day.first_day] for day in days})
    ]
