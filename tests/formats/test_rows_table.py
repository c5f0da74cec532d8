"""The table of bad input, row by row: whole, in one-byte pieces, and at every two-way split, by every engine."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import pytest

from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.errors import HeaderError
from mockexport.formats import Cutter
from mockexport.formats.schema import Schema
from mockexport.formats.tally import Tally
from mockexport.model import Span
from mockexport.reducers import Summary

HEADER = b"patient_id,event_time,event_type,value\n"
GOOD = b"P1,2025-08-26T00:00:00Z,spo2,97\n"
AFTER = b"P2,2025-08-26T00:00:01Z,spo2,98\n"
BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Case:
    """A body, the good rows it holds, its bad ones by line, and how many have no value."""

    name: str
    body: bytes
    values: tuple[float, ...] = ()
    bad: dict[int, str] = field(default_factory=dict)
    missing: int = 0


def row(fields: bytes, reason: str) -> Case:
    """A bad row between two good ones, which it must not harm."""
    return Case(reason + " " + ascii(fields)[:40], HEADER + GOOD + fields + b"\n" + AFTER, (97, 98), {3: reason})


def value(text: bytes, number: float | None) -> Case:
    """A value, good (its number) or bad (None)."""
    body = HEADER + GOOD + b"P1,2025-08-26T00:00:02Z,spo2," + text + b"\n" + AFTER
    if number is None:
        return Case(f"value {text!a}", body, (97, 98), {3: "bad value"})
    return Case(f"value {text!a}", body, (97, number, 98))


def time(text: bytes, *, good: bool) -> Case:
    """An event_time, good or bad."""
    body = HEADER + GOOD + b"P1," + text + b",spo2,96\n" + AFTER
    return Case(f"time {text!a}", body, (97, 96, 98) if good else (97, 98), {} if good else {3: "bad event_time"})


TIME = b"2025-08-26T00:00:02Z"
CASES = [
    row(b'"P1,' + TIME + b",spo2,97", "unbalanced quote"),
    row(b'"P1"x,' + TIME + b",spo2,97", "text after a closing quote"),
    row(b"P1," + TIME + b",spo2", "too few fields"),
    row(b"P1," + TIME + b",spo2,97,1", "too many fields"),
    row(b"P1\0," + TIME + b",spo2,97", "NUL byte"),
    row(b"P\xff," + TIME + b",spo2,97", "not UTF-8"),
    row(b"," + TIME + b",spo2,97", "empty id"),
    row(b"x" * 257 + b"," + TIME + b",spo2,97", "id too long"),
    Case("CRLF", (HEADER + GOOD + AFTER).replace(b"\n", b"\r\n"), (97, 98)),
    Case("mixed ends", HEADER.replace(b"\n", b"\r\n") + GOOD + AFTER.replace(b"\n", b"\r\n"), (97, 98)),
    Case("no end on the last row", (HEADER + GOOD + AFTER)[:-1], (97, 98)),
    Case("CR at the very end", (HEADER + GOOD + AFTER)[:-1] + b"\r", (97, 98)),
    Case("BOM", BOM + HEADER + GOOD + AFTER, (97, 98)),
    Case("BOM and CRLF", (BOM + HEADER + GOOD).replace(b"\n", b"\r\n"), (97,)),
    Case("empty file", b""),
    Case("header only", HEADER),
    Case("header only, no end", HEADER[:-1]),
    Case("blank lines", b"\n\r\n" + HEADER + b"\n" + GOOD + b"\r\n\n" + AFTER + b"\n\n", (97, 98)),
    Case("other order", b"value,event_type,event_time,patient_id\n97,spo2,2025-08-26T00:00:00Z,P1\n", (97,)),
    Case("extra columns", b"a,patient_id,event_time,b,event_type,value\n1,P1,2025-08-26T00:00:00Z,,spo2,97\n", (97,)),
    Case("a repeated row", HEADER + GOOD * 3, (97, 97, 97)),
    Case("out of order", HEADER + AFTER + GOOD, (98, 97)),
    *(value(text, None) for text in (b"nan", b"inf", b'" "', b'"1,5"', b"0x10", b"1_000", "٣".encode())),
    row(b"P1," + TIME + b",spo2,1e999", "value out of range"),
    *(value(text, number) for text, number in ((b"-0", 0), (b"+5", 5), (b"72.0", 72), (b"7.2e1", 72), (b".5", 0.5))),
    Case("no value", HEADER + GOOD + b"P1," + TIME + b",spo2,\n" + AFTER, (97, 98), missing=1),
    *(
        time(text, good=True)
        for text in (
            b"2025-08-26 00:00:02", b"2025-08-26T02:00:02+02:00", b"2025-08-26T00:00:02.123456789Z", b"2025-08-26",
            b"2025-08-26T00:00", b"2025-08-26 00:00:02 UTC", b"2025-08-26 01:00:02+01",
            b'"2025-08-26T00:00:02,5 +0000"',
        )
    ),
    *(
        time(text, good=False)
        for text in (
            b"2025-08-26T00:00:60Z", b"2025-08-26T24:00:00Z", b"2025-02-30T00:00:00Z", b"0000-01-01T00:00:00Z",
            b"10000-01-01T00:00:00Z", b"1756166400", b"2025-08-", b"26.08.2025 00:00:02",
        )
    ),
    *(
        Case(f"id {text!a}", HEADER + text + b"," + TIME + b",spo2,97\n", (97,))
        for text in (b"<script>", b'"""><img>"', "\u202eevil".encode(), b"\x1b[31m", b"=1+1")
    ),
]  # fmt: skip

