"""Resources that come again: each counts once, in its latest version, wherever and in whatever order they come.

A later version may have other rows, or none; and what has been added to a minimum cannot be taken away again. So rows
of resources with ids are kept until all are known, 64 bytes each and some 200 while they are settled, and reduced then.
What is kept of each is a choice of the latest, which is associative, commutative, and the same whether a resource comes
once or twice: a state is a set of rows like any other, goes to bytes and back, and merges.

Which of two is the latest: the one with the higher meta.versionId, where those are numbers; else the later
meta.lastUpdated; of two that tell neither, the one whose rows are the larger ones, so that it is always the same.
"""

import json
import struct
from array import array
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from typing import Any, Generic, TypeVar

from mockexport.formats.batch import VALUE_BYTES, Batch, Identified
from mockexport.formats.fields import check_id
from mockexport.formats.filters import Filter
from mockexport.formats.resources import KEY_BYTES, ROWLESS, Columns, PackedRows
from mockexport.reducers.protocol import Reducer, Result

__all__ = ["Latest", "Records"]

S = TypeVar("S")
R = TypeVar("R")

# So many rows are reduced at once.
BLOCK_ROWS = 65_536
_LITTLE = struct.pack("=H", 1) == struct.pack("<H", 1)


class Records(Generic[S]):
    """Rows of resources with ids, as columns; and the state of the rows of those without."""

    def __init__(self, rest: S) -> None:
        self.rest = rest
        self.keys = bytearray()
        self.versions = array("Q")
        self.updated = array("q")
        self.times = array("q")
        self.values = bytearray()
        self.patients = array("I")  # places in `names[0]`
        self.types = array("I")  # places in `names[1]`
        self.places = array("H")
        self.names: tuple[list[str], list[str]] = ([], [])
        self._patient: dict[str, int] = {}
        self._type: dict[str, int] = {}
        self._known = (_Translation(), _Translation())

    def __len__(self) -> int:
        return len(self.versions)

    def index(self) -> None:
        """Learn the names that have been put in."""
        for numbers, names in zip((self._patient, self._type), self.names, strict=True):
            numbers.update({text: number for number, text in enumerate(names)})

    def add(self, batch: Identified) -> None:
        """Take in rows that all have keys, and resources without rows."""
        if isinstance(batch, PackedRows):
            self._add_packed(batch)
            return
        self.keys += b"".join(batch.keys)
        self.versions.extend(batch.versions)
        self.updated.extend(batch.updated)
        self.places.extend(batch.places)
        self.times.extend(batch.event_times)
        self.values += b"".join([value.to_bytes(VALUE_BYTES, "little", signed=True) for value in batch.values])
        self.patients.extend(_numbered(batch.patient_ids, self._patient, self.names[0]))
        self.types.extend(_numbered(batch.event_types, self._type, self.names[1]))
        if batch.rowless:
            number = len(batch.rowless)
            self.keys += b"".join([identity.key for identity in batch.rowless])
            self.versions.extend([identity.version for identity in batch.rowless])
            self.updated.extend([identity.updated for identity in batch.rowless])
            self.places.extend([ROWLESS] * number)
            self.values += bytes(number * VALUE_BYTES)
            for column in (self.times, self.patients, self.types):
                column.extend([0] * number)

    def _add_packed(self, batch: PackedRows) -> None:
        columns = batch.columns
        self.keys += columns.keys
        self.versions.frombytes(columns.versions)
        self.updated.frombytes(columns.updated)
        self.times.frombytes(columns.times)
        self.values += columns.values
        self.places.frombytes(columns.places)
        for column, taken, translation, theirs, numbers, ours in zip(
            (self.patients, self.types), (columns.patients, columns.types), self._known, batch.names,
            (self._patient, self._type), self.names, strict=True,
        ):  # fmt: skip
            translation.update(theirs, numbers, ours)
            if translation.is_same:
                column.frombytes(taken)
            else:
                column.extend(map(translation.numbers.__getitem__, memoryview(taken).cast("I")))

    def extend(self, later: "Records[Any]") -> None:
        """Add the rows of another, but for those without a key."""
        patients = array("I", _numbered(later.names[0], self._patient, self.names[0]))
        types = array("I", _numbered(later.names[1], self._type, self.names[1]))
        self.keys += later.keys
        self.versions.extend(later.versions)
        self.updated.extend(later.updated)
        self.times.extend(later.times)
        self.values += later.values
        self.places.extend(later.places)
        # Numbers of rowless ones stand for nothing, and there may be no names at all.
        self.patients.extend(map(patients.__getitem__, later.patients) if patients else later.patients)
        self.types.extend(map(types.__getitem__, later.types) if types else later.types)

    def packed(self, first: int, places: "array[int]") -> PackedRows:
        """Return rows from one on, those that have no place left out."""
        end = first + len(places)
        with memoryview(self.keys) as keys, memoryview(self.values) as values:
            columns = Columns(
                bytes(keys[first * KEY_BYTES : end * KEY_BYTES]),
                self.versions[first:end].tobytes(),
                self.updated[first:end].tobytes(),
                self.times[first:end].tobytes(),
                bytes(values[first * VALUE_BYTES : end * VALUE_BYTES]),
                self.patients[first:end].tobytes(),
                self.types[first:end].tobytes(),
                places.tobytes(),
            )
        return PackedRows(len(places) - places.count(ROWLESS), columns, self.names, self.names)

    def firsts(self) -> Iterator[int]:
        """Yield where each resource begins, one without rows included."""
        return (row for row, place in enumerate(self.places) if place in (0, ROWLESS))

    def rows_from(self, first: int) -> list[int]:
        """Return the rows of the resource that begins there."""
        if self.places[first] == ROWLESS:
            return []
        end = first + 1
        while end < len(self.places) and self.places[end] not in (0, ROWLESS):
            end += 1
        return list(range(first, end))

    def rank(self, first: int) -> tuple[int, int, list[tuple[Any, ...]]]:
        """Return by what the resource that begins there is earlier or later than others of its key."""
        patients, types = self.names
        rows = [
            (
                patients[self.patients[row]],
                self.times[row],
                types[self.types[row]],
                int.from_bytes(self.values[row * VALUE_BYTES : (row + 1) * VALUE_BYTES], "little", signed=True),
            )
            for row in self.rows_from(first)
        ]
        return self.versions[first], self.updated[first], rows

    def repeated(self) -> list[list[int]]:
        """Return, for each key that comes more than once, where its resources begin."""
        concerned = self._repeated()
        seen: dict[bytes, int] = {}
        again: dict[bytes, list[int]] = {}
        for first in concerned:
            key = bytes(self.keys[first * KEY_BYTES : first * KEY_BYTES + KEY_BYTES])
            before = seen.setdefault(key, first)
            if before != first:
                again.setdefault(key, [before]).append(first)
        return list(again.values())

    def _repeated(self) -> list[int]:
        """Return where resources begin whose key may come more than once."""
        with suppress(ImportError):  # where it was not built
            from mockexport.formats.fhir._lines import repeated

            return repeated(self.keys, self.places)
        # Most come once. Those are found by halves of their keys, in order: a dict of all keys takes thrice the memory.
        with memoryview(self.keys) as view, view.cast("Q") as halves:
            ordered = sorted(halves[2 * first] for first in self.firsts())
            doubtful = {half for half, following in pairwise(ordered) if half == following}
            return [first for first in self.firsts() if halves[2 * first] in doubtful] if doubtful else []


