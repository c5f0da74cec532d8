"""The grammar of one field: exact integers out, or a reason."""

import tracemalloc
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal, localcontext

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mockexport.formats.fields import BadField, BadRowReason, check_id, format_time, parse_time, parse_value

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1970-01-01T00:00:00Z", 0),
        ("1970-01-01 00:00:00", 0),
        ("1970-01-01T00:00:00.9Z", 900_000),
        ("1970-01-01T00:00:00,9Z", 900_000),
        ("1970-01-02", 86_400_000_000),
        ("1970-01-01T00:01", 60_000_000),
        ("1970-01-01 00:01Z", 60_000_000),
        ("1970-01-01 01:01+01", 60_000_000),
        ("1970-01-01 00:00:01 UTC", 1_000_000),
        ("1970-01-01 00:00:01GMT", 1_000_000),
        ("1970-01-01T02:00:00.5 +0200", 500_000),
        ("1969-12-31T23:30:00-00", -1_800_000_000),
        ("1970-01-01T00:00:00.000001999Z", 1),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1969-12-31T23:00:00-01:00", 0),
        ("1969-12-31T23:59:59.999999Z", -1),
        ("2025-08-26T00:00:04.906404Z", 1_756_166_404_906_404),
        ("0001-01-01T00:00:00Z", -62_135_596_800_000_000),
        ("9999-12-31T23:59:59.999999Z", 253_402_300_799_999_999),
        ("2024-02-29T00:00:00Z", 1_709_164_800_000_000),
    ],
)
def test_a_time_is_an_instant_of_utc(text: str, expected: int) -> None:
    assert parse_time(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2025-08-2",
        "2025-08-26Z",
        "2025-08-26T",
        "2025-08-26T00",
        "2025-08-26T00:00.5",
        "2025-08-26T00:00:00  Z",
        "2025-08-26T00:00:00 utc",
        "2025-08-26T00:00:00 CET",
        "2025-08-26T00:00:00+1",
        "2025-08-26T00:00:00+010",
        "2025-08-26T00:00:00+01:0",
        "2025-08-26T00:00:60Z",
        "2025-08-26T23:60:00Z",
        "2025-08-26T24:00:00Z",
        "2025-02-30T00:00:00Z",
        "2023-02-29T00:00:00Z",
        "0000-01-01T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "1756166404",
        "1756166404.5",
        "2025-08-26t00:00:00Z",
        "2025-08-26T00:00:00z",
        "2025-08-26T00:00:00.Z",
        "2025-08-26T00:00:00.1234567890Z",
        "2025-08-26T00:00:00+24:00",
        "2025-08-26T00:00:00+01:60",
        "2025-08-26T00:00:00+0160",
        "2025-08-26T00:00:00Z ",
        " 2025-08-26T00:00:00Z",
        "2025-08-26T00:00:00ZZ",
        "\uff12025-08-26T00:00:00Z",
        "2025-08-26T00:00:0٣Z",
        "20250826T000000Z",
        "2025-W35-2T00:00:00Z",
    ],
)
def test_anything_else_is_no_time(text: str) -> None:
    with pytest.raises(BadField, match="bad event_time"):
        parse_time(text)


@given(st.datetimes(), st.integers(-1439, 1439))
def test_a_time_with_any_offset_is_the_instant_that_the_standard_library_makes_of_it(
    moment: datetime, offset_minutes: int
) -> None:
    sign = "-" if offset_minutes < 0 else "+"
    hours, minutes = divmod(abs(offset_minutes), 60)
    expected = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) - offset_minutes * 60_000_000
    assert parse_time(f"{moment.isoformat()}{sign}{hours:02}:{minutes:02}") == expected


