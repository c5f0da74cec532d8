"""The report's JSON is what the standard library makes of the whole, though it is told a patient at a time."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from mockexport import Report, Statistics
from mockexport.report.notes import Note
from tests.report.test_report import account


@dataclass(frozen=True)
class One:
    only: Any


@dataclass(frozen=True)
class Nothing:
    pass


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
names = st.text() | st.sampled_from(["%s", "%", "é", '"', "\n"])
statistics = st.builds(
    Statistics, count=scalars, mean=scalars, min=scalars, max=scalars, anomalies=scalars, latency=scalars
)
results = st.recursive(
    scalars | statistics | st.builds(One, scalars) | st.just(Nothing()),
    lambda inner: st.lists(scalars) | st.dictionaries(names, inner) | st.builds(One, inner),
    max_leaves=8,
)
by_type = st.dictionaries(names, results | statistics, max_size=4)


def plain(value: Any, round_to: int | None) -> Any:
    if isinstance(value, float) and round_to is not None:
        return round(value, round_to)
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name), round_to) for field in fields(value)}
    if isinstance(value, Statistics):
        return plain(structs.asdict(value), round_to)
    if isinstance(value, Mapping):
        return {name: plain(inner, round_to) for name, inner in value.items()}
    return value


@given(
    st.dictionaries(names, by_type, max_size=4),
    by_type,
    st.lists(st.text(), max_size=2),
    st.lists(st.text(), max_size=2),
    st.none() | st.integers(0, 3),
)
def test_the_text_is_the_standard_librarys(
    patients: dict[str, dict[str, Any]],
    totals: dict[str, Any],
    incomplete: list[str],
    notes: list[str],
    round_to: int | None,
) -> None:
    report: Report[Any] = Report(
        patients, totals, tuple(incomplete), account(), tuple(Note("statistics", note) for note in notes)
    )
    whole = {"patients": plain(patients, round_to), "totals": plain(totals, round_to)}
    whole |= {"incomplete": incomplete} if incomplete else {}
    whole |= {"notes": [{"kind": "statistics", "text": note} for note in notes]} if notes else {}
    assert report.to_json(round_to=round_to) == json.dumps(whole, sort_keys=True, indent=2, allow_nan=False) + "\n"


def test_keys_that_are_no_texts_are_those_of_json() -> None:
    by_number: dict[str, Any] = {"x": {1: 2}, "y": {True: 2}, "z": {1.0: 2}}
    text = Report(by_number, {}, (), account()).to_json()
    assert text == json.dumps({"patients": by_number, "totals": {}}, sort_keys=True, indent=2) + "\n"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), One(float("nan")), [float("nan")]])
def test_what_json_has_not_is_an_error(value: Any) -> None:
    with pytest.raises(ValueError, match="JSON"):
        Report({}, {"x": value}, (), account()).to_json()


def test_a_long_report_comes_patient_by_patient() -> None:
    asked: list[str] = []

    class Patients(dict[str, Any]):
        def __getitem__(self, patient_id: str) -> Any:
            asked.append(patient_id)
            return {"x": 1}

    patients: dict[str, Any] = Patients.fromkeys(map(str, range(1000)))
    list(islice(Report(patients, {}, (), account()).json_pieces(), 5))
    assert len(asked) < 5
