"""The law checks find what they are for: each law, broken once on purpose, is named, with few rows that show it."""

import ast
import json
from collections import Counter
from typing import Any, ClassVar

import pytest

from mockexport import Batch, Counts, GroupReducer, Result, Row
from mockexport.testing import LawBroken, check_reducer

State = Counter[tuple[str, str]]


class Good(Counts):
    """Counts, to be broken."""


class TwoLines(Good):
    fingerprint = "counts\n1"


class OneForAll(Good):
    state: ClassVar[State] = Counter()

    def empty(self) -> State:
        return self.state


class Remembers(Good):
    """Counts the first row of every patient, and remembers them in itself."""

    met: ClassVar[set[str]] = set()

    def update(self, state: State, batch: Batch) -> State:
        for row in batch.rows():
            state[row.patient_id, ""] += row.patient_id not in self.met
            self.met.add(row.patient_id)
        return state


class AddsOne(Good):
    def merge(self, earlier: State, later: State) -> State:
        return Counter({key: max(earlier[key], later[key]) + 1 for key in {*earlier, *later}})


class MeanOfMeans(Good):
    def merge(self, earlier: Any, later: Any) -> Any:
        both = {key: (earlier[key] + later[key]) / 2 for key in earlier if key in later}
        return Counter(earlier | later | both)


class KeepsLater(GroupReducer[list[int], int]):
    """Every value, in order: right, but not commutative."""

    fingerprint = "values 1"

    def start(self) -> list[int]:
        return []

    def add(self, group: list[int], row: Row) -> list[int]:
        return [*group, row.value]

    def combine(self, earlier: list[int], later: list[int]) -> list[int]:
        return earlier + later

    def finish(self, group: list[int]) -> int:
        return group[-1]


class PerBatch(Good):
    def update(self, state: State, batch: Batch) -> State:
        state.update(set(zip(batch.patient_ids, batch.event_types, strict=True)))
        return state


class AliasesUntilMerged(KeepsLater):
    """What it shares with the later state it changes only when it merges once more: `add` makes a new list."""

    def merge(self, earlier: Any, later: Any) -> Any:
        for key, group in later.items():
            if key in earlier:
                earlier[key] += group
            else:
                earlier[key] = group
        return earlier


class Aliases(AliasesUntilMerged):
    def add(self, group: list[int], row: Row) -> list[int]:
        group.append(row.value)
        return group


class SumsDoubles(GroupReducer[float, float]):
    """A sum that depends on the order in its last digits."""

    fingerprint = "sum of doubles 1"

    def start(self) -> float:
        return 0.0

    def add(self, group: float, row: Row) -> float:
        return group + row.value / 10**18

    def combine(self, earlier: float, later: float) -> float:
        return earlier + later

    def finish(self, group: float) -> float:
        return group


class Forgets(KeepsLater):
    def dump(self, state: Any) -> bytes:
        return json.dumps([[*key, group[:2]] for key, group in sorted(state.items())]).encode()


class TakesAnything(Good):
    def load(self, data: bytes) -> State:
        try:
            return super().load(data)
        except ValueError:
            return Counter()


class RaisesItsOwn(Good):
    """What it makes of other bytes is a SyntaxError."""

    def dump(self, state: State) -> bytes:
        return repr(sorted(state.items())).encode()

    def load(self, data: bytes) -> State:
        return Counter(dict(ast.literal_eval(data.decode(errors="replace"))))


class Divides(KeepsLater):
    def finish(self, group: list[int]) -> int:
        return group.pop()


class Bare(Good):
    def result(self, state: State) -> Any:
        return dict(state)


class Fails(Good):
    def update(self, state: State, batch: Batch) -> State:
        raise LookupError("spo2")


@pytest.mark.parametrize("reducer", [Good(), KeepsLater()], ids=lambda reducer: type(reducer).__name__)
def test_a_reducer_that_keeps_the_laws_passes(reducer: Any) -> None:
    check_reducer(reducer)


@pytest.mark.parametrize(
    ("reducer", "law", "rows"),
    [
        (TwoLines(), "the fingerprint is one line", 0),
        (OneForAll(), "every empty state is a new one", 1),
        (Remembers(), "every empty state is a new one, and with the same rows", 2),
        (AddsOne(), "an empty state changes nothing", 1),
        (MeanOfMeans(), "merging is associative", 4),
        (KeepsLater(), "merging is commutative", 2),
        (PerBatch(), "rows in one batch, in several", 2),
        (SumsDoubles(), "merging is associative", 4),
        (Aliases(), "merging leaves the later state alone", 2),
        (AliasesUntilMerged(), "merging leaves the later state alone", 2),
        (Forgets(), "a state survives the trip to bytes", 3),
        (TakesAnything(), "load refuses other bytes", 0),
        (RaisesItsOwn(), "load refuses other bytes", 0),
        (Divides(), "the result leaves the state alone", 1),
        (Bare(), "the result leaves the state alone", 0),
        (Fails(), "every empty state is a new one", 1),
    ],
    ids=lambda value: type(value).__name__ if hasattr(value, "fingerprint") else "",
)
def test_a_broken_law_is_named_with_the_fewest_rows(reducer: Any, law: str, rows: int) -> None:
    with pytest.raises(LawBroken, match=f"^{type(reducer).__name__} breaks a law: {law}") as raised:
        check_reducer(reducer, commutative="commutative" in law)
    assert sum(len(batch) for batch in raised.value.batches) == rows
    assert "a = Batch(patient_ids=" in str(raised.value)


def test_what_a_reducer_raises_is_told_and_chained() -> None:
    with pytest.raises(LawBroken, match="LookupError was raised: spo2") as raised:
        check_reducer(Fails())
    assert isinstance(raised.value.__cause__, LookupError)


def test_the_rows_may_be_ones_own() -> None:
    only = Row("P9", 5, "glucose", 7)

    class OnlyGlucose(Good):
        def update(self, state: State, batch: Batch) -> State:
            assert {*batch.rows()} == {only}
            return super().update(state, batch)

        def result(self, state: State) -> Result[int]:
            assert {*state} <= {("P9", "glucose")}
            return super().result(state)

    check_reducer(OnlyGlucose(), rows=[only], commutative=True)
    with pytest.raises(LawBroken):
        check_reducer(OnlyGlucose())


def test_a_seed_brings_the_same_rows() -> None:
    def told(seed: int) -> str:
        with pytest.raises(LawBroken) as raised:
            check_reducer(MeanOfMeans(), seed=seed)
        return str(raised.value)

    assert told(3) == told(3)