@given(st.datetimes())
def test_a_written_time_reads_as_the_same(moment: datetime) -> None:
    time_us = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1)
    assert parse_time(format_time(time_us)) == time_us


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("9999-12-31T23:59:59.999999-23:59", "253402387139.999999 s since 1970"),
        ("9999-12-31T23:59:00-00:01", "253402300800 s since 1970"),
        ("0001-01-01T00:00:00.25+00:01", "-62135596859.750000 s since 1970"),
    ],
)
def test_what_an_offset_carries_beyond_the_calendar_is_told_exactly(text: str, told: str) -> None:
    assert format_time(parse_time(text)) == told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("72", 72 * 10**18),
        ("-0", 0),
        ("+5", 5 * 10**18),
        ("72.0", 72 * 10**18),
        ("72.", 72 * 10**18),
        ("7.2e1", 72 * 10**18),
        ("720E-1", 72 * 10**18),
        (".5", 5 * 10**17),
        ("007", 7 * 10**18),
        ("1.27e-11", 12_700_000),
        ("5e12", 5 * 10**30),
        ("1e-18", 1),
        ("-123456789012345.678901234567890123", -123456789012345678901234567890123),
        ("0.0000000000000000010000000000", 1),
        ("1000000000000000", 10**33),
        ("-1e15", -(10**33)),
        ("0e999999999999999999999", 0),
        ("0." + "0" * 5000, 0),
        ("0." + "0" * 5000 + "1e5001", 10**18),
        ("1" + "0" * 5000 + "e-5000", 10**18),
    ],
)
def test_a_value_is_exact_to_eighteen_places(text: str, expected: int) -> None:
    assert parse_value(text) == (expected, False)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.0000000000000000005", 0),
        ("0.0000000000000000015", 2),
        ("0.0000000000000000025", 2),
        ("0.00000000000000000250000000001", 3),
        ("-0.0000000000000000015", -2),
        ("1e-19", 0),
        ("1e-999999999999999999999", 0),
        ("1000000000000000.0000000000000000001", 10**33),
        ("999999999999999.9999999999999999995", 10**33),
    ],
)
def test_beyond_eighteen_places_a_value_is_rounded_and_says_so(text: str, expected: int) -> None:
    assert parse_value(text) == (expected, True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nan",
        "NaN",
        "inf",
        "-inf",
        " ",
        " 1",
        "1 ",
        "1,5",
        "0x10",
        "1_000",
        "٣",
        "\uff11",
        ".",
        "e5",
        "1e",
        "+",
        "--1",
        "1.2.3",
        "1e1.5",
        "1\n",
    ],
)
def test_anything_else_is_no_value(text: str) -> None:
    with pytest.raises(BadField) as raised:
        parse_value(text)
    assert raised.value.reason is BadRowReason.VALUE


@pytest.mark.parametrize(
    "text",
    [
        "1e999",
        "1e16",
        "1000000000000001",
        "-1000000000000000.1",
        "1000000000000000.000000000000000001",
        "1" + "0" * 60_000,
        "1e" + "9" * 60_000,
    ],
)
def test_a_value_beyond_its_range_says_so(text: str) -> None:
    with pytest.raises(BadField) as raised:
        parse_value(text)
    assert raised.value.reason is BadRowReason.VALUE_RANGE


@given(st.decimals(-(10**15), 10**15, allow_nan=False), st.sampled_from(["f", "e", "E"]))
@example(Decimal("0.0000000000000000005"), "f")
@example(Decimal("999999999999999.9999999999999999999"), "f")
def test_values_round_half_to_even_like_decimal(number: Decimal, notation: str) -> None:
    with localcontext(prec=200):
        scaled = number * 10**18
        expected = int(scaled.quantize(Decimal(1), rounding=ROUND_HALF_EVEN)) if number else 0
        assert parse_value(format(number, notation)) == (expected, expected != scaled)


@pytest.mark.parametrize("text", ["x", "=1+1", "<script>", "x" * 256, "ä" * 128, "\u202e"])
def test_an_id_is_any_text_of_up_to_256_bytes(text: str) -> None:
    check_id(text)


@pytest.mark.parametrize(("text", "reason"), [("", "empty id"), ("x" * 257, "id too long"), ("ä" * 129, "id too long")])
def test_other_ids_are_bad(text: str, reason: str) -> None:
    with pytest.raises(BadField, match=reason):
        check_id(text)


def test_long_texts_of_values_are_not_kept() -> None:
    tracemalloc.start()
    try:
        for number in range(200):
            assert parse_value(f"1.{'0' * 60_000}{number:03}")[0] == 10**18
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 1_000_000
