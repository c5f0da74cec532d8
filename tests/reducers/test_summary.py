"""Summary's numbers: exact, against a direct computation in fractions, and by the contract's definitions."""

from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given

from mockexport import Batch, Counts, Statistics, Summary
from tests.rows import batches


def result_of(batch: Batch) -> tuple[dict[str, dict[str, Statistics]], dict[str, Statistics]]:
    reducer = Summary()
    result = reducer.result(reducer.update(reducer.empty(), batch))
    return {p: dict(t) for p, t in result.patients.items()}, dict(result.totals)


def rows(*values: int, event_type: str = "heart_rate") -> Batch:
    """One patient's values, one a second."""
    n = len(values)
    return Batch(["P"] * n, [i * 10**6 for i in range(n)], [event_type] * n, [v * 10**18 for v in values])


@given(batches(max_size=30))
def test_every_figure_is_what_exact_arithmetic_gives(batch: Batch) -> None:
    patients, totals = result_of(batch)
    groups: dict[tuple[str, str], list[tuple[int, int]]] = {}
    for patient_id, time_us, event_type, value in zip(
        batch.patient_ids, batch.event_times, batch.event_types, batch.values, strict=True
    ):
        groups.setdefault((patient_id, event_type), []).append((time_us, value))
    assert {(p, t) for p, types in patients.items() for t in types} == set(groups)
    for (patient_id, event_type), group in groups.items():
        found = patients[patient_id][event_type]
        times, values = zip(*group, strict=True)
        assert found.count == len(values)
        assert found.mean == float(Fraction(sum(values), len(values) * 10**18))
        assert (found.min, found.max) == (float(Fraction(min(values), 10**18)), float(Fraction(max(values), 10**18)))
        gaps = [later - earlier for earlier, later in pairwise(sorted(times))]
        assert found.latency == (float(Fraction(sum(gaps), len(gaps) * 10**6)) if gaps else None)
    for event_type, total in totals.items():
        pooled = [value for (_, t), group in groups.items() if t == event_type for _, value in group]
        assert total.count == len(pooled)
        assert total.mean == float(Fraction(sum(pooled), len(pooled) * 10**18))


@pytest.mark.parametrize(
    ("event_type", "low", "high"),
    [("heart_rate", 40, 180), ("spo2", 85, 100), ("bp_sys", 90, 200), ("bp_dia", 60, 120)],
)
def test_anomalies_lie_outside_the_bounds_and_the_bounds_are_normal(event_type: str, low: int, high: int) -> None:
    patients, _ = result_of(rows(low - 1, low, low + 1, high - 1, high, high + 1, event_type=event_type))
    assert patients["P"][event_type].anomalies == 2


def test_an_event_type_without_a_rule_has_no_anomalies() -> None:
    patients, _ = result_of(rows(-(10**15), 10**15, event_type="steps"))
    assert patients["P"]["steps"].anomalies == 0


def test_whole_extremes_are_integers_and_others_are_not() -> None:
    found = result_of(Batch(["P"] * 2, [0, 1], ["x"] * 2, [72 * 10**18, 725 * 10**17]))[0]["P"]["x"]
    assert (found.min, type(found.min), found.max) == (72, int, 72.5)


def test_one_event_has_no_latency() -> None:
    patients, totals = result_of(rows(72))
    assert patients["P"]["heart_rate"].latency is None
    assert totals["heart_rate"].latency is None


def test_total_latency_is_pooled_over_the_patients() -> None:
    batch = Batch(["A", "A", "A", "B", "B", "C"], [0, 1, 2, 0, 10, 99], ["x"] * 6, [0] * 6)
    _, totals = result_of(Batch(batch.patient_ids, [t * 10**6 for t in batch.event_times], ["x"] * 6, [0] * 6))
    assert totals["x"].latency == (2 + 10) / (2 + 1)


def test_no_rows_make_no_statistics() -> None:
    assert result_of(Batch()) == ({}, {})


@given(batches(max_size=30))
def test_counts_count_what_summary_counts(batch: Batch) -> None:
    reducer = Counts()
    counted = reducer.result(reducer.update(reducer.empty(), batch))
    patients, totals = result_of(batch)
    assert counted.patients == {p: {t: s.count for t, s in types.items()} for p, types in patients.items()}
    assert counted.totals == {t: s.count for t, s in totals.items()}
