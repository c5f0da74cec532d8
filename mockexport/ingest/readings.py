"""What a reading is, and what is wrong with one that is none. Pure: bytes in, readings and problems out.

The fast path proves, the slow path decides: msgspec takes a body in which every item is plainly well formed; any other
is decoded by the standard library and looked at item by item. The slow path's word is law, and a test holds the fast
one to it. No message repeats a value: what a device sent may be somebody's health.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from unicodedata import is_normalized

import msgspec

from mockexport.ingest.errors import RequestProblem

__all__ = [
    "DAY_US",
    "EARLIEST_US",
    "END_US",
    "FIELDS",
    "HIGHEST_RATE",
    "ID_LENGTH",
    "LOWEST_RATE",
    "MAX_BATCH",
    "MINUTE_US",
    "BatchOutcome",
    "Problem",
    "Reading",
    "check",
    "decode_batch",
    "decode_one",
    "id_problem",
    "parse_time",
]

MINUTE_US = 60 * 10**6
DAY_US = 86_400 * 10**6

# Beats per minute that a living person can have; anything outside is a device's fault.
LOWEST_RATE, HIGHEST_RATE = 30, 220
# Readings of other centuries are clocks gone wrong: 1970 is where a clock without a battery begins to count.
EARLIEST_US = 0
END_US = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 10**6
# Ids are names, not texts: room for an e-mail address or two UUIDs.
ID_LENGTH = 128
# One batch is one commit; beyond this its own latency would be everybody's.
MAX_BATCH = 10_000

FIELDS = ("device_id", "user_id", "timestamp", "heart_rate")


class Reading(NamedTuple):
    """One accepted reading. A tuple, since a batch makes ten thousand of them at once."""

    user_id: str
    device_id: str
    time_us: int
    heart_rate: int


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong with an item: the field, and why in words without the value."""

    field: str
    message: str


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """A batch, sorted out: what to store, and by index what not."""

    readings: Sequence[Reading]
    problems: Sequence[tuple[int, Problem]]


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_TIME = re.compile(
    r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)?",
    re.ASCII,
)


