"""Hostile rows from a seed, quickly and in any number: well-formed ones, near misses, and bytes without sense."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta

from mockexport.formats.fields import MAX_ID_BYTES
from mockexport.formats.filters import Filter
from mockexport.formats.schema import Schema
from mockexport.formats.zones import spans, zone_named

__all__ = ["ZONES", "asked", "body", "schema"]

# Clocks that are changed by half an hour, several times a year, by a day; offsets of seconds; none at all.
ZONES = (
    "Africa/Casablanca",
    "Africa/Monrovia",
    "America/New_York",
    "America/St_Johns",
    "Asia/Kathmandu",
    "Australia/Lord_Howe",
    "Europe/Berlin",
    "Pacific/Apia",
    "UTC",
)

_PATIENTS = [
    *(f"P{number:03}".encode() for number in range(1, 5)),
    "Jörg".encode(),
    "病人".encode(),
    "🙂".encode(),
    b"0b14c2f6-63b5-4d5e-9a7e-2a0f6d9e7a11",
    b"exactly16bytes__",
    b"seventeen_bytes__",
    b"x" * 255,
    b"y" * 256,
    b"z" * 257,
    "é".encode() * 128,
    "é".encode() * 129,
    b" ",
    b"a\rb",
    b"a\tb",
    b"",
    b'"quoted"',
    b'"a,b"',
    b'"a""b"',
    b'a"b',
    b'"open',
    b'"closed"x',
    b"nul\0",
    b"\xff\xfe",
    b"\xc0\x80",
    b"\xed\xa0\x80",
    b"\xe0\x9f\x80",
    b"\xf0\x8f\xbf\xbf",
    b"\xf4\x90\x80\x80",
    b"\xe2\x82",
    b"\xef\xbb\xbfP001",
]
_TYPES = [b"heart_rate", b"spo2", b"bp_sys", b"bp_dia", b"steps", "größe".encode(), b"", b'"spo2"', b"spo2 ", b"\xff"]
_TIMES = [
    b"2025-08-26T00:00:04.906404Z",
    b"2025-08-26T00:00:07Z",
    b"2025-08-26 00:00:07",
    b"2025-08-26T00:00:07.1Z",
    b"2025-08-26T00:00:07.123456789Z",
    b"2025-08-26T00:00:07.1234567890Z",
    b"2025-08-26T00:00:07.Z",
    b"2025-08-26T00:00:07+02:00",
    b"2025-08-26T00:00:07.5-23:59",
    b"2025-08-26T00:00:07+24:00",
    b"2025-08-26T00:00:07+02:60",
    b"2025-08-26T00:00:07+0200",
    b"2025-08-26T00:00:07z",
    b"2025-08-26t00:00:07Z",
    b"2025-08-26T23:59:59.999999Z",
    b"2025-08-26T24:00:00Z",
    b"2025-08-26T23:60:00Z",
    b"2025-08-26T23:59:60Z",
    b"2025-08-26T23:59:60.000000Z",
    b"2025-08-26T23:59:59.00000xZ",
    b"2024-02-29T12:00:00Z",
    b"2023-02-29T12:00:00Z",
    b"2025-02-30T12:00:00Z",
    b"2000-02-29T12:00:00Z",
    b"1900-02-29T12:00:00Z",
    b"0001-01-01T00:00:00Z",
    b"0000-01-01T00:00:00Z",
    b"9999-12-31T23:59:59.999999-23:59",
    b"0001-01-01T00:00:00+23:59",
    b"2025-13-01T00:00:00Z",
    b"2025-00-01T00:00:00Z",
    b"2025-01-00T00:00:00Z",
    b"2025-01-32T00:00:00Z",
    b"1756166400",
    b"2025-08-26",
    b"2025-08-26T00:00",
    b"\0" * 16 + b":00Z",
    b"1970-01-01T00:00:00Z",
    "٢025-08-26T00:00:07Z".encode(),
    b"",
    b'"2025-08-26T00:00:07Z"',
]
_VALUES = [
    b"72",
    b"0",
    b"-0",
    b"+5",
    b"-17",
    b"120",
    b"98.6",
    b"98.60",
    b"5.",
    b".5",
    b".",
    b"-.5",
    b"+.25",
    b"1.2.3",
    b"72.0",
    b"7.2e1",
    b"1e-9",
    b"1E9",
    b"1e9999999999",
    b"1000000000",
    b"1000000000.0",
    b"1000000000.000000001",
    b"-1000000000",
    b"-1000000001",
    b"999999999.999999999",
    b"0.0000000005",
    b"0.0000000015",
    b"0.123456789",
    b"0.1234567891",
    b"1.27e-11",
    b"5e12",
    b"250000000000",
    b"1e-18",
    b"1e-19",
    b"5e-19",
    b"15e-19",
    b"1.50000000000000000000000",
    b"123456789012345.678901234567890123",
    b"-123456789012345.678901234567890123",
    b"99999999999999999999999999999999999999e-23",
    b"999999999999999999999999999999999999999e-24",
    b"1e15",
    b"-1e15",
    b"1000000000000000.000000000000000000",
    b"1000000000000000.000000000000000001",
    b"1e16",
    b"5.e3",
    b".5E+3",
    b"1e+",
    b"1e-00018",
    b"1e00003",
    b"00000000000000000000072",
    b"0072",
    b"12345678",
    b"123456789",
    b"1234567.8",
    b"12345678.9",
    b"1,5",
    b'"1,5"',
    b'"72"',
    b"nan",
    b"inf",
    b"-",
    b"+",
    b"e5",
    b"1e",
    b"0x10",
    b"1_000",
    b" 72",
    b"72 ",
    b" ",
    b"72\r",
    "٣".encode(),
    "7²".encode(),
    b"",
    b"NULL",
    b"-999",
    b"\xb2",
]
_ENDS = [b"\n"] * 8 + [b"\r\n"] * 4 + [b"\r\r\n"]
_NAMES = [b"patient_id", b"event_time", b"event_type", b"value"]


def schema(draw: random.Random) -> Schema:
    """A schema: mostly the usual one."""
    delimiter = draw.choice(",,,,,;\t|T-:. 0e")
    tokens = draw.choice([(), (), (), ("NULL", "-999"), ("0", "72", 'a"', "\0", "\ud800", "x,y", "ü")])
    timezone = draw.choice(ZONES) if draw.random() < 0.4 else None
    return Schema(delimiter=delimiter, null_tokens=frozenset(tokens), timezone=timezone)


def asked(draw: random.Random) -> Filter | None:
    """A filter, or none: times about the rows' own, ids that occur and others."""
    if draw.random() < 0.5:
        return None
    # Whole seconds, which rows hit.
    since, until = sorted(1_756_166_400_000_000 + second * 10**6 for second in draw.sample(range(-1, 100), 2))
    patients = [text.decode(errors="surrogateescape") for text in draw.sample(_PATIENTS[:18], draw.choice([1, 3, 9]))]
    # A filter refuses what no row could have.
    patients = [text for text in patients if 0 < len(text.encode(errors="surrogateescape")) <= MAX_ID_BYTES]
    types = [text.decode() for text in draw.sample(_TYPES[:6], draw.choice([1, 3]))]
    return Filter(
        draw.choice([None, since]),
        draw.choice([None, until]),
        draw.choice([None, frozenset(patients) | {"nobody\ud800"}]),
        draw.choice([None, frozenset(types)]),
    )


