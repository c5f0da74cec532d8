"""The grammar of one field: event times, values and ids, as text in, exact integers out.

Every other text is a `BadField` with its reason; nothing is guessed. No bytes, rows or columns here.
"""

import re
from datetime import date, datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from mockexport.formats.zones import ahead_s
from mockexport.model import VALUE_SCALE

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = [
    "BadField",
    "BadRowReason",
    "check_id",
    "format_time",
    "is_date",
    "local_to_utc",
    "offset_us",
    "parse_time",
    "parse_value",
]

# A longer id is no id: it bounds the memory that one group can take.
MAX_ID_BYTES = 256
# Values beyond this are bad rows: more than anybody counts, and few enough digits that the kernel can hold their sums.
MAX_VALUE = 10**15

# Of VALUE_SCALE and of MAX_VALUE, as digits: those behind the point, and those before it.
_PLACES = len(str(VALUE_SCALE)) - 1
_MOST_DIGITS = len(str(MAX_VALUE))

_SECOND_US = 1_000_000
_MINUTE_US = 60 * _SECOND_US
_DAY_US = 24 * 60 * _MINUTE_US
_EPOCH_DAY = date(1970, 1, 1).toordinal()

_DATE_CHARACTERS, _MINUTE_CHARACTERS = len("2025-08-26"), len("2025-08-26T10:00")
_MINUTE = re.compile(r"(\d{4})-(\d\d)-(\d\d)[T ](\d\d):(\d\d)", re.ASCII)
_OFFSET = re.compile(r"([+-])(\d\d)(?::?(\d\d))?", re.ASCII)
_REST = re.compile(r"(?::([0-5]\d)(?:[.,](\d{1,9}))?)?(?: ?(Z|UTC|GMT|[+-](?:[01]\d|2[0-3])(?::?[0-5]\d)?))?", re.ASCII)
_VALUE = re.compile(r"([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:[eE]([+-]?\d+))?", re.ASCII)


class BadRowReason(StrEnum):
    """Why a row is bad; the names are stable and appear in accounts."""

    TOO_LONG = "row too long"
    NUL = "NUL byte"
    ENCODING = "not UTF-8"
    QUOTE = "unbalanced quote"
    AFTER_QUOTE = "text after a closing quote"
    TOO_FEW_FIELDS = "too few fields"
    TOO_MANY_FIELDS = "too many fields"
    EMPTY_ID = "empty id"
    LONG_ID = "id too long"
    TIME = "bad event_time"
    SKIPPED_TIME = "skipped local time"
    VALUE = "bad value"
    VALUE_RANGE = "value out of range"
    # Of lines that are resources (see formats.fhir).
    JSON = "not one JSON object"
    NESTING = "nested too deeply"
    KEY_TWICE = "a key twice"
    SURROGATE = "lone surrogate"
    ELEMENT = "an element that FHIR does not allow"
    TWO_TYPES = "two types on one element"
    PATIENT = "no patient"
    UNIT = "unit not understood"
    NO_UNIT = "no unit"
    VALUE_AND_REASON = "a value and a reason for none"


class BadField(ValueError):  # noqa: N818 - caught where rows are decoded, never seen by users
    """A field that its grammar does not allow."""

    def __init__(self, reason: BadRowReason) -> None:
        self.reason = reason
        super().__init__(reason)


# Rows arrive in time order, so nearly every row shares its minute with the one before.
@lru_cache(maxsize=1024)
def _minute_us(text: str) -> int:
    match = _MINUTE.fullmatch(text)
    if match is None:
        raise BadField(BadRowReason.TIME)
    year, month, day, hour, minute = map(int, match.groups())
    if hour > 23 or minute > 59:
        raise BadField(BadRowReason.TIME)
    try:
        days = date(year, month, day).toordinal() - _EPOCH_DAY
    except ValueError:
        raise BadField(BadRowReason.TIME) from None
    return days * _DAY_US + (hour * 60 + minute) * _MINUTE_US


def is_date(text: str) -> bool:
    """Tell whether a time, which can be read, is a date alone."""
    return len(text) == _DATE_CHARACTERS and text[4] == "-"


def parse_time(text: str, zone: "ZoneInfo | None" = None) -> int:
    """Return an ISO 8601 time as microseconds of UTC since 1970; a fraction is cut, no offset means `zone` or UTC.

    A date alone is the beginning of that day.

    Raises:
        BadField: for anything but `YYYY-MM-DD[(T| )HH:MM[:SS[(.|,)digits]][ ][Z|UTC|GMT|±HH[[:]MM]]]` and a real date
            and time of day, and for a local time that the zone's clocks skip.
    """
    if is_date(text):
        text = f"{text}T00:00"
    minute_us = _minute_us(text[:_MINUTE_CHARACTERS])
    match = _REST.fullmatch(text, _MINUTE_CHARACTERS)
    if match is None:
        raise BadField(BadRowReason.TIME)
    seconds, fraction, offset = match.groups()
    time_us = minute_us if seconds is None else minute_us + int(seconds) * _SECOND_US
    time_us = local_to_utc(time_us, zone) if offset is None else time_us - offset_us(offset)
    return time_us + int(fraction[:6].ljust(6, "0")) if fraction else time_us


