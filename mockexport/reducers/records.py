"""Rows of resources with ids, until all are known: in memory up to a number, in a temporary file beyond it.

A row takes ROW_BYTES, wherever it is. The file has no name, is its owner's alone, and ends with the rows. It is in the
machine's folder for such (TMPDIR).
"""

import tempfile
import weakref
from array import array
from bisect import bisect_right
from collections.abc import Iterator
from typing import IO, Any, Generic, TypeVar

from mockexport.errors import OutputError
from mockexport.formats.batch import VALUE_BYTES, Identified, Identity, packed
from mockexport.formats.resources import KEY_BYTES, ROWLESS, Columns, PackedRows

__all__ = ["BLOCK_ROWS", "MEMORY_ROWS", "ROW_BYTES", "WIDTHS", "Records", "Rows"]

S = TypeVar("S")

# Of a row in each of the Columns, in bytes.
WIDTHS = (KEY_BYTES, 8, 8, 8, VALUE_BYTES, 4, 4, PLACE_BYTES := 2)
ROW_BYTES = sum(WIDTHS)
_BEFORE = [sum(WIDTHS[:column]) for column in range(len(WIDTHS))]
# Rows that are handed on at once.
BLOCK_ROWS = 65_536
# Of a state, 13 megabytes: there is one for each download in flight, and the one that they are merged into.
MEMORY_ROWS = 200_000


