"""Rows alike in patient, type, time and value count once: another reducer's statistics, of a set of rows.

The set is exact. Of a row it keeps 24 bytes: its time and its value as integers, most significant byte first and moved
beyond zero, so that rows are in order as bytes are. A group's rows are an ordered run, and behind it those that came
since, which are no more than the run is long: 48 bytes a row at the most, and for a moment, of one group, 200.
"""

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, pairwise
from typing import Any, ClassVar, Generic, TypeVar

from mockexport.formats.batch import Batch
from mockexport.formats.fields import check_id
from mockexport.reducers.protocol import MAX_COUNT, MAX_SIZE, MAX_VALUE_SIZE, Reducer, Result
from mockexport.reducers.summary import columns_by_group

__all__ = ["ROW_BYTES", "Distinct", "DistinctState"]

ROW_BYTES = 24
# Rows that may wait to be put in order, however few are in order.
_LEAST_WAITING = 256 * ROW_BYTES
# Rows that the other reducer is given at once.
_BATCH_ROWS = 16 * 1024
_TIME_BIAS, _VALUE_BIAS, _WORD = 2**63, 2**127, 2**64 - 1

S = TypeVar("S")
R = TypeVar("R")


@dataclass(slots=True)
class _Rows:
    """One group's rows as bytes: `ordered` are, each once; `waiting` may be there, too."""

    ordered: bytes = b""
    waiting: bytearray = field(default_factory=bytearray)

    def add(self, rows: bytes | bytearray) -> None:
        self.waiting += rows
        if len(self.waiting) > max(len(self.ordered), _LEAST_WAITING):
            self.settle()

    def settle(self) -> None:
        """Put all rows in order, each once."""
        if self.waiting:
            rows = {data[at : at + ROW_BYTES] for data in (self.ordered, bytes(self.waiting)) for at in _starts(data)}
            self.ordered, self.waiting = b"".join(sorted(rows)), bytearray()

    @property
    def size_bytes(self) -> int:
        return len(self.ordered) + len(self.waiting)


def _starts(data: bytes) -> range:
    return range(0, len(data), ROW_BYTES)


class DistinctState:
    """A set of rows by (patient id, event type), and how many rows have been put into it."""

    __slots__ = ("fed", "groups")
    __hash__: ClassVar[None] = None  # type: ignore[assignment] # mutable

    def __init__(self) -> None:
        self.fed: int = 0
        self.groups: dict[tuple[str, str], _Rows] = {}

    def __len__(self) -> int:
        """The number of groups."""
        return len(self.groups)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DistinctState):
            return NotImplemented
        self.settle()
        other.settle()
        return self.fed == other.fed and self.groups == other.groups

    def __repr__(self) -> str:
        return f"<DistinctState of {self.fed} rows>"

    @property
    def held(self) -> int:
        """The number of rows that it holds, those that wait included."""
        return sum(rows.size_bytes for rows in self.groups.values()) // ROW_BYTES

    def settle(self) -> int:
        """Put all rows in order; return how many different ones there are."""
        for rows in self.groups.values():
            rows.settle()
        return self.held