ENGINES = ["python", pytest.param("kernel", marks=pytest.mark.skipif(kernel_problem() is not None, reason="no kernel"))]


def fed(pieces: Sequence[bytes], engine: str, chunk_bytes: int) -> tuple[Tally, bytes]:
    """Return the tally, and the state as bytes, of a body that arrives so."""
    chosen = choose_engine(Summary(), Schema(), wanted=engine)
    span = Span("d")
    cutter, fold = Cutter(span, chunk_bytes), chosen.new_fold(span)
    for piece in pieces:
        for chunk in cutter.feed(piece):
            fold.feed(chunk)
    for chunk in cutter.finish():
        fold.feed(chunk)
    fold.finish()
    return fold.tally, chosen.reducer.dump(fold.state)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_row_means_the_same_however_it_arrives(case: Case, engine: str) -> None:
    tally, state = fed([case.body], engine, 10_000)
    assert {bad.line: str(bad.reason) for bad in tally.examples} == case.bad
    assert tally.missing.total() == case.missing
    assert tally.rows == len(case.values) + len(case.bad) + case.missing
    statistics = Summary().result(Summary().load(state)).totals
    assert sum(found.count for found in statistics.values()) == len(case.values)
    if case.values:
        assert (statistics["spo2"].min, statistics["spo2"].max) == (min(case.values), max(case.values))
    else:
        assert not statistics  # no rows is not an average of 0
    single = [case.body[at : at + 1] for at in range(len(case.body))]
    assert fed(single, engine, 1) == (tally, state)
    for at in range(len(case.body)):
        assert fed([case.body[:at], case.body[at:]], engine, 40) == (tally, state)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("header", "told"),
    [
        (b"patient_id,event_time,value\n", "event_type is missing"),
        (b"patient_id,event_time,event_type,value,value\n", "value is repeated"),
        (b"<html>Log in</html>\n", "patient_id is missing"),
    ],
)
def test_a_header_that_is_none_is_an_error_however_it_arrives(header: bytes, told: str, engine: str) -> None:
    body = header + GOOD
    for at in range(len(body)):
        with pytest.raises(HeaderError, match=told):
            fed([body[:at], body[at:]], engine, 20)


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_beyond_the_limit_are_bad_and_memory_is_bounded(engine: str) -> None:
    import tracemalloc

    long = [b"x" * 2**20] * 100
    tracemalloc.start()
    tally, _ = fed([HEADER + GOOD, *long, b"\n" + AFTER], engine, 4096)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert {bad.line: str(bad.reason) for bad in tally.examples} == {3: "row too long"}
    assert tally.rows == 3
    assert peak < 8 * 2**20
