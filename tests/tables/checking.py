"""What the engines make of a table, whole, in pieces and in spans, held against what was drawn."""

import random
from collections.abc import Iterable
from fractions import Fraction
from itertools import pairwise
from typing import Any

from mockexport.engine.choosing import Engine, choose_engine
from mockexport.engine.fold import Fold
from mockexport.formats import Cutter
from mockexport.formats.tally import MAX_EXAMPLES
from mockexport.model import Span
from mockexport.reducers import Summary, pack_state
from tests.pipeline.spans import held_to_the_whole
from tests.tables.drawing import Drawn, Group

__all__ = ["check_pieces", "check_spans", "check_whole", "figures"]

_Figures = tuple[int, float | None, float | None, float | None, float | None]


def _folded(
    drawn: Drawn, engine: str, edges: Iterable[int] = (), chunk_bytes: int = 4096
) -> tuple[Engine[Any], Fold[Any]]:
    """Fold the table, which arrives in pieces that end at `edges`."""
    chosen = choose_engine(Summary(), drawn.schema, wanted=engine)
    span = Span(drawn.name)
    fold, cutter = chosen.new_fold(span), Cutter(span, chunk_bytes)
    for start, end in pairwise([0, *sorted(edges), len(drawn.data)]):
        for chunk in cutter.feed(drawn.data[start:end]):
            fold.feed(chunk)
    for chunk in cutter.finish():
        fold.feed(chunk)
    fold.finish()
    return chosen, fold


def _outcome(drawn: Drawn, engine: str, edges: Iterable[int] = (), chunk_bytes: int = 4096) -> tuple[bytes, bytes]:
    chosen, fold = _folded(drawn, engine, edges, chunk_bytes)
    return pack_state(chosen.reducer, fold.state), fold.tally.to_bytes()


def figures(groups: dict[tuple[str, str], Group]) -> dict[tuple[str, str], _Figures]:
    """Return what a report has to say of groups: each a double, divided once."""
    return {
        key: (
            group.count, float(group.sum / group.count), float(group.min), float(group.max),
            float(Fraction(group.last_us - group.first_us, (group.count - 1) * 10**6)) if group.count > 1 else None,
        )
        for key, group in groups.items()
    }  # fmt: skip


def check_whole(drawn: Drawn) -> None:
    """Hold the reference to what was drawn, and the compiled engine to the reference."""
    chosen, fold = _folded(drawn, "python")
    tally, expected = fold.tally, drawn.expected
    reasons = [reason.value for _, reason in expected.bad]
    assert tally.bad == {reason: reasons.count(reason) for reason in reasons}
    assert [bad.line for bad in tally.examples] == [line for line, _ in expected.bad[:MAX_EXAMPLES]]
    assert tally.missing == expected.missing
    assert tally.noted == expected.noted
    assert tally.filtered == expected.left_out
    result = chosen.reducer.result(fold.state)
    found = {
        (patient, event_type): (each.count, each.mean, each.min, each.max, each.latency)
        for patient, types in result.patients.items()
        for event_type, each in types.items()
    }
    assert found == figures(expected.groups)
    assert _outcome(drawn, "kernel") == (pack_state(chosen.reducer, fold.state), tally.to_bytes())


def check_pieces(drawn: Drawn, draw: random.Random) -> None:
    """Hold both engines to themselves, whatever pieces the bytes come in, and chunks they are cut into."""
    whole = _outcome(drawn, "python")
    size = len(drawn.data)
    for edges, chunk_bytes in (
        (range(1, size), 1), (range(1, size), 4096), ([], draw.randrange(1, 200)),
        (draw.sample(range(size + 1), min(size, 5)), draw.choice([10, 100, 1000])),
    ):  # fmt: skip
        for engine in ("python", "kernel"):
            assert _outcome(drawn, engine, edges, chunk_bytes) == whole


def check_spans(drawn: Drawn, draw: random.Random, engine: str, *, every: bool) -> None:
    """Hold the spans of a table to the whole: every two, or some; the first begins with the header."""
    chosen = choose_engine(Summary(), drawn.schema, wanted=engine)
    header, begin = _header(drawn, chosen)
    places = range(begin, len(drawn.data))
    borders: list[tuple[int, ...]] = [(at,) for at in places] if every else []
    some = [draw.sample(places, min(len(places), draw.randrange(1, 6))) for _ in range(3 if places else 0)]
    borders += [tuple(sorted(each)) for each in some]
    for at in borders:
        held_to_the_whole(
            chosen, drawn.data, at, draw, header, draw.choice([16, 100]), draw.choice([7, 50]), drawn.name
        )


def _header(drawn: Drawn, chosen: Engine[Any]) -> tuple[str | None, int]:
    """Return the first header, which whoever begins in the middle takes to be in force, and where it is known."""
    fold, cutter = chosen.new_fold(Span(drawn.name)), Cutter(Span(drawn.name), 1)
    for chunk in cutter.feed(drawn.data):
        fold.feed(chunk)
        if fold.header is not None:
            return fold.header, chunk.end
    return None, len(drawn.data)
