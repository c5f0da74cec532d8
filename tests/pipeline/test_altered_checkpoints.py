"""Whoever alters a checkpoint, digest and all, is told in one line: nothing crashes, and nothing waits."""

import hashlib
import json
import random
from collections.abc import Callable, Iterator
from functools import cache, reduce
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockexport import MockExportError, Pipeline, Summary
from mockexport.errors import CheckpointError
from mockexport.pipeline.checkpoint import Belonging, Saved, from_bytes
from tests.faults.clock import run
from tests.faults.memory import MemorySource
from tests.faults.schedules import MemoryCheckpoint, expected, export_of, report_of

BODIES = export_of(random.Random(3), 3, 40)
# What a place may hold instead; beyond 64 bits only where JSON holds it.
ODD = [None, True, -1, 0, 1, 7, 2**31, 2**63 - 1, -(2**63), 1.5, "", "x", "a\nb", b"", b"x", [], {}, [1], {"a": 1}]
HUGE = [10**30, -(10**30), "\ud800", [[]]]

JSON = "as JSON"  # a step into bytes that hold JSON


class Altered(MemoryCheckpoint):
    """One whose errors are those of a file."""

    def load(self, belonging: Belonging) -> Saved:
        try:
            return super().load(belonging)
        except ValueError as problem:
            raise CheckpointError(self.path, str(problem)) from problem


@cache
def saved() -> bytes:
    """A checkpoint of a run in spans, with a download that is finished and others of which some spans are."""
    checkpoint = MemoryCheckpoint()
    source = MemorySource("x", BODIES, piece_bytes=60)
    found: list[bytes] = []
    for step in range(20, 150, 3):
        checkpoint.data = None
        pipeline = Pipeline(source, Summary(), chunk_bytes=60, split=300, concurrency=3, checkpoint=checkpoint)
        run(lambda: pipeline.run("x"), cancel_at=step)  # noqa: B023 - run at once
        found += [checkpoint.data] if checkpoint.data is not None else []
    return max(found, key=lambda data: (min(1, len(content(data)["saved"]["finished"])), len(data)))


def content(data: bytes) -> Any:
    head = data.index(b"\n") + 1 + hashlib.sha256().digest_size
    return msgspec.msgpack.decode(data[head:])


def packed(plain: Any) -> bytes:
    """Return a checkpoint whose digest is right, whatever it says."""
    payload = msgspec.msgpack.encode(plain)
    return saved()[: saved().index(b"\n") + 1] + hashlib.sha256(payload).digest() + payload


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    yield path
    if isinstance(value, dict | list):
        for key in value if isinstance(value, dict) else range(len(value)):
            yield from places(value[key], (*path, key))
    elif isinstance(value, bytes) and value.startswith(b"{"):
        yield from places(json.loads(value), (*path, JSON))


def replaced(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    """Return a copy of a plain value with `new` in a place."""
    if not path:
        return new
    step, rest = path[0], path[1:]
    if step == JSON and isinstance(value, bytes):
        return json.dumps(replaced(json.loads(value), rest, new), default=repr).encode()
    copy = value.copy()
    copy[step] = replaced(value[step], rest, new)
    return copy


def gone_on_with(data: bytes) -> Any:
    """Return what becomes of a run that is given a checkpoint: its report, or its error."""
    checkpoint = Altered()
    checkpoint.data = data

    async def again() -> str:
        pipeline = Pipeline(MemorySource("x", BODIES, piece_bytes=60), Summary(), checkpoint=checkpoint)
        outcome = await pipeline.run("x")
        return report_of(outcome.state, outcome.downloads)

    return run(again)[0]


def test_what_was_not_altered_is_gone_on_with() -> None:
    plain = content(saved())["saved"]
    assert plain["finished"]
    assert len(plain["begun"]) > 1
    assert gone_on_with(packed(content(saved()))) == expected(BODIES)


@settings(max_examples=100)
@given(st.data())
def test_any_value_in_any_place_is_an_error_in_one_line_or_no_matter(data: st.DataObject) -> None:
    plain = content(saved())
    path = data.draw(st.sampled_from([*places(plain)]))
    new = data.draw(st.sampled_from([*ODD, *HUGE] if JSON in path else ODD))
    old = reduce(lambda value, step: json.loads(value) if step == JSON else value[step], path, plain)
    if isinstance(old, bytes) and old:
        at = data.draw(st.integers(0, len(old) - 1))
        new = data.draw(st.sampled_from([old[:at], old[:at] + bytes([old[at] ^ 255]) + old[at + 1 :], old + old, new]))
    result = gone_on_with(packed(replaced(plain, path, new)))
    assert isinstance(result, str | MockExportError), (path, new, result)
    assert isinstance(result, str) or len(str(result).splitlines()) == 1


@given(st.data())
def test_bytes_that_are_changed_cut_or_put_in_are_damage(data: st.DataObject) -> None:
    whole = saved()
    start = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(start, len(whole)))
    other = data.draw(st.binary(max_size=80))
    damaged = whole[:start] + other + whole[end:]
    if damaged != whole:
        belonging = msgspec.convert(content(whole)["belonging"], Belonging)
        with pytest.raises(ValueError, match=r"damaged|no checkpoint|format"):
            from_bytes(damaged, belonging)


