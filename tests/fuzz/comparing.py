"""Both engines over the same bytes: what they make of them, in a form that can be compared bit by bit."""

import json
from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from mockexport.engine.choosing import choose_engine
from mockexport.errors import FormatError
from mockexport.formats import Batch, Cutter
from mockexport.formats.filters import Filter
from mockexport.formats.schema import Schema
from mockexport.model import Span
from mockexport.reducers import Reducer, Result, Selection, Summary
from mockexport.reducers.selection import STATISTICS

__all__ = ["EVERYTHING", "REDUCERS", "SUMMARY", "Rows", "outcome"]

SUMMARY = Summary()
# All families at once.
EVERYTHING = Selection(STATISTICS)

RowsState = list[tuple[str, int, str, int]]


class Rows:
    """A reducer that keeps every row of every batch, in the order in which they came."""

    fingerprint = "rows 1"

    def empty(self) -> RowsState:
        return []

    def update(self, state: RowsState, batch: Batch) -> RowsState:
        rows = list(zip(batch.patient_ids, batch.event_times, batch.event_types, batch.values, strict=True))
        assert len(rows) == len(batch)
        state.extend(rows)
        return state

    def merge(self, earlier: RowsState, later: RowsState) -> RowsState:
        return [*earlier, *later]

    def dump(self, state: RowsState) -> bytes:
        return json.dumps(state).encode()

    def load(self, data: bytes) -> RowsState:
        return [(patient, time, event_type, value) for patient, time, event_type, value in json.loads(data)]

    def result(self, state: RowsState) -> Result[int]:
        return Result({}, {})


# What each way through the kernel ends in.
REDUCERS: list[Reducer[Any, Any]] = [Rows(), EVERYTHING, SUMMARY]


def outcome(
    engine: str,
    data: bytes,
    schema: Schema,
    *,
    reducer: Reducer[Any, Any] = SUMMARY,
    asked: Filter | None = None,
    edges: Iterable[int] = (),
    chunk_bytes: int = 4096,
    strict: bool = False,
    coverage: bool = False,
) -> tuple[Any, ...]:
    """Fold `data`, arriving in pieces that end at `edges`; return state, tally and offset as they are at the end.

    An error of the format is part of it: its words, and what there was before it.
    """
    chosen = choose_engine(reducer, schema, asked=asked, coverage=coverage, strict=strict, wanted=engine)
    fold = chosen.new_fold(Span("d"))
    cutter = Cutter(Span("d"), chunk_bytes)
    error = ""
    try:
        for start, end in pairwise([0, *sorted(edges), len(data)]):
            for chunk in cutter.feed(data[start:end]):
                fold.feed(chunk)
        for chunk in cutter.finish():
            fold.feed(chunk)
        fold.finish()
    except FormatError as raised:
        error = str(raised)
    return chosen.reducer.dump(fold.state), fold.tally.to_bytes(), fold.rows, fold.offset, error
