"""The one rule book: what a download's rows come to, held against its metadata. All that bring rows in judge by it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mockexport.errors import BadRowError, NotedError
from mockexport.formats.fields import format_time
from mockexport.formats.tally import Tally
from mockexport.model import Download, MaxBad, Verdict, VerdictKind

__all__ = ["Rules", "judge", "overlapping", "too_many_bad"]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one run.

    Args:
        strict: make the first bad row an error, and what else would be noted of rows.
        max_bad: with more bad rows than this a download has failed.
        several: the export has more downloads than one.
        overlaps: by download id, which other's time range it overlaps, in words (see `overlapping`).
    """

    strict: bool
    max_bad: MaxBad
    overlaps: Mapping[str, str]
    several: bool = False

    def verdict(self, download: Download, tally: Tally, end: int) -> Verdict:
        """Hold a download's rows, which end with byte `end`, against its metadata.

        Raises:
            BadRowError: the stump of a row at the very end, where no announced number tells it from a row, if strict.
            NotedError: there is something else to be noted of its rows, if strict.
        """
        verdict = judge(download, tally)
        if self.strict and tally.bad and verdict.kind is not VerdictKind.FAILED:
            stump = tally.examples[-1]
            raise BadRowError(download.id, stump.line, end, stump.reason)
        if self.strict and verdict.counts and (tally.missing or tally.noted):
            missing = {"missing values": tally.missing.total()} if tally.missing else {}
            told = ", ".join(f"{number:,} {kind}" for kind, number in sorted({**missing, **tally.noted}.items()))
            raise NotedError(f"download {download.id}", told)
        return verdict

    def compares(self, download: Download) -> bool:
        """Tell whether a download's rows may be in another, too, without anything announced that would show it."""
        return self.several and (download.start_us is None or download.end_us is None)

    def final(self, download: Download, verdict: Verdict, tally: Tally) -> Verdict:
        """Return a verdict on the rows with what is to be said of bad ones, and of the download beside others.

        To fetch rows that are bad once more would not mend them, so they are judged here, and not by `verdict`.
        """
        if verdict.counts and (too_many := too_many_bad(tally, self.max_bad)) is not None:
            return Verdict(VerdictKind.FAILED, (too_many,))
        overlap = self.overlaps.get(download.id)
        if verdict.counts and overlap is not None:
            return Verdict(VerdictKind.MISMATCH, (*verdict.reasons, overlap))
        return verdict


def too_many_bad(tally: Tally, most: MaxBad) -> str | None:
    """Say how many bad rows there are, and why and where, if they are more than there may be; None if they are not."""
    if not most.exceeded(tally.bad_rows, tally.rows):
        return None
    reasons = sorted(tally.bad.items(), key=lambda each: (-each[1], each[0]))
    told = ", ".join(f"{number:,} {reason}" for reason, number in reasons)
    examples = sorted(tally.examples, key=lambda bad: bad.reason != reasons[0][0])
    where = f"; line {examples[0].line:,} is one ({examples[0].reason})" if examples else ""
    if tally.bad_rows == tally.rows:
        number = "its only row is" if tally.rows == 1 else f"all its {tally.rows:,} rows are"
        return f"{number} bad: {told}{where}"
    number = f"{tally.bad_rows:,} of its {tally.rows:,} rows"
    return f"{number} are bad, more than {most} (analyze.max_bad): {told}{where}"


def judge(download: Download, tally: Tally) -> Verdict:
    """Hold a download's rows, all of them counted, against its metadata.

    Fewer rows than announced is a failure; any other difference is a mismatch. Where no row count was announced and
    nothing differs, nothing is proven either: unverifiable. A bad last row without a line end does not count towards
    what was announced: it is the stump of a row, and with it the rows of a body cut off there would seem complete.
    """
    came, what = tally.announced, "row" if tally.resources is None else "resource"
    if download.rows is not None and tally.cut_off and came == download.rows:
        return Verdict(VerdictKind.FAILED, (f"the body ends inside {what} {came:,} of {download.rows:,} announced",))
    if download.rows is not None and came < download.rows:
        return Verdict(VerdictKind.FAILED, (f"{came:,} {what}s came of {download.rows:,} announced",))
    if tally.resources is not None and tally.cut_off:
        return Verdict(VerdictKind.FAILED, ("the last line is cut off",))
    differences = _differences(download, tally)
    if differences:
        return Verdict(VerdictKind.MISMATCH, tuple(differences))
    if download.rows is None:
        return Verdict(VerdictKind.UNVERIFIABLE, (f"no {what} count was announced",))
    return Verdict(VerdictKind.VERIFIED)


def _differences(download: Download, tally: Tally) -> list[str]:
    differences = []
    if download.rows is not None and tally.announced > download.rows:
        what = "rows" if tally.resources is None else "resources"
        differences.append(f"{tally.announced:,} {what} came, {download.rows:,} were announced")
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
