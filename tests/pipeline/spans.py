"""Spans of a download that is in memory: read one by one in any order, and put together as the pipeline does."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from mockexport.engine.choosing import Engine
from mockexport.formats import Cutter
from mockexport.model import Entry, Reading, Span
from mockexport.pipeline.landed import Landed, Stretch
from mockexport.reducers import pack_state

__all__ = ["held_to_the_whole", "stretch_of"]


def stretch_of(
    engine: Engine[Any], body: bytes, span: Span, entry: Entry, chunk_bytes: int, piece: int
) -> Stretch[Any]:
    """Read a span as a producer does: from the byte before it, in pieces, until nothing more belongs to it."""
    fold = engine.new_fold(span, entry.reading.header, entry.reading.pending)
    offset = span.read_from if entry.offset is None else entry.offset
    cutter = Cutter(span, chunk_bytes, offset=offset)
    cutter.begin = max(cutter.begin, offset if entry.offset is not None else 0)
    for start in range(offset, len(body), piece):
        if cutter.done:
            break
        for chunk in cutter.feed(body[start : start + piece]):
            fold.feed(chunk)
    for chunk in cutter.finish():
        fold.feed(chunk)
    if span.end == len(body):
        fold.finish()
    left = Reading(fold.header, fold.pending)
    return Stretch(span, cutter.begin, cutter.offset, fold.line - 1, fold.tally, fold.state, entry.reading, left)


def put_together(
    engine: Engine[Any],
    body: bytes,
    borders: Sequence[int],
    order: random.Random,
    header: str | None,
    chunk_bytes: int,
    piece: int,
    name: str = "d",
) -> Landed[Any]:
    edges = [0, *borders, len(body)]
    spans = [Span(name, start, end) for start, end in itertools.pairwise(edges)]
    order.shuffle(spans)
    landed: Landed[Any] = Landed(engine.reducer)
    for span in spans:
        reading = Reading(header if span.start else None)
        void = landed.add(stretch_of(engine, body, span, Entry(reading), chunk_bytes, piece))
        while void is not None:
            void = landed.add(stretch_of(engine, body, *void, chunk_bytes, piece))
    return landed


def held_to_the_whole(
    engine: Engine[Any],
    body: bytes,
    borders: Sequence[int],
    order: random.Random,
    header: str | None,
    chunk_bytes: int,
    piece: int,
    name: str = "d",
) -> None:
    """Hold the spans between borders, each taking `header` for the one in force, to the whole."""
    whole = stretch_of(engine, body, Span(name, 0, len(body)), Entry(Reading()), chunk_bytes, 1000)
    landed = put_together(engine, body, borders, order, header, chunk_bytes, piece, name)
    (found,) = landed.stretches
    assert found.tally == whole.tally
    assert pack_state(engine.reducer, found.state) == pack_state(engine.reducer, whole.state)
    assert (found.begin, found.offset, found.lines) == (0, len(body), body.count(b"\n"))
