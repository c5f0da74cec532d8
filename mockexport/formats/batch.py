"""A chunk decoded into columns, and what a decoder has to say of the rows that did not make it into them."""

from array import array
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import itemgetter
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

from mockexport.formats.fields import BadRowReason

if TYPE_CHECKING:
    from mockexport.formats import arrow

__all__ = [
    "NO_VALUE",
    "UPDATED_UNKNOWN",
    "VALUE_BYTES",
    "BadRow",
    "Batch",
    "Decoded",
    "Identified",
    "Identity",
    "Ids",
    "MissingValue",
    "Row",
    "packed",
    "with_missing",
]

# A value as bytes, the lowest first, as in columns of them.
VALUE_BYTES = 16
# Stands for the value of a row that has none, where such rows are kept; values reach nowhere near it.
NO_VALUE = -(2**126)

# Of patients, and of event types.
Ids: TypeAlias = tuple[Collection[str], Collection[str]]


class Row(NamedTuple):
    """A row with its value: time in microseconds of UTC since 1970, value in units of 10⁻¹⁸."""

    patient_id: str
    event_time: int
    event_type: str
    value: int


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows as four columns of one length, for reducers written in Python; rows without a value are not among them.

    `event_times` are microseconds of UTC since 1970; `values` are integers in units of 10⁻¹⁸ (model.VALUE_SCALE).
    Two batches are equal if their rows are, whichever engine made them.

    Data frames take a batch as it is, by the Arrow PyCapsule interface (`polars.DataFrame(batch)`): `patient_id` and
    `event_type` as dictionaries of texts, `event_time` as timestamps of UTC in microseconds, and `value` as decimals
    with eighteen places, which are exact. That takes the compiled parts; without them it is an ArrowUnavailable.
    """

    patient_ids: list[str] = field(default_factory=list)
    event_times: list[int] = field(default_factory=list)
    event_types: list[str] = field(default_factory=list)
    values: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.values)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Batch):
            return NotImplemented
        return (
            self.values == other.values
            and self.event_times == other.event_times
            and self.event_types == other.event_types
            and self.patient_ids == other.patient_ids
        )

    __hash__: ClassVar[None] = None  # type: ignore[assignment] # its columns are lists

    def rows(self) -> Iterator[Row]:
        """Yield the rows, one by one."""
        columns = zip(self.patient_ids, self.event_times, self.event_types, self.values, strict=True)
        # Twice as fast as Row(…), as rows are many.
        return map(partial(tuple.__new__, Row), columns)

    def ids_met(self) -> Ids:
        """Return the patients and event types of the rows; those that an earlier batch has had may be left out."""
        return self.patient_ids, self.event_types

    def __arrow_c_schema__(self) -> object:
        """Return the columns' schema as a capsule."""
        return self._table().schema_capsule()

    def __arrow_c_array__(self, requested_schema: object = None) -> tuple[object, object]:
        """Return the schema and the rows as capsules; there is one schema, whatever is requested."""
        return self._table().array_capsules()

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return the rows as a capsule of a stream of one record batch, for those who ask for that."""
        return self._table().stream_capsule()

    def _table(self) -> "arrow.Table":
        return table(
            *_numbered(self.patient_ids),
            *_numbered(self.event_types),
            array("q", self.event_times).tobytes(),
            packed(self.values),
        )


@dataclass(frozen=True, slots=True, eq=False)
class Identified(Batch):
    """Rows of resources that have ids, and may come again in a later version: then only the latest counts.

    Each row has the key of its resource, b"" for one without an id, its version (see `Identity`), and its place among
    the resource's rows. `rowless` are resources without a row: they may be a later version of one that had some.
    `absent` are missing values, by the resource and version that they are of, and their types.
    """

    keys: list[bytes] = field(default_factory=list)
    versions: list[int] = field(default_factory=list)
    updated: list[int] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    rowless: list["Identity"] = field(default_factory=list)
    absent: list[tuple["Identity", str]] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.values or self.rowless)


class Identity(NamedTuple):
    """Which resource it is, as a key of 16 bytes, and which of its versions.

    A later one has a higher `version`, a number from 1, 0 if it is not told; or else a later `updated`, microseconds
    of UTC since 1970, or UPDATED_UNKNOWN.
    """

    key: bytes
    version: int
    updated: int


# Before all times that there are.
UPDATED_UNKNOWN = -(2**62)


def packed(values: Iterable[int]) -> bytes:
    """Return values as a column of bytes."""
    return b"".join([value.to_bytes(VALUE_BYTES, "little", signed=True) for value in values])


def table(
    patients: bytes, patient_names: Sequence[str], types: bytes, type_names: Sequence[str], times: bytes, scaled: bytes
) -> "arrow.Table":
    """Return rows as a table: ids as 32-bit numbers, places in a list of names; times as 64-bit integers.

    Values are integers of VALUE_BYTES each.
    """
    from mockexport.formats import arrow  # no sooner: most runs want no data frame

    columns = (
        arrow.named("patient_id", patients, patient_names),
        arrow.times("event_time", times),
        arrow.named("event_type", types, type_names),
        arrow.decimals("value", scaled),
    )
    return arrow.Table(columns, len(scaled) // VALUE_BYTES)


def _numbered(ids: Sequence[str]) -> tuple[bytes, list[str]]:
    places = {text: place for place, text in enumerate(dict.fromkeys(ids))}
    return array("i", map(places.__getitem__, ids)).tobytes(), list(places)


@dataclass(frozen=True, slots=True)
class MissingValue:
    """A well-formed row whose value is empty or a null token."""

    patient_id: str
    event_time: int
    event_type: str


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that the format does not allow: its 1-based line number and why."""

    line: int
    reason: BadRowReason


@dataclass(frozen=True, slots=True)
class Decoded:
    """All that a chunk's rows turned into: each row is in exactly one of the three, or left out."""

    batch: Batch
    missing: list[MissingValue]
    bad: list[BadRow]
    # The last row is bad and has no line end: that is what a body looks like that was cut off inside a row.
    cut_off: bool = False
    # Of the batch's rows, their 1-based line numbers.
    lines: list[int] = field(default_factory=list)
    # And of those without a value.
    missing_lines: list[int] = field(default_factory=list)
    # What is worth knowing of the rows, by its name (see noted.Noted): how often it was met.
    noted: Counter[str] = field(default_factory=Counter)
    # Where a line can hold several rows or none: how many lines there were (see Tally.resources).
    resources: int | None = None
    # Of the rows that the schema leaves out, their line numbers.
    left_out: list[int] = field(default_factory=list)

    @property
    def first_fault(self) -> BadRow | None:
        """The first bad row; but not the stump that a cut leaves, of which only the whole body's verdict can tell."""
        return None if not self.bad or (self.cut_off and len(self.bad) == 1) else self.bad[0]

    @property
    def rows(self) -> int:
        """The number of rows, bad ones included, blank lines not."""
        return len(self.batch) + len(self.missing) + len(self.bad) + len(self.left_out)


def with_missing(decoded: Decoded) -> tuple[Batch, list[int]]:
    """Return all rows but the bad ones in the file's order, those without a value with NO_VALUE, and their lines."""
    good = zip(decoded.lines, decoded.batch.rows(), strict=True)
    rows = [(row.patient_id, row.event_time, row.event_type, NO_VALUE) for row in decoded.missing]
    ordered = sorted([*good, *zip(decoded.missing_lines, rows, strict=True)], key=itemgetter(0))
    columns = [list(column) for column in zip(*(row for _, row in ordered), strict=True)] or [[], [], [], []]
    return Batch(*columns), [line for line, _ in ordered]
