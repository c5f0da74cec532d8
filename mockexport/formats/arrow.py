"""Columns for data frames: what the Arrow PyCapsule interface asks for, without a library of Arrow's.

A `Column` is described here in the terms of Arrow's C data interface (a format, and buffers as bytes); the compiled
`_arrow` makes capsules of a table of them. What is in a batch or a report is not known here.

    https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html
"""

from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import accumulate
from typing import TYPE_CHECKING

from mockexport.errors import ArrowUnavailable

if TYPE_CHECKING:
    from types import ModuleType

    from mockexport._arrow import Data, Field

__all__ = [
    "Column",
    "Table",
    "booleans",
    "decimals",
    "floats",
    "instants",
    "integers",
    "maps",
    "named",
    "texts",
    "times",
]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)

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
    children: "tuple[Column, ...]" = ()

    def field(self) -> "Field":
        """Return the column's description for `_arrow`."""
        flags = _NULLABLE if self.nullable else 0
        children = tuple(child.field() for child in self.children)
        dictionary = None if self.dictionary is None else self.dictionary.field()
        return self.name.encode(), self.format, flags, children, dictionary

    def data(self) -> "Data":
        """Return the column's content for `_arrow`."""
        children = tuple(child.data() for child in self.children)
        dictionary = None if self.dictionary is None else self.dictionary.data()
        return self.length, self.nulls, self.buffers, children, dictionary


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
        return _struct("", self.columns, self.length).field()

    def _data(self) -> "Data":
        return _struct("", self.columns, self.length).data()


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
    """Return a column of decimal numbers, given as 128-bit integers of 10⁻¹⁸: exact, which doubles would not be."""
    return Column(name, b"d:38,18", len(scaled) // 16, (None, scaled))


def booleans(name: str, values: Sequence[bool | None]) -> Column:
    """Return a column of yes and no."""
    bitmap, nulls = _valid(values)
    return Column(name, b"b", len(values), (bitmap, _bits(values)), nulls, nullable=True)


def instants(name: str, values: Sequence[datetime | None]) -> Column:
    """Return a column of instants, of microseconds; one without a time zone is UTC."""
    packed = [None if value is None else _microseconds(value) for value in values]
    return replace(integers(name, packed), format=b"tsu:UTC")


def _microseconds(instant: datetime) -> int:
    return ((instant if instant.tzinfo else instant.replace(tzinfo=UTC)) - _EPOCH) // _MICROSECOND


def maps(name: str, values: Sequence[Mapping[str, int | float] | None]) -> Column:
    """Return a column of maps from texts to numbers.

    Raises:
        TypeError: if a key is no text, or a value no number.
    """
    offsets = array("i", accumulate((len(value or ()) for value in values), initial=0)).tobytes()
    items = [item for value in values if value for item in value.items()]
    if not all(isinstance(key, str) and isinstance(number, int | float) for key, number in items):
        raise TypeError("a map is not from texts to numbers")
    keys = replace(texts("key", [key for key, _ in items]), nullable=False)
    whole = [number for _, number in items if isinstance(number, int)]
    made = integers("value", whole) if len(whole) == len(items) else floats("value", [number for _, number in items])
    bitmap, nulls = _valid(values)
    entries = (_struct("entries", (keys, made), len(items)),)
    return Column(name, b"+m", len(values), (bitmap, offsets), nulls, nullable=True, children=entries)


def _struct(name: str, columns: Sequence[Column], length: int) -> Column:
    return Column(name, b"+s", length, (None,), children=tuple(columns))


def _numbers(name: str, format_: bytes, packed: "array[int] | array[float]", values: Sequence[float | None]) -> Column:
    bitmap, nulls = _valid(values)
    return Column(name, format_, len(values), (bitmap, packed.tobytes()), nulls, nullable=True)


def _valid(values: Sequence[object]) -> tuple[bytes | None, int]:
    """Return a bitmap of the values that are there, None if all are, and how many are not."""
    there = [value is not None for value in values]
    return (None, 0) if all(there) else (_bits(there), there.count(False))


def _bits(values: Sequence[object]) -> bytes:
    """Return what is true of values as a bitmap, the lowest bit first."""
    bitmap = bytearray((len(values) + 7) // 8)
    for place, value in enumerate(values):
        if value:
            bitmap[place >> 3] |= 1 << (place & 7)
    return bytes(bitmap)


def _compiled() -> "ModuleType":
    try:
        from mockexport import _arrow
    except ImportError as error:
        raise ArrowUnavailable from error
    return _arrow
