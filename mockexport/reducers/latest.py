"""Resources that come again: each counts once, in its latest version, wherever and in whatever order they come.

A later version may have other rows, or none; and what has been added to a minimum cannot be taken away again. So rows
of resources with ids are kept until all are known (see records), and reduced then. Which keys come again is found with
some 27 bytes of memory a row, and 400 for each that does. What is kept of each is a choice of the latest, which is
associative, commutative, and the same whether a resource comes once or twice: a state is a set of rows like any other,
goes to bytes and back, and merges.

Which of two is the latest: the one with the higher meta.versionId, where those are numbers; else the later
meta.lastUpdated; of two that tell neither, the one whose rows are the larger ones, so that it is always the same.
"""

import json
import struct
from array import array
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, TypeVar

from mockexport.formats.batch import Batch, Identified
from mockexport.formats.fields import check_id
from mockexport.formats.filters import Filter
from mockexport.formats.resources import KEY_BYTES, ROWLESS, Columns, PackedRows
from mockexport.reducers.protocol import Reducer, Result
from mockexport.reducers.records import BLOCK_ROWS, MEMORY_ROWS, WIDTHS, Records, Rows

__all__ = ["Latest", "Records"]

S = TypeVar("S")
R = TypeVar("R")

_LITTLE = struct.pack("=H", 1) == struct.pack("<H", 1)
# Of a row's columns, those that are numbers in the machine's order, by their widths.
_NUMBERS = {1: "Q", 2: "q", 3: "q", 5: "I", 6: "I", 7: "H"}


@dataclass(slots=True)
class _Settled(Generic[S]):
    """The state of the rows that count, and what was found on the way.

    `outdated` are missing values, by type, of versions that do not count.
    """

    state: S
    repeated: int = 0
    replaced: int = 0
    unclear: int = 0
    outdated: Counter[str] = field(default_factory=Counter)


