"""The report's JSON is what the standard library makes of the whole, though it is told a patient at a time."""

import json
import pickle
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from itertools import islice
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from msgspec import structs

from mockexport import Report, Statistics, Summary
from mockexport.engine.choosing import kernel_problem
from mockexport.formats import Batch
from mockexport.reducers import Reducer
from mockexport.report.json import json_pieces
from mockexport.report.notes import Note
from mockexport.report.report import in_order
from tests.report.test_report import account
from tests.rows import batches, crowded_batches


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


def texts_of(reducer: Reducer[Any, Any], parts: list[Batch]) -> list[str]:
    state = reducer.empty()
    for part in parts:
        state = reducer.update(state, part)
    result = reducer.result(state)
    patients, totals = in_order(result)
    whole = [json_pieces(patients, totals, (), (), round_to=places, margin="  ") for places in (None, 3)]
    return ["".join(pieces) for pieces in whole] + [repr({**patients}), repr(list(patients))]


@pytest.mark.skipif(kernel_problem() is not None, reason="the kernel is not built")
@given(st.lists(batches() | crowded_batches(), max_size=3))
@example([Batch(["P"] * 3, [-(2**60), 0, 2**60], ["heart_rate"] * 3, [10**33, -1, 3])])
@example([Batch(["P"] * 3, [0, 1, 2**53 + 2], ["spo2"] * 3, [(2**53 + 1) * 10**9, 10**18 + 10**9, -(10**33)])])
@example([Batch([f"P{at}" for at in range(100)], [0] * 100, ["spo2"] * 100, [at * 10**17 for at in range(100)])])
def test_the_kernel_writes_what_the_reference_does(parts: list[Batch]) -> None:
    from mockexport.engine.kernel import twin_of

    twin = twin_of(Summary())
    assert twin is not None
    assert texts_of(twin, parts) == texts_of(Summary(), parts)


@pytest.mark.skipif(kernel_problem() is not None, reason="the kernel is not built")
def test_what_the_kernel_has_divided_is_a_mapping_of_its_own() -> None:
    from mockexport.engine.kernel import KernelSummary

    twin = KernelSummary(Summary())
    state = twin.update(twin.empty(), Batch(["P", "Q"], [0, 1], ["spo2", "spo2"], [10**18, 2 * 10**18]))
    patients = twin.result(state).patients
    twin.update(state, Batch(["P"], [2], ["spo2"], [0]))
    assert patients["P"]["spo2"].count == 1
    assert pickle.loads(pickle.dumps(patients)) == patients == {**patients}  # noqa: S301 - our own
    with pytest.raises(KeyError, match="no patient 'R' among 2"):
        patients["R"]
    with pytest.raises(KeyError, match="by id, and then"):
        patients["P", "spo2"]  # type: ignore[index]
