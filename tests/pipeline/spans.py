"""Spans of a download that is in memory: read one by one in any order, and put together as the pipeline does."""

import itertools
import random
from collections.abc import Sequence
from typing import Any

from mockexport.engine.choosing import Engine
from mockexport.formats import Cutter
from mockexport.model import Reading, SizeLimits, Span
from mockexport.pipeline.ranges import Landed
from mockexport.pipeline.span import FoldingSpan, Held, PackedSpan, fresh
from mockexport.pipeline.variety import Limited
from mockexport.reducers import pack_state

__all__ = ["held_to_the_whole"]


def held_of(engine: Engine[Any], body: bytes, begun: PackedSpan, chunk_bytes: int, piece: int) -> Held[Any]:
    """Read a span as a producer does: from the byte before it, in pieces, until nothing more belongs to it."""
    span = begun.span
    fold = engine.new_fold(span, begun.left.header, begun.left.pending)
    cutter = Cutter(span, chunk_bytes, offset=begun.offset)
    run = FoldingSpan(begun, fold, cutter, Limited(engine.reducer, SizeLimits()))
    for start in range(begun.offset, len(body), piece):
        if cutter.done:
            break
        for chunk in cutter.feed(body[start : start + piece]):
            fold.feed(chunk)
    for chunk in cutter.finish():
        fold.feed(chunk)
    if span.end == len(body):
        fold.finish()
    return run.held(landed=True)


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
        entered = Reading(header if span.start else None)
        again = landed.add(held_of(engine, body, fresh(span, entered), chunk_bytes, piece))
        while again is not None:
            again = landed.add(held_of(engine, body, again, chunk_bytes, piece))
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
    whole = held_of(engine, body, fresh(Span(name, 0, len(body))), chunk_bytes, 1000)
    landed = put_together(engine, body, borders, order, header, chunk_bytes, piece, name)
    (found,) = landed.spans
    assert found.tally == whole.tally
    assert pack_state(engine.reducer, found.state) == pack_state(engine.reducer, whole.state)
    assert (found.begin, found.offset, found.lines) == (0, len(body), body.count(b"\n"))
