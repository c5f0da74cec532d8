"""One download on its way, over all its attempts: its legs, what they have come to, and how it went.

A flight has one leg, the whole download, unless it is divided: then a leg for each span, on connections of their own,
which land in any order. Lines are counted from each span's first row until all rows before it are known.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mockexport import events
from mockexport.errors import BadRowError, OptionError
from mockexport.events import Event
from mockexport.formats import Cutter
from mockexport.formats.coverage import Coverage
from mockexport.formats.tally import Tally
from mockexport.model import Download, Entry, Reading, Span, Verdict
from mockexport.pipeline.checkpoint import SavedFlight
from mockexport.pipeline.landed import Landed, Stretch, borders_of
from mockexport.pipeline.lanes import Lane
from mockexport.pipeline.streams import Kept, Mark, Marker, Opened, Resumed, Retry, StartOver
from mockexport.pipeline.variety import Limited
from mockexport.report.account import DownloadAccount
from mockexport.report.overlaps import Reached

__all__ = ["Flight", "Leg", "Part", "account_of", "reached_of"]

S = TypeVar("S")


@dataclass(slots=True, eq=False)
class Leg(Generic[S]):
    """A span of a download on its way, or waiting for it, in the attempts from `since` to `attempts`.

    Of its bytes the first `kept` are not fetched, but read from what an earlier run has kept.
    """

    span: Span
    lane: Lane[S]
    cutter: Cutter
    since: int = 1
    attempts: int = 1
    kept: int = 0

    @property
    def fetched_bytes(self) -> int:
        return max(0, self.cutter.received - self.kept)

    def landed(self) -> Stretch[S]:
        """Return what it has come to; all of it is folded."""
        cutter, lines = self.cutter, self.lane.fold.line - 1
        lane = self.lane
        return Stretch(self.span, cutter.begin, cutter.offset, lines, lane.tally, lane.state, lane.entered, lane.left)


@dataclass(frozen=True, slots=True)
class Part:
    """One span of a download that others divided: what they know of it. Its rows are brought and not judged."""

    span: Span
    entry: Entry
    mark: Mark


class Flight(Generic[S]):
    """One download on its way, over all its attempts.

    Args:
        position: the download's place in time order.
        download: what is announced of it.
        reducer: in the engine's form.
        new_leg: makes a leg of a span, what is saved of it, and how to begin with it.
    """

    def __init__(
        self,
        position: int,
        download: Download,
        reducer: Limited[S, Any],
        new_leg: Callable[[Span, SavedFlight | None, Entry], Leg[S]],
    ) -> None:
        self.position = position
        self.download = download
        self.mark: Mark | None = None
        self.version: str | None = None  # which one of the content its rows are, if that is told
        self.header: str | None = None
        self.head: bytes = b""  # how its body begins
        self.legs: list[Leg[S]] = []  # that have not landed, in order
        self.landed: Landed[S] = Landed(reducer)
        self.landing: asyncio.Lock = asyncio.Lock()  # held while `landed` changes, or is looked into
        self.part: Part | None = None
        self.divisible: bool = True
        self.attempt: int = 0  # of the whole: changes whenever it begins anew
        self._reducer = reducer
        self._new_leg = new_leg
        self._bad_row: tuple[Leg[S], BadRowError] | None = None
        self._held_back: list[Span] = []  # behind the leg of the bad row
        self._attempts = 1  # but for those that legs on their way made beyond their first
        self._fetched_bytes = 0  # but for those of legs on their way
        self._void_bytes = 0

    def begin(self, saved: Sequence[SavedFlight] = ()) -> None:
        """Go on from what is saved: make legs of what is not done, and of whatever lies between."""
        self._clear()
        if not saved:
            self._add_leg(Span(self.download.id))
            return
        self.mark, self.header, self.version = saved[0].mark, saved[0].header, saved[0].mark.version
        at: int | None = 0
        for flight in sorted(saved, key=lambda flight: flight.start):
            if at is not None and at < flight.start:
                self._add_leg(Span(self.download.id, at, flight.start))
            if flight.done:
                if (void := self.landed.restore(flight)) is not None:
                    self._add_leg(void[0], entry=void[1])
            else:
                self._add_leg(flight.span, flight)
            at = flight.end
        if at is not None and self.mark.total is not None and at < self.mark.total:
            self._add_leg(Span(self.download.id, at, self.mark.total))
        self.divisible = len(self.legs) == 1 and not self.divided

    def begin_part(self, part: Part) -> None:
        """Make a leg of one span of the download; the others are somebody else's."""
        self._clear()
        self.mark, self.header, self.divisible, self.part = part.mark, part.entry.reading.header, False, part
        self.version = part.mark.version
        self._add_leg(part.span, entry=part.entry)

    def _clear(self) -> None:
        self.legs, self.landed, self._bad_row, self._held_back = [], Landed(self._reducer), None, []
        self.mark = self.header = self.version = None
        self.head = b""
        self.attempt += 1

    def _add_leg(self, span: Span, base: SavedFlight | None = None, entry: Entry | None = None) -> Leg[S]:
        entry = entry or Entry(Reading(self.header if span.start else None))
        leg = self._new_leg(span, base, entry)
        self.legs.append(leg)
        return leg

    def divide(self, span_bytes: int) -> list[Leg[S]]:
        """Make legs of what has not come yet, if it is long enough; return those that are new."""
        (leg,) = self.legs
        if not self.divisible or self.mark is None or self.mark.total is None or leg.lane.fold.header is None:
            return []
        self.divisible, self.header = False, leg.lane.fold.header
        borders = borders_of(self.mark.total, span_bytes, beyond=leg.cutter.at)
        if borders:
            leg.span = leg.lane.span = Span(self.download.id, 0, borders[0])
            leg.cutter.end_at(borders[0])
            for start, end in zip(borders, [*borders[1:], self.mark.total], strict=True):
                self._add_leg(Span(self.download.id, start, end))
        return self.legs[1:]

    @property
    def divided(self) -> bool:
        """Whether its rows come by several legs."""
        spans = [leg.span for leg in self.legs] + [stretch.span for stretch in self.landed.stretches]
        return any(span.end is not None for span in spans)

    @property
    def rows(self) -> int:
        """The rows folded so far."""
        return self.landed.rows + sum(leg.lane.rows for leg in self.legs)

    @property
    def folded_bytes(self) -> int:
        """The bytes folded so far, those that a checkpoint spared included."""
        return self.landed.size_bytes + sum(max(0, leg.lane.fold.offset - leg.cutter.begin) for leg in self.legs)

    @property
    def received_bytes(self) -> int:
        """The bytes received so far that are of use, those that a checkpoint spared included."""
        return self.landed.size_bytes + sum(max(0, leg.cutter.at - leg.cutter.begin) for leg in self.legs)

    @property
    def fetched_bytes(self) -> int:
        """All bytes fetched, those of no use included."""
        return self._fetched_bytes + sum(leg.fetched_bytes for leg in self.legs)

    @property
    def attempts(self) -> int:
        """How often bytes were asked for: once, and once more for each failure."""
        return self._attempts + sum(leg.attempts - leg.since for leg in self.legs)

    @property
    def tally(self) -> Tally:
        """The counts of all rows so far, with legs at rest; bad rows are named as far as their lines are known."""
        parts = [(stretch.span, stretch.tally) for stretch in self.landed.stretches]
        parts += [(leg.span, leg.lane.tally) for leg in self.legs]
        merged = Tally()
        for span, tally in sorted(parts, key=lambda part: part[0].start):
            merged.merge(tally, lines=self.landed.lines_before(span.start))
        return merged

    @property
    def bad_row(self) -> BadRowError | None:
        """The first bad row where none is allowed, once all rows before it are known."""
        if self._bad_row is None:
            return None
        leg, error = self._bad_row
        lines = self.landed.lines_before(leg.span.start)
        return None if lines is None else BadRowError(error.download_id, error.line + lines, error.offset, error.reason)

    def take(self, leg: Leg[S], marker: Marker) -> Event:
        """Do as the marker says that came on a leg; return it as an event."""
        download_id = self.download.id
        match marker:
            case StartOver(attempt, wait_s, reason, asked_s):
                # The same stream goes on, and counts on.
                leash, leg.lane.leash = leg.lane.leash, None
                event = self.start_over(attempt, reason, wait_s, asked_s)
                (anew,) = self.legs
                anew.since, anew.attempts, anew.lane.leash = leg.attempts, max(leg.attempts, attempt + 1), leash
                return event
            case Retry(attempt, wait_s, reason, offset, asked_s):
                leg.attempts = max(leg.attempts, attempt + 1)
                return events.Retried(download_id, attempt, wait_s, reason, offset, asked_s)
            case Opened(mark, version):
                self.mark, self.version = mark, version
                return events.Opened(download_id, mark is not None, None if mark is None else mark.total)
            case Resumed(offset):
                return events.Resumed(download_id, offset)
            case Kept(offset, finished):
                leg.kept = offset
                return events.Kept(download_id, offset, finished)
        # Somebody's own source: what is neither bytes nor a marker must not pass for one and be lost.
        raise OptionError("source", f"its pieces are bytes or markers, and one is of the type {type(marker).__name__}")

    def start_over(
        self, attempt: int, reason: str, wait_s: float = 0.0, asked_s: float | None = None, *, again: bool = False
    ) -> events.StartedOver:
        """Forget everything and begin anew, with one leg; return that as an event. `again` makes it another attempt."""
        self._attempts += again
        self.divisible = self.divisible and not self.divided
        self.abandon()
        for leg in self.legs:
            self._count(leg)
        void_bytes = self._fetched_bytes - self._void_bytes
        self._void_bytes = self._fetched_bytes
        self.begin()
        return events.StartedOver(self.download.id, attempt, wait_s, reason, void_bytes, asked_s)

    def abandon(self) -> None:
        """Let nothing more come of the legs on their way."""
        for leg in self.legs:
            leg.lane.abandon()

    def land(self, leg: Leg[S]) -> list[Leg[S]]:
        """Take in what a leg has come to; return those that are to be done over, as they were begun with wrongly."""
        void = self.landed.add(leg.landed())
        self._count(leg)
        self.legs.remove(leg)
        again = [] if void is None else [self._add_leg(void[0], entry=void[1])]
        first = self.landed.stretches[0]
        refused = None if self._bad_row is None else self._bad_row[0]
        if refused is not None and first.span.end == refused.span.start and first.left != refused.lane.entered:
            # What was taken for a row there is none.
            again.append(self._add_leg(refused.span, entry=Entry(first.left, first.offset)))
            again += [self._add_leg(span) for span in self._held_back]
            self._bad_row, self._held_back = None, []
        self.legs.sort(key=lambda leg: leg.span.start)
        return again

    def note_bad_row(self, leg: Leg[S], error: BadRowError) -> None:
        """Take note that a leg came upon a bad row where none is allowed: what comes after it matters no more."""
        self._bad_row = (leg, error)
        later = self.legs[self.legs.index(leg) :]
        for other in later:
            other.lane.abandon()
        self._held_back = [other.span for other in later[1:]] + self._held_back
        self.legs = self.legs[: self.legs.index(leg)]

    def saved(self) -> list[SavedFlight]:
        """Return what another run can go on from, nothing if the source gave nothing to know its content by."""
        return [*self.saved_landed(), *filter(None, (self.saved_leg(leg) for leg in self.legs))]

    def saved_landed(self) -> list[SavedFlight]:
        """Return of `saved` what has landed."""
        return [] if self.mark is None else self.landed.saved(self.mark)

    def saved_leg(self, leg: Leg[S]) -> SavedFlight | None:
        """Return of `saved` what is a leg's; its lane must be at rest."""
        return None if self.mark is None else leg.lane.saved(self.download.id, self.mark)

    def _count(self, leg: Leg[S]) -> None:
        self._attempts += leg.attempts - leg.since
        self._fetched_bytes += leg.fetched_bytes

    def account(self, verdict: Verdict, *, compared: bool = False) -> DownloadAccount:
        """Return how it went, with legs at rest; if it is to be `compared` with others, how far its groups reach."""
        return account_of(
            self.download,
            verdict,
            self.tally,
            attempts=self.attempts,
            received_bytes=self.received_bytes,
            fetched_bytes=self.fetched_bytes,
            version=self.version,
            reached=reached_of(self._reducer, self.landed.state) if verdict.counts and compared else None,
        )


