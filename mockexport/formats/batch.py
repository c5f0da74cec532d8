"""A chunk decoded into columns, and what a decoder has to say of the rows that did not make it into them."""

from dataclasses import dataclass, field

from mockexport.formats.fields import BadRowReason

__all__ = ["BadRow", "Batch", "Decoded", "MissingValue"]


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Rows as four columns of one length, for reducers written in Python; rows without a value are not among them.

    `event_times` are microseconds of UTC since 1970; `values` are integers in units of 10⁻⁹ (model.VALUE_SCALE).
    Two batches are equal if their rows are, whichever engine made them.
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

    __hash__ = None  # type: ignore[assignment] # its columns are lists


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
    """All that a chunk's rows turned into: each row is in exactly one of the three."""

    batch: Batch
    missing: list[MissingValue]
    bad: list[BadRow]
    # The last row is bad and has no line end: that is what a body looks like that was cut off inside a row.
    cut_off: bool = False
    # Of the batch's rows, their 1-based line numbers.
    lines: list[int] = field(default_factory=list)

    @property
    def first_fault(self) -> BadRow | None:
        """The first bad row; but not the stump that a cut leaves, of which only the whole body's verdict can tell."""
        return None if not self.bad or (self.cut_off and len(self.bad) == 1) else self.bad[0]

    @property
    def rows(self) -> int:
        """The number of rows, bad ones included, blank lines not."""
        return len(self.batch) + len(self.missing) + len(self.bad)
