"""Where rows end: quotes are read as RFC 4180 has it, and one that makes no sense costs no more than its line."""

import random
from typing import Any

import pytest

from mockexport import Schema, Summary
from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.formats import MAX_ROW_BYTES, Cutter
from mockexport.formats.quoting import Quoting, row_end, rows_in
from mockexport.model import Span
from tests.fuzz.comparing import EVERYTHING, Rows, outcome
from tests.rows import HEADER

ENGINES = ["python", pytest.param("kernel", marks=pytest.mark.skipif(kernel_problem() is not None, reason="no kernel"))]
ROW = b"P1,2025-08-26T00:00:04Z,spo2,97\n"
OTHER = b"event_type,value,event_time,patient_id\n"


def read(body: bytes, engine: str, chunk_bytes: int = 10_000, **description: Any) -> tuple[dict[int, str], int, int]:
    """Return the bad rows by line, and how many rows and values there are."""
    chosen = choose_engine(Summary(), Schema(**description), wanted=engine)
    cutter, fold = Cutter(Span("d"), chunk_bytes), chosen.new_fold(Span("d"))
    for chunk in [*cutter.feed(body), *cutter.finish()]:
        fold.feed(chunk)
    fold.finish()
    totals = chosen.reducer.result(fold.state).totals
    tally = fold.tally
    bad = {bad.line: str(bad.reason) for bad in tally.examples}
    return bad, tally.rows, sum(found.count for found in totals.values())


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("chunk_bytes", [1, 40, 10_000])
@pytest.mark.parametrize(
    ("rows", "bad", "count"),
    [
        (b'"P\n1",2025-08-26T00:00:04Z,spo2,97\n', {}, 1),
        (b'P1,2025-08-26T00:00:04Z,"sp\r\n\r\no2",97\r\n', {}, 1),
        (b'P1,2025-08-26T00:00:04Z,spo2,"97\n"\n', {2: "bad value"}, 0),
        (b'"note,\n' + ROW + b'end",2025-08-26T00:00:04Z,spo2,97\n', {}, 1),
        (b'"a""\n""b",2025-08-26T00:00:04Z,spo2,97', {}, 1),
        (b'"P1,2025-08-26T00:00:04Z,spo2,97\n', {2: "unbalanced quote"}, 0),
        (b'"P1\n"x,2025-08-26T00:00:04Z,spo2,97\n', {2: "unbalanced quote", 3: "unbalanced quote"}, 0),
        (b'P1,2025-08-26T00:00:04Z,spo2,"97\n' + ROW, {2: "unbalanced quote"}, 1),
        (b'a"b,2025-08-26T00:00:04Z,"spo2,97\n', {2: "unbalanced quote"}, 0),
        (b'"open\n' + ROW * 3 + b'"\n', {2: "too few fields"}, 0),
        (b'"' + b"x" * MAX_ROW_BYTES + b"\n" + ROW, {2: "row too long"}, 1),
    ],
)
def test_a_row_ends_where_its_quotes_say_or_else_with_its_first_line(
    engine: str, chunk_bytes: int, rows: bytes, bad: dict[int, str], count: int
) -> None:
    found, _, values = read(HEADER + rows + b"\n" + ROW, engine, chunk_bytes)
    assert (found, values) == (bad, count + 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("spare", [0, 1])
def test_a_quoted_field_may_be_as_long_as_a_row_and_no_longer(engine: str, spare: int) -> None:
    end = b'",P1,2025-08-26T00:00:04Z,spo2,97'
    note = b"\n".join([b"x" * 99] * 700)[: MAX_ROW_BYTES - 1 - len(end) + spare]
    body = b"note," + HEADER + b'"' + note + end + b"\n," + ROW
    bad, _, values = read(body, engine)
    assert (values, bool(bad)) == ((1, True) if spare else (2, False))
    assert bad.get(2, "unbalanced quote") == "unbalanced quote"


@pytest.mark.parametrize("engine", ENGINES)
def test_a_header_comes_again_and_in_another_order(engine: str) -> None:
    body = HEADER + ROW + HEADER + ROW + OTHER + b"spo2,98,2025-08-26T00:00:05Z,P2\n" + OTHER + b"x\n"
    chosen = choose_engine(Summary(), Schema(), wanted=engine)
    for chunk_bytes in (1, 10_000):
        cutter, fold = Cutter(Span("d"), chunk_bytes), chosen.new_fold(Span("d"))
        for chunk in [*cutter.feed(body), *cutter.finish()]:
            fold.feed(chunk)
        tally = fold.tally
        assert (tally.rows, dict(tally.bad), dict(tally.noted)) == (4, {"too few fields": 1}, {"header lines": 3})
        assert tally.patients == {"P1", "P2"}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_first_line_may_say_what_separates_fields(engine: str, mark: bytes) -> None:
    body = mark + b"sep=;\r\n" + (HEADER + ROW).replace(b",", b";").replace(b"\n", b"\r\n")
    assert read(body, engine) == ({}, 1, 1)
    assert read(body, engine, 1) == ({}, 1, 1)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("text", [b"-999", b"-999.0", b"-9.99e2", b'"-999.00"', b" -999 ", b"NA"])
def test_a_null_token_that_is_a_number_means_all_its_texts(engine: str, text: bytes) -> None:
    body = HEADER + ROW + b"P1,2025-08-26T00:00:05Z,spo2," + text + b"\n"
    assert read(body, engine, null_tokens=frozenset({"-999", "NA"})) == ({}, 2, 1)
    assert read(body, engine, null_tokens=frozenset({"-999.000", "NA"})) == ({}, 2, 1)


# Whatever of these comes after one another, engines, chunks and splits must agree about it.
LINES = [
    ROW, b'"P\n1",2025-08-26T00:00:04Z,spo2,8\n', b'P2,2025-08-26T00:00:04Z,"x,\n\n y",9\r\n', b'"a\n"x,1\n', b'"\n',
    b'P1,2025-08-26T00:00:04Z,spo2,"7\n', HEADER, OTHER, b"spo2,5,2025-08-26T00:00:05Z,P9\n", b'""\n', b"\n", b" \t\n",
    b" P1 , 2025-08-26T00:00:05 ,spo2 ,7,,\n", b'"P1" , "2025-08-26 00:00+02" ,"a""b",7\n', b'x,"y""\n',
    b"P1,2025-08-26,spo2,-999.0\n", b'"a,b\n' + HEADER, "Jörg\xa0,2025-08-26 10:00:00 UTC,größe,1\n".encode(),
]  # fmt: skip


@pytest.mark.skipif(kernel_problem() is not None, reason="no kernel")
@pytest.mark.parametrize("seed", range(12))
def test_engines_and_pieces_agree_on_lines_with_quotes(seed: int) -> None:
    draw = random.Random(seed)
    body = HEADER + b"".join(draw.choices(LINES, k=draw.randrange(14)))
    body = body[:-1] if draw.random() < 0.3 else body
    schema = Schema(null_tokens=frozenset({"-999"}))
    for reducer in (Rows(), EVERYTHING):
        law = outcome("python", body, schema, reducer=reducer, chunk_bytes=100_000)
        for engine in ("python", "kernel"):
            for chunk_bytes in (1, 64, 100_000):
                assert outcome(engine, body, schema, reducer=reducer, chunk_bytes=chunk_bytes) == law
    for edge in range(len(body)):
        assert outcome("kernel", body, schema, reducer=EVERYTHING, edges=[edge], chunk_bytes=64) == law


def test_rows_are_found_only_as_far_as_is_known() -> None:
    data = b'a,b\n"c\nd'
    assert rows_in(data, Quoting(), 1, ended=False).rows == [(1, b"a,b")]
    assert rows_in(data, Quoting(), 1, ended=True).rows == [(1, b"a,b"), (2, b'"c'), (3, b"d")]
    assert row_end(b'"a\n', 0, Quoting(quote=None), ended=False) == 2


@pytest.mark.parametrize(
    ("quoting", "text", "fields"),
    [
        (Quoting(escape="\\"), r'a\,b,"c\"d",\\', ["a,b", 'c"d', "\\"]),
        (Quoting(quote=None), '"a,b"', ['"a', 'b"']),
        (Quoting(quote="'"), "'a,''b',\"c", ["a,'b", '"c']),
        (Quoting(delimiter="\t"), ' a \t"b\tc"', ["a", "b\tc"]),
        (Quoting(delimiter=" "), '\ta "b c"', ["a", "b c"]),
    ],
)
def test_quotes_and_escapes_are_what_they_are_said_to_be(quoting: Quoting, text: str, fields: list[str]) -> None:
    assert quoting.split(text) == fields


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("chunk_bytes", [1, 10_000])
def test_another_encoding_is_read_as_what_it_says(engine: str, chunk_bytes: int) -> None:
    body = (
        HEADER + 'Jörg,2025-08-26,°F,7\n"Jö\nrg",2025-08-26,°F,8\n'.encode("cp1252") + b"J\x81,2025-08-26,x,9\n" + ROW
    )
    assert read(body, engine, chunk_bytes, encoding="cp1252") == ({5: "not UTF-8"}, 4, 3)
    chosen = choose_engine(Summary(), Schema(encoding="cp1252"), wanted=engine)
    cutter, fold = Cutter(Span("d"), chunk_bytes), chosen.new_fold(Span("d"))
    for chunk in [*cutter.feed(body), *cutter.finish()]:
        fold.feed(chunk)
    assert fold.tally.patients == {"Jörg", "Jö\nrg", "P1"}
    assert fold.tally.event_types == {"°F", "spo2"}