@dataclass(frozen=True)
class Distinct(Generic[S, R]):
    """The statistics of another reducer, of rows of which each counts once, over all downloads.

    Rows are the same if patient, event type, time and value are. The state is the set of rows: 24 to 48 bytes for each,
    up to SizeLimits.distinct of them.

    Args:
        reducer: what becomes of the rows; by default, in `analyze`, that is Summary.
    """

    reducer: Reducer[S, R]

    @property
    def fingerprint(self) -> str:
        """Name and version, and those of the other reducer."""
        return f"distinct 1 of {self.reducer.fingerprint}"

    def empty(self) -> DistinctState:
        """Return the state of no rows."""
        return DistinctState()

    def update(self, state: DistinctState, batch: Batch) -> DistinctState:
        """Add a batch's rows to `state` and return it."""
        for key, (times, values) in columns_by_group(batch).items():
            state.groups.setdefault(key, _Rows()).add(_packed(times, values))
        state.fed += len(batch)
        return state

    def merge(self, earlier: DistinctState, later: DistinctState) -> DistinctState:
        """Add the rows of `later` to `earlier` and return it: the union."""
        for key, rows in later.groups.items():
            known = earlier.groups.setdefault(key, _Rows())
            known.add(rows.ordered)
            known.add(rows.waiting)
        earlier.fed += later.fed
        return earlier

    def dump(self, state: DistinctState) -> bytes:
        """Return a line of JSON, which says how many rows each group has, and all rows."""
        state.settle()
        groups = sorted(state.groups.items())
        told = [[*key, len(rows.ordered) // ROW_BYTES] for key, rows in groups]
        head = json.dumps({"fed": state.fed, "groups": told}).encode()
        return b"".join([head, b"\n", *(rows.ordered for _, rows in groups)])

    def load(self, data: bytes) -> DistinctState:
        """Return the state that `dump` wrote."""
        end = data.index(b"\n")
        told = json.loads(data[:end])
        state, at = DistinctState(), end + 1
        for patient_id, event_type, count in told["groups"]:
            if type(count) is not int or not 0 < count <= MAX_COUNT:
                raise ValueError("a group has no rows")
            ordered = data[at : at + count * ROW_BYTES]
            at += count * ROW_BYTES
            _check(patient_id, event_type, ordered, count)
            state.groups[patient_id, event_type] = _Rows(ordered)
        state.fed = told["fed"]
        if at != len(data) or [*state.groups] != sorted(state.groups) or len(state.groups) != len(told["groups"]):
            raise ValueError("the groups are not in order, or there is something behind them")
        if type(state.fed) is not int or not state.held <= state.fed <= MAX_COUNT:
            raise ValueError("more rows are there than were put in")
        return state

    def result(self, state: DistinctState) -> Result[R]:
        """Return the other reducer's results of all rows, each once; and how many were left out as repeated."""
        inner = self.reducer.empty()
        rows = state.settle()
        for batch in _batches(state):
            inner = self.reducer.update(inner, batch)
        result = self.reducer.result(inner)
        return Result(result.patients, result.totals, result.notes, repeated=state.fed - rows)


def _packed(times: Sequence[int], values: Sequence[int]) -> bytes:
    moved = [value + _VALUE_BIAS for value in values]
    words = zip(
        [time_us + _TIME_BIAS for time_us in times],
        [value >> 64 for value in moved],
        [value & _WORD for value in moved],
        strict=True,
    )
    return struct.pack(f">{3 * len(times)}Q", *chain.from_iterable(words))


def _unpacked(rows: bytes) -> tuple[list[int], list[int]]:
    """Return the times and the values of rows."""
    words = struct.unpack(f">{len(rows) // 8}Q", rows)
    values = [(high << 64 | low) - _VALUE_BIAS for high, low in zip(words[1::3], words[2::3], strict=True)]
    return [time_us - _TIME_BIAS for time_us in words[::3]], values


def _batches(state: DistinctState) -> Iterator[Batch]:
    """Yield all rows, group by group; groups that are small together."""
    batch = Batch()
    for (patient_id, event_type), rows in sorted(state.groups.items()):
        for start in range(0, len(rows.ordered), _BATCH_ROWS * ROW_BYTES):
            times, values = _unpacked(rows.ordered[start : start + _BATCH_ROWS * ROW_BYTES])
            batch.patient_ids.extend([patient_id] * len(times))
            batch.event_types.extend([event_type] * len(times))
            batch.event_times.extend(times)
            batch.values.extend(values)
            if len(batch) >= _BATCH_ROWS:
                yield batch
                batch = Batch()
    if batch:
        yield batch


def _check(patient_id: Any, event_type: Any, ordered: bytes, count: int) -> None:
    """Raise ValueError or TypeError unless this is what a group holds."""
    for text in (patient_id, event_type):
        if type(text) is not str:
            raise TypeError("an id is no text")
        check_id(text)
        text.encode()
    if len(ordered) != count * ROW_BYTES:
        raise ValueError("the rows are cut off")
    if any(later <= earlier for earlier, later in pairwise(ordered[at : at + ROW_BYTES] for at in _starts(ordered))):
        raise ValueError("the rows are not in order, or one is there twice")
    times, values = _unpacked(ordered)
    if max(map(abs, times)) >= MAX_SIZE or max(map(abs, values)) >= MAX_VALUE_SIZE:
        raise ValueError("there are no such times or values")