class _Translation:
    """The numbers that the names of a growing list have here."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.is_same = True
        self._names: list[str] = []

    def update(self, theirs: list[str], numbers: dict[str, int], ours: list[str]) -> None:
        if theirs is not self._names:
            self.numbers, self.is_same, self._names = [], True, theirs
        if new := theirs[len(self.numbers) :]:
            here = _numbered(new, numbers, ours)
            self.is_same = self.is_same and here == list(range(len(self.numbers), len(theirs)))
            self.numbers += here


def _numbered(ids: list[str], numbers: dict[str, int], names: list[str]) -> list[int]:
    try:
        return [numbers[text] for text in ids]
    except KeyError:
        for text in ids:
            if text not in numbers:
                numbers[text] = len(names)
                names.append(text)
        return [numbers[text] for text in ids]


class Latest(Generic[S, R]):
    """A reducer over another, whose rows are those of the latest version of each resource.

    Args:
        reducer: what becomes of the rows.
        asked: the rows that are asked for; looked at last, as another version may be another patient's or day's.
    """

    def __init__(self, reducer: Reducer[S, R], asked: Filter | None = None) -> None:
        self.inner = reducer
        self.reference: object = getattr(reducer, "reference", reducer)
        self._asked = asked

    @property
    def fingerprint(self) -> str:
        """That of the other, and that it is this."""
        return f"latest 1 of {self.inner.fingerprint}"

    def empty(self) -> Records[S]:
        """Return the state of no rows."""
        return Records(self.inner.empty())

    def update(self, state: Records[S], batch: Batch) -> Records[S]:
        """Return the state with the batch's rows added."""
        if not isinstance(batch, Identified):
            return self._update_rest(state, batch)
        if not isinstance(batch, PackedRows) and b"" in batch.keys:
            without = [row for row, key in enumerate(batch.keys) if not key]
            state = self._update_rest(state, _chosen(batch, without))
            batch = _identified(batch, [row for row, key in enumerate(batch.keys) if key])
        state.add(batch)
        return state

    def _update_rest(self, state: Records[S], batch: Batch) -> Records[S]:
        if taken := batch if self._asked is None else self._asked.take(batch):
            state.rest = self.inner.update(state.rest, taken)
        return state

    def merge(self, earlier: Records[S], later: Records[S]) -> Records[S]:
        """Return the state of both."""
        earlier.rest = self.inner.merge(earlier.rest, later.rest)
        earlier.extend(later)
        return earlier

    def dump(self, state: Records[S]) -> bytes:
        """Return the state as bytes: a line of JSON, the columns, and what the other reducer makes of the rest."""
        head = json.dumps([len(state), *state.names]).encode()
        columns = (state.versions, state.updated, state.times, state.patients, state.types, state.places)
        return b"".join(
            [head, b"\n", bytes(state.keys), bytes(state.values), *map(_packed, columns), self.inner.dump(state.rest)]
        )

    def load(self, data: bytes) -> Records[S]:
        """Return the state that `dump` wrote."""
        head, _, body = data.partition(b"\n")
        rows, *names = json.loads(head)
        if type(rows) is not int or rows < 0:
            raise ValueError("there are fewer rows than it says")
        view, at = memoryview(body), 0

        def take(size: int) -> memoryview:
            nonlocal at
            at += size
            return view[at - size : at]

        keys, values = take(rows * KEY_BYTES), take(rows * VALUE_BYTES)
        columns = [(letter, take(rows * array(letter).itemsize)) for letter in "QqqIIH"]
        if at > len(body):
            raise ValueError("a column is cut off")
        state: Records[S] = Records(self.inner.load(bytes(view[at:])))
        state.keys += keys
        state.values += values
        state.versions, state.updated, state.times, state.patients, state.types, state.places = (
            _unpacked(letter, column) for letter, column in columns
        )
        for ids, known, column in zip(names, state.names, (state.patients, state.types), strict=True):
            for text in ids:
                check_id(text)
                text.encode()
            known += ids
            if len(set(ids)) != len(ids) or max(column, default=0) > max(len(ids) - 1, 0):
                raise ValueError("the ids are not those of the rows")
        state.index()
        return state

    def result(self, state: Records[S]) -> Result[R]:
        """Return the results of the latest versions, and note how many came more than once."""
        repeated = state.repeated()
        result = self.inner.result(self.settled(state, repeated))
        if not repeated:
            return result
        replaced = unclear = 0
        for firsts in repeated:
            ranks = [state.rank(first) for first in firsts]
            latest = max(ranks)
            replaced += any(rank[:2] != latest[:2] for rank in ranks)
            unclear += any(rank[:2] == latest[:2] and rank != latest for rank in ranks)
        note = f"{len(repeated):,} observations came more than once, by their ids, and count once"
        if replaced:
            note += f"; of {replaced:,} of them the latest version"
        if unclear:
            note += f"; of {unclear:,} of them it cannot be told which is the latest: they differ, and one counts"
        return Result(result.patients, result.totals, (*result.notes, note))

    def settled(self, state: Records[S], repeated: list[list[int]] | None = None) -> S:
        """Return the other reducer's state of the rows that count; leaves the state alone."""
        left_out: set[int] = set()
        for firsts in state.repeated() if repeated is None else repeated:
            best = max(firsts, key=state.rank)
            for first in firsts:
                if first != best:
                    left_out.update(state.rows_from(first))
        inner = self.inner.load(self.inner.dump(state.rest))
        places = array("H", state.places)
        for row in left_out:
            places[row] = ROWLESS
        for first in range(0, len(places), BLOCK_ROWS):
            batch = state.packed(first, places[first : first + BLOCK_ROWS])
            if taken := batch if self._asked is None else self._asked.take(batch):
                inner = self.inner.update(inner, taken)
        return inner


def _chosen(batch: Batch, rows: list[int]) -> Batch:
    return Batch(
        [batch.patient_ids[row] for row in rows],
        [batch.event_times[row] for row in rows],
        [batch.event_types[row] for row in rows],
        [batch.values[row] for row in rows],
    )


def _identified(batch: Identified, rows: list[int]) -> Identified:
    plain = _chosen(batch, rows)
    return Identified(
        plain.patient_ids,
        plain.event_times,
        plain.event_types,
        plain.values,
        [batch.keys[row] for row in rows],
        [batch.versions[row] for row in rows],
        [batch.updated[row] for row in rows],
        [batch.places[row] for row in rows],
        batch.rowless,
    )


def _packed(column: "array[int]") -> bytes:
    if _LITTLE:
        return column.tobytes()
    swapped = array(column.typecode, column)
    swapped.byteswap()
    return swapped.tobytes()


def _unpacked(letter: str, data: memoryview) -> "array[int]":
    column = array(letter)
    column.frombytes(data)
    if not _LITTLE:
        column.byteswap()
    return column
