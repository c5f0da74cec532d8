"""A report as flat rows and in data frames: whatever results are made of, a field each, and nothing lost on the way."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import nanoarrow
import polars
import pytest

from mockexport import Report, Statistics
from mockexport.engine.choosing import kernel_problem
from mockexport.errors import OptionError
from mockexport.reducers import Result
from tests.report.test_report import account

needs_compiled = pytest.mark.skipif(kernel_problem() is not None, reason="the compiled parts are not here")


@dataclass(frozen=True)
class Own:
    """A result of a user's own."""

    share: int | float
    steps: int | None
    when: datetime
    label: str


WHEN = datetime(2025, 8, 26, 12, 30, tzinfo=UTC)


def of(patients: dict[str, dict[str, Any]], totals: dict[str, Any] | None = None) -> Report[Any]:
    return Report.of(Result(patients, totals or {}), account())


def test_rows_are_in_order_and_totals_follow_where_they_are_wanted() -> None:
    statistics = Statistics(count=2, mean=75.0, min=72, max=77.25, anomalies=0, latency=None)
    report = of({"ä": {"x": statistics}, "b": {"y": statistics, "x": statistics}}, {"y": statistics})
    rows = list(report.rows(totals=True))
    keys = [(row["patient_id"], row["event_type"]) for row in rows]
    assert keys == [("b", "x"), ("b", "y"), ("ä", "x"), (None, "y")]
    assert rows[0] == {
        "patient_id": "b", "event_type": "x",
        "count": 2, "mean": 75.0, "min": 72, "max": 77.25, "anomalies": 0, "latency": None,
    }  # fmt: skip
    assert list(report.rows()) == rows[:3]
    assert next(iter(report.counts().rows())) == {"patient_id": "b", "event_type": "x", "result": 2}


def test_a_field_of_a_rows_own_name_is_refused() -> None:
    with pytest.raises(OptionError, match="a field is called event_type"):
        list(of({"b": {"x": {"event_type": 1}}}).rows())


@needs_compiled
@pytest.mark.parametrize(
    "results",
    [
        [Statistics(2, 75.0, 72, 77.25, 0, None), Statistics(1, 3.0, 3, 3, 1, 2.5)],
        [3, 2**62],
        ["a", "ü"],
        [{"p95": 1, "first": "2025", "none": None}, {"p95": 2.5, "further": True}],
        [{"per_hour": {"07": 3, "08": 4}}, {"per_hour": {}}, {"per_hour": None}],
        [{"shares": {"a": 0.5, "b": 1}}],
        [Own(1, None, WHEN, "x"), Own(2, 3, WHEN, "y")],
        [],
    ],
    ids=repr,
)
def test_a_frame_holds_the_rows(results: list[Any]) -> None:
    report = of({f"P{number}": {"x": result} for number, result in enumerate(results)})
    rows = list(report.rows())
    names = dict.fromkeys(name for row in rows for name in row)
    whole = [{name: row.get(name) for name in names} for row in rows]
    assert polars.DataFrame(report).to_dicts() == whole
    read = nanoarrow.Array(nanoarrow.ArrayStream(report).read_all())
    assert len(read) == len(rows)
    assert read.schema.n_fields == max(len(names), 2)


@needs_compiled
def test_a_column_is_of_the_type_that_a_dataclass_tells_whatever_the_data() -> None:
    whole = polars.DataFrame(of({"P": {"x": Statistics(2, 75.0, 72, 77, 0, None)}}))
    broken = polars.DataFrame(of({"P": {"x": Statistics(2, 75.0, 72.5, 77.5, 0, 1.0)}}))
    assert whole.schema == broken.schema
    assert polars.DataFrame(of({"P": {"x": Own(1, None, WHEN, "")}})).schema == {
        "patient_id": polars.String,
        "event_type": polars.String,
        "share": polars.Float64,
        "steps": polars.Int64,
        "when": polars.Datetime("us", "UTC"),
        "label": polars.String,
    }


@needs_compiled
@pytest.mark.parametrize(
    ("results", "problem"),
    [
        ([{"a": 2**63}], "field a has an integer that takes more than 64 bits"),
        ([{"a": 1}, {"a": "x"}], "field a is nothing that a column can hold: int, str"),
        ([[1, 2]], "field result is nothing that a column can hold: list"),
        ([{"a": {"b": "c"}}], "field a is nothing that a column can hold: dict"),
    ],
)
def test_what_no_column_can_hold_is_refused(results: list[Any], problem: str) -> None:
    report = of({f"P{number}": {"x": result} for number, result in enumerate(results)})
    with pytest.raises(OptionError, match=problem):
        report.__arrow_c_stream__()