def begun(change: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Return what changes one of the downloads that are divided."""

    def changed(plain: dict[str, Any]) -> None:
        change(next(each for each in plain["begun"].values() if each["spans"][0]["span"]["end"] is not None))

    return changed


def span(**changes: Any) -> Callable[[dict[str, Any]], None]:
    """Return what changes the state of a span, and its borders by their names."""

    def changed(each: dict[str, Any]) -> None:
        held = each["spans"][0]
        held["span"].update({name: changes.pop(name) for name in ("start", "end") if name in changes})
        held.update(changes)

    return begun(changed)


def overlap(each: dict[str, Any]) -> None:
    first = each["spans"][0]
    each["spans"].insert(0, {**first, "span": {**first["span"], "end": first["span"]["end"] - 1}})


def renamed(plain: dict[str, Any]) -> None:
    plain["begun"]["other"] = plain["begun"].popitem()[1]


def unsorted(plain: dict[str, Any]) -> None:
    plain["runs"].append(plain["runs"][0])


ALTERED: dict[str, Callable[[dict[str, Any]], Any]] = {
    "offset beyond the end": span(offset=10**9),
    "offset below zero": span(offset=-1),
    "start below zero": span(start=-1),
    "end at the start": span(start=100, end=100),
    "end beyond the download's": span(end=10**9),
    "lines below zero": span(lines=-1),
    "a beginning below zero": span(begin=-1),
    "no end": span(end=None),
    "a line end in a tag": begun(lambda each: each["mark"].update(etag='"a\r\nb"')),
    "another header": span(left={"header": "a,b,c,d", "pending": b""}),
    "no header": span(left={"header": None, "pending": b""}),
    "no tally": span(tally=b"{}"),
    "no state": span(state=b"[[]]"),
    "unknown download": renamed,
    "spans that overlap": begun(overlap),
    "unknown kind": lambda plain: plain["finished"][0]["verdict"].update(kind="perhaps"),
    "finished and failed": lambda plain: plain["finished"][0]["verdict"].update(kind="failed"),
    "finished without a state": lambda plain: plain["runs"].clear(),
    "a state twice": unsorted,
    "a state of no place": lambda plain: plain["runs"][0].update(start=7, end=8),
    "finished twice": lambda plain: plain["finished"].append(plain["finished"][0]),
    "counts below zero": lambda plain: plain["finished"][0].update(rows=-1),
}


@pytest.mark.parametrize("name", ALTERED)
def test_what_cannot_be_is_refused_before_anything_is_fetched(name: str) -> None:
    plain = content(saved())
    ALTERED[name](plain["saved"])
    result = gone_on_with(packed(plain))
    assert isinstance(result, CheckpointError), result
    assert "altered" in str(result)


def test_a_checkpoint_says_its_format_once() -> None:
    data = saved()
    with pytest.raises(ValueError, match=r"it has format 4, and this is format 5"):
        from_bytes(data.replace(b"checkpoint 5\n", b"checkpoint 4\n", 1), Belonging("", "", "", "", "", "", "", False))
    assert data.count(b"mockexport checkpoint") == 1
    assert b"mockexport state" not in data
