"""What needs to be known beside a report's figures: notes, as text for people and as JSON for programs.

Rules: pure; a note depends on the data alone. No values; ids of patients only where they are what the note is about,
and never in its text, which goes to logs.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mockexport.formats.noted import Noted, unmapped_code
from mockexport.report.account import Account, DownloadAccount
from mockexport.report.overlaps import overlaps_of
from mockexport.report.plain import counted

__all__ = [
    "BAD_ROWS",
    "IDS_ALIKE",
    "MISSING",
    "NOT_COMPARED",
    "NULL_TOKENS",
    "OVERLAPS",
    "STATISTICS",
    "TYPES_ALIKE",
    "UNMAPPED",
    "Note",
    "notes_of",
]

# Kinds of notes, beside formats.noted.Noted; the names are stable.
BAD_ROWS = "bad rows"
MISSING = "missing values"
NULL_TOKENS = "null tokens, perhaps"
OVERLAPS = "overlapping downloads"
REPEATED = "repeated rows"
NOT_COMPARED = "downloads not compared"
IDS_ALIKE = "patient ids alike"
TYPES_ALIKE = "event types alike"
STATISTICS = "statistics"
UNMAPPED = "codes not mapped"

# What devices and databases write where there is no value, as the least of numbers that are not negative otherwise.
_NO_VALUE = (-999, -9999, -99999, -999999)
# Of downloads, and of names that are alike, so many are named.
MOST_NAMED = 10

_SAID = {
    Noted.HEADER_LINES: "{} among the rows, in force from there on",
    Noted.DATES_ONLY: "{} without an hour, taken for 00:00:00 of that day",
    Noted.ROUNDED: "{} with more decimal places than are held, rounded half to even",
    Noted.CENSORED: "{} beyond a bound, such as <0.6, left out of every statistic",
    Noted.CENSORED_BOUND: "{} beyond a bound, such as <0.6, taken for the bound itself",
    Noted.UNITS_UNREAD: "{} with a column of units that is not looked at: values in several units count together",
    Noted.TEXT: "{} that are no numbers, left out of every statistic",
}
_COUNTED = {
    Noted.HEADER_LINES: ("header line", None),
    Noted.DATES_ONLY: ("time", None),
    Noted.ROUNDED: ("value", None),
    Noted.CENSORED: ("value", None),
    Noted.CENSORED_BOUND: ("value", None),
    Noted.UNITS_UNREAD: ("table", None),
    Noted.TEXT: ("value", None),
}
_ZEROS = re.compile(r"0+(?=\d)")
_BETWEEN_WORDS = re.compile(r"[\s_-]+")


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know: its kind, a sentence, and the facts behind it.

    `count` is of rows, or of what is alike; `by` says how many for which reason or of which event type; `downloads` are
    those concerned, the first few of `all_downloads`; `names` are groups of names that are alike, the first few.
    """

    kind: str
    text: str
    count: int | None = None
    by: Mapping[str, int] = field(default_factory=dict)
    downloads: tuple[str, ...] = ()
    all_downloads: int = 0
    names: tuple[tuple[str, ...], ...] = ()

    def __str__(self) -> str:
        return self.text

    def to_plain(self) -> dict[str, Any]:
        """Return the note as what JSON can hold; facts that it has not are absent."""
        plain: dict[str, Any] = {"kind": self.kind, "text": self.text}
        if self.count is not None:
            plain["count"] = self.count
        if self.by:
            plain["by"] = dict(self.by)
        if self.downloads:
            plain["downloads"] = list(self.downloads)
        if self.all_downloads > len(self.downloads):
            plain["further_downloads"] = self.all_downloads - len(self.downloads)
        if self.names:
            plain["names"] = [list(group) for group in self.names]
        return plain


def notes_of(
    account: Account,
    patients: Iterable[str],
    totals: Mapping[str, object],
    further: Sequence[str] = (),
    *,
    repeated: int = 0,
    outdated: Mapping[str, int] | None = None,
) -> tuple[Note, ...]:
    """Return the notes of a run: of what its downloads were read from, and of what is in its result, by event type.

    `further` are the reducer's own, `repeated` the rows that it left out as the same as others (see reducers.Result);
    `outdated` the missing values that downloads hold and that do not count, by type.
    """
    counting = [download for download in account.downloads if download.verdict.counts]
    notes = [
        _bad_rows(counting),
        _missing(counting, outdated or {}),
        *_noted(counting),
        _unmapped(counting),
        *_overlaps(counting),
    ]
    if repeated:
        text = f"{counted(repeated, 'repeated row')} left out: alike in patient, event type, time and value"
        notes.append(Note(REPEATED, text, repeated))
    notes += [
        _null_tokens(totals),
        _alike(IDS_ALIKE, "patient ids", "by case, spaces or zeros in front", patients, _plain_id),
        _alike(TYPES_ALIKE, "event types", "by case, spaces or hyphens", totals, _plain_type),
    ]
    return (*filter(None, notes), *(Note(STATISTICS, text) for text in further))


def _of_rows(
    kind: str, text: str, downloads: Iterable[DownloadAccount], count: int, by: Mapping[str, int] | None = None
) -> Note:
    ids = [download.download_id for download in downloads]
    return Note(kind, text, count, dict(sorted((by or {}).items())), tuple(ids[:MOST_NAMED]), len(ids))


