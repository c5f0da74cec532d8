"""When an Observation was: its effective time → microseconds of UTC since 1970. Not when it was issued."""

import re
from typing import TYPE_CHECKING, Any

from mockexport.formats.fields import BadField, BadRowReason, parse_time

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["LongPeriod", "parse_instant", "time_of"]

DAY_US = 86_400 * 1_000_000
# A value over a longer time is no reading of a moment.
MAX_PERIOD_US = 3600 * 1_000_000

_DAY = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_WITH_OFFSET = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_WITHOUT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?", re.ASCII)


class LongPeriod(Exception):  # noqa: N818 - nothing is wrong with it
    """The value is of more than an hour, or of a time that has no end."""


def parse_instant(text: object, zone: "ZoneInfo | None" = None) -> tuple[int, bool]:
    """Return a FHIR dateTime as microseconds of UTC since 1970, and whether it was a day without a time.

    Raises:
        BadField: for a year or a month, a time without an offset where there is no zone, and whatever is no time.
    """
    if not isinstance(text, str):
        raise BadField(BadRowReason.TIME)
    if _WITH_OFFSET.fullmatch(text):
        return parse_time(text), False
    if zone is not None and _WITHOUT.fullmatch(text):
        return parse_time(text, zone), False
    if _DAY.fullmatch(text):
        return parse_time(f"{text}T00:00:00", zone), True
    raise BadField(BadRowReason.TIME)


def time_of(observation: dict[str, Any], zone: "ZoneInfo | None", *, issued: bool) -> tuple[int, bool]:
    """Return an Observation's time, and whether it is a day without a time; with `issued`, when it was issued will do.

    Raises:
        LongPeriod: it is no moment.
        BadField: there is none, or it cannot be told.
    """
    kinds = [key for key in observation if key.startswith("effective")]
    if not kinds and issued and "issued" in observation:
        return parse_instant(observation["issued"], zone)
    if len(kinds) != 1:
        raise BadField(BadRowReason.TIME)
    effective = observation[kinds[0]]
    if kinds[0] == "effectiveDateTime":
        return parse_instant(effective, zone)
    if kinds[0] == "effectiveInstant":
        time_us, day_only = parse_instant(effective, zone)
        if day_only:
            raise BadField(BadRowReason.TIME)
        return time_us, False
    if kinds[0] == "effectivePeriod" and isinstance(effective, dict):
        start_us, day_only = parse_instant(effective.get("start"), zone)
        if effective.get("end") is None:
            raise LongPeriod
        end_us, ends_with_day = parse_instant(effective["end"], zone)
        if ends_with_day:  # with its last moment
            end_us += DAY_US
        if end_us < start_us:
            raise BadField(BadRowReason.TIME)
        if end_us - start_us > MAX_PERIOD_US or day_only:
            raise LongPeriod
        return start_us, False
    raise BadField(BadRowReason.TIME)
