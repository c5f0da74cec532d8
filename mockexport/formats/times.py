"""How times are written, by formats: compiled into readers, text in, exact microseconds of UTC out.

Without a format a time is as fields.parse_time has it; with some, what the first that fits makes of it.
"""

import re
from collections.abc import Callable, Sequence
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

from mockexport.errors import OptionError
from mockexport.formats.fields import BadField, BadRowReason, local_to_utc, offset_us, parse_time
from mockexport.formats.zones import zone_named

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["EPOCHS", "MONTHS", "UNITS", "ReadTime", "check_time_formats", "number_reader", "time_reader"]

ReadTime = Callable[[str], int]

_SECOND_US = 1_000_000
# Of one, the microseconds.
EPOCHS = {"epoch": _SECOND_US, "epoch-ms": 1000, "epoch-us": 1}
UNITS = {"days": 86_400 * _SECOND_US, "hours": 3600 * _SECOND_US, "minutes": 60 * _SECOND_US, "seconds": _SECOND_US}

MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
    "december",
)  # fmt: skip

_EPOCH_DAY = date(1970, 1, 1).toordinal()
# The years 1 to 9999, and a day for offsets: other instants are no times.
FIRST_US = (1 - _EPOCH_DAY) * 86_400 * _SECOND_US
END_US = (date.max.toordinal() + 1 - _EPOCH_DAY) * 86_400 * _SECOND_US

_DIRECTIVES = {
    "Y": r"(?P<Y>\d{4})",
    "y": r"(?P<y>\d\d)",
    "m": r"(?P<m>\d\d?)",
    "d": r"(?P<d>\d\d?)",
    "H": r"(?P<H>\d\d?)",
    "I": r"(?P<I>\d\d?)",
    "M": r"(?P<M>\d\d?)",
    "S": r"(?P<S>\d\d?)",
    "f": r"(?P<f>\d{1,9})",
    "p": r"(?P<p>[ap]\.?[ \u00a0\u202f]?m\.?)",
    "b": "(?P<b>" + "|".join(month[:3] for month in MONTHS) + ")",
    "B": "(?P<B>" + "|".join(MONTHS) + ")",
    "z": r"(?P<z>Z|UTC|GMT|[+-]\d\d(?::?\d\d)?)",
    "%": "%",
}
# Numbers that may have one digit or two; beside another without a sign between them they have two.
_ONE_OR_TWO = r"\d\d?"
# Between words: some programs write other spaces before AM and PM.
_BLANKS = "[ \t\u00a0\u202f]+"
# What is remembered must not fill memory; and no format takes more.
LONGEST = 100
_NUMBER = re.compile(r"([+-]?)(\d+)(?:\.(\d*))?", re.ASCII)
_CLOCK = re.compile(r"([+-]?)(\d+):([0-5]\d)(?::([0-5]\d))?", re.ASCII)


def check_time_formats(formats: Sequence[str], origin: str | None, timezone: str | None) -> None:
    """Raise OptionError unless all are formats, and `origin` is a time that they need."""
    time_reader(tuple(formats), origin, timezone)


@lru_cache(maxsize=16)
def time_reader(formats: tuple[str, ...], origin: str | None, timezone: str | None) -> ReadTime:
    """Return what reads times of these formats; those without an offset are local to `timezone`, or UTC.

    It raises BadField for what fits none.

    Raises:
        OptionError: a format is none, or `origin` is missing, no time, or of no use.
    """
    zone = None if timezone is None else zone_named(timezone)
    origin_us = None
    if origin is not None:
        if not any(name in UNITS for name in formats):
            raise OptionError("origin", f"goes with the time formats {', '.join(UNITS)}")
        try:
            origin_us = parse_time(origin, zone)
        except BadField as bad:
            raise OptionError("origin", f"{origin!a}: {bad.reason}; a time is like 2025-08-26T10:00:00Z") from None
    readers = [_reader(name, zone, origin_us) for name in formats or ("iso",)]
    if len(readers) == 1:
        return readers[0]

    def read(text: str) -> int:
        for reader in readers:
            try:
                return reader(text)
            except BadField as bad:
                if bad.reason is not BadRowReason.TIME:
                    raise
        raise BadField(BadRowReason.TIME)

    return read


def _reader(name: str, zone: "ZoneInfo | None", origin_us: int | None) -> ReadTime:
    if name == "iso":
        return lambda text: parse_time(text, zone)
    if name in EPOCHS:
        return number_reader(EPOCHS[name], 0)
    if name == "sampled":
        return number_reader(1, 0)  # they are added by formats.sampled
    if name in UNITS:
        if origin_us is None:
            raise OptionError("time-format", f"{name} are counted from a time; say which with --origin")
        return number_reader(UNITS[name], origin_us, clock=name == "hours")
    return _pattern_reader(name, zone)


