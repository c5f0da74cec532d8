"""The laws of reducers as a function: random rows until one is broken, and then the fewest rows that break it.

States are compared as bytes, as `dump` writes them, and results as they are. No test framework is needed.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from mockexport.formats import Batch
from mockexport.formats.batch import Row
from mockexport.reducers import Reducer, Result, pack_state, unpack_state

__all__ = ["LawBroken", "check_reducer"]

S = TypeVar("S")
Rows = list[Row]
# Holds a reducer to a law, given three batches: what is wrong, or None.
Law = Callable[[Reducer[Any, Any], Batch, Batch, Batch], str | None]

# Rows of a batch: few, so that ties and repetitions come about.
_MAX_ROWS = 6
_SHOWN_OF_STATE = 300


class LawBroken(AssertionError):  # noqa: N818 - a test that fails, named as what it found
    """A reducer breaks a law; `law` is its name, `batches` (a, b and c) are the fewest rows that show it."""

    def __init__(self, reducer: str, law: str, problem: str, batches: Sequence[Batch]) -> None:
        self.law = law
        self.batches: tuple[Batch, ...] = tuple(batches)
        shown = "".join(
            f"\n  {name} = {Batch(*_columns(list(batch.rows())))!r}" for name, batch in zip("abc", batches, strict=True)
        )
        super().__init__(f"{reducer} breaks a law: {law}\n  {problem}{shown}")


def check_reducer(
    reducer: Reducer[Any, Any],
    *,
    commutative: bool = False,
    rows: Sequence[Row] | None = None,
    rounds: int = 100,
    seed: int = 0,
) -> None:
    """Hold a reducer to the laws, over random batches: none, one and several rows, with ties and out of order.

    Args:
        reducer: the reducer.
        commutative: whether merging must not depend on which state is the earlier; the built-in reducers keep that.
        rows: the rows to draw from, for a reducer that is not for just any.
        rounds: how many times three batches are drawn.
        seed: the same seed brings the same batches.

    Raises:
        LawBroken: with the law, and the fewest rows found that show it.
    """
    draw = random.Random(seed)  # noqa: S311 - to be repeated
    pool = list(rows) if rows is not None else _some_rows(draw)
    # The smallest come first: no row at all, then one row in some of three batches.
    sizes = [min(number // 5, _MAX_ROWS) if pool else 0 for number in range(rounds)]
    drawn = [[draw.choices(pool, k=draw.randint(0, most)) for _ in "abc"] for most in sizes]
    for name, law in _LAWS.items():
        if law is not _commutes or commutative:
            _hold_to(name, law, reducer, drawn)


def _hold_to(name: str, law: Law, reducer: Reducer[Any, Any], drawn: Sequence[list[Rows]]) -> None:
    for parts in drawn:
        if (first := _broken(law, reducer, parts)) is not None:
            fewest = _fewest(law, reducer, parts)
            problem, cause = _broken(law, reducer, fewest) or (f"not every time; the first time {first[0]}", first[1])
            raise LawBroken(type(reducer).__name__, name, problem, _batches(fewest)) from cause


def _some_rows(draw: random.Random) -> Rows:
    """Return rows to draw from: few patients, times that are tied, far apart or before 1970, values of all sizes.

    Among the values are some that are no doubles, so that sums of doubles come to other last digits in another order.
    """
    times = (0, 1, 1_756_166_404_906_404, 1_756_166_464_906_404, 1_756_252_804_000_000, -1)
    tenths = [number * 10**17 for number in (0, 10, 725, 2000, 1, 366)]
    values = (*tenths, 98_700_000_000_000_000_003, -1, 10**33, -(10**33))
    patients, event_types = ("P001", "P002", "ä"), ("heart_rate", "spo2")
    return [
        Row(draw.choice(patients), draw.choice(times), draw.choice(event_types), draw.choice(values)) for _ in range(60)
    ]


def _columns(rows: Rows) -> tuple[list[Any], ...]:
    return tuple([row[place] for row in rows] for place in range(4))


def _batches(parts: Sequence[Rows]) -> list[Batch]:
    return [Batch(*_columns(rows)) for rows in parts]


def _broken(law: Law, reducer: Reducer[Any, Any], parts: Sequence[Rows]) -> tuple[str, Exception | None] | None:
    """Return in words how `parts` break a law, and the exception, if it was one; None if they do not."""
    try:
        problem = law(reducer, *_batches(parts))
    except Exception as error:
        return f"{type(error).__name__} was raised: {error}", error
    return None if problem is None else (problem, None)


def _fewest(law: Law, reducer: Reducer[Any, Any], parts: list[Rows]) -> list[Rows]:
    """Leave rows out, one at a time, for as long as the law stays broken."""
    for part, rows in enumerate(parts):
        for row in reversed(range(len(rows))):
            tried = [[*rows] for rows in parts]
            del tried[part][row]
            if _broken(law, reducer, tried) is not None:
                return _fewest(law, reducer, tried)
    return parts


# ---- the laws ----


def _state(reducer: Reducer[S, Any], *batches: Batch) -> S:
    state = reducer.empty()
    for batch in batches:
        if batch:  # the pipeline hands over none that is empty
            state = reducer.update(state, batch)
    return state


def _differ(left: str, left_bytes: bytes, right: str, right_bytes: bytes) -> str | None:
    if left_bytes == right_bytes:
        return None
    return f"{left} and {right} differ:\n    {_short(left_bytes)}\n    {_short(right_bytes)}"


def _short(data: bytes) -> str:
    return repr(data) if len(data) <= _SHOWN_OF_STATE else f"{data[:_SHOWN_OF_STATE]!r}…"


def _has_a_fingerprint(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    name = reducer.fingerprint
    fits = isinstance(name, str) and name and "\n" not in name
    return None if fits else f"it is {name!r}"


def _begins_afresh(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    before = reducer.dump(reducer.empty())
    once = reducer.dump(_state(reducer, a))
    if told := _differ("empty()", before, "empty() after update(empty(), a)", reducer.dump(reducer.empty())):
        return told
    # One that remembers rows in itself, beside its states, is found the first time that it sees some: here.
    return _differ("update(empty(), a)", once, "the second time", reducer.dump(_state(reducer, a)))


def _associates(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    left = reducer.merge(reducer.merge(_state(reducer, a), _state(reducer, b)), _state(reducer, c))
    right = reducer.merge(_state(reducer, a), reducer.merge(_state(reducer, b), _state(reducer, c)))
    return _differ("merge(merge(a, b), c)", reducer.dump(left), "merge(a, merge(b, c))", reducer.dump(right))


def _commutes(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    left = reducer.merge(_state(reducer, a), _state(reducer, b))
    right = reducer.merge(_state(reducer, b), _state(reducer, a))
    return _differ("merge(a, b)", reducer.dump(left), "merge(b, a)", reducer.dump(right))


def _has_an_identity(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    alone = reducer.dump(_state(reducer, a))
    before = reducer.dump(reducer.merge(reducer.empty(), _state(reducer, a)))
    after = reducer.dump(reducer.merge(_state(reducer, a), reducer.empty()))
    return _differ("merge(empty(), a)", before, "a", alone) or _differ("merge(a, empty())", after, "a", alone)


def _splits(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    whole = reducer.dump(_state(reducer, Batch(*_columns([*a.rows(), *b.rows()]))))
    batches = reducer.dump(_state(reducer, a, b))
    states = reducer.dump(reducer.merge(_state(reducer, a), _state(reducer, b)))
    return _differ("a and b in one batch", whole, "one after the other", batches) or _differ(
        "a and b in one state", whole, "in two, merged", states
    )


def _spares_the_later(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    later = _state(reducer, b)
    before = reducer.dump(later)
    merged = reducer.merge(_state(reducer, a), later)
    if told := _differ("b before merge(a, b)", before, "b after it", reducer.dump(later)):
        return told
    if c:
        reducer.update(merged, c)
    if told := _differ("b before update(merge(a, b), c)", before, "b after it", reducer.dump(later)):
        return told
    # Anew: an update that puts something else in the place of what is shared would hide it from the merge.
    reducer.merge(reducer.merge(_state(reducer, a), later), _state(reducer, c))
    return _differ("b before merge(merge(a, b), c)", before, "b after it", reducer.dump(later))


def _travels(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    state = _state(reducer, a, b)
    again = unpack_state(reducer, pack_state(reducer, state))
    if told := _differ("dump(ab)", reducer.dump(state), "dump(load(dump(ab)))", reducer.dump(again)):
        return told
    # What came back must go on like what went.
    if c:
        state, again = reducer.update(state, c), reducer.update(again, c)
    if told := _differ("update(ab, c)", reducer.dump(state), "update(load(dump(ab)), c)", reducer.dump(again)):
        return told
    left, right = reducer.result(state), reducer.result(again)
    return None if left == right else f"the results of a state and of load(dump(state)) differ: {left} and {right}"


def _refuses_other_bytes(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    for junk in (b"", b"\xff no state"):
        if junk == reducer.dump(reducer.empty()):
            continue
        try:
            reducer.load(junk)
        except (ValueError, KeyError, TypeError):
            continue
        except Exception as error:
            return f"load({junk!r}) raises {type(error).__name__}"
        return f"load({junk!r}) raises nothing"
    return None


def _only_tells(reducer: Reducer[Any, Any], a: Batch, b: Batch, c: Batch) -> str | None:
    state = _state(reducer, a, b)
    before = reducer.dump(state)
    result: object = reducer.result(state)
    if not isinstance(result, Result):
        return f"result() returned a {type(result).__name__}, no Result"
    if told := _differ("ab before result(ab)", before, "ab after it", reducer.dump(state)):
        return told
    again = reducer.result(state)
    return None if result == again else f"result(ab) differs the second time: {result} and {again}"


_LAWS: dict[str, Law] = {
    "the fingerprint is one line of text": _has_a_fingerprint,
    "every empty state is a new one, and with the same rows comes to the same": _begins_afresh,
    "an empty state changes nothing that it is merged with": _has_an_identity,
    "merging is associative": _associates,
    "merging is commutative": _commutes,
    "rows in one batch, in several and in states that are merged come to the same": _splits,
    "merging leaves the later state alone": _spares_the_later,
    "the result leaves the state alone": _only_tells,
    "a state survives the trip to bytes": _travels,
    "load refuses other bytes with ValueError, KeyError or TypeError": _refuses_other_bytes,
}
