"""Law 1, for every built-in reducer: states merge, in any grouping and order, and go to bytes and back."""

from typing import Any

import pytest
from hypothesis import given, settings

from mockexport import Batch, Counts, Reducer, Schema, StateError, Summary, pack_state, unpack_state
from mockexport.engine import choose_engine, kernel_problem
from mockexport.testing import check_reducer
from tests.rows import batches

BUILT_IN: list[Reducer[Any, Any]] = [Summary(), Counts()]
if kernel_problem() is None:
    BUILT_IN.append(choose_engine(Summary(), Schema()).reducer)

every_reducer = pytest.mark.parametrize("reducer", BUILT_IN, ids=lambda reducer: type(reducer).__name__)


@every_reducer
def test_the_laws_hold(reducer: Reducer[Any, Any]) -> None:
    check_reducer(reducer, commutative=True, rounds=60)


@every_reducer
@settings(max_examples=40)
@given(rows=batches(max_size=20))
def test_the_laws_hold_of_any_rows(reducer: Reducer[Any, Any], rows: Batch) -> None:
    check_reducer(reducer, commutative=True, rows=list(rows.rows()), rounds=40)


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
