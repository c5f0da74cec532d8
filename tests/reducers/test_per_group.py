"""Reducers written row by row: the laws hold whatever is kept of a group, and totals are what groups come to."""

from typing import Any

import pytest
from hypothesis import given

from mockexport import Batch, GroupReducer, Row
from mockexport.testing import check_reducer
from tests.rows import batches


class Values(GroupReducer[list[int], int]):
    """Every value, in the order of the rows: not commutative."""

    fingerprint = "values 1"

    def start(self) -> list[int]:
        return []

    def add(self, group: list[int], row: Row) -> list[int]:
        group.append(row.value)
        return group

    def combine(self, earlier: list[int], later: list[int]) -> list[int]:
        earlier += later
        return earlier

    def finish(self, group: list[int]) -> int:
        return len(group)


class Latest(GroupReducer[tuple[int, int], float]):
    """The value that came last, by its time: kept as a tuple."""

    fingerprint = "latest 1"

    def start(self) -> tuple[int, int]:
        return (-(2**63), 0)

    def add(self, group: tuple[int, int], row: Row) -> tuple[int, int]:
        return max((group[0], group[1]), (row.event_time, row.value))

    def combine(self, earlier: tuple[int, int], later: tuple[int, int]) -> tuple[int, int]:
        return max((earlier[0], earlier[1]), (later[0], later[1]))

    def finish(self, group: tuple[int, int]) -> float:
        return group[1] / 10**18


def test_the_laws_hold_whatever_is_kept() -> None:
    check_reducer(Values())
    check_reducer(Latest(), commutative=True)


@given(batches(max_size=12))
def test_groups_and_totals_hold_every_row_once(batch: Batch) -> None:
    reducer = Values()
    result = reducer.result(reducer.update(reducer.empty(), batch))
    assert sum(result.totals.values()) == len(batch)
    assert sum(count for types in result.patients.values() for count in types.values()) == len(batch)
    keys = {(row.patient_id, row.event_type) for row in batch.rows()}
    assert {(patient, event_type) for patient, types in result.patients.items() for event_type in types} == keys


def test_a_class_that_lacks_a_part_is_no_reducer() -> None:
    class Half(GroupReducer[int, int]):
        fingerprint = "half 1"

    half: Any = Half
    with pytest.raises(TypeError, match="abstract"):
        half()