def reached_of(reducer: Limited[S, Any], state: S) -> Reached | None:
    """Return how far the groups of a download's state reach."""
    return Reached.of(reducer.reaches(state))


def account_of(
    download: Download,
    verdict: Verdict,
    tally: Tally,
    *,
    attempts: int,
    received_bytes: int,
    fetched_bytes: int,
    version: str | None,
    reached: Reached | None,
) -> DownloadAccount:
    """Return how a download went."""
    coverage = None
    if tally.coverage is not None:
        coverage = Coverage(
            announced_start_us=download.start_us,
            announced_end_us=download.end_us,
            first_us=tally.first_us,
            last_us=tally.last_us,
            bucket_hours=tally.coverage.width,
            rows=dict(sorted(tally.coverage.rows.items())),
        )
    return DownloadAccount(
        download_id=download.id,
        verdict=verdict,
        rows=tally.rows,
        bad_rows=dict(tally.bad),
        first_bad_rows=tuple(tally.examples),
        missing_values=dict(tally.missing),
        attempts=attempts,
        received_bytes=received_bytes,
        fetched_bytes=fetched_bytes,
        filtered_rows=tally.filtered,
        coverage=coverage,
        version=version,
        noted=dict(sorted(tally.noted.items())),
        reached=reached,
    )
