"""Columns for data frames: what the Arrow PyCapsule interface asks for, without a library of Arrow's.

A `Column` is described here in the terms of Arrow's C data interface (a format, and buffers as bytes); the compiled
`_arrow` makes capsules of a table of them. What is in a batch or a report is not known here.

    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
"""

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from mockexport.errors import ArrowUnavailable

if TYPE_CHECKING:
    from types import ModuleType

    from mockexport._arrow import Data, Field

__all__ = ["Column", "Table", "decimals", "floats", "integers", "named", "texts", "times"]

_NULLABLE = 2  # ARROW_FLAG_NULLABLE


@dataclass(frozen=True, slots=True)
class Column:
    """A column: `buffers` are a bitmap of the valid rows, None if all are, and what the format asks for."""

    name: str
    format: bytes
    length: int
    buffers: tuple[bytes | None, ...]
    nulls: int = 0
    nullable: bool = False
    dictionary: "Column | None" = None

    def field(self) -> "Field":
        """Return the column's description for `_arrow`."""
        flags = _NULLABLE if self.nullable else 0
        return self.name.encode(), self.format, flags, (), None if self.dictionary is None else self.dictionary.field()

    def data(self) -> "Data":
        """Return the column's content for `_arrow`."""
        return self.length, self.nulls, self.buffers, (), None if self.dictionary is None else self.dictionary.data()


@dataclass(frozen=True, slots=True)
class Table:
    """Columns of one length, as capsules; each capsule holds a copy, which is its consumer's.

    Raises:
        ArrowUnavailable: in every method, where the compiled parts were not built.
    """

    columns: Sequence[Column]
    length: int

    def schema_capsule(self) -> object:
        """Return the schema: a struct of the columns."""
        return _compiled().schema_capsule(self._field())

    def array_capsules(self) -> tuple[object, object]:
        """Return the schema and the rows, as one struct array."""
        return self.schema_capsule(), _compiled().array_capsule(self._data())

    def stream_capsule(self) -> object:
        """Return the schema and the rows as a stream of one record batch."""
        return _compiled().stream_capsule(self._field(), self._data())

    def _field(self) -> "Field":
        return b"", b"+s", 0, tuple(column.field() for column in self.columns), None

    def _data(self) -> "Data":
        return self.length, 0, (None,), tuple(column.data() for column in self.columns), None


def texts(name: str, values: Sequence[str | None]) -> Column:
    """Return a column of texts: UTF-8 with offsets of 64 bits, which no number of ids is too many for."""
    pieces = [b"" if value is None else value.encode() for value in values]
    offsets = array("q", accumulate(map(len, pieces), initial=0)).tobytes()
    bitmap, nulls = _valid(values)
    return Column(name, b"U", len(values), (bitmap, offsets, b"".join(pieces)), nulls, nullable=True)


def named(name: str, numbers: bytes, names: Sequence[str]) -> Column:
    """Return a column of texts as numbers, of 32 bits, that are places in a list of `names`: Arrow's dictionary."""
    length = len(numbers) // 4
    if len(names) > length:
        # Names of rows elsewhere, for the most part: a batch should not have to carry them all.
        places = {number: place for place, number in enumerate(dict.fromkeys(memoryview(numbers).cast("i")))}
        names = [names[number] for number in places]
        numbers = array("i", map(places.__getitem__, memoryview(numbers).cast("i"))).tobytes()
    # A copy: the list may grow meanwhile.
    return Column(name, b"i", length, (None, numbers), dictionary=texts(name, list(names)))


def integers(name: str, values: Sequence[int | None]) -> Column:
    """Return a column of 64-bit integers.

    Raises:
        OverflowError: if one takes more.
    """
    return _numbers(name, b"l", array("q", [0 if value is None else value for value in values]), values)


def floats(name: str, values: Sequence[float | None]) -> Column:
    """Return a column of doubles."""
    return _numbers(name, b"g", array("d", [0.0 if value is None else value for value in values]), values)


def times(name: str, times_us: bytes) -> Column:
    """Return a column of instants, given as 64-bit microseconds of UTC since 1970."""
    return Column(name, b"tsu:UTC", len(times_us) // 8, (None, times_us))


def decimals(name: str, scaled: bytes) -> Column:
    """Return a column of decimal numbers, given as 64-bit integers of 10⁻⁹: exact, which doubles would not be."""
    return Column(name, b"d:19,9", len(scaled) // 8, (None, _compiled().widened(scaled)))


def _numbers(name: str, format_: bytes, packed: "array[int] | array[float]", values: Sequence[float | None]) -> Column:
    bitmap, nulls = _valid(values)
    return Column(name, format_, len(values), (bitmap, packed.tobytes()), nulls, nullable=True)


def _valid(values: Sequence[object]) -> tuple[bytes | None, int]:
    """Return a bitmap of the values that are there, lowest bit first, None if all are; and how many are not."""
    missing = [place for place, value in enumerate(values) if value is None]
    if not missing:
        return None, 0
    bitmap = bytearray(b"\xff") * ((len(values) + 7) // 8)
    for place in missing:
        bitmap[place >> 3] &= ~(1 << (place & 7))
    return bytes(bitmap), len(missing)


def _compiled() -> "ModuleType":
    try:
        from mockexport import _arrow
    except ImportError as error:
        raise ArrowUnavailable from error
    return _arrow
