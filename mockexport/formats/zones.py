"""Local times: how far a time zone's clocks are ahead of UTC, by what they show.

Where clocks are set back, a time comes twice, and the first is meant (PEP 495, fold=0). Where they are set forward, the
times skipped do not exist. The rules are those of `zoneinfo`: the machine's, or the package tzdata's.
"""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING

from mockexport.errors import OptionError

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["ahead_s", "spans", "zone_named"]

_EPOCH = datetime(1970, 1, 1)
_SECOND = timedelta(seconds=1)
_DAY_S = 86_400
# The years for which a compiled engine knows local times beforehand: those of records, and the shifted dates, between
# 2100 and 2220, of records that were made anonymous.
_FIRST_YEAR, _END_YEAR = 1900, 2300
# The longest name that a file system could hold, and zoneinfo look for: beyond it, the search itself fails.
_MAX_NAME = 255


@lru_cache(maxsize=16)
def zone_named(name: str) -> "ZoneInfo":
    """Return the zone of a name such as Europe/Berlin.

    Raises:
        OptionError: if this machine knows none of that name, or none at all.
    """
    from zoneinfo import ZoneInfo, available_timezones

    if len(name) > _MAX_NAME:
        raise OptionError("timezone", f"no time zone has a name of {len(name):,} characters")
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError) as error:  # no name, a folder of names, unknown
        known = sorted(available_timezones())
        if not known:
            problem = "this machine knows no time zones; install the Python package tzdata"
        else:
            problem = f"there is no time zone {name!a}; one is called Europe/Berlin, another UTC"
        raise OptionError("timezone", problem, given=name, known=known) from error


# Rows arrive in time order, so many share their second with one before.
@lru_cache(maxsize=4096)
def ahead_s(zone: "ZoneInfo", local_s: int) -> int | None:
    """Return how many seconds the zone is ahead of UTC when its clocks show `local_s`; None if they never do.

    `local_s` are seconds from 1970-01-01T00:00:00 on these clocks, within the years 1 to 9999.
    """
    return _ahead_s(zone, local_s)


def _ahead_s(zone: "ZoneInfo", local_s: int) -> int | None:
    local = _EPOCH + _SECOND * local_s
    first, second = zone.utcoffset(local), zone.utcoffset(local.replace(fold=1))
    if first is None or second is None or first < second:  # set forward: the offsets before and after the gap
        return None
    return first // _SECOND


@lru_cache(maxsize=4)
def spans(zone: "ZoneInfo") -> tuple[tuple[int, int | None], ...]:
    """Return the zone's offsets as (from when on, in local seconds; seconds ahead of UTC, None where time is skipped).

    They cover the years from 1900 to 2299; the last begins where that ends, and is None. Found by asking, a day at a
    time and then closer: no zone has a change that another one takes back within a day.
    """

    def at(local_s: int) -> int | None:
        return _ahead_s(zone, local_s)

    first, end = (_DAY_S * (date(year, 1, 1) - _EPOCH.date()).days for year in (_FIRST_YEAR, _END_YEAR))
    known, begin = at(first), first
    found = [(first, known)]
    for day in range(first + _DAY_S, end, _DAY_S):
        while at(day) != known:
            begin = _change(at, begin, day)
            known = at(begin)
            found.append((begin, known))
        begin = day
    return (*found, (end, None))


def _change(at: Callable[[int], int | None], before: int, after: int) -> int:
    """Return the first second whose offset is no longer that of `before`; that of `after` is another one."""
    same = at(before)
    while after - before > 1:
        middle = (before + after) // 2
        if at(middle) == same:
            before = middle
        else:
            after = middle
    return after
