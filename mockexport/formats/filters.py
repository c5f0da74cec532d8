"""Which rows are asked for: by time, patient and event type. Seen by reducers alone, never by a tally or a verdict.

A download is verified by all of its rows, whatever is asked for; but one whose metadata says that none of them is asked
for need not be fetched.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from itertools import compress

from mockexport.errors import OptionError
from mockexport.formats import Batch
from mockexport.formats.fields import MAX_ID_BYTES, BadField, check_id, parse_time
from mockexport.formats.zones import zone_named
from mockexport.model import Download

__all__ = ["Filter"]


@dataclass(frozen=True, slots=True)
class Filter:
    """The rows from `since_us` (inclusive) to `until_us` (exclusive), of these patients and event types.

    Times are microseconds of UTC since 1970; None asks for all. `Filter.of` takes times as texts.

    Raises:
        OptionError: if no row could be asked for: `until_us` is not later than `since_us`, a set is empty, or what it
            names is no id.
    """

    since_us: int | None = None
    until_us: int | None = None
    patients: frozenset[str] | None = None
    event_types: frozenset[str] | None = None

    def __post_init__(self) -> None:
        if self.since_us is not None and self.until_us is not None and self.since_us >= self.until_us:
            raise OptionError("until", "must be later than since")
        for option, ids in (("patient", self.patients), ("event-type", self.event_types)):
            if ids is not None:
                _check_ids(option, ids)

    @classmethod
    def of(
        cls,
        *,
        since: str | None = None,
        until: str | None = None,
        patients: Iterable[str] | None = None,
        event_types: Iterable[str] | None = None,
        timezone: str | None = None,
    ) -> "Filter":
        """Make a filter of times as rows have them, or of dates, which mean their midnight.

        Args:
            since: the first time that is asked for.
            until: the first one that no longer is.
            patients: ids of patients.
            event_types: event types.
            timezone: what a time without an offset is local to, as in Schema; UTC by default.

        Raises:
            OptionError: for what is no time, or leaves nothing.
        """
        return cls(
            _time("since", since, timezone),
            _time("until", until, timezone),
            _ids("patient", patients),
            _ids("event-type", event_types),
        )

    @property
    def is_open(self) -> bool:
        """Whether every row is asked for."""
        return self == Filter()

    def admits(self, batch: Batch) -> list[bool]:
        """Return which rows of `batch` are asked for."""
        low = float("-inf") if self.since_us is None else self.since_us
        high = float("inf") if self.until_us is None else self.until_us
        patients, types = self.patients, self.event_types
        return [
            low <= time_us < high
            and (patients is None or patient_id in patients)
            and (types is None or event_type in types)
            for patient_id, time_us, event_type in zip(
                batch.patient_ids, batch.event_times, batch.event_types, strict=True
            )
        ]

    def take(self, batch: Batch) -> Batch:
        """Return the rows of `batch` that are asked for."""
        taken = self.admits(batch)
        if all(taken):
            return batch
        return Batch(
            list(compress(batch.patient_ids, taken)),
            list(compress(batch.event_times, taken)),
            list(compress(batch.event_types, taken)),
            list(compress(batch.values, taken)),
        )

    def rules_out(self, download: Download) -> str | None:
        """Say why no row of a download is asked for, if its metadata is right; None where some may be."""
        if self.until_us is not None and download.start_us is not None and self.until_us <= download.start_us:
            return "all of it is announced to be later than what is asked for"
        if self.since_us is not None and download.end_us is not None and download.end_us <= self.since_us:
            return "all of it is announced to be earlier than what is asked for"
        # Numbers and names stay out: a verdict is shown and logged.
        if _apart(self.patients, download.patients):
            return "none of the patients asked for is announced"
        if _apart(self.event_types, download.event_types):
            return "none of the event types asked for is announced"
        return None


def _ids(option: str, ids: Iterable[str] | None) -> frozenset[str] | None:
    if isinstance(ids, str):  # its characters are hardly meant
        raise OptionError(option, "is a list of texts, not a text")
    return None if ids is None else frozenset(ids)


def _check_ids(option: str, ids: Collection[str]) -> None:
    if not ids or "" in ids:
        raise OptionError(option, "names nothing that a row could have")
    try:
        for text in ids:
            check_id(text)
    except BadField as bad:
        # Whose rows are asked for is nobody's business: no id is shown.
        raise OptionError(option, f"{bad.reason}: an id has at most {MAX_ID_BYTES} bytes of UTF-8") from None


def _apart(wanted: frozenset[str] | None, announced: Collection[str] | None) -> bool:
    return wanted is not None and announced is not None and wanted.isdisjoint(announced)


def _time(option: str, text: str | None, timezone: str | None) -> int | None:
    if text is None:
        return None
    zone = None if timezone is None else zone_named(timezone)
    try:
        return parse_time(text, zone)
    except BadField as fault:
        problem = f"{text!a}: {fault.reason}; a time is like 2025-08-26T10:00:00Z, a date like 2025-08-26"
        raise OptionError(option, problem) from None
