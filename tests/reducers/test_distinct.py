"""Rows that are the same count once, whoever brings them in and however often."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Batch, Distinct, Download, Report, Selection, SizeLimits, Summary, analyze
from mockexport.errors import LimitError
from mockexport.model import VALUE_SCALE
from mockexport.reducers import distinct
from mockexport.reducers.distinct import ROW_BYTES
from tests.faults.memory import MemorySource
from tests.rows import HEADER, batches

T0 = 1_756_166_400_000_000


def rows(patient: str, *minutes: int, value: object = 70) -> bytes:
    return "".join(f"{patient},2025-08-26T{m // 60:02}:{m % 60:02}:00Z,hr,{value}\n" for m in minutes).encode()


async def report_of(*bodies: bytes, reducer: Any = None, **options: Any) -> Report[Any]:
    source = MemorySource("x", {Download(f"{at}.csv"): HEADER + body for at, body in enumerate(bodies)})
    return await analyze("x", source=source, reducer=Distinct(reducer or Summary()), **options)


def of_set(batch: Batch) -> Batch:
    columns = [list(column) for column in zip(*sorted(set(batch.rows())), strict=True)] or [[], [], [], []]
    return Batch(*columns)


@given(st.lists(batches(), max_size=4), st.lists(st.integers(0, 3), max_size=6))
def test_the_result_is_that_of_the_set_of_rows(parts: list[Batch], again: list[int]) -> None:
    reducer, state = Distinct(Summary()), Distinct(Summary()).empty()
    fed = [*parts, *(parts[at] for at in again if at < len(parts))]
    everything = Batch([], [], [], [])
    for part in fed:
        state = reducer.update(state, part)
        for column, more in (
            (everything.patient_ids, part.patient_ids), (everything.event_times, part.event_times),
            (everything.event_types, part.event_types), (everything.values, part.values),
        ):  # fmt: skip
            column.extend(more)  # type: ignore[arg-type]
    unique = of_set(everything)
    result = reducer.result(state)
    expected = Summary().result(Summary().update({}, unique))
    assert (result.patients, result.totals) == (expected.patients, expected.totals)
    assert result.repeated == len(everything) - len(unique)


def test_rows_in_any_number_are_put_in_order_each_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(distinct, "_LEAST_WAITING", 2 * ROW_BYTES)
    monkeypatch.setattr(distinct, "_BATCH_ROWS", 3)
    reducer = Distinct(Selection(["count", "sum", "min", "max"]))
    state = reducer.empty()
    for number in range(200):
        value = (number * 37 % 50 - 25) * VALUE_SCALE
        state = reducer.update(state, Batch(["P"], [T0 - number % 50], ["hr"], [value]))
        # No more waits than is in order, and some.
        assert state.held <= 2 * 50 + 3
    (chosen,) = reducer.result(state).patients["P"].values()
    assert chosen == {"count": 50, "sum": -25, "min": -25, "max": 24}
    assert reducer.load(reducer.dump(state)) == state


@pytest.mark.parametrize("engine", ["python", "auto"])
@pytest.mark.parametrize("reducer", [Summary(), Selection(["count", "median", "per_day"])])
async def test_files_that_overlap_count_once_and_it_is_noted(engine: str, reducer: Any) -> None:
    one, other = rows("P1", *range(60)), rows("P1", *range(40, 90)) + rows("P2", 5, 5, 6)
    report = await report_of(one, other, reducer=reducer, engine=engine)
    whole = await report_of(rows("P1", *range(90)) + rows("P2", 5, 6), reducer=reducer, engine=engine)
    assert (report.patients, report.totals) == (whole.patients, whole.totals)
    (note,) = report.notes
    assert (note.kind, note.count) == ("repeated rows", 21)
    assert whole.notes == ()
    swapped = await report_of(other, one, reducer=reducer, engine=engine)
    assert swapped.to_json() == report.to_json()


async def test_another_value_at_the_same_time_is_another_row() -> None:
    report = await report_of(rows("P1", 0, value=70), rows("P1", 0, value="70.0"), rows("P1", 0, value=71))
    assert report.totals["hr"].count == 2


async def test_spans_and_checkpoints_come_to_the_same(tmp_path: Path) -> None:
    body = rows("P1", *range(1400), *range(1400))
    whole = await report_of(body)
    assert (await report_of(body, split=4096, chunk_bytes=1000)).to_json() == whole.to_json()
    source = MemorySource("x", {Download("0.csv", rows=9999): HEADER + body, Download("1.csv"): HEADER + rows("P2", 1)})
    path = tmp_path / "run"
    reducer = Distinct(Summary())
    broken = await analyze("x", source=source, reducer=reducer, checkpoint=path, allow_incomplete=True)
    assert broken.totals["hr"].count == 1
    report = await analyze("x", source=source, reducer=reducer, checkpoint=path, allow_incomplete=True)
    assert report.totals["hr"].count == 1


@pytest.mark.parametrize("engine", ["python", "auto"])
async def test_more_different_rows_than_there_may_be_are_an_error_that_names_the_limit(engine: str) -> None:
    limits = SizeLimits(distinct=50)
    repeated = [rows("P1", *range(50))] * 4
    assert (await report_of(*repeated, size_limits=limits, engine=engine)).totals["hr"].count == 50
    with pytest.raises(LimitError, match=r"more than 50 different rows.*SizeLimits\.distinct"):
        await report_of(*repeated, rows("P1", 51), size_limits=limits, engine=engine)


@pytest.mark.parametrize(
    "changed",
    [
        lambda data: data[:-1],
        lambda data: data + b"x" * ROW_BYTES,
        lambda data: data.replace(b'"fed": 3', b'"fed": 1'),
        lambda data: data[: -2 * ROW_BYTES] + data[-ROW_BYTES:] + data[-2 * ROW_BYTES : -ROW_BYTES],
        lambda data: data[: -2 * ROW_BYTES] + data[-2 * ROW_BYTES : -ROW_BYTES] * 2,
        lambda data: data[:-ROW_BYTES] + b"\xff" * ROW_BYTES,
        lambda data: data.replace(b'"P"', b'""'),
        lambda data: data.replace(b", 2]", b", -2]"),
        lambda data: b"",
    ],
)
def test_other_bytes_are_no_state(changed: Any) -> None:
    reducer = Distinct(Summary())
    times: Sequence[int] = [T0, T0 + 1, T0]
    state = reducer.update(reducer.empty(), Batch(["P"] * 3, list(times), ["hr"] * 3, [1, 2, 1]))
    data = reducer.dump(state)
    assert reducer.load(data) == state
    with pytest.raises((ValueError, TypeError, KeyError)):
        reducer.load(changed(data))
