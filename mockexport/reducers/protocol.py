"""What a reducer is: the seam through which statistics, built in or a user's own, meet the rows."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Generic, Protocol, TypeVar

from msgspec import Struct

from mockexport.errors import StateError
from mockexport.formats.batch import Batch
from mockexport.formats.fields import check_id

__all__ = [
    "MAX_SIZE",
    "MAX_VALUE_SIZE",
    "Reducer",
    "Result",
    "check_counts",
    "dumped_rows",
    "fields_of",
    "is_count",
    "load_state",
    "pack_state",
    "unpack_state",
]

S = TypeVar("S")
R = TypeVar("R")

_MAGIC = b"mockexport state 2"
# More values than this nobody has, in a group or over all: so nothing comes near the ends of the kernel's integers.
MAX_COUNT = 10**15
# Values are nearer to zero (fields.MAX_VALUE), and so are the middles of their buckets.
MAX_VALUE_SIZE = 2**110
# And so are times.
MAX_SIZE = 2**62


@dataclass(frozen=True, slots=True)
class Result(Generic[R]):
    """What a reducer makes of its final state: per patient and event type, and per event type over all patients.

    `notes` are what a reader of the figures must know, such as that some are approximate; `repeated` is how many rows
    were left out because others are the same. `outdated` are missing values, by event type, of versions of resources
    that do not count (see reducers.Latest).
    """

    patients: Mapping[str, Mapping[str, R]]
    totals: Mapping[str, R]
    notes: tuple[str, ...] = ()
    repeated: int = 0
    outdated: Mapping[str, int] = field(default_factory=dict)


def fields_of(kind: type) -> tuple[str, ...] | None:
    """Return the names of the fields of a class of results; None if it is no dataclass and no `msgspec.Struct`."""
    if issubclass(kind, Struct):
        return kind.__struct_fields__
    return tuple(field.name for field in fields(kind)) if is_dataclass(kind) else None


class Reducer(Protocol[S, R]):
    """Turns batches of rows into a state `S`, and the final state into results `R`.

    The reducer itself is a frozen description; all that changes is the state. The laws, which
    `mockexport.testing.check_reducer` holds any reducer to:

    - `merge` is associative, and `empty()` is its identity; a state of one row is a state like any other.
    - `load(dump(state))` is the same state.
    - Updating with two batches one after the other gives what merging the states of each would give.
    - Divide only in `result`, and compute totals there from the groups.

    A state is used by one thread at a time, but not always by the same one, and different states by several at once.
    """

    @property
    def fingerprint(self) -> str:
        """One line that differs whenever states do not fit each other: name, version, configuration."""

    def empty(self) -> S:
        """Return the state of no rows."""

    def update(self, state: S, batch: Batch) -> S:
        """Return the state with the batch's rows added; may change `state`."""

    def merge(self, earlier: S, later: S) -> S:
        """Return the state of both; may change and return `earlier`, leaves `later` alone."""

    def dump(self, state: S) -> bytes:
        """Return the state as bytes; equal states give equal bytes."""

    def load(self, data: bytes) -> S:
        """Return the state that `dump` wrote; ValueError, KeyError or TypeError if it is none."""

    def result(self, state: S) -> Result[R]:
        """Return the results of a state; leaves it alone."""


def pack_state(reducer: Reducer[S, R], state: S) -> bytes:
    """Return a state as bytes that name their version and the reducer they belong to."""
    return b"\n".join((_MAGIC, reducer.fingerprint.encode(), reducer.dump(state)))


def unpack_state(reducer: Reducer[S, R], data: bytes) -> S:
    """Return the state that `pack_state` wrote with an equal reducer.

    Raises:
        StateError: if `data` is no such state, or belongs to another reducer or version.
    """
    name = type(getattr(reducer, "reference", reducer)).__name__
    magic, _, rest = data.partition(b"\n")
    fingerprint, newline, payload = rest.partition(b"\n")
    if magic != _MAGIC or not newline:
        raise StateError(name, "the bytes are not a state of this version")
    if fingerprint != reducer.fingerprint.encode():
        raise StateError(name, f"they belong to {fingerprint.decode(errors='replace')!a}, not {reducer.fingerprint!a}")
    return load_state(reducer, payload)


def load_state(reducer: Reducer[S, R], data: bytes) -> S:
    """Return the state that the reducer's `dump` wrote.

    Raises:
        StateError: it cannot be read, whatever `load` has raised.
    """
    try:
        return reducer.load(data)
    except Exception as error:
        name = type(getattr(reducer, "reference", reducer)).__name__
        raise StateError(name, f"the bytes cannot be read ({type(error).__name__})") from error


def dumped_rows(data: bytes) -> Iterator[tuple[tuple[str, str], list[Any]]]:
    """Return the groups of a state that is JSON rows of (patient id, event type, …), as key and the rest of the row.

    Raises:
        ValueError: if an id is none, or the keys do not ascend; TypeError or ValueError if there are no such rows.
    """
    before = ("", "")
    for patient_id, event_type, *rest in json.loads(data):
        key = (patient_id, event_type)
        for text in key:
            if type(text) is not str:
                raise TypeError("an id is no text")
            check_id(text)
            text.encode()
        if key <= before:
            raise ValueError("the groups are not in the order of their ids")
        before = key
        yield key, rest


def is_count(number: object) -> bool:
    """Whether it is an integer from 1 to MAX_COUNT."""
    return type(number) is int and 0 < number <= MAX_COUNT


def check_counts(counts: Mapping[int, int], count: int, most: int = MAX_SIZE) -> None:
    """Raise ValueError unless integers nearer to zero than `most` are counted here, and `count` times in all."""
    if not all(type(key) is int and abs(key) < most for key in counts) or not all(map(is_count, counts.values())):
        raise ValueError("no counts")
    if sum(counts.values()) != count:
        raise ValueError("the counts are of more or fewer values")