def number_reader(unit_us: int, origin_us: int, *, clock: bool = False) -> ReadTime:
    """Return what reads a number of units since a time; with `clock` also as hours and minutes, 47:30."""

    def read(text: str) -> int:
        match = _NUMBER.fullmatch(text)
        if match is not None:
            sign, whole, decimals = match.groups()
            decimals = (decimals or "")[:18]
            if len(whole) > 18:
                raise BadField(BadRowReason.TIME)
            elapsed = int(whole + decimals) * unit_us // int(10 ** len(decimals))
        else:
            match = _CLOCK.fullmatch(text) if clock else None
            if match is None or len(match[2]) > 9:
                raise BadField(BadRowReason.TIME)
            sign = match[1]
            elapsed = (int(match[2]) * 3600 + int(match[3]) * 60 + int(match[4] or 0)) * _SECOND_US
        time_us = origin_us - elapsed if sign == "-" else origin_us + elapsed
        if not FIRST_US <= time_us < END_US:
            raise BadField(BadRowReason.TIME)
        return time_us

    return read


def _pattern_reader(name: str, zone: "ZoneInfo | None") -> ReadTime:
    parts: list[str] = []
    at, seen, beside = 0, set[str](), False
    while at < len(name):
        if name[at] == "%":
            directive = name[at + 1 : at + 2]
            if directive not in _DIRECTIVES or directive in seen:
                twice = "twice" if directive in seen else "not known"
                raise OptionError("time-format", f"{name!a}: %{directive} is {twice}; known are {_known()}")
            seen.update(directive.replace("%", ""))
            part = _DIRECTIVES[directive]
            if beside or _is_number(name[at + 2 : at + 4]):
                part = part.replace(_ONE_OR_TWO, r"\d\d")
            parts.append(part)
            beside = _is_number(name[at : at + 2])
            at += 2
        else:
            beside = False
            parts.append(_BLANKS if name[at] in " \t" else re.escape(name[at]))
            at += 1
    if not ("Y" in seen) ^ ("y" in seen) or len(seen & {"m", "b", "B"}) != 1 or "d" not in seen:
        raise OptionError("time-format", f"{name!a} has no year, month and day, or one of them twice; {_known()}")
    if ("I" in seen) != ("p" in seen) or {"H", "I"} <= seen:
        raise OptionError("time-format", f"{name!a}: %I, an hour up to 12, goes with %p, and without %H")
    pattern = re.compile("".join(parts), re.ASCII | re.IGNORECASE)

    # Rows arrive in time order, and many share their time with the one before.
    @lru_cache(maxsize=1024)
    def read(text: str) -> int:
        match = pattern.fullmatch(text) if len(text) <= LONGEST else None
        if match is None:
            raise BadField(BadRowReason.TIME)
        return _instant(match.groupdict(), zone)

    return read


def _is_number(directive: str) -> bool:
    return directive[:1] == "%" and r"\d" in _DIRECTIVES.get(directive[1:], "") and directive != "%z"


def _known() -> str:
    return f"{', '.join('%' + name for name in _DIRECTIVES)}, or iso, {', '.join([*EPOCHS, *UNITS])}"


def _instant(found: dict[str, str], zone: "ZoneInfo | None") -> int:
    # As strptime has it: two digits are the years 1969 to 2068.
    year = int(found["Y"]) if "Y" in found else int(found["y"]) + (1900 if int(found["y"]) >= 69 else 2000)
    if "m" in found:
        month = int(found["m"])
    else:
        word = (found.get("b") or found["B"]).lower()
        month = next(number for number, known in enumerate(MONTHS, 1) if known.startswith(word[:3]))
    hour = int(found.get("H") or found.get("I") or 0)
    if "I" in found:
        if not 1 <= hour <= 12:
            raise BadField(BadRowReason.TIME)
        hour = hour % 12 + (12 if found["p"][0] in "pP" else 0)
    minute, second = int(found.get("M") or 0), int(found.get("S") or 0)
    if hour > 23 or minute > 59 or second > 59:
        raise BadField(BadRowReason.TIME)
    try:
        days = date(year, month, int(found["d"])).toordinal() - _EPOCH_DAY
    except ValueError:
        raise BadField(BadRowReason.TIME) from None
    time_us = (days * 86_400 + hour * 3600 + minute * 60 + second) * _SECOND_US
    offset = found.get("z")
    time_us = local_to_utc(time_us, zone) if offset is None else time_us - offset_us(offset)
    return time_us + int((found.get("f") or "0")[:6].ljust(6, "0"))