class Rows:
    """Rows as columns, in the order in which they came.

    Args:
        memory_rows: once this many are in memory, they go to the file.
    """

    def __init__(self, memory_rows: int = MEMORY_ROWS) -> None:
        self._memory_rows = memory_rows
        self._held = [bytearray() for _ in WIDTHS]
        self._file: IO[bytes] | None = None
        self._borders = [0]  # of blocks in the file, by rows

    def __len__(self) -> int:
        return self._borders[-1] + len(self._held[-1]) // PLACE_BYTES

    @property
    def spilled(self) -> int:
        """How many of the rows are in the file."""
        return self._borders[-1]

    def add(self, columns: Columns) -> None:
        """Take in further rows.

        Raises:
            OutputError: they are too many for memory, and there is no room on disk.
        """
        for held, more in zip(self._held, columns, strict=True):
            held += more
        if len(self) - self.spilled >= self._memory_rows:
            self._spill()

    def _spill(self) -> None:
        try:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="mockexport-")  # noqa: SIM115 - it ends with this object
                weakref.finalize(self, self._file.close)
            self._file.seek(self.spilled * ROW_BYTES)
            for block in self._blocks_held():
                self._file.writelines(block)
                self._borders.append(self._borders[-1] + len(block.places) // PLACE_BYTES)
            self._file.flush()
        except OSError as error:
            where = f"rows of resources to a temporary file in {tempfile.gettempdir()}"
            raise OutputError(where, f"{error.strerror}; another folder may be named by TMPDIR") from error
        self._held = [bytearray() for _ in WIDTHS]

    def _blocks_held(self) -> Iterator[Columns]:
        rows = len(self._held[-1]) // PLACE_BYTES
        for first in range(0, rows, BLOCK_ROWS):
            end = first + BLOCK_ROWS
            yield Columns(
                *(bytes(held[first * width : end * width]) for held, width in zip(self._held, WIDTHS, strict=True))
            )

    def blocks(self) -> Iterator[Columns]:
        """Yield all rows, BLOCK_ROWS at most at a time."""
        for first, end in zip(self._borders, self._borders[1:], strict=False):
            yield Columns(*(self.read(column, first, end) for column in range(len(WIDTHS))))
        yield from self._blocks_held()

    def column(self, column: int) -> bytearray:
        """Return a column as a whole, by its place in Columns."""
        whole = bytearray()
        for first, end in zip(self._borders, self._borders[1:], strict=False):
            whole += self.read(column, first, end)
        return whole + self._held[column]

    def read(self, column: int, first: int, end: int) -> bytes:
        """Return what a column has of some rows."""
        width = WIDTHS[column]
        parts = []
        while first < min(end, self.spilled):
            block = bisect_right(self._borders, first)
            begins, ends = self._borders[block - 1], self._borders[block]
            until = min(end, ends)
            assert self._file is not None  # noqa: S101 - rows are in it
            self._file.seek(begins * ROW_BYTES + (ends - begins) * _BEFORE[column] + (first - begins) * width)
            parts.append(self._file.read((until - first) * width))
            first = until
        if first < end:
            parts.append(bytes(self._held[column][(first - self.spilled) * width : (end - self.spilled) * width]))
        return b"".join(parts)


class Records(Generic[S]):
    """Rows of resources with ids, the values that they lack, and the state of the rows of resources without an id."""

    def __init__(self, rest: S, memory_rows: int = MEMORY_ROWS) -> None:
        self.rest = rest
        self.rows: Rows = Rows(memory_rows)
        self.absent: Rows = Rows(memory_rows)  # of these, what matters is resource, version and type
        self.names: tuple[list[str], list[str]] = ([], [])  # of patients, and of types
        self._numbers: tuple[dict[str, int], dict[str, int]] = ({}, {})
        self._known = (_Translation(), _Translation())

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, batch: Identified) -> None:
        """Take in rows that all have keys, resources without rows, and values that are missing."""
        if isinstance(batch, PackedRows):
            self._add_columns(self.rows, batch.columns, batch.names)
        else:
            patients, types = (
                array("I", _numbered(ids, numbers, names)).tobytes()
                for ids, numbers, names in zip(
                    (batch.patient_ids, batch.event_types), self._numbers, self.names, strict=True
                )
            )
            self.rows.add(
                Columns(
                    b"".join(batch.keys),
                    array("Q", batch.versions).tobytes(),
                    array("q", batch.updated).tobytes(),
                    array("q", batch.event_times).tobytes(),
                    packed(batch.values),
                    patients,
                    types,
                    array("H", batch.places).tobytes(),
                )
            )
            if batch.rowless:
                self.rows.add(_without_rows(batch.rowless))
        if batch.absent:
            numbers = _numbered([event_type for _, event_type in batch.absent], self._numbers[1], self.names[1])
            columns = _without_rows([identity for identity, _ in batch.absent])
            self.absent.add(columns._replace(types=array("I", numbers).tobytes()))

    def extend(self, later: "Records[Any]") -> None:
        """Add the rows of another, but for those without a key."""
        for ours, theirs in ((self.rows, later.rows), (self.absent, later.absent)):
            for columns in theirs.blocks():
                self._add_columns(ours, columns, later.names)

    def _add_columns(self, rows: Rows, columns: Columns, names: tuple[list[str], list[str]]) -> None:
        translated = []
        for taken, translation, theirs, numbers, ours in zip(
            (columns.patients, columns.types), self._known, names, self._numbers, self.names, strict=True
        ):
            translation.update(theirs, numbers, ours)
            # Numbers of resources without rows stand for nothing, and there may be no names at all.
            if not translation.is_same:
                taken = array("I", map(translation.numbers.__getitem__, memoryview(taken).cast("I"))).tobytes()
            translated.append(taken)
        rows.add(columns._replace(patients=translated[0], types=translated[1]))

    def name(self, names: tuple[list[str], list[str]]) -> None:
        """Learn the names of patients and types, of which there is none yet."""
        for numbers, ours, given in zip(self._numbers, self.names, names, strict=True):
            _numbered(given, numbers, ours)

    def rank(self, rows: range) -> tuple[int, int, list[tuple[Any, ...]]]:
        """Return by what a resource is earlier or later than others of its key, by its rows: the first, and all others.

        Of one without any, `rows` is its first one, from which on there is none.
        """
        first = rows.start
        version, updated = (
            array(letter, self.rows.read(column, first, first + 1))[0] for column, letter in ((1, "Q"), (2, "q"))
        )
        if self.rows.read(7, first, first + 1) == _NO_ROWS:
            return version, updated, []
        cells = Columns(*(self.rows.read(column, rows.start, rows.stop) for column in range(len(WIDTHS))))
        found = PackedRows(len(rows), cells, self.names, self.names)
        return version, updated, [tuple(row) for row in found.rows()]


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


_NO_ROWS = array("H", [ROWLESS]).tobytes()


def _without_rows(resources: list[Identity]) -> Columns:
    number = len(resources)
    nothing = bytes(8 * number)
    return Columns(
        b"".join([identity.key for identity in resources]),
        array("Q", [identity.version for identity in resources]).tobytes(),
        array("q", [identity.updated for identity in resources]).tobytes(),
        nothing,
        bytes(VALUE_BYTES * number),
        nothing[: 4 * number],
        nothing[: 4 * number],
        _NO_ROWS * number,
    )


def _numbered(ids: list[str], numbers: dict[str, int], names: list[str]) -> list[int]:
    try:
        return [numbers[text] for text in ids]
    except KeyError:
        for text in ids:
            if text not in numbers:
                numbers[text] = len(names)
                names.append(text)
        return [numbers[text] for text in ids]
