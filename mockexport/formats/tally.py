"""What a verdict needs to know of a download's rows, counted before any filter or reducer sees them, and the verdict.

A tally is a state like a reducer's: tallies of consecutive spans merge, and go to bytes and back.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from typing import ClassVar

from mockexport.errors import StateError
from mockexport.formats.batch import BadRow, Decoded
from mockexport.formats.coverage import HourCounts
from mockexport.formats.fields import BadRowReason, check_id
from mockexport.formats.noted import noted_name

__all__ = ["MAX_EXAMPLES", "Tally"]

# Of a download's bad rows, so many of the first are kept with their line numbers.
MAX_EXAMPLES = 5
# What 64 bits can count.
MAX_ROWS = 2**63 - 1


class Tally:
    """Counts of one span's rows. Times are microseconds of UTC since 1970, None while there was no row.

    `coverage` asks for rows by hour as well.
    """

    __slots__ = (
        "_names",
        "_patients",
        "bad",
        "coverage",
        "cut_off",
        "event_types",
        "examples",
        "filtered",
        "first_us",
        "last_us",
        "missing",
        "noted",
        "resources",
        "rows",
    )

    def __init__(self, *, coverage: bool = False) -> None:
        self.rows: int = 0  # all but blank lines
        # Where a line can hold several rows or none: those lines, which are what a source counts.
        self.resources: int | None = None
        self.bad: Counter[str] = Counter()  # by reason
        self.examples: list[BadRow] = []  # the first few, in order
        self.missing: Counter[str] = Counter()  # by event type
        self.noted: Counter[str] = Counter()  # by name (see Noted); not only of rows
        self.filtered: int = 0  # with a value, and not asked for
        self.first_us: int | None = None
        self.last_us: int | None = None
        self._patients: set[str] = set()
        self._names: Callable[[], Iterable[str]] | None = None  # gives further ones
        self.event_types: set[str] = set()
        self.coverage: HourCounts | None = HourCounts() if coverage else None
        self.cut_off: bool = False  # the last row is bad and has no line end

    def __repr__(self) -> str:
        # No ids: a tally's repr may end up in a log.
        return f"<Tally {self.rows} rows, {self.bad_rows} bad, {self.missing.total()} without value>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        return self.to_bytes() == other.to_bytes()

    __hash__: ClassVar[None] = None  # type: ignore[assignment] # mutable

    @property
    def patients(self) -> set[str]:
        """The patients' ids."""
        if self._names is not None:
            self._patients.update(self._names())
            self._names = None
        return self._patients

    def name_later(self, names: Callable[[], Iterable[str]]) -> None:
        """Take further patients' ids by a call once they are asked for: there may be many, and mostly nobody asks."""
        self._names = names

    @property
    def announced(self) -> int:
        """What is to be held against the number that a source announces: rows, or resources where it counts those."""
        return self.rows if self.resources is None else self.resources

    @property
    def bad_rows(self) -> int:
        """The number of bad rows of all reasons."""
        return self.bad.total()

    def update(self, decoded: Decoded) -> None:
        """Count the rows of the span's next chunk."""
        batch = decoded.batch
        self.rows += decoded.rows
        if decoded.resources is not None:
            self.resources = (self.resources or 0) + decoded.resources
        self.cut_off = decoded.cut_off
        self.filtered += len(decoded.left_out)
        if batch:
            self._widen(min(batch.event_times), max(batch.event_times))
            if self.coverage is not None:
                self.coverage.add(batch.event_times)
            patient_ids, event_types = batch.ids_met()
            self._patients.update(patient_ids)
            self.event_types.update(event_types)
        if self.coverage is not None:
            self.coverage.add(row.event_time for row in decoded.missing)
        for row in decoded.missing:
            self.missing[row.event_type] += 1
            self._widen(row.event_time, row.event_time)
            self._patients.add(row.patient_id)
            self.event_types.add(row.event_type)
        self.noted += decoded.noted
        for bad in decoded.bad:
            self.bad[bad.reason.value] += 1
        self.examples += decoded.bad[: MAX_EXAMPLES - len(self.examples)]

    def merge(self, later: "Tally", *, lines: int | None = 0) -> None:
        """Add the tally of the rows that follow these.

        Its line numbers fall short of these's by `lines`; None if nobody knows, and then its bad rows are not named.
        """
        self.rows += later.rows
        if later.resources is not None:
            self.resources = (self.resources or 0) + later.resources
        if later.rows or later.resources:
            self.cut_off = later.cut_off
        # Most have none of these, and to add a Counter takes long.
        for own, further in ((self.bad, later.bad), (self.missing, later.missing), (self.noted, later.noted)):
            if further:
                own.update(further)
        self.filtered += later.filtered
        if lines is not None:
            wanted = later.examples[: MAX_EXAMPLES - len(self.examples)]
            self.examples += [BadRow(bad.line + lines, bad.reason) for bad in wanted]
        if later.first_us is not None and later.last_us is not None:
            self._widen(later.first_us, later.last_us)
        if later.coverage is not None:
            if self.coverage is None:
                self.coverage = HourCounts()
            self.coverage.merge(later.coverage)
        self._patients |= later.patients
        self.event_types |= later.event_types

    def _widen(self, first_us: int, last_us: int) -> None:
        self.first_us = first_us if self.first_us is None else min(self.first_us, first_us)
        self.last_us = last_us if self.last_us is None else max(self.last_us, last_us)

    def to_bytes(self) -> bytes:
        """Return the tally as bytes that depend on its content alone."""
        return json.dumps(
            {
                "rows": self.rows,
                "resources": self.resources,
                "bad": self.bad,
                "examples": [[bad.line, bad.reason] for bad in self.examples],
                "missing": self.missing,
                "noted": self.noted,
                "filtered": self.filtered,
                "first_us": self.first_us,
                "last_us": self.last_us,
                "patients": sorted(self.patients),
                "event_types": sorted(self.event_types),
                "coverage": None if self.coverage is None else self.coverage.to_plain(),
                "cut_off": self.cut_off,
            },
            sort_keys=True,
        ).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Tally":
        """Return the tally that `to_bytes` wrote.

        Raises:
            StateError: if `data` is none.
        """
        try:
            saved = json.loads(data)
            tally = cls()
            tally.rows = _count(saved["rows"])
            tally.resources = None if saved["resources"] is None else _count(saved["resources"])
            tally.bad = Counter({BadRowReason(reason).value: _count(n) for reason, n in saved["bad"].items()})
            tally.examples = [BadRow(_count(line), BadRowReason(reason)) for line, reason in saved["examples"]]
            tally.missing = Counter({event_type: _count(n) for event_type, n in saved["missing"].items()})
            tally.noted = Counter({noted_name(name): _count(n) for name, n in saved["noted"].items()})
            tally.filtered = _count(saved["filtered"])
            tally.first_us, tally.last_us = _time_us(saved["first_us"]), _time_us(saved["last_us"])
            tally._patients, tally.event_types = _ids(saved["patients"]), _ids(saved["event_types"])
            if saved["coverage"] is not None:
                tally.coverage = HourCounts.from_plain(saved["coverage"])
            tally.cut_off = saved["cut_off"] is True
            if tally.bad_rows + tally.missing.total() + tally.filtered > tally.rows:
                raise ValueError("there are fewer rows than it counts")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as error:
            raise StateError("tally", f"cannot be read ({type(error).__name__})") from error
        return tally


def _count(number: object) -> int:
    if type(number) is not int or not 0 <= number <= MAX_ROWS:
        raise ValueError("no count")
    return number


def _time_us(number: object) -> int | None:
    if number is not None and (type(number) is not int or abs(number) >= 2**62):
        raise ValueError("no time")
    return number


def _ids(texts: list[str]) -> set[str]:
    for text in texts:
        check_id(text)
        text.encode()
    return set(texts)