def parse_time(text: str) -> int | None:
    """Return the microseconds since 1970 of an ISO 8601 time, or None where it is none.

    `YYYY-MM-DD`, `T` or a space, `HH:MM` or `HH:MM:SS`, optionally `.` and 1 to 9 digits (cut to microseconds),
    optionally `Z` or `±HH:MM`; no offset means UTC. Real calendar dates; hour ≤ 23, second ≤ 59.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        return None
    date, clock, fraction, offset = match.groups()
    if fraction is not None and len(clock) == 5:  # a fraction of a minute: legal ISO 8601 that nobody writes
        return None
    try:
        moment = datetime.fromisoformat(f"{date}T{clock}")
        shift = _offset_us(offset)
    except ValueError:
        return None
    if shift is None:
        return None
    micros = int(fraction[:6].ljust(6, "0")) if fraction else 0
    return (moment.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND + micros - shift


def _offset_us(offset: str | None) -> int | None:
    if offset is None or offset == "Z":
        return 0
    hours, minutes = int(offset[1:3]), int(offset[4:6])
    if hours > 23 or minutes > 59:
        return None
    size = (hours * 60 + minutes) * MINUTE_US
    return -size if offset[0] == "-" else size


# Devices repeat their ids with every reading, so nearly every look-up is a hit; the bound keeps a flood of ids out.
@lru_cache(maxsize=16_384)
def id_problem(text: str) -> str | None:
    """Return what is wrong with a user's or a device's id, or None.

    An id is 1 to 128 printable characters in Unicode's composed form (NFC), so that one name has one spelling.
    """
    if not 1 <= len(text) <= ID_LENGTH:
        return f"must be 1 to {ID_LENGTH} characters long"
    if not text.isprintable():
        return "must consist of printable characters"
    if not text.isascii() and not is_normalized("NFC", text):
        return "must be in Unicode's composed form (NFC)"
    return None


def check(item: object) -> Reading | Problem:
    """Judge one decoded item: the reference."""
    if not isinstance(item, dict):
        return Problem("reading", "must be an object")
    for name in FIELDS:
        if name not in item:
            return Problem(name, "is missing")
    for name in ("device_id", "user_id"):
        if not isinstance(item[name], str):
            return Problem(name, "must be a string")
        problem = id_problem(item[name])
        if problem is not None:
            return Problem(name, problem)
    rate = item["heart_rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        return Problem("heart_rate", "must be a whole number")
    # JSON knows no integers: 72.0 is the number 72. Infinity (1e400) is no whole number either.
    if isinstance(rate, float) and not rate.is_integer():
        return Problem("heart_rate", "must be a whole number")
    if not LOWEST_RATE <= rate <= HIGHEST_RATE:
        return Problem("heart_rate", f"must be between {LOWEST_RATE} and {HIGHEST_RATE}")
    time = item["timestamp"]
    if not isinstance(time, str):
        return Problem("timestamp", "must be a string")
    time_us = parse_time(time)
    if time_us is None:
        return Problem("timestamp", "must be an ISO 8601 date and time (YYYY-MM-DDTHH:MM:SSZ)")
    if not EARLIEST_US <= time_us < END_US:
        return Problem("timestamp", "must be in the years 1970 to 2099")
    return Reading(item["user_id"], item["device_id"], time_us, int(rate))


class _Item(msgspec.Struct, gc=False):
    device_id: str
    user_id: str
    timestamp: str
    heart_rate: int


class _Batch(msgspec.Struct, gc=False):
    readings: list[_Item]


_one = msgspec.json.Decoder(_Item)
_batch = msgspec.json.Decoder(_Batch)


def _quick(item: _Item) -> Reading | None:
    """Take what is plainly well formed: `YYYY-MM-DDTHH:MM:SS` and `Z`, with or without a fraction of 3 or 6 digits."""
    time = item.timestamp
    size = len(time)
    if (
        LOWEST_RATE <= item.heart_rate <= HIGHEST_RATE
        and (size == 20 or ((size == 24 or size == 27) and time[19] == "."))
        and time[-1] == "Z"
        and time[4] == time[7] == "-"
        and time[10] == "T"
        and time[13] == time[16] == ":"
        and id_problem(item.user_id) is None
        and id_problem(item.device_id) is None
    ):
        try:
            time_us = (datetime.fromisoformat(time) - _EPOCH) // _MICROSECOND
        except ValueError:
            return None
        if EARLIEST_US <= time_us < END_US:
            return Reading(item.user_id, item.device_id, time_us, item.heart_rate)
    return None


def decode_one(body: bytes) -> Reading:
    """Return the reading that `body` holds.

    Raises:
        RequestProblem: it holds none.
    """
    try:
        quick = _quick(_one.decode(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        quick = None
    if quick is not None and body.isascii():
        return quick
    found = check(_decode_slowly(body))
    if isinstance(found, Problem):
        raise RequestProblem(found.field, found.message)
    return found


def decode_batch(body: bytes) -> BatchOutcome:
    """Sort out the readings that `body` holds.

    Raises:
        RequestProblem: the body as a whole is no batch.
    """
    try:
        items = _batch.decode(body).readings
        if body.isascii() and len(items) <= MAX_BATCH:
            quick = [_quick(item) for item in items]
            if None not in quick:
                return BatchOutcome(quick, ())  # type: ignore[arg-type]  # proved by the line above
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        pass
    document = _decode_slowly(body)
    if not isinstance(document, dict):
        raise RequestProblem("body", "must be an object")
    if "readings" not in document:
        raise RequestProblem("readings", "is missing")
    values = document["readings"]
    if not isinstance(values, list):
        raise RequestProblem("readings", "must be a list")
    if len(values) > MAX_BATCH:
        raise RequestProblem("readings", f"must hold at most {MAX_BATCH} readings")
    readings: list[Reading] = []
    problems: list[tuple[int, Problem]] = []
    for index, value in enumerate(values):
        found = check(value)
        if isinstance(found, Problem):
            problems.append((index, found))
        else:
            readings.append(found)
    return BatchOutcome(readings, problems)


def _refuse_constant(name: str) -> object:
    # NaN and Infinity: Python's dialect, not JSON.
    raise ValueError(name)


def _decode_slowly(body: bytes) -> object:
    """Decode strict JSON.

    Raises:
        RequestProblem: it is none, or nested beyond the interpreter's depth.
    """
    try:
        text = body.decode("utf-8")
        document: object = json.loads(text, parse_constant=_refuse_constant)
        if "\\u" in text:
            # An escape may spell half a surrogate pair, which is no character: it cannot be encoded again.
            json.dumps(document, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError):  # a UnicodeError is a ValueError
        # `from None`: the cause quotes the body.
        raise RequestProblem("body", "must be valid JSON in UTF-8") from None
    return document
