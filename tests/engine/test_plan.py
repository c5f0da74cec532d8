"""Described tables in the kernel: it reads them itself, and as the reference does, however the bytes arrive.

`python -m tests.fuzz.kernel` is the same at length, and `python -m tests.benchmarks.tables` how fast it is.
"""

import random
from dataclasses import replace
from typing import Any

import pytest

from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.formats import Cutter
from mockexport.formats.schema import Schema
from mockexport.model import Span
from mockexport.reducers import Reducer, Summary
from mockexport.unpacking.transcoding import Utf16
from tests.benchmarks.kinds import KINDS, readings
from tests.fuzz.comparing import EVERYTHING, SUMMARY, Rows, outcome
from tests.fuzz.described import description, table

if kernel_problem() is not None:
    pytest.skip("there is no kernel here", allow_module_level=True)

from mockexport.engine.kernel import KernelFold

ROWS = readings(1200)
# So many rows at the most are judged before a table without a description turns out to be unusual: a block.
BLOCK = 400
HEADER = b"patient_id,event_time,event_type,value\n"


def judged(data: bytes, schema: Schema) -> tuple[int, int]:
    """Fold a table; return how many rows the reference was asked for, and how many there are."""
    fold = choose_engine(Summary(), schema, wanted="kernel").new_fold(Span("P.csv"))
    assert isinstance(fold, KernelFold)
    cutter = Cutter(Span("P.csv"), 1_000_000)
    for chunk in [*cutter.feed(data), *cutter.finish()]:
        fold.feed(chunk)
    fold.finish()
    assert not fold.tally.bad
    return fold.judged, fold.rows


@pytest.mark.parametrize("name", KINDS)
def test_the_kernel_reads_every_kind_of_table_itself(name: str) -> None:
    kind = KINDS[name]
    data = kind.write(ROWS).encode(kind.encoding)
    data = b"".join(Utf16().feed(data)) if kind.encoding == "utf-16" else data
    asked, rows = judged(data, kind.schema)
    assert rows > 1000
    assert asked <= (BLOCK if kind.schema.is_plain else 0)


@pytest.mark.parametrize(
    "row",
    [
        b"P1,2025-08-26,spo2,97",
        b" P1 ,2025-08-26T10:00:00Z,\tspo2, 97",
        b"P1,2025-08-26T10:00:00Z,spo2,97,,",
        b'"P""1",2025-08-26T10:00:00Z,spo2,97,"",',
        b'P1,2025-08-26T10:00:00Z,"sp\no2",97',
    ],
)
def test_what_has_one_meaning_costs_no_more_than_a_block_of_the_reference(row: bytes) -> None:
    asked, rows = judged(HEADER + (row + b"\n") * 3000, Schema())
    assert rows == 3000
    # An id with a quote in it is for the reference to judge, always.
    assert asked < 1000 or b'""1' in row


@pytest.mark.parametrize("seed", range(40))
def test_the_engines_agree_on_any_table_under_any_description(seed: int) -> None:
    draw = random.Random(seed)
    schema = description(draw)
    data = table(draw, draw.choice([3, 40, 150]), schema)
    reducers: list[Reducer[Any, Any]] = [Rows(), draw.choice([SUMMARY, EVERYTHING])]
    for reducer in reducers:
        law = outcome("python", data, schema, reducer=reducer)
        for chunk_bytes in (1, 700, 300_000):
            seen = outcome("kernel", data, schema, reducer=reducer, chunk_bytes=chunk_bytes)
            # Of a header in the middle of a chunk that is none, the words alone: what is before it may have been taken.
            assert seen == law or (law[-1] and seen[-1] == law[-1])


@pytest.mark.parametrize("seed", range(4))
def test_a_described_table_may_be_cut_at_any_place(seed: int) -> None:
    draw = random.Random(seed)
    schema = description(draw)
    data = table(draw, 10, schema)[:700]
    law = outcome("python", data, schema)
    assert outcome("kernel", data, schema, edges=range(1, len(data)), chunk_bytes=64) == law
    for edge in range(len(data) + 1):
        assert outcome("kernel", data, schema, edges=[edge], chunk_bytes=64) == law


@pytest.mark.parametrize(
    ("formats", "text"),
    [
        (("%d%m%Y", "%m%d%Y"), "1112020"),
        (("%d/%m/%Y", "%m/%d/%Y"), "08/26/2025"),
        (("%d/%m/%Y", "iso"), "2025-08-26"),
        (("iso", "epoch"), "1756202400"),
        (("%Y%m%d", "epoch"), "20250826"),
        (("%H%M %d.%m.%Y", "%H %M %d.%m.%Y"), "110 1.2.2025"),
        (("%Y%m%d", "%Y%m%d%H"), "2025111"),
        (("%d/%m/%Y %I:%M %p", "%d/%m/%Y %H:%M"), "26/08/2025 1:02\u202fp.\u00a0m."),
        (("%d/%m/%Y %I:%M%p.", "%d/%m/%Y %I:%M%p"), "26/08/2025 1:02PM."),
        (("%Y-%m-%d %z", "%Y-%m-%d %z:"), "2025-08-26 +0130:"),
    ],
)
def test_the_first_format_that_fits_is_the_one(formats: tuple[str, ...], text: str) -> None:
    schema = Schema(time_formats=formats)
    data = HEADER + f"P1,{text},spo2,97\n".encode() * 3
    assert outcome("kernel", data, schema) == outcome("python", data, schema)


PATIENT = (("patient_id", "A01"),)
SAMPLED = Schema(value="#1", constants=(*PATIENT, ("event_type", "{stem}")), time_formats=("sampled",), header=False)
ODD = [b"", b" ", b"x", b"1,2,3", b"1,", b" 5\t", b'"6"', b'"1', b"NA", b"9e99", b"\xff", b"1\r"]


@pytest.mark.parametrize("rate", [b"4.000000", b"64", b"0.3", b"999999999.999999999", b"7"])
@pytest.mark.parametrize("schema", [SAMPLED, replace(SAMPLED, values=(("#1", "x"), ("#2", "y")), constants=PATIENT)])
def test_values_without_times_are_counted_by_whoever_reads_them(rate: bytes, schema: Schema) -> None:
    draw = random.Random(rate)
    columns = 2 if schema.values else 1
    rows = [b",".join(b"%.2f" % draw.gauss(80, 9) for _ in range(columns)) for _ in range(400)]
    head = [b",".join([b"1551453312.500000"] * columns), b",".join([rate] * columns)]
    data = b"\r\n".join([*head, *rows, b""])
    assert judged(data, schema) == (0, 400 * columns)
    for at in range(0, 400, 9):
        rows[at] = draw.choice(
            [b"", b" ", b"x", b"1,2,3", b"1,", b" 5\t", b'"6"', b'"1', b"NA", b"9e99", b"\xff", b"1\r"]
        )
    data = b"\n".join([*head, *rows])
    reducers: list[Reducer[Any, Any]] = [Rows(), SUMMARY]
    for reducer in reducers:
        law = outcome("python", data, schema, reducer=reducer)
        for chunk_bytes in (1, 50, 700, 300_000):
            assert outcome("kernel", data, schema, reducer=reducer, chunk_bytes=chunk_bytes) == law


def test_a_time_beyond_all_years_is_for_the_reference_to_refuse() -> None:
    data = b"253402300790\n0.000001\n1\n2\n" + b"3\n" * 9
    assert outcome("kernel", data, SAMPLED) == outcome("python", data, SAMPLED)