def local_to_utc(time_us: int, zone: "ZoneInfo | None") -> int:
    """Return the instant at which clocks of the zone, or of UTC, show a time, given as microseconds since their 1970.

    Raises:
        BadField: the clocks skip that time.
    """
    if zone is None:
        return time_us
    ahead = ahead_s(zone, time_us // _SECOND_US)
    if ahead is None:
        raise BadField(BadRowReason.SKIPPED_TIME)
    return time_us - ahead * _SECOND_US


def offset_us(text: str) -> int:
    """Return by how much clocks are ahead of UTC: `Z`, `UTC`, `GMT`, or `±HH[[:]MM]`.

    Raises:
        BadField: hours or minutes that there are not.
    """
    match = _OFFSET.fullmatch(text)
    if match is None:
        return 0
    hours, minutes = int(match[2]), int(match[3] or 0)
    if hours > 23 or minutes > 59:
        raise BadField(BadRowReason.TIME)
    ahead = (hours * 60 + minutes) * _MINUTE_US
    return -ahead if match[1] == "-" else ahead


def format_time(time_us: int) -> str:
    """Write microseconds since 1970 as ISO 8601 with a final `Z`; the fraction only where it is not zero."""
    try:
        return f"{(datetime(1970, 1, 1) + timedelta(microseconds=time_us)).isoformat()}Z"
    except OverflowError:  # an offset can carry an instant past the years that a datetime knows
        whole, rest = divmod(abs(time_us), _SECOND_US)
        return f"{'-' if time_us < 0 else ''}{whole}{f'.{rest:06}' if rest else ''} s since 1970"


# Longer texts of values are rare, and kept by the thousand they would fill memory: a row may hold 64 KiB of digits.
_REMEMBERED_CHARACTERS = 32


def parse_value(text: str) -> tuple[int, bool]:
    """Return a decimal number as an integer in units of 10⁻¹⁸, and whether it was rounded: half to even, to 18 places.

    Raises:
        BadField: if `text` is no `[+-]?(digits[.digits?] | .digits)([eE][+-]?digits)?` in ASCII, or beyond ±10¹⁵.
    """
    return _remembered_value(text) if len(text) <= _REMEMBERED_CHARACTERS else _value(text)


def _value(text: str) -> tuple[int, bool]:
    match = _VALUE.fullmatch(text)
    if match is None:
        raise BadField(BadRowReason.VALUE)
    sign, whole, decimals, bare_decimals, exponent = match.groups()
    decimals = decimals or bare_decimals or ""
    digits = ((whole or "") + decimals).lstrip("0")
    if not digits:
        return 0, False
    scaled, rounded = _scaled(digits, _bounded(exponent or "0") - len(decimals))
    if scaled > MAX_VALUE * VALUE_SCALE:
        raise BadField(BadRowReason.VALUE_RANGE)
    return (-scaled if sign == "-" else scaled), rounded


# Devices report few distinct values; the bound keeps a stream of distinct decimals from filling memory.
_remembered_value = lru_cache(maxsize=4096)(_value)


def _bounded(exponent: str) -> int:
    # A row has at most 65,536 digits to shift; an exponent of seven digits or more decides by its sign alone, and
    # int() refuses texts of many thousand digits.
    negative = exponent.startswith("-")
    digits = exponent.lstrip("+-0")
    size = 10**6 if len(digits) > 6 else int(digits or "0")
    return -size if negative else size


def _scaled(digits: str, exponent: int) -> tuple[int, bool]:
    """Return digits × 10^(exponent + 18), rounded half to even, and whether it was; `digits` has no leading zero."""
    if len(digits) + exponent > _MOST_DIGITS:
        raise BadField(BadRowReason.VALUE_RANGE)
    shift = exponent + _PLACES
    if shift >= 0:
        return int(digits) * int(10**shift), False
    kept = len(digits) + shift  # as many leading digits stay
    if kept < 0:
        return 0, True
    scaled, tail = int(digits[:kept] or "0"), digits[kept:]
    half = tail[0] == "5" and not tail[1:].strip("0")
    up = (scaled % 2 == 1) if half else tail[0] >= "5"
    return scaled + up, tail.strip("0") != ""


def check_id(text: str) -> None:
    """Raise BadField unless `text` is an id: non-empty, up to 256 bytes of UTF-8."""
    if not text:
        raise BadField(BadRowReason.EMPTY_ID)
    if len(text) > MAX_ID_BYTES or (
        # Text that does not come from a row can hold surrogates, which are three bytes each.
        4 * len(text) > MAX_ID_BYTES and len(text.encode(errors="surrogatepass")) > MAX_ID_BYTES
    ):
        raise BadField(BadRowReason.LONG_ID)