class Latest(Generic[S, R]):
    """A reducer over another, whose rows are those of the latest version of each resource.

    Args:
        reducer: what becomes of the rows.
        asked: the rows that are asked for; looked at last, as another version may be another patient's or day's.
        memory_rows: of each state, the rows that are kept in memory.
    """

    def __init__(self, reducer: Reducer[S, R], asked: Filter | None = None, *, memory_rows: int = MEMORY_ROWS) -> None:
        self.inner = reducer
        self.reference: object = getattr(reducer, "reference", reducer)
        self._asked = asked
        self._memory_rows = memory_rows

    @property
    def fingerprint(self) -> str:
        """That of the other, and that it is this."""
        return f"latest 2 of {self.inner.fingerprint}"

    def empty(self) -> Records[S]:
        """Return the state of no rows."""
        return Records(self.inner.empty(), self._memory_rows)

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
        """Return the state as bytes: a line of JSON, the columns, and what the other reducer makes of the rest.

        Where its rows are makes no difference; all of them are in memory for as long as this takes.
        """
        head = json.dumps([len(state.rows), len(state.absent), *state.names]).encode()
        columns = [
            _in_order(column, rows.column(column))
            for rows in (state.rows, state.absent)
            for column in range(len(WIDTHS))
        ]
        return b"".join([head, b"\n", *columns, self.inner.dump(state.rest)])

    def load(self, data: bytes) -> Records[S]:
        """Return the state that `dump` wrote."""
        head, _, body = data.partition(b"\n")
        rows, absent, *names = json.loads(head)
        view, at = memoryview(body), 0
        read: list[list[memoryview]] = []
        for count in (rows, absent):
            if type(count) is not int or count < 0:
                raise ValueError("there are fewer rows than it says")
            read.append([])
            for width in WIDTHS:
                read[-1].append(view[at : at + count * width])
                at += count * width
        if at > len(body):
            raise ValueError("a column is cut off")
        state: Records[S] = Records(self.inner.load(bytes(view[at:])), self._memory_rows)
        for ids in names:
            for text in ids:
                check_id(text)
                text.encode()
            if len(set(ids)) != len(ids):
                raise ValueError("an id is there twice")
        patients, types = names
        state.name((patients, types))
        for target, count, columns in zip((state.rows, state.absent), (rows, absent), read, strict=True):
            _fill(target, count, columns, names)
        return state

    def result(self, state: Records[S]) -> Result[R]:
        """Return the results of the latest versions, and note how many came more than once."""
        settled = self._settle(state)
        result = self.inner.result(settled.state)
        if not settled.repeated:
            return result
        note = f"{settled.repeated:,} observations came more than once, by their ids, and count once"
        if settled.replaced:
            note += f"; of {settled.replaced:,} of them the latest version"
        if settled.unclear:
            note += (
                f"; of {settled.unclear:,} of them it cannot be told which is the latest: they differ, and one counts"
            )
        return Result(result.patients, result.totals, (*result.notes, note), outdated=+settled.outdated)

    def settled(self, state: Records[S]) -> S:
        """Return the other reducer's state of the rows that count; leaves the state alone."""
        return self._settle(state).state

    def _settle(self, state: Records[S]) -> _Settled[S]:
        settled = _Settled(self.inner.load(self.inner.dump(state.rest)))
        places = array("H", bytes(state.rows.column(7)))
        self._leave_out(state, places, settled)
        first = 0
        for columns in state.rows.blocks():
            rows = places[first : first + len(columns.places) // 2]
            first += len(rows)
            batch: Batch = PackedRows(
                len(rows) - rows.count(ROWLESS), columns._replace(places=rows.tobytes()), state.names, state.names
            )
            if taken := batch if self._asked is None else self._asked.take(batch):
                settled.state = self.inner.update(settled.state, taken)
        return settled

    @staticmethod
    def _leave_out(state: Records[S], places: "array[int]", settled: _Settled[S]) -> None:
        """Make rows of versions that do not count ROWLESS, and count what there is to be told of them."""
        latest: dict[bytes, tuple[int, int, int]] = {}  # by key, the version that counts, and how often that one came
        for key, resources in _repeated(state.rows, places).items():
            ranks = [state.rank(rows) for rows in resources]
            best = max(ranks)
            settled.repeated += 1
            settled.replaced += any(rank[:2] != best[:2] for rank in ranks)
            settled.unclear += any(rank[:2] == best[:2] and rank != best for rank in ranks)
            latest[key] = (best[0], best[1], sum(rank[:2] == best[:2] for rank in ranks))
            counting = ranks.index(best)
            for number, rows in enumerate(resources):
                if number != counting:
                    for row in rows:
                        places[row] = ROWLESS
        if not latest or not len(state.absent):
            return
        of_latest: Counter[tuple[bytes, int]] = Counter()
        for columns in state.absent.blocks():
            versions, updated = memoryview(columns.versions).cast("Q"), memoryview(columns.updated).cast("q")
            for row, number in enumerate(memoryview(columns.types).cast("I")):
                key = columns.keys[row * KEY_BYTES : (row + 1) * KEY_BYTES]
                if key in latest:
                    settled.outdated[state.names[1][number]] += 1
                    of_latest[key, number] += latest[key][:2] == (versions[row], updated[row])
        for (key, number), count in of_latest.items():
            # The same version twice lacks the same values twice.
            settled.outdated[state.names[1][number]] -= -(-count // latest[key][2])


def _repeated(rows: Rows, places: "array[int]") -> dict[bytes, list[range]]:
    """Return, for each key that comes more than once, the rows of its resources."""
    keys = rows.column(0)
    again: dict[bytes, list[range]] = {}
    for first in _concerned(keys, places):
        end = first + 1
        while places[first] != ROWLESS and end < len(places) and places[end] not in (0, ROWLESS):
            end += 1
        again.setdefault(bytes(keys[first * KEY_BYTES : (first + 1) * KEY_BYTES]), []).append(range(first, end))
    return {key: resources for key, resources in again.items() if len(resources) > 1}


def _concerned(keys: bytearray, places: "array[int]") -> list[int]:
    """Return where resources begin whose key may come more than once."""
    with suppress(ImportError):  # where it was not built
        from mockexport.formats.fhir._lines import repeated

        return repeated(keys, places)
    # Most come once. Those are found by halves of their keys, in order: a dict of all keys takes thrice the memory.
    firsts = [row for row, place in enumerate(places) if place in (0, ROWLESS)]
    with memoryview(keys) as view, view.cast("Q") as halves:
        ordered = sorted(halves[2 * first] for first in firsts)
        doubtful = {half for half, following in pairwise(ordered) if half == following}
        return [first for first in firsts if halves[2 * first] in doubtful] if doubtful else []


def _fill(rows: Rows, count: int, columns: list[memoryview], names: list[list[str]]) -> None:
    """Add rows from bytes, whose numbers are those of names that there are."""
    for first in range(0, count, BLOCK_ROWS):
        end = min(count, first + BLOCK_ROWS)
        block = Columns(
            *(
                _in_order(number, column[first * width : end * width])
                for number, (column, width) in enumerate(zip(columns, WIDTHS, strict=True))
            )
        )
        for numbers, ids in zip((block.patients, block.types), names, strict=True):
            if max(memoryview(numbers).cast("I"), default=0) > max(len(ids) - 1, 0):
                raise ValueError("the ids are not those of the rows")
        rows.add(block)


def _in_order(column: int, data: "bytes | bytearray | memoryview") -> bytes:
    """Return a column of numbers in the order of bytes that is written, or the other way round."""
    letter = _NUMBERS.get(column)
    if letter is None or _LITTLE:
        return bytes(data)
    swapped = array(letter, bytes(data))
    swapped.byteswap()
    return swapped.tobytes()


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
        batch.absent,
    )
