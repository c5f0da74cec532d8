"""Law 1, for every built-in reducer: states merge, in any grouping and order, and go to bytes and back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Batch, Counts, Reducer, Schema, StateError, Summary, pack_state, unpack_state
from mockexport.engine import choose_engine, kernel_problem
from tests.rows import batches

BUILT_IN: list[Reducer[Any, Any]] = [Summary(), Counts()]
if kernel_problem() is None:
    BUILT_IN.append(choose_engine(Summary(), Schema()).reducer)

every_reducer = pytest.mark.parametrize("reducer", BUILT_IN, ids=lambda reducer: type(reducer).__name__)


def state_of(reducer: Reducer[Any, Any], *of: Batch) -> Any:
    """A fresh state of some batches."""
    state = reducer.empty()
    for batch in of:
        state = reducer.update(state, batch)
    return state


@every_reducer
@given(a=batches(), b=batches(), c=batches())
def test_merge_is_associative(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> None:
    left = reducer.merge(reducer.merge(state_of(reducer, a), state_of(reducer, b)), state_of(reducer, c))
    right = reducer.merge(state_of(reducer, a), reducer.merge(state_of(reducer, b), state_of(reducer, c)))
    assert reducer.dump(left) == reducer.dump(right)


@every_reducer
@given(a=batches(), b=batches())
def test_merge_is_commutative(reducer: Reducer[Any, Any], a: Batch, b: Batch) -> None:
    ab = reducer.merge(state_of(reducer, a), state_of(reducer, b))
    ba = reducer.merge(state_of(reducer, b), state_of(reducer, a))
    assert reducer.dump(ab) == reducer.dump(ba)


@every_reducer
@given(a=batches())
def test_an_empty_state_is_the_identity(reducer: Reducer[Any, Any], a: Batch) -> None:
    alone = reducer.dump(state_of(reducer, a))
    assert reducer.dump(reducer.merge(state_of(reducer, a), reducer.empty())) == alone
    assert reducer.dump(reducer.merge(reducer.empty(), state_of(reducer, a))) == alone


@every_reducer
@given(a=batches(), b=batches())
def test_merging_leaves_the_later_state_alone(reducer: Reducer[Any, Any], a: Batch, b: Batch) -> None:
    later = state_of(reducer, b)
    before = reducer.dump(later)
    merged = reducer.merge(state_of(reducer, a), later)
    reducer.update(merged, b)
    assert reducer.dump(later) == before


@every_reducer
@given(rows=batches(max_size=20), data=st.data())
def test_any_split_into_batches_and_states_gives_the_same_state(
    reducer: Reducer[Any, Any], rows: Batch, data: st.DataObject
) -> None:
    at = data.draw(st.integers(0, len(rows)))

    def part(of: slice) -> Batch:
        return Batch(rows.patient_ids[of], rows.event_times[of], rows.event_types[of], rows.values[of])

    first, second = part(slice(None, at)), part(slice(at, None))
    whole = reducer.dump(state_of(reducer, rows))
    assert reducer.dump(state_of(reducer, first, second)) == whole
    assert reducer.dump(reducer.merge(state_of(reducer, first), state_of(reducer, second))) == whole


@every_reducer
@given(a=batches())
def test_a_state_survives_the_trip_to_bytes(reducer: Reducer[Any, Any], a: Batch) -> None:
    state = state_of(reducer, a)
    packed = pack_state(reducer, state)
    again = unpack_state(reducer, packed)
    assert pack_state(reducer, again) == packed
    assert reducer.result(again) == reducer.result(state)


@every_reducer
def test_bytes_of_another_reducer_or_version_are_refused(reducer: Reducer[Any, Any]) -> None:
    packed = pack_state(reducer, reducer.empty())
    for other in BUILT_IN:
        if other.fingerprint != reducer.fingerprint:
            with pytest.raises(StateError, match="belong to"):
                unpack_state(other, packed)
    for broken in (b"", b"junk", packed.replace(b"state 1", b"state 2"), packed[:-1]):
        with pytest.raises(StateError):
            unpack_state(reducer, broken)


def test_rules_are_part_of_a_summarys_fingerprint() -> None:
    packed = pack_state(Summary(), Summary().empty())
    with pytest.raises(StateError, match="belong to"):
        unpack_state(Summary(rules={}), packed)
