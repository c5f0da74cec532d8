"""The compiled decoder's batches: rows in the file's order, whoever judged them, and values that nothing later changes.

That they are the reference's, bit by bit, is held by tests/engine/test_kernel.py.
"""

import pickle

import pytest

from mockexport import Batch, Counts, Schema
from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.engine.fold import Fold
from mockexport.errors import ReducerError
from mockexport.model import Chunk, Span
from tests.rows import HEADER

if kernel_problem() is not None:
    pytest.skip("there is no kernel here", allow_module_level=True)

SPAN = Span("d")


class Batches:
    """A reducer that keeps the batches themselves."""

    fingerprint = "batches 1"

    def empty(self) -> list[Batch]:
        return []

    def update(self, state: list[Batch], batch: Batch) -> list[Batch]:
        return [*state, batch]


def fold() -> Fold[list[Batch]]:
    """An empty fold of the compiled decoder."""
    return choose_engine(Batches(), Schema(), wanted="kernel").new_fold(SPAN)  # type: ignore[arg-type]


def chunk(*rows: str, header: bool = False) -> Chunk:
    """A chunk of rows of patient, type and value, half a second apart."""
    lines = [
        f"{patient},2025-08-26T00:00:0{n / 2}Z,{rest}\n"
        for n, (patient, rest) in enumerate(r.split(",", 1) for r in rows)
    ]
    data = (HEADER if header else b"") + "".join(lines).encode()
    return Chunk(SPAN, data, 0, len(data), 1)


def test_rows_that_the_reference_judges_come_back_where_they_were() -> None:
    batches = fold()
    batches.feed(
        chunk('"a""b",t,1', "P,t,2", '"Q",t,3', '"Q",t,', "P,t,", "P,t,x", 'P,"u",4', "P,t,5", "P,t,6e0", header=True)
    )
    (batch,) = batches.state
    assert batch.values == [number * 10**18 for number in (1, 2, 3, 4, 5, 6)]
    assert batch.patient_ids == ['a"b', "P", "Q", "P", "P", "P"]
    assert batch.event_types == ["t", "t", "t", "u", "t", "t"]
    assert batch.event_times == sorted(batch.event_times)
    assert len(batch) == 6
    assert batches.tally.rows == 9
    assert batches.tally.missing == {"t": 2}
    assert batches.tally.patients == {'a"b', "P", "Q"}


def test_a_batch_stays_what_it_is_when_others_follow() -> None:
    batches = fold()
    batches.feed(chunk("P,t,1", "Q,u,2", header=True))
    batches.feed(chunk("R,v,3", "Q,t,4", "P,u,5"))
    first, second = batches.state
    assert first == Batch(
        ["P", "Q"], [first.event_times[0], first.event_times[0] + 500_000], ["t", "u"], [10**18, 2 * 10**18]
    )
    assert second.patient_ids == ["R", "Q", "P"]
    assert second.event_types == ["v", "t", "u"]


def test_a_column_is_made_once() -> None:
    batches = fold()
    batches.feed(chunk("P,t,1", header=True))
    (batch,) = batches.state
    assert batch.patient_ids is batch.patient_ids
    assert batch.values is batch.values


def test_a_batch_travels_to_another_process_as_its_columns() -> None:
    batches = fold()
    batches.feed(chunk("P,t,1", "Q,u,2.5", header=True))
    (batch,) = batches.state
    again = pickle.loads(pickle.dumps(batch))  # noqa: S301 - our own bytes
    assert again == batch
    assert type(again) is Batch
    assert again != Batch()


def test_a_chunk_without_values_is_no_batch() -> None:
    batches = fold()
    batches.feed(chunk("P,t,", "P,t,x", header=True))
    assert batches.state == []
    assert batches.tally.rows == 2


def test_a_reducer_that_raises_is_told_with_its_place() -> None:
    class Broken(Counts):
        def update(self, state: object, batch: Batch) -> object:  # type: ignore[override]
            raise KeyError("P001")

    broken = choose_engine(Broken(), Schema(), wanted="kernel").new_fold(SPAN)
    with pytest.raises(ReducerError, match="reducer Broken raised KeyError in download d, in the chunk at byte 0"):
        broken.feed(chunk("P,t,1", header=True))