def local_time(draw: random.Random, timezone: str) -> bytes:
    """A time without an offset, mostly near a change of the zone's clocks."""
    near, _ = draw.choice(spans(zone_named(timezone)))
    years = draw.choice([0, 0, 0, 0, -3_000_000_000, 250_000_000_000 - near, -62_135_000_000 - near])
    local = datetime(1970, 1, 1) + timedelta(seconds=near + years + draw.choice([-1, 0, 1, 59, 60, 1800, -1800, 3600]))
    return local.isoformat(draw.choice("T ")).encode() + draw.choice([b"", b"", b".25", b".123456", b"Z", b"+01:00"])


def body(draw: random.Random, rows: int, schema: Schema) -> bytes:
    """A body with its header and about `rows` rows, one in a few of them odd."""
    delimiter = schema.delimiter.encode()
    columns = [0, 1, 2, 3]
    if draw.random() < 0.4:
        columns += [-1] * draw.choice([0, 1, 1, 2, 7])
        draw.shuffle(columns)
    names = [_NAMES[column] if column >= 0 else b"extra%d" % place for place, column in enumerate(columns)]
    if delimiter in b"".join(names):
        names = [b'"' + name + b'"' for name in names]
    oddity = draw.choice([0.0, 0.02, 0.3, 1.0])
    quoted = draw.choice([0.0, 0.0, 0.02, 1.0])
    tame = draw.random() < 0.3
    parts = [draw.choice([b"", b"\xef\xbb\xbf"]), draw.choice([b"", b"\n", b"\r\n\n"]), delimiter.join(names), b"\n"]
    for number in range(rows):
        if draw.random() >= oddity:
            fields = [_good(draw, column, number, schema.timezone) for column in columns]
            if draw.random() < quoted:
                fields = [
                    _quoted(draw, field, column, delimiter) for field, column in zip(fields, columns, strict=True)
                ]
            line = delimiter.join(fields)
        else:
            line = draw.choice(_ODD)(draw, columns, delimiter, number)
        parts += (line, b"\n" if tame else draw.choice(_ENDS))
    text = b"".join(parts)
    return text.rstrip(b"\r\n") if draw.random() < 0.3 else text


