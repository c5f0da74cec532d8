"""Cells that hold times: drawn as instants, written by a description, with what each comes to by Python's datetime."""

import random
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from fractions import Fraction
from typing import Any
from zoneinfo import ZoneInfo

from mockexport.formats.fields import BadRowReason

__all__ = ["Moment", "Times"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_US = timedelta(microseconds=1)
_ZONES = (None, None, None, "Europe/Berlin", "America/St_Johns", "Australia/Lord_Howe", "UTC")
# Each a set of formats of which no text fits two.
_FORMATS: tuple[tuple[str, ...], ...] = (
    (),
    (),
    ("iso",),
    ("%d/%m/%Y %H:%M",),
    ("%m/%d/%Y %I:%M:%S %p",),
    ("%d.%m.%Y %H:%M:%S.%f", "%d.%m.%Y"),
    ("%d-%b-%y %H:%M:%S", "iso"),
    ("%B %d, %Y %H:%M %z",),
    ("%Y%m%d%H%M%S",),
    ("%d%b%Y:%H:%M:%S",),
    ("%d.%m.%y",),
    ("%Y-%m-%dT%H:%M:%S%z",),
    ("%I:%M %p, %d/%m/%Y",),
    ("epoch",),
    ("epoch-ms",),
    ("epoch-us",),
    ("days",),
    ("hours",),
    ("minutes", "%d/%m/%Y"),
    ("seconds",),
)
_UNITS = {"epoch": 10**6, "epoch-ms": 10**3, "epoch-us": 1}
_ELAPSED = {"days": 86_400 * 10**6, "hours": 3600 * 10**6, "minutes": 60 * 10**6, "seconds": 10**6}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_BAD = (
    "",
    "yesterday",
    "2024-13-01",
    "2024-02-30 10:00",
    "31/02/2024 10:00",
    "24:01 h",
    "2024-05-01 24:00",
    "1e9",
    "12:61",
    "NA",
)
_BAD_ISO = (
    "2024-05-01 10:00:60",
    "2024-05-01T10",
    "2024-5-1",
    "2024-05-01 10:00 CEST",
    "2024-05-01  10:00",
    "2023-02-29",
)


@dataclass(frozen=True)
class Moment:
    """A cell's text, and which instant it is, in microseconds of UTC since 1970; or why it is none."""

    text: str
    time_us: int = 0
    bad: BadRowReason | None = None
    date_only: bool = False


@dataclass
class Times:
    """How times are written in one table."""

    formats: tuple[str, ...] = ()
    origin: str | None = None
    timezone: str | None = None

    @classmethod
    def drawn(cls, draw: random.Random) -> "Times":
        formats = draw.choice(_FORMATS)
        origin = None
        if any(name in _ELAPSED for name in formats):
            origin = draw.choice(
                ["2000-01-01", "2024-03-30T22:15:00", "1999-12-31 23:59:59.5Z", "2010-06-01T00:00:00+02:00"]
            )
        return cls(formats, origin, draw.choice(_ZONES))

    @property
    def arguments(self) -> dict[str, Any]:
        """What says so in a Schema."""
        return {"time_formats": self.formats, "origin": self.origin, "timezone": self.timezone}

    def moment(self, draw: random.Random) -> Moment:
        """Draw a time."""
        if draw.random() < 0.06:
            more = _BAD_ISO if self.formats in ((), ("iso",)) else ()
            return Moment(draw.choice([*_BAD, *more]), bad=BadRowReason.TIME)
        name = draw.choice(self.formats or ("iso",))
        if name in _UNITS:
            return self._number(draw, _UNITS[name], 0, draw.randrange(-(10**15), 2 * 10**15), signed=True)
        if name in _ELAPSED:
            return self._elapsed(draw, name)
        year = 2024 if "%y" in name else draw.choice([2024, 2024, 2024, 1901, 1971, 2150])
        local = datetime(year, 1, 1) + timedelta(
            seconds=draw.randrange(365 * 86_400), microseconds=draw.randrange(10**6)
        )
        if draw.random() < 0.3:  # about the hours at which clocks are set, here and there
            day = draw.choice(
                [datetime(2024, 3, 31), datetime(2024, 10, 27), datetime(2024, 3, 10), datetime(2024, 11, 3)]
            )
            local = day + timedelta(seconds=draw.randrange(4 * 3600))
        return self._iso(draw, local) if name == "iso" else self._pattern(draw, name, local)

    def _instant(self, local: datetime, offset: timedelta | None) -> tuple[int, bool]:
        """Return the instant that clocks show so, and whether they ever do."""
        if offset is not None:
            return (local.replace(tzinfo=timezone(offset)) - _EPOCH) // _US, True
        zone = ZoneInfo(self.timezone or "UTC")
        instant = local.replace(tzinfo=zone, fold=0).astimezone(UTC)
        return (instant - _EPOCH) // _US, instant.astimezone(zone).replace(tzinfo=None) == local

    def _told(self, text: str, local: datetime, offset: timedelta | None, *, date_only: bool = False) -> Moment:
        time_us, exists = self._instant(local, offset)
        if not exists:
            return Moment(text, bad=BadRowReason.SKIPPED_TIME)
        return Moment(text, time_us, date_only=date_only)

    def _iso(self, draw: random.Random, local: datetime) -> Moment:
        if draw.random() < 0.08:
            midnight = local.replace(hour=0, minute=0, second=0, microsecond=0)
            return self._told(f"{midnight:%Y-%m-%d}", midnight, None, date_only=True)
        text = f"{local:%Y-%m-%d}{draw.choice('T ')}{local:%H:%M}"
        digits = draw.choice([None, None, 0, 0, 1, 3, 6, 9])
        if digits is None:
            local = local.replace(second=0, microsecond=0)
        else:
            text += f":{local:%S}"
            fraction = f"{local.microsecond:06}{draw.randrange(1000):03}"[:digits]
            text += f"{draw.choice('.,')}{fraction}" if fraction else ""
            local = local.replace(microsecond=int(fraction[:6].ljust(6, "0")))
        offset, written = _offset(draw) if draw.random() < 0.5 else (None, "")
        return self._told(text + (draw.choice(["", " "]) if written else "") + written, local, offset)

    def _pattern(self, draw: random.Random, name: str, local: datetime) -> Moment:
        for directive, part in (("%f", "microsecond"), ("%S", "second"), ("%M", "minute")):
            if directive not in name:
                local = local.replace(**{part: 0})  # type: ignore[arg-type] # a part is an integer
        if "%H" not in name and "%I" not in name:
            local = local.replace(hour=0)
        offset, written = _offset(draw)
        short = draw.random() < 0.3 and "%Y%m" not in name
        hour = local.hour % 12 or 12
        parts = {
            "Y": f"{local.year:04}",
            "y": f"{local.year % 100:02}",
            "m": _digits(local.month, short=short),
            "d": _digits(local.day, short=short),
            "H": _digits(local.hour, short=short),
            "I": _digits(hour, short=short),
            "M": f"{local.minute:02}",
            "S": f"{local.second:02}",
            "f": f"{local.microsecond:06}",
            "p": draw.choice(["AM", "am", "Am"] if local.hour < 12 else ["PM", "pm", "pM"]),
            "b": _in_any_case(draw, _MONTHS[local.month - 1][:3]),
            "B": _in_any_case(draw, _MONTHS[local.month - 1]),
            "z": written,
        }
        text = re.sub("%(.)", lambda match: parts[match[1]], name)
        return self._told(text, local, offset if "%z" in name else None)

    def _number(self, draw: random.Random, unit_us: int, start_us: int, elapsed_us: int, *, signed: bool) -> Moment:
        digits = draw.choice([0, 0, 0, 1, 3, 7])
        scaled = abs(elapsed_us) * 10**digits // unit_us
        text = f"{scaled // 10**digits}" + (
            f".{scaled % 10**digits:0{digits}}" if digits else draw.choice(["", "", "."])
        )
        negative = elapsed_us < 0 and signed
        shown_us = Fraction(scaled * unit_us, 10**digits).__floor__()
        return Moment(("-" if negative else "") + text, start_us - shown_us if negative else start_us + shown_us)

    def _elapsed(self, draw: random.Random, name: str) -> Moment:
        start_us = self._start_us()
        if name == "hours" and draw.random() < 0.5:
            hours, minutes, seconds = draw.randrange(200), draw.randrange(60), draw.choice([None, draw.randrange(60)])
            text = f"{hours:02}:{minutes:02}" + ("" if seconds is None else f":{seconds:02}")
            return Moment(text, start_us + (hours * 3600 + minutes * 60 + (seconds or 0)) * 10**6)
        return self._number(draw, _ELAPSED[name], start_us, draw.randrange(-(10**13), 10**14), signed=True)

    def _start_us(self) -> int:
        local = datetime.fromisoformat(self.origin or "")
        if local.tzinfo is None:
            local = local.replace(tzinfo=ZoneInfo(self.timezone or "UTC"))
        return (local - _EPOCH) // _US


def _digits(number: int, *, short: bool) -> str:
    return f"{number}" if short else f"{number:02}"


def _in_any_case(draw: random.Random, text: str) -> str:
    return draw.choice([text, text.upper(), text.lower()])


def _offset(draw: random.Random) -> tuple[timedelta, str]:
    if draw.random() < 0.4:
        return timedelta(0), draw.choice(["Z", "UTC", "GMT", "+00", "+0000", "+00:00", "-00:00"])
    minutes = draw.choice([-720, -210, -60, 60, 120, 345, 840])
    hours, rest = divmod(abs(minutes), 60)
    joint = draw.choice(["", ":"])
    written = f"{'-' if minutes < 0 else '+'}{hours:02}" + (f"{joint}{rest:02}" if rest or draw.random() < 0.7 else "")
    return timedelta(minutes=minutes), written