def _bad_rows(counting: Sequence[DownloadAccount]) -> Note | None:
    concerned = [download for download in counting if download.bad_rows]
    if not concerned:
        return None
    reasons: Counter[str] = Counter()
    for download in concerned:
        reasons.update(download.bad_rows)
    told = ", ".join(f"{number:,} {reason}" for reason, number in sorted(reasons.items()))
    text = f"{counted(reasons.total(), 'bad row')} left out ({told})"
    first = next((download for download in concerned if download.first_bad_rows), None)
    if first is not None:
        text += f"; the first is line {first.first_bad_rows[0].line} of download {first.download_id}"
    return _of_rows(BAD_ROWS, text, concerned, reasons.total(), reasons)


def _missing(counting: Sequence[DownloadAccount], outdated: Mapping[str, int]) -> Note | None:
    concerned = [download for download in counting if download.missing_values]
    if not concerned:
        return None
    types: Counter[str] = Counter()
    for download in concerned:
        types.update(download.missing_values)
    types.subtract(outdated)
    types = +types
    if not types:
        return None
    text = f"{counted(types.total(), 'row')} without a value, part of no statistic"
    return _of_rows(MISSING, text, concerned, types.total(), types)


def _noted(counting: Sequence[DownloadAccount]) -> list[Note]:
    found = []
    noted = [download for download in counting if download.noted]  # of most files there is nothing
    for kind in Noted:
        concerned = [download for download in noted if download.noted.get(kind)]
        if concerned:
            number = sum(download.noted[kind] for download in concerned)
            text = _SAID[kind].format(counted(number, *_COUNTED[kind])) if kind in _SAID else f"{number:,} {kind}"
            found.append(_of_rows(kind.value, text, concerned, number))
    return found


def _unmapped(counting: Sequence[DownloadAccount]) -> Note | None:
    codes: Counter[str] = Counter()
    concerned = []
    for download in counting:
        own = {code: n for name, n in download.noted.items() if (code := unmapped_code(name)) is not None}
        codes.update(own)
        concerned += [download] if own else []
    if not codes:
        return None
    most = sorted(codes.items(), key=lambda item: (-item[1], item[0]))[:MOST_NAMED]
    told = ", ".join(f"{code} ({number:,})" for code, number in most)
    text = f"{counted(codes.total(), 'value')} of codes that mean no event type; the most frequent: {told}"
    return _of_rows(UNMAPPED, text, concerned, codes.total(), dict(most))


def _overlaps(counting: Sequence[DownloadAccount]) -> list[Note]:
    reached = [(download.download_id, download.reached) for download in counting if download.reached is not None]
    overlaps = overlaps_of([(download_id, each) for download_id, each in reached if each is not None])
    found = []
    if overlaps.groups:
        ids = overlaps.downloads
        text = (
            f"{counted(len(ids), 'download')} hold values of the same patient and event type over the same time, in"
            f" {counted(overlaps.groups, 'case')}: such rows are counted twice, perhaps; the first is {ids[0]}"
        )
        found.append(Note(OVERLAPS, text, overlaps.groups, {}, ids[:MOST_NAMED], len(ids)))
    if overlaps.unknown:
        ids = overlaps.unknown
        text = (
            f"{counted(len(ids), 'download')} reach over the same time, and hold too many groups for a look at whether"
            f" rows are counted twice; the first is {ids[0]}"
        )
        found.append(Note(NOT_COMPARED, text, len(ids), {}, ids[:MOST_NAMED], len(ids)))
    return found


def _null_tokens(totals: Mapping[str, object]) -> Note | None:
    least = {
        event_type: figures.get("min") if isinstance(figures, Mapping) else getattr(figures, "min", None)
        for event_type, figures in totals.items()
    }
    found = sorted(event_type for event_type, value in least.items() if value in _NO_VALUE)
    if not found:
        return None
    told, numbers = ", ".join(found[:MOST_NAMED]), ", ".join(sorted({str(least[each]) for each in found}, key=len))
    text = f"the least value of {told} is {numbers}, which often means that there is none: then its figures are wrong"
    return Note(NULL_TOKENS, text, len(found), names=tuple((event_type,) for event_type in found[:MOST_NAMED]))


def _alike(kind: str, things: str, how: str, names: Iterable[str], plain: Callable[[str], str]) -> Note | None:
    seen: dict[str, str] = {}
    groups: dict[str, list[str]] = {}
    for name in names:
        first = seen.setdefault(plain(name), name)
        if first is not name:
            groups.setdefault(first, [first]).append(name)
    alike = sorted(tuple(sorted(group)) for group in groups.values())
    if not alike:
        return None
    number = sum(map(len, alike))
    text = f"{number:,} {things} differ from another only {how}: the same, perhaps"
    return Note(kind, text, number, names=tuple(alike[:MOST_NAMED]))


def _plain_id(name: str) -> str:
    plain = name.strip().casefold()
    return _ZEROS.sub("", plain, count=1) if plain.startswith("0") else plain


def _plain_type(name: str) -> str:
    return _BETWEEN_WORDS.sub("_", name.strip().casefold())