def _good(draw: random.Random, column: int, number: int, timezone: str | None = None) -> bytes:
    match column:
        case 0:
            return draw.choice(_PATIENTS[:11])
        case 1 if timezone is not None and draw.random() < 0.7:
            return local_time(draw, timezone)
        case 1:
            second = b"2025-08-26T%02d:%02d:%02d" % (number // 3600 % 24, number // 60 % 60, number % 60)
            return second + (b".%06dZ" % draw.randrange(10**6) if draw.random() < 0.9 else b"Z")
        case 2:
            return draw.choice(_TYPES[:6])
        case 3:
            whole = b"%d" % draw.randrange(30, 200)
            return whole if draw.random() < 0.6 else whole + b".%d" % draw.randrange(10 ** draw.randrange(1, 10))
        case _:
            return draw.choice([b"", b"x", b"note", b"3.14", "ü".encode()])


def _quoted(draw: random.Random, field: bytes, column: int, delimiter: bytes) -> bytes:
    if draw.random() < 0.5 or b'"' in field:
        return field
    if column < 1 and draw.random() < 0.2:
        field += draw.choice([delimiter, delimiter * 2, b'""', b"\r", "ü".encode()])
    return b'"' + field + b'"'


def _field(draw: random.Random, column: int) -> bytes:
    pool = {0: _PATIENTS, 1: _TIMES, 2: _TYPES, 3: _VALUES}.get(column, _PATIENTS)
    return draw.choice(pool)


def _one_odd_field(draw: random.Random, columns: list[int], delimiter: bytes, number: int) -> bytes:
    odd = draw.randrange(len(columns))
    return delimiter.join(
        _field(draw, column) if place == odd else _good(draw, column, number) for place, column in enumerate(columns)
    )


def _odd_fields(draw: random.Random, columns: list[int], delimiter: bytes, number: int) -> bytes:
    return delimiter.join(_field(draw, column) for column in columns)


def _another_width(draw: random.Random, columns: list[int], delimiter: bytes, number: int) -> bytes:
    fields = [_good(draw, column, number) for column in columns]
    if draw.random() < 0.5:
        fields.insert(draw.randrange(len(fields) + 1), draw.choice([b"", b"x"]))
    else:
        fields.pop(draw.randrange(len(fields)))
    return delimiter.join(fields)


def _one_byte_changed(draw: random.Random, columns: list[int], delimiter: bytes, number: int) -> bytes:
    fields = [_good(draw, column, number) for column in columns]
    if draw.random() < 0.3:
        fields = [_quoted(draw, field, column, delimiter) for field, column in zip(fields, columns, strict=True)]
    line = bytearray(delimiter.join(fields))
    if line:
        at = draw.randrange(len(line))
        match draw.randrange(3):
            case 0:
                line[at] = draw.choice(b'\0\r"\x80\xff,;.:-+TZ e09/\x7f' + bytes([draw.randrange(256)]))
            case 1:
                del line[at]
            case _:
                line.insert(at, draw.choice(b'\0\r"\x80\xff,.0Z'))
    return bytes(line).replace(b"\n", b"")


def _noise(draw: random.Random, columns: list[int], delimiter: bytes, number: int) -> bytes:
    return draw.randbytes(draw.randrange(60)).replace(b"\n", b"")


def _nothing(draw: random.Random, columns: list[int], delimiter: bytes, number: int) -> bytes:
    return draw.choice([b"", b"", b" ", delimiter, delimiter * 3, delimiter * (len(columns) - 1)])


def _long(draw: random.Random, columns: list[int], delimiter: bytes, number: int) -> bytes:
    if draw.random() < 0.97:
        return b""  # long rows take time, and every one is like the other
    line = delimiter.join(_good(draw, column, number) for column in columns)
    return line + draw.choice([b"x", b"0", delimiter]) * draw.choice(
        [4_000, 4_090, 16_300, 16_384, 65_500, 65_536, 70_000]
    )


_ODD: list[Callable[[random.Random, list[int], bytes, int], bytes]] = [
    *[_one_odd_field] * 6,
    _odd_fields,
    _another_width,
    *[_one_byte_changed] * 4,
    _noise,
    _nothing,
    _long,
]
