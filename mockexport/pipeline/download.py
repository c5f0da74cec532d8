"""One download's life, over all its attempts: its spans on their way, what they have come to, and how it went.

Rules: no tasks; it decides, and those that bring the spans in do what it returns. A download is one span, all of it,
unless it is divided: then its spans are brought in over connections of their own, or elsewhere, in any order. Lines are
counted from each span's first row until all rows before it are known.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from typing import Any, Generic, TypeVar

from mockexport import events
from mockexport.errors import BadRowError
from mockexport.formats.coverage import Coverage
from mockexport.formats.tally import Tally
from mockexport.model import Download, Reading, Span, Verdict
from mockexport.pipeline.ranges import Landed, borders_of
from mockexport.pipeline.span import Begun, Held, PackedSpan, SpanRun, fresh
from mockexport.pipeline.streams import Mark
from mockexport.pipeline.variety import Limited
from mockexport.pipeline.verdicts import Rules
from mockexport.report.account import DownloadAccount

__all__ = ["DownloadRun"]

S = TypeVar("S")
R = TypeVar("R", bound=SpanRun)


class DownloadRun(Generic[S, R]):
    """One download on its way, over all its attempts.

    Args:
        position: its place in time order.
        download: what is announced of it.
        reducer: in the engine's form.
        place: makes a run of a span, which goes on from a state.
    """

    def __init__(
        self, position: int, download: Download, reducer: Limited[S, Any], place: Callable[[PackedSpan], R]
    ) -> None:
        self.position = position
        self.download = download
        self.mark: Mark | None = None
        self.version: str | None = None  # which one of the content its rows are, if that is known
        self.header: str | None = None
        self.head: bytes = b""  # how its body begins
        self.runs: list[R] = []  # that have not landed, in order
        self.landed: Landed[S] = Landed(reducer)
        self.landing: asyncio.Lock = asyncio.Lock()  # held while `landed` changes, or is looked into
        self.is_part: bool = False  # it is one span of a download that is divided elsewhere: brought, and not judged
        self.divisible: bool = True
        self.attempt: int = 0  # of the whole: changes whenever it begins again
        self._reducer = reducer
        self._place = place
        self._bad_row: tuple[R, BadRowError] | None = None
        self._held_back: list[Span] = []  # behind the span of the bad row
        self._attempts = 1  # but for those that runs on their way made beyond their first
        self._fetched_bytes = 0  # but for those of runs on their way
        self._void_bytes = 0

    def begin(self, begun: Begun | None = None, span_bytes: int | None = None) -> None:
        """Go on from what there is, if anything: with spans that are not done, and what lies between, divided."""
        self._clear()
        if begun is None or not begun.spans:
            self._add(fresh(Span(self.download.id)))
            return
        spans = sorted(begun.spans, key=lambda held: held.span.start)
        self.mark, self.version, self.header = begun.mark, begun.mark.version, spans[0].left.header
        at: int | None = 0
        for held in spans:
            if at is not None and at < held.span.start:
                self.add(self._between(at, held.span.start, span_bytes))
            if not held.is_done:
                self._add(held)
            elif (again := self.landed.add(held.unpacked(self._reducer))) is not None:
                self._add(again)
            at = held.span.end
        if at is not None and self.mark.total is not None and at < self.mark.total:
            self.add(self._between(at, self.mark.total, span_bytes))
        self.divisible = len(self.runs) == 1 and not self.divided

    def begin_part(self, begun: Begun) -> None:
        """Go on with one span of the download; the others are brought in elsewhere."""
        self._clear()
        (held,) = begun.spans
        self.mark, self.version, self.header = begun.mark, begun.mark.version, held.left.header
        self.is_part, self.divisible = True, False
        self._add(held)

    def _clear(self) -> None:
        self.runs, self.landed, self._bad_row, self._held_back = [], Landed(self._reducer), None, []
        self.mark = self.header = self.version = None
        self.head = b""
        self.attempt += 1

    def _add(self, held: PackedSpan) -> R:
        run = self._place(held)
        self.runs.append(run)
        return run

    def divide(self, header: str, at: int, span_bytes: int) -> list[Span]:
        """Return the spans of what has not come yet, beyond byte `at`; none if it is too short for several."""
        total = None if self.mark is None else self.mark.total
        if total is None:
            return []
        self.divisible, self.header = False, header
        border = next(iter(borders_of(total, span_bytes, beyond=at)), None)
        return [] if border is None else self._between(border, total, span_bytes)

    def _between(self, start: int, end: int, span_bytes: int | None) -> list[Span]:
        """Return the bytes from `start` to `end` as spans of about so many bytes, in one if that is None."""
        total = end if self.mark is None or self.mark.total is None else self.mark.total
        borders = borders_of(total, span_bytes, beyond=start) if span_bytes else ()
        edges = [start, *(border for border in borders if border < end), end]
        return [Span(self.download.id, *edge) for edge in pairwise(edges)]

    def add(self, spans: Iterable[Span]) -> list[R]:
        """Make runs of spans of which nothing has been read; return them."""
        return [self._add(fresh(span, Reading(self.header if span.start else None))) for span in spans]

    @property
    def divided(self) -> bool:
        """Whether its rows come in several spans."""
        spans = [run.span for run in self.runs] + [held.span for held in self.landed.spans]
        return any(span.end is not None for span in spans)

    @property
    def rows(self) -> int:
        """The rows folded so far."""
        return self.landed.rows + sum(run.rows for run in self.runs)

    @property
    def folded_bytes(self) -> int:
        """The bytes folded so far, those that a checkpoint spared included."""
        return self.landed.size_bytes + sum(run.folded_bytes for run in self.runs)

    @property
    def received_bytes(self) -> int:
        """The bytes received so far that are of use, those that a checkpoint spared included."""
        return self.landed.size_bytes + sum(run.received_bytes for run in self.runs)

    @property
    def fetched_bytes(self) -> int:
        """All bytes fetched, those of no use included."""
        return self._fetched_bytes + sum(run.fetched_bytes for run in self.runs)

    @property
    def attempts(self) -> int:
        """How often bytes were asked for: once, and once more for each failure."""
        return self._attempts + sum(run.attempts - run.first_attempt for run in self.runs)

    @property
    def tally(self) -> Tally:
        """The counts of all rows so far, with runs at rest; bad rows are named as far as their lines are known."""
        parts = [(held.span.start, held.tally) for held in self.landed.spans]
        parts += [(run.span.start, run.tally) for run in self.runs]
        if len(parts) == 1 and not parts[0][0]:
            return parts[0][1]
        merged = Tally()
        for start, tally in sorted(parts, key=lambda part: part[0]):
            merged.merge(tally, lines=self.landed.lines_before(start))
        return merged

    @asynccontextmanager
    async def at_rest(self) -> AsyncIterator[None]:
        """Wait until nobody changes its states or looks into them, and keep it so."""
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self.landing)
            for run in list(self.runs):
                await stack.enter_async_context(run.turn)
            yield

    @property
    def bad_row(self) -> BadRowError | None:
        """The first bad row where none is allowed, once all rows before it are known."""
        if self._bad_row is None:
            return None
        run, error = self._bad_row
        lines = self.landed.lines_before(run.span.start)
        return None if lines is None else BadRowError(error.download_id, error.line + lines, error.offset, error.reason)

    def verdict(self, rules: Rules) -> Verdict | None:
        """Hold its rows against its metadata; None if a bad row ends it, or others of its rows are still to come.

        Raises:
            BadRowError, NotedError: if strict (see Rules.verdict).
        """
        if self.bad_row is not None or self.runs or self.is_part:
            return None
        return rules.verdict(self.download, self.tally, self.landed.offset)

    def start_over(
        self, attempt: int, reason: str, wait_s: float = 0.0, asked_s: float | None = None, *, again: bool = False
    ) -> events.StartedOver:
        """Forget everything and begin again, in one go; return that as an event. `again` makes it another attempt."""
        self._attempts += again
        self.divisible = self.divisible and not self.divided
        self.abandon()
        for run in self.runs:
            self._count(run)
        void_bytes = self._fetched_bytes - self._void_bytes
        self._void_bytes = self._fetched_bytes
        self.begin()
        return events.StartedOver(self.download.id, attempt, wait_s, reason, void_bytes, asked_s)

    def abandon(self) -> None:
        """Let nothing more come of the runs on their way."""
        for run in self.runs:
            run.abandon()

    def land(self, run: R, held: Held[S]) -> list[R]:
        """Take in what a run has come to; return those that are to be done again, as they were begun with wrongly."""
        wrong = self.landed.add(held)
        self._count(run)
        self.runs.remove(run)
        again = [] if wrong is None else [self._add(wrong)]
        first = self.landed.spans[0]
        refused = None if self._bad_row is None else self._bad_row[0]
        if refused is not None and first.span.end == refused.span.start and first.left != refused.entered:
            # What was taken for a row there is none.
            again.append(self._add(fresh(refused.span, first.left, first.offset)))
            again += self.add(self._held_back)
            self._bad_row, self._held_back = None, []
        self.runs.sort(key=lambda run: run.span.start)
        return again

    def note_bad_row(self, run: R, error: BadRowError) -> None:
        """Take note that a run came upon a bad row where none is allowed: what comes after it matters no more."""
        self._bad_row = (run, error)
        later = self.runs[self.runs.index(run) :]
        for other in later:
            other.abandon()
        self._held_back = [other.span for other in later[1:]] + self._held_back
        self.runs = self.runs[: self.runs.index(run)]

    def begun(self) -> Begun | None:
        """Return what another run can go on from, with runs at rest; None if there is nothing to know the content by.

        Raises:
            ReducerError: a state cannot be dumped.
        """
        spans = [*self.landed.saved(), *filter(None, (run.saved() for run in self.runs))]
        return None if self.mark is None or not spans else Begun(self.mark, tuple(spans))

    def _count(self, run: R) -> None:
        self._attempts += run.attempts - run.first_attempt
        self._fetched_bytes += run.fetched_bytes

    def account(self, verdict: Verdict, *, compared: int | None = None) -> DownloadAccount:
        """Return how it went, with runs at rest, and how far its groups reach, if it is to be compared with others.

        How far each of them does is of use if they are no more than `compared`.
        """
        tally, download = self.tally, self.download
        reached = None
        if verdict.counts and compared is not None:
            reached = self._reducer.reached(self.landed.state, compared)
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
            attempts=self.attempts,
            received_bytes=self.received_bytes,
            fetched_bytes=self.fetched_bytes,
            filtered_rows=tally.filtered,
            coverage=coverage,
            version=self.version,
            noted=dict(sorted(tally.noted.items())),
            reached=reached,
        )
