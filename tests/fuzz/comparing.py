"""Both engines over the same bytes: what they make of them, in a form that can be compared bit by bit."""

from collections.abc import Iterable
from itertools import pairwise
from typing import Any

from mockexport.engine import choose_engine
from mockexport.errors import FormatError
from mockexport.formats import Cutter
from mockexport.model import Schema, Span
from mockexport.reducers import Reducer, Selection, Summary
from mockexport.reducers.selection import STATISTICS

__all__ = ["EVERYTHING", "REDUCERS", "SUMMARY", "outcome"]

SUMMARY = Summary()
# All families at once.
EVERYTHING = Selection(STATISTICS)
REDUCERS: list[Reducer[Any, Any]] = [SUMMARY, EVERYTHING]


def outcome(
    engine: str,
    data: bytes,
    schema: Schema,
    *,
    edges: Iterable[int] = (),
    chunk_bytes: int = 4096,
    strict: bool = False,
    reducer: Reducer[Any, Any] = SUMMARY,
) -> tuple[Any, ...]:
    """Fold `data`, arriving in pieces that end at `edges`; return state, tally and offset as they are at the end.

    An error of the format is part of it: its words, and what there was before it.
    """
    chosen = choose_engine(reducer, schema, strict=strict, wanted=engine)
    fold = chosen.new_fold(Span("d"))
    cutter = Cutter(Span("d"), chunk_bytes, count_lines=chosen.count_lines)
    error = ""
    try:
        for start, end in pairwise([0, *sorted(edges), len(data)]):
            for chunk in cutter.feed(data[start:end]):
                fold.feed(chunk)
        for chunk in cutter.finish():
            fold.feed(chunk)
    except FormatError as raised:
        error = str(raised)
    return chosen.reducer.dump(fold.state), fold.tally.to_bytes(), fold.rows, fold.offset, error
