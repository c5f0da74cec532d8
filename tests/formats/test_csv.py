"""CSV, the reference: every row lands in exactly one place, and every kind of bad row under its reason."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Schema
from mockexport.errors import HeaderError, OptionError
from mockexport.formats import BadRow, BadRowReason, Batch, CsvDecoder, Cutter, Decoded
from mockexport.model import Chunk, Span
from tests.rows import HEADER, csv_bodies

GOOD = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"
TIME_US = 1_756_166_404_000_000


def decode(body: bytes, *, schema: Schema | None = None, chunk_bytes: int = 2**18, piece: int = 2**20) -> Decoded:
    """Decode a whole body through a cutter, as one."""
    cutter, decoder = Cutter(Span("d"), chunk_bytes), CsvDecoder(schema or Schema())
    whole = Decoded(Batch(), [], [])
    chunks = [c for start in range(0, len(body), piece) for c in cutter.feed(body[start : start + piece])]
    chunks += cutter.finish()
    line = 1 + sum(bytes(chunk.data).count(b"\n") for chunk in chunks)
    for decoded in itertools.chain(map(decoder.decode, chunks), map(decoder.finish, [line])):
        for name in ("patient_ids", "event_times", "event_types", "values"):
            getattr(whole.batch, name).extend(getattr(decoded.batch, name))
        whole.missing.extend(decoded.missing)
        whole.bad.extend(decoded.bad)
    return whole


def only_bad(row: bytes) -> BadRow:
    """Decode good, `row`, good; check that the good ones are unharmed; return the bad one."""
    decoded = decode(HEADER + GOOD + row + b"\n" + GOOD)
    assert decoded.batch.values == [72 * 10**18] * 2
    assert not decoded.missing
    (bad,) = decoded.bad
    assert bad.line == 3
    return bad


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"P001", BadRowReason.TOO_FEW_FIELDS),
        (b'""', BadRowReason.TOO_FEW_FIELDS),
        (b"P001,2025-08-26T00:00:04Z,heart_rate,72,,x", BadRowReason.TOO_MANY_FIELDS),
        (b'P001,2025-08-26T00:00:04Z,heart_rate,72," "', BadRowReason.TOO_MANY_FIELDS),
        (b"P001,2025-08-26T00:00:04Z,heart_rate,1,5", BadRowReason.TOO_MANY_FIELDS),
        (b'P001,2025-08-26T00:00:04Z,heart_rate,"1,5"', BadRowReason.VALUE),
        (b'"P001,2025-08-26T00:00:04Z,heart_rate,72', BadRowReason.QUOTE),
        (b'P0"01,2025-08-26T00:00:04Z,heart_rate,72', BadRowReason.QUOTE),
        (b'P"0"01,2025-08-26T00:00:04Z,heart_rate,72', BadRowReason.QUOTE),
        (b'"P001"x,2025-08-26T00:00:04Z,heart_rate,72', BadRowReason.AFTER_QUOTE),
        (b"P001,2025-08-26T00:00:04Z,heart\0rate,72", BadRowReason.NUL),
        (b"P001,2025-08-26T00:00:04Z,heart_rate,72\0", BadRowReason.NUL),
        (b"P\xff,2025-08-26T00:00:04Z,heart_rate,72", BadRowReason.ENCODING),
        (b"P\xed\xa0\x80,2025-08-26T00:00:04Z,heart_rate,72", BadRowReason.ENCODING),
        (b",2025-08-26T00:00:04Z,heart_rate,72", BadRowReason.EMPTY_ID),
        (b"P001,2025-08-26T00:00:04Z,,72", BadRowReason.EMPTY_ID),
        (b"P" * 257 + b",2025-08-26T00:00:04Z,heart_rate,72", BadRowReason.LONG_ID),
        (b"P001,2025-08-26T00:00:04Z,heart_rate," + b"7" * 70_000, BadRowReason.TOO_LONG),
        (b"P001,2025-02-30T00:00:04Z,heart_rate,72", BadRowReason.TIME),
        (b"P001,,heart_rate,72", BadRowReason.TIME),
        (b"P001,2025-08-26T00:00:04Z,heart_rate,nan", BadRowReason.VALUE),
        (b"P001,2025-08-26T00:00:04Z,heart_rate,1e999", BadRowReason.VALUE_RANGE),
        (b"P001,2025-08-26T00:00:04Z,heart_rate,72\r\r", BadRowReason.VALUE),
    ],
)
def test_a_bad_row_has_its_reason_and_line_and_harms_no_other(row: bytes, reason: BadRowReason) -> None:
    assert only_bad(row).reason is reason


@pytest.mark.parametrize(
    ("row", "patient_id", "value"),
    [
        (b'"P,1",2025-08-26T00:00:04Z,heart_rate,72', "P,1", 72),
        (b'"P""1",2025-08-26T00:00:04Z,heart_rate,"72"', 'P"1', 72),
        (b"<script>,2025-08-26T00:00:04Z,heart_rate,72.0", "<script>", 72),
        (b"P\r1,2025-08-26T00:00:04Z,heart_rate,72\r", "P\r1", 72),
        (b" P001\t, 2025-08-26T00:00:04Z ,heart_rate, 72 ", "P001", 72),
        (b'" P001 ", "2025-08-26T00:00:04Z" ,heart_rate,"72"\t', " P001 ", 72),
        (b'P001,2025-08-26T00:00:04Z,heart_rate,72, ,"",\t', "P001", 72),
        (b'"P\n1",2025-08-26T00:00:04Z,heart_rate,72', "P\n1", 72),
        (b"P" * 256 + b",2025-08-26T00:00:04Z,heart_rate,7.2e1", "P" * 256, 72),
    ],
)
def test_unusual_rows_are_rows(row: bytes, patient_id: str, value: int) -> None:
    decoded = decode(HEADER + row)
    assert decoded.batch == Batch([patient_id], [TIME_US], ["heart_rate"], [value * 10**18])


def test_an_empty_value_is_missing_and_not_bad() -> None:
    decoded = decode(HEADER + b"P001,2025-08-26T00:00:04Z,heart_rate,\n" + b'P001,2025-08-26T00:00:04Z,spo2,""\n')
    assert [(row.patient_id, row.event_time, row.event_type) for row in decoded.missing] == [
        ("P001", TIME_US, "heart_rate"),
        ("P001", TIME_US, "spo2"),
    ]
    assert not decoded.bad


def test_null_tokens_are_missing_values() -> None:
    schema = Schema(null_tokens=frozenset({"NA"}))
    decoded = decode(HEADER + b"P001,2025-08-26T00:00:04Z,spo2,NA\n" + GOOD, schema=schema)
    assert (len(decoded.missing), len(decoded.batch), len(decoded.bad)) == (1, 1, 0)


def test_a_text_is_no_set_of_null_tokens() -> None:
    with pytest.raises(OptionError, match="a set of texts, not a text"):
        Schema(null_tokens="-999")  # type: ignore[arg-type]
    assert Schema(null_tokens=["NA"]) == Schema(null_tokens=frozenset({"NA"}))  # type: ignore[arg-type]


@pytest.mark.parametrize("body", [b"", b"\xef\xbb\xbf", HEADER, HEADER[:-1], b"\n\r\n", b"\n" + HEADER + b" \n\t\n\n"])
def test_a_body_without_rows_has_none(body: bytes) -> None:
    assert decode(body).rows == 0


def test_columns_come_in_any_order_with_others_between_them() -> None:
    decoded = decode(b'x,value,y,"event_type",event_time,patient_id,x\n,72,,heart_rate,2025-08-26T00:00:04Z,P001,\n')
    assert decoded.batch == Batch(["P001"], [TIME_US], ["heart_rate"], [72 * 10**18])


def test_a_schema_names_columns_and_delimiter() -> None:
    schema = Schema("subject", "at", "item", "number", delimiter=";")
    decoded = decode(b"subject;at;item;number\nP001;2025-08-26T00:00:04Z;heart_rate;72\n", schema=schema)
    assert decoded.batch == Batch(["P001"], [TIME_US], ["heart_rate"], [72 * 10**18])


@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"patient_id,event_time,event_type\n", "column value is missing"),
        (b"patient_id,event_time,event_type,value,value\n", "column value is repeated"),
        (b"patient_id,event_time,event_type,Value\n", "column value is missing"),
        (b"<!DOCTYPE html><title>Log in</title>\n", "<!DOCTYPE html><title>Log in</title>"),
        (b'patient_id,event_time,event_type,"value\n', "unbalanced quote"),
        (b"\xff\n", "not UTF-8"),
        (b"x" * 70_000, "longer than 65,536 bytes"),
        (b"\x1b[31mred\n", r"\x1b[31mred"),
    ],
)
def test_a_header_that_does_not_name_the_columns_is_an_error_that_shows_it(header: bytes, told: str) -> None:
    with pytest.raises(HeaderError) as raised:
        decode(header + GOOD, chunk_bytes=1024)
    assert told in str(raised.value)
    assert "not the expected CSV header" in str(raised.value)


@pytest.mark.parametrize(
    ("header", "schema", "told"),
    [
        (
            b"subject_id,charttime,itemid,valuenum\n",
            Schema(),
            "; say which columns are which (--columns, --like, or Schema)",
        ),
        (b"subject_id,charttime,Event Type,Value\n", Schema(patient_id="subject_id"), "; say which columns are which"),
        (b'"patient_id";"event_time";"event_type";"value"\n', Schema(), "; say which columns are which"),
        (b"subject\tat\titem\tnumber\n", Schema(delimiter=";"), "; say which columns are which"),
        (b"subject^at^item^number\n", Schema(delimiter="^"), "; say which columns are which"),
        ("Patient;Zeit;Größe;Wert\n".encode(), Schema(), "there came 'Patient;Zeit;Größe;Wert'"),
    ],
)
def test_a_header_of_other_columns_is_shown_and_how_to_read_it(header: bytes, schema: Schema, told: str) -> None:
    with pytest.raises(HeaderError) as raised:
        decode(header, schema=schema)
    assert told in str(raised.value)
    assert repr(header.decode().rstrip("\n")) in str(raised.value)


def test_a_login_page_is_shown_and_not_taken_for_a_table() -> None:
    with pytest.raises(HeaderError) as raised:
        decode(b"<!DOCTYPE html><p>Hello, stranger, please, log in; or go, if you like</p>\n")
    assert "which columns" not in str(raised.value)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (GOOD, "put a line above it that names the columns"),
        (HEADER.replace(b"\n", b"\r") + GOOD.replace(b"\n", b"\r"), "lines end in CR alone"),
        ("Größe,Wert\n".encode("latin-1"), "iconv -f LATIN1 -t UTF-8"),
        (b"a.csv\0\0,P001,\0\n", "no text; an archive is to be unpacked first"),
        (b"P001\0\xff\n", "no text"),
        (b'{"patient_id":"P001","value":"x"}\n', "looks like JSON"),
        (b'[{"patient_id":"P001"}]\n', "looks like JSON"),
        (GOOD.replace(b",", b" "), "looks like a row of data"),
        (b"P001:heart_rate:72\n", "looks like a row of data"),
        (b"P001^heart_rate^72\n", "looks like a row of data"),
    ],
)
def test_a_header_that_cannot_be_read_says_what_to_do(data: bytes, told: str) -> None:
    with pytest.raises(HeaderError, match=told) as raised:
        decode(data)
    assert "P001" not in str(raised.value)


def test_a_row_of_data_in_place_of_the_header_is_not_shown() -> None:
    with pytest.raises(HeaderError, match="the header is missing") as raised:
        decode(GOOD)
    assert "P001" not in str(raised.value)


@given(csv_bodies())
def test_every_line_that_is_not_blank_is_exactly_one_row(body: bytes) -> None:
    lines = [line.removesuffix(b"\r") for line in body.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    assert decode(body).rows == sum(1 for line in lines[1:] if line)


@given(csv_bodies(), st.integers(1, 100))
def test_rows_do_not_depend_on_how_the_bytes_arrive(body: bytes, chunk_bytes: int) -> None:
    whole = decode(body)
    assert decode(body, chunk_bytes=chunk_bytes) == whole
    assert decode(body, chunk_bytes=chunk_bytes, piece=1) == whole


def test_a_row_may_be_split_anywhere() -> None:
    body = (
        b"\xef\xbb\xbf"
        + HEADER.replace(b"\n", b"\r\n")
        + GOOD.replace(b"\n", b"\r\n")
        + "ä,2025-08-26T00:00:04Z,x,\n".encode()
    )
    whole = decode(body)
    assert whole.rows == 2
    for position in range(len(body)):
        cutter, decoder = Cutter(Span("d"), 10), CsvDecoder(Schema())
        chunks = [*cutter.feed(body[:position]), *cutter.feed(body[position:]), *cutter.finish()]
        assert sum(decoder.decode(chunk).rows for chunk in chunks) == 2


@pytest.mark.parametrize(
    "row",
    [
        b"P001,2025-08-26T00:00:04Z,heart_rate,72",
        b"P001,1756166400,heart_rate,72",
        b"P001;2025-08-26T00:00:04Z;heart_rate;72",
        b"P001|26/08/2025 10:00|heart_rate|",
        b'"Doe, Jane"\t26 August 2025\theart_rate\t"72"',
        b'P001,26 August 2025,heart_rate,"72',
    ],
)
def test_a_row_of_data_in_the_place_of_the_header_is_not_told(row: bytes) -> None:
    with pytest.raises(HeaderError, match="looks like a row of data") as raised:
        decode(row + b"\n")
    assert not any(text in str(raised.value) for text in ("P001", "Jane", "72", "heart_rate"))


def test_a_byte_order_mark_is_one_at_the_start_of_the_body_alone() -> None:
    decoder = CsvDecoder(Schema())
    decoder.decode(Chunk(Span("d"), HEADER, 0, len(HEADER), 1))
    row = b"\xef\xbb\xbf" + GOOD
    decoded = decoder.decode(Chunk(Span("d"), row, len(HEADER), len(HEADER) + len(row), 2))
    assert decoded.batch.patient_ids == ["\ufeffP001"]
