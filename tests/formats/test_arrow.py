"""Columns for data frames, as two libraries of others read them; memory stays flat whatever a consumer does.

nanoarrow reads by the letter of the specification, Polars as users do. (That nanoarrow 0.9 shows a negative decimal as
a positive one is its own: Polars, DuckDB and pyarrow read the same bytes right.)
"""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Context, Decimal
from pathlib import Path
from typing import Any, Protocol

import nanoarrow
import polars
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Batch
from mockexport.engine.choosing import kernel_problem
from mockexport.formats.arrow import Table, floats, integers, named, texts
from tests.rows import batches, ids

if kernel_problem() is not None:
    pytest.skip("the compiled parts are not here", allow_module_level=True)

from mockexport.engine.columns import NumberedBatch

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Frame(Protocol):
    """What a data frame can take."""

    def __arrow_c_stream__(self, requested_schema: object = None) -> object: ...


class Tabled:
    """A Table, as a frame takes it."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        return self.table.array_capsules()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        return self.table.stream_capsule()


def numbered(batch: Batch) -> NumberedBatch:
    """The same rows, as the compiled decoder has them, among names that other rows had."""
    patients, event_types = [*dict.fromkeys(["another", *batch.patient_ids])], [*dict.fromkeys(batch.event_types)]
    return NumberedBatch(
        _bytes(4, [patients.index(patient) for patient in batch.patient_ids]),
        _bytes(4, [event_types.index(event_type) for event_type in batch.event_types]),
        _bytes(8, batch.event_times),
        _bytes(16, batch.values),
        patients,
        event_types,
    )


def _bytes(size: int, numbers: list[int]) -> bytes:
    return b"".join(number.to_bytes(size, "little", signed=True) for number in numbers)


def rows_of(batch: Batch) -> list[dict[str, Any]]:
    """A batch's rows, as Python has such things."""
    return [
        {
            "patient_id": row.patient_id,
            "event_time": EPOCH + timedelta(microseconds=row.event_time),
            "event_type": row.event_type,
            "value": Decimal(row.value).scaleb(-18, Context(prec=40)),
        }
        for row in batch.rows()
    ]


@pytest.mark.parametrize("made", [numbered, lambda batch: batch], ids=["compiled", "reference"])
@given(batch=batches(max_size=12))
def test_a_frame_holds_the_rows_of_a_batch(made: Callable[[Batch], Batch], batch: Batch) -> None:
    frame = polars.DataFrame(made(batch))
    assert frame.to_dicts() == rows_of(batch)
    assert frame.schema["event_time"] == polars.Datetime("us", "UTC")
    assert frame.schema["value"] == polars.Decimal(38, 18)
    assert polars.DataFrame(numbered(batch)).equals(frame)


def test_without_the_compiled_parts_there_is_a_clear_error() -> None:
    program = (
        "import sys; sys.modules['mockexport._arrow'] = None; import mockexport\n"
        "batch = mockexport.Batch(['P'], [0], ['t'], [1])\n"
        "print(*batch.rows())\n"
        "try: batch.__arrow_c_array__()\n"
        "except mockexport.errors.ArrowUnavailable as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "Row(patient_id='P', event_time=0, event_type='t', value=1)" in told
    assert "install a C compiler" in told


@given(batch=batches(max_size=12))
def test_every_capsule_tells_the_same(batch: Batch) -> None:
    same = numbered(batch)
    schema = nanoarrow.c_schema(same)
    whole = nanoarrow.c_array(same)
    streamed = nanoarrow.c_array(nanoarrow.ArrayStream(same).read_all())
    assert [child.name for child in schema.children] == ["patient_id", "event_time", "event_type", "value"]
    assert str(whole.schema) == str(schema) == str(streamed.schema)
    assert whole.length == streamed.length == len(batch)
    unsigned = [row["value"] >= 0 for row in rows_of(batch)]
    expected = [row for row, kept in zip(rows_of(batch), unsigned, strict=True) if kept]
    for seen in (nanoarrow.Array(same).to_pylist(), nanoarrow.ArrayStream(same).read_all().to_pylist()):
        assert [row for row, kept in zip(seen, unsigned, strict=True) if kept] == expected


def test_a_batch_carries_only_the_names_that_it_needs() -> None:
    names = [f"P{number}" for number in range(1000)]
    column = named("patient_id", _bytes(4, [999, 7, 999]), names)
    assert column.dictionary is not None
    assert column.dictionary.length == 2
    assert polars.DataFrame(Tabled(Table([column], 3)))["patient_id"].to_list() == ["P999", "P7", "P999"]


@given(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), max_size=20),
    st.lists(st.none() | st.floats(allow_nan=False), max_size=20),
    st.lists(st.none() | ids, max_size=20),
)
def test_what_is_none_is_null(whole: list[int | None], real: list[float | None], text: list[str | None]) -> None:
    for made, values in ((integers("x", whole), whole), (floats("x", real), real), (texts("x", text), text)):
        table = Tabled(Table([made], len(values)))
        assert polars.DataFrame(table)["x"].to_list() == values
        assert [row["x"] for row in nanoarrow.Array(table).to_pylist()] == values


def test_an_integer_beyond_64_bits_is_refused() -> None:
    with pytest.raises(OverflowError):
        integers("x", [2**63])


def taken_twice(frame: Frame) -> None:
    polars.DataFrame(frame)
    polars.DataFrame(frame)


def never_asked(frame: Frame) -> None:
    frame.__arrow_c_stream__()


def dropped_at_once(frame: Frame) -> None:
    nanoarrow.c_array_stream(frame).release()


def asked_for_its_schema_alone(frame: Frame) -> None:
    stream = nanoarrow.c_array_stream(frame)
    assert str(stream.get_schema()) == str(stream.get_schema())


def only_a_column_kept(frame: Frame) -> None:
    column = nanoarrow.ArrayStream(frame).read_all().child(0)
    assert len(column) == 2000


CONSUMERS = [taken_twice, never_asked, dropped_at_once, asked_for_its_schema_alone, only_a_column_kept]


@pytest.mark.parametrize("consume", CONSUMERS, ids=lambda consume: consume.__name__)
def test_memory_stays_flat(consume: Callable[[Frame], None]) -> None:
    """A batch is some 100 KB: one in ten that stayed would be seen."""
    batch = numbered(Batch([f"P{n % 300}" for n in range(2000)], [*range(2000)], ["t"] * 2000, [*range(2000)]))
    for _ in range(50):
        consume(batch)
    before = resident_bytes()
    for _ in range(500):
        consume(batch)
    assert resident_bytes() - before < 5_000_000


def resident_bytes() -> int:
    """The memory that this process has of the machine."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_frames_of_batches_with_other_names_go_together() -> None:
    names = ["spo2", "heart_rate", "bp_sys", "spo2"]
    frames = [polars.DataFrame(Batch(["P"], [0], [name], [1])) for name in names]
    assert polars.concat(frames)["event_type"].to_list() == names
