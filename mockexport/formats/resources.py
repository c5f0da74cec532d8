"""Rows of resources as columns of bytes: what the compiled parts decode, and what is kept of them."""

import struct
from collections.abc import Sequence
from functools import cached_property
from itertools import compress
from typing import Any, NamedTuple

from mockexport.formats.batch import Batch, Identified, Identity, Ids

__all__ = ["KEY_BYTES", "ROWLESS", "Columns", "PackedRows"]

KEY_BYTES = 16
# Instead of a place among a resource's rows: it has none.
ROWLESS = 0xFFFF


class Columns(NamedTuple):
    """Rows of resources with ids, and resources without any row, as columns of bytes, in the machine's order."""

    keys: bytes  # KEY_BYTES each, none of them empty
    versions: bytes  # 64-bit numbers
    updated: bytes  # 64-bit integers, as the times
    times: bytes
    values: bytes  # batch.VALUE_BYTES each
    patients: bytes  # 32-bit numbers, places in a list of names, as the types
    types: bytes
    places: bytes  # 16-bit numbers, ROWLESS for a resource without rows


class PackedRows(Identified):
    """An Identified batch whose rows are columns of bytes; its lists are made when they are asked for.

    Args:
        count: how many rows there are.
        columns: the rows, and the resources without any.
        names: of patients and of types; the lists grow at their end as batches come, and may say a name twice.
        fresh: the names of both that the rows have; those that an earlier batch had may be left out.
        absent: missing values (see Identified).
    """

    count: int
    columns: Columns
    names: tuple[list[str], list[str]]
    fresh: Ids

    def __init__(
        self,
        count: int,
        columns: Columns,
        names: tuple[list[str], list[str]],
        fresh: Ids,
        absent: Sequence[tuple[Identity, str]] = (),
    ) -> None:
        self.__dict__.update(count=count, columns=columns, names=names, fresh=fresh, _absent=list(absent))

    def __len__(self) -> int:
        return self.count

    def __bool__(self) -> bool:
        return bool(self.columns.keys)

    def ids_met(self) -> Ids:
        """Return the patients and event types that may not have been in an earlier batch."""
        return self.fresh

    def chosen(self, column: list[Any]) -> list[Any]:
        """Return what a column has of the rows, without the resources that have none."""
        return column if self.count == len(column) else list(compress(column, self._has_rows))

    @cached_property
    def _has_rows(self) -> list[bool]:
        return [place != ROWLESS for place in memoryview(self.columns.places).cast("H")]

    @cached_property
    def _keys(self) -> list[bytes]:
        keys = self.columns.keys
        return [keys[at : at + KEY_BYTES] for at in range(0, len(keys), KEY_BYTES)]

    @cached_property
    def keys(self) -> list[bytes]:
        """The key of each row's resource."""
        return self.chosen(self._keys)

    @cached_property
    def versions(self) -> list[int]:
        """The version of each row's resource."""
        return self.chosen(memoryview(self.columns.versions).cast("Q").tolist())

    @cached_property
    def updated(self) -> list[int]:
        """When each row's resource was updated."""
        return self.chosen(memoryview(self.columns.updated).cast("q").tolist())

    @cached_property
    def event_times(self) -> list[int]:
        """The time of each row, in microseconds of UTC since 1970."""
        return self.chosen(memoryview(self.columns.times).cast("q").tolist())

    @cached_property
    def values(self) -> list[int]:
        """The value of each row, in units of 10⁻¹⁸."""
        return self.chosen([high << 64 | low for low, high in struct.iter_unpack("<Qq", self.columns.values)])

    @cached_property
    def patient_ids(self) -> list[str]:
        """The patient of each row."""
        return list(map(self.names[0].__getitem__, self.chosen(memoryview(self.columns.patients).cast("I").tolist())))

    @cached_property
    def event_types(self) -> list[str]:
        """The event type of each row."""
        return list(map(self.names[1].__getitem__, self.chosen(memoryview(self.columns.types).cast("I").tolist())))

    @cached_property
    def places(self) -> list[int]:
        """The place of each row among its resource's."""
        return self.chosen(memoryview(self.columns.places).cast("H").tolist())

    @cached_property
    def rowless(self) -> list[Identity]:
        """The resources without rows."""
        if self.count == len(self._keys):
            return []
        versions, updated = memoryview(self.columns.versions).cast("Q"), memoryview(self.columns.updated).cast("q")
        resources = zip(self._keys, versions, updated, self._has_rows, strict=True)
        return [Identity(key, version, at_us) for key, version, at_us, has_rows in resources if not has_rows]

    @property
    def absent(self) -> list[tuple[Identity, str]]:
        """Missing values: of which resource and version, and their types."""
        found: list[tuple[Identity, str]] = self.__dict__["_absent"]
        return found

    def identity(self, row: int) -> Identity:
        """Return whose a row is, or which resource without rows it stands for."""
        columns = self.columns
        versions, updated = memoryview(columns.versions).cast("Q"), memoryview(columns.updated).cast("q")
        return Identity(columns.keys[row * KEY_BYTES : (row + 1) * KEY_BYTES], versions[row], updated[row])

    def __reduce__(self) -> tuple[type[Batch], tuple[Any, ...]]:
        lists = (self.patient_ids, self.event_times, self.event_types, self.values)
        return Identified, (*lists, self.keys, self.versions, self.updated, self.places, self.rowless, self.absent)
