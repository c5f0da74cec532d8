"""What a verdict needs to know of a download's rows, counted before any filter or reducer sees them, and the verdict.

A tally is a state like a reducer's: tallies of consecutive spans merge, and go to bytes and back.
"""

import json
from collections import Counter
from collections.abc import Sequence
from typing import ClassVar

from mockexport.errors import StateError
from mockexport.formats.batch import BadRow, Decoded
from mockexport.formats.coverage import HourCounts
from mockexport.formats.fields import BadRowReason, format_time
from mockexport.model import Download, Verdict, VerdictKind

__all__ = ["MAX_EXAMPLES", "Tally", "judge", "overlapping"]

# Of a download's bad rows, so many of the first are kept with their line numbers.
MAX_EXAMPLES = 5

_VERSION = 3


class Tally:
    """Counts of one span's rows. Times are microseconds of UTC since 1970, None while there was no row.

    `coverage` asks for rows by hour as well.
    """

    __slots__ = (
        "bad",
        "coverage",
        "cut_off",
        "event_types",
        "examples",
        "filtered",
        "first_us",
        "last_us",
        "missing",
        "patients",
        "rows",
    )

    def __init__(self, *, coverage: bool = False) -> None:
        self.rows: int = 0  # all but blank lines
        self.bad: Counter[str] = Counter()  # by reason
        self.examples: list[BadRow] = []  # the first few, in order
        self.missing: Counter[str] = Counter()  # by event type
        self.filtered: int = 0  # with a value, and not asked for
        self.first_us: int | None = None
        self.last_us: int | None = None
        self.patients: set[str] = set()
        self.event_types: set[str] = set()
        self.coverage: HourCounts | None = HourCounts() if coverage else None
        self.cut_off: bool = False  # the last row is bad and has no line end

    def __repr__(self) -> str:
        # No ids: a tally's repr may end up in a log.
        return f"<Tally {self.rows} rows, {self.bad_rows} bad, {self.missing.total()} without value>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Tally):
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__slots__)

    __hash__: ClassVar[None] = None  # type: ignore[assignment] # mutable

    @property
    def bad_rows(self) -> int:
        """The number of bad rows of all reasons."""
        return self.bad.total()

    def update(self, decoded: Decoded) -> None:
        """Count the rows of the span's next chunk."""
        batch = decoded.batch
        self.rows += decoded.rows
        self.cut_off = decoded.cut_off
        if batch:
            self._widen(min(batch.event_times), max(batch.event_times))
            if self.coverage is not None:
                self.coverage.add(batch.event_times)
            self.patients.update(batch.patient_ids)
            self.event_types.update(batch.event_types)
        if self.coverage is not None:
            self.coverage.add(row.event_time for row in decoded.missing)
        for row in decoded.missing:
            self.missing[row.event_type] += 1
            self._widen(row.event_time, row.event_time)
            self.patients.add(row.patient_id)
            self.event_types.add(row.event_type)
        for bad in decoded.bad:
            self.bad[bad.reason.value] += 1
        self.examples += decoded.bad[: MAX_EXAMPLES - len(self.examples)]

    def merge(self, later: "Tally", *, lines: int | None = 0) -> None:
        """Add the tally of the rows that follow these.

        Its line numbers fall short of these's by `lines`; None if nobody knows, and then its bad rows are not named.
        """
        self.rows += later.rows
        if later.rows:
            self.cut_off = later.cut_off
        self.bad += later.bad
        self.missing += later.missing
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
        self.patients |= later.patients
        self.event_types |= later.event_types

    def _widen(self, first_us: int, last_us: int) -> None:
        self.first_us = first_us if self.first_us is None else min(self.first_us, first_us)
        self.last_us = last_us if self.last_us is None else max(self.last_us, last_us)

    def to_bytes(self) -> bytes:
        """Return the tally as versioned bytes that depend on its content alone."""
        return json.dumps(
            {
                "tally": _VERSION,
                "rows": self.rows,
                "bad": self.bad,
                "examples": [[bad.line, bad.reason] for bad in self.examples],
                "missing": self.missing,
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
            StateError: if `data` is none, or of another version.
        """
        try:
            saved = json.loads(data)
            if saved["tally"] != _VERSION:
                raise StateError("tally", f"has version {saved['tally']!r}, not {_VERSION}")
            tally = cls()
            tally.rows = saved["rows"]
            tally.bad = Counter(saved["bad"])
            tally.examples = [BadRow(line, BadRowReason(reason)) for line, reason in saved["examples"]]
            tally.missing = Counter(saved["missing"])
            tally.filtered = saved["filtered"]
            tally.first_us = saved["first_us"]
            tally.last_us = saved["last_us"]
            tally.patients = set(saved["patients"])
            tally.event_types = set(saved["event_types"])
            if saved["coverage"] is not None:
                tally.coverage = HourCounts.from_plain(saved["coverage"])
            tally.cut_off = saved["cut_off"]
        except (ValueError, KeyError, TypeError) as error:
            raise StateError("tally", f"cannot be read ({type(error).__name__})") from error
        return tally


def judge(download: Download, tally: Tally) -> Verdict:
    """Hold a download's rows, all of them counted, against its metadata.

    Fewer rows than announced is a failure; any other difference is a mismatch. Where no row count was announced and
    nothing differs, nothing is proven either: unverifiable. A bad last row without a line end does not count towards
    what was announced: it is the stump of a row, and with it the rows of a body cut off there would seem complete.
    """
    if download.rows is not None and tally.cut_off and tally.rows == download.rows:
        return Verdict(VerdictKind.FAILED, (f"the body ends inside row {tally.rows:,} of {download.rows:,} announced",))
    if download.rows is not None and tally.rows < download.rows:
        return Verdict(VerdictKind.FAILED, (f"{tally.rows:,} rows came of {download.rows:,} announced",))
    differences = _differences(download, tally)
    if differences:
        return Verdict(VerdictKind.MISMATCH, tuple(differences))
    if download.rows is None:
        return Verdict(VerdictKind.UNVERIFIABLE, ("no row count was announced",))
    return Verdict(VerdictKind.VERIFIED)


def _differences(download: Download, tally: Tally) -> list[str]:
    differences = []
    if download.rows is not None and tally.rows > download.rows:
        differences.append(f"{tally.rows:,} rows came, {download.rows:,} were announced")
    # Numbers, not names: a verdict is shown and logged, and patients' ids are not.
    if download.patients is not None and (strangers := len(tally.patients.difference(download.patients))):
        differences.append(f"{strangers:,} of its patients were not announced")
    if download.event_types is not None and (strangers := len(tally.event_types.difference(download.event_types))):
        differences.append(f"{strangers:,} of its event types were not announced")
    if tally.first_us is not None and download.start_us is not None and tally.first_us < download.start_us:
        differences.append(
            f"its first event, {format_time(tally.first_us)}, is before start_time {format_time(download.start_us)}"
        )
    if tally.last_us is not None and download.end_us is not None and tally.last_us >= download.end_us:
        differences.append(
            f"its last event, {format_time(tally.last_us)}, is not before end_time {format_time(download.end_us)}"
        )
    return differences


def overlapping(downloads: Sequence[Download]) -> dict[str, str]:
    """Return the ids of the downloads whose announced time ranges overlap, each with what it overlaps, in words."""
    ranged = sorted(
        (download.start_us, download.end_us, download.id)
        for download in downloads
        if download.start_us is not None and download.end_us is not None and download.start_us < download.end_us
    )
    found: dict[str, str] = {}
    furthest_end, furthest_id = None, ""
    for start, end, download_id in ranged:
        if furthest_end is not None and start < furthest_end:
            found[download_id] = f"its time range overlaps that of download {furthest_id}"
            found.setdefault(furthest_id, f"its time range overlaps that of download {download_id}")
        if furthest_end is None or end > furthest_end:
            furthest_end, furthest_id = end, download_id
    return found
