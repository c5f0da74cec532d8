"""Law 1, for every built-in reducer: states merge, in any grouping and order, and go to bytes and back."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings

import mockexport.reducers
from mockexport import Batch, Counts, Distinct, GroupReducer, Reducer, Schema, Selection, Summary
from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.errors import StateError
from mockexport.model import ANOMALY_RULES, AnomalyRule
from mockexport.reducers import calendar, histogram, pack_state, unpack_state
from mockexport.reducers.course import Course
from mockexport.reducers.drawing import DRAWING
from mockexport.reducers.latest import Latest
from mockexport.reducers.packing import unpack_rows
from mockexport.reducers.selection import FAMILIES, STATISTICS
from mockexport.testing import check_reducer
from tests.rows import batches, crowded_batches

# A selection for each family, which has the names of no other, and one of all.
NAMES = [*STATISTICS, "p0", "p97.5", "p100", DRAWING]
SELECTIONS = [
    Selection([name for name in NAMES if Selection([name]).families in ((), (family,))])
    for family in FAMILIES
    if family is not Course  # it comes with the histogram, in the one of all
]
BUILT_IN: list[Reducer[Any, Any]] = [
    Summary(),
    Counts(),
    *SELECTIONS,
    Selection(NAMES),
    Distinct(Summary()),
    Latest(Summary()),
]
if kernel_problem() is None:
    engines = [choose_engine(reducer, Schema()) for reducer in BUILT_IN]
    BUILT_IN += [engine.reducer for engine in engines if engine.name == "kernel"]


def told(reducer: Reducer[Any, Any]) -> str:
    """A reducer's name for people."""
    of = getattr(reducer, "reference", reducer)
    families = [family.__name__ for family in of.families] if isinstance(of, Selection) else []
    return "-".join([type(reducer).__name__, *families])


every_reducer = pytest.mark.parametrize("reducer", BUILT_IN, ids=told)


def test_every_built_in_reducer_and_family_is_held_to_the_laws() -> None:
    public = [getattr(mockexport.reducers, name) for name in mockexport.reducers.__all__]
    reducers = {one for one in public if hasattr(one, "fingerprint") and hasattr(one, "merge")}
    assert reducers - {Reducer, GroupReducer} <= {type(reducer) for reducer in BUILT_IN}
    assert {family for selection in SELECTIONS for family in selection.families} == set(FAMILIES) - {Course}
    assert set(Selection(NAMES).families) == set(FAMILIES)
    assert all(len(selection.families) == 1 for selection in SELECTIONS)


def state_of(reducer: Reducer[Any, Any], *of: Batch) -> Any:
    """A fresh state of some batches."""
    state = reducer.empty()
    for batch in of:
        state = reducer.update(state, batch)
    return state


@every_reducer
def test_the_laws_hold(reducer: Reducer[Any, Any]) -> None:
    check_reducer(reducer, commutative=True, rounds=60)


@every_reducer
@settings(max_examples=8)
@given(rows=batches(max_size=20))
def test_the_laws_hold_of_any_rows(reducer: Reducer[Any, Any], rows: Batch) -> None:
    check_reducer(reducer, commutative=True, rows=list(rows.rows()), rounds=20)


@every_reducer
def test_bytes_of_another_reducer_or_version_are_refused(reducer: Reducer[Any, Any]) -> None:
    packed = pack_state(reducer, reducer.empty())
    for other in BUILT_IN:
        if other.fingerprint != reducer.fingerprint:
            with pytest.raises(StateError, match="belong to"):
                unpack_state(other, packed)
    for broken in (b"", b"junk", packed.replace(b"state 2", b"state 1"), packed[:-1]):
        with pytest.raises(StateError):
            unpack_state(reducer, broken)


@given(a=crowded_batches(), b=crowded_batches(), c=crowded_batches())
@settings(max_examples=12)
@pytest.mark.parametrize("reducer", [one for one in BUILT_IN if told(one).endswith("-Histogram")], ids=told)
def test_the_laws_hold_at_and_beyond_the_limit_of_values(
    reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch
) -> None:
    def state(batch: Batch) -> Any:
        return state_of(reducer, batch)

    whole = reducer.dump(state_of(reducer, a, b, c))
    assert reducer.dump(reducer.merge(reducer.merge(state(a), state(b)), state(c))) == whole
    assert reducer.dump(reducer.merge(state(c), reducer.merge(state(b), state(a)))) == whole
    assert reducer.dump(reducer.load(whole)) == whole
    different = len({*a.values, *b.values, *c.values})
    for _, (*_, (over, *_)) in unpack_rows(whole, [histogram.Histogram]):
        assert over == (different > histogram.MAX_EXACT_VALUES)


@pytest.mark.parametrize("reducer", [one for one in BUILT_IN if told(one).endswith("-Hours")], ids=told)
def test_the_laws_hold_at_and_beyond_the_limit_of_hours(reducer: Reducer[Any, Any]) -> None:
    def hours(start: int, end: int) -> Batch:
        n = end - start
        return Batch(["P"] * n, [hour * 3_600_000_000 + 5 for hour in range(start, end)], ["t"] * n, [0] * n)

    half = calendar.MAX_UNITS // 2
    early, late, one = state_of(reducer, hours(-half, 0)), state_of(reducer, hours(0, half)), hours(half, half + 1)
    full = reducer.merge(early, late)

    def hours_of(dump: bytes) -> list[int]:
        ((_, (*_, counted)),) = unpack_rows(dump, [calendar.Hours])
        return counted  # type: ignore[no-any-return]

    over, *counts = hours_of(reducer.dump(full))
    assert (over, len(counts)) == (0, 2 * calendar.MAX_UNITS)
    spilt = reducer.dump(reducer.merge(full, state_of(reducer, one)))
    assert hours_of(spilt) == [1]
    # Once over, it stays so, in whatever order, and as bytes.
    again = reducer.load(spilt)
    assert reducer.dump(reducer.merge(reducer.empty(), again)) == spilt
    assert hours_of(reducer.dump(reducer.merge(state_of(reducer, one), again))) == [1]
    assert hours_of(reducer.dump(reducer.update(again, one))) == [1]


@pytest.mark.parametrize("kind", [Summary, lambda **rules: Selection(["anomalies"], **rules)])
def test_rules_are_part_of_a_fingerprint(kind: Callable[..., Reducer[Any, Any]]) -> None:
    packed = pack_state(kind(), kind().empty())
    for rules in ({}, {**ANOMALY_RULES, "heart_rate": AnomalyRule("40.5", 180)}, {"spo2": AnomalyRule(85)}):
        with pytest.raises(StateError, match="belong to"):
            unpack_state(kind(rules=rules), packed)


def test_the_usual_summarys_fingerprint_is_what_it_was() -> None:
    rules = '"bp_dia":60..120,"bp_sys":90..200,"heart_rate":40..180,"spo2":85..100'
    assert Summary().fingerprint == f"summary 3 {rules}"
