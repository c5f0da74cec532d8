"""An export as tasks: neighbours in time together, and those far larger than the rest in spans.

The largest tasks go first, so that none is left for the end. A download that comes in spans is kept here while they
come in; whoever takes the last one brings it to its verdict.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any

from mockexport import events
from mockexport.distributed.following import Following
from mockexport.distributed.tasks import Task
from mockexport.errors import BadRowError, MockExportError
from mockexport.formats import MAX_ROW_BYTES, Cutter
from mockexport.formats.format import Format
from mockexport.formats.schema import Schema
from mockexport.model import Download, Entry, Reading, Span
from mockexport.pipeline.checkpoint import SavedFlight
from mockexport.pipeline.flights import Part
from mockexport.pipeline.landed import Landed, borders_of
from mockexport.pipeline.sharing import Share, Work
from mockexport.pipeline.streams import Mark, Opened, ResumableSource
from mockexport.reducers import Reducer

__all__ = ["Divided", "Planner"]

# Tasks for each thread of a worker: enough that the last ones end at about the same time.
TASKS_PER_THREAD = 8
# A task costs the scheduler some milliseconds; fewer rows than this are fetched and reduced in less than fifty.
LEAST_ROWS = 100_000
# A download without announced rows, among others that have some, is taken for one of this many.
UNKNOWN_ROWS = 1_000_000
# A part of a download this short is not worth its request and its task.
LEAST_SPAN_BYTES = 8 * 2**20
# A row is some forty bytes; a download whose rows would fit a span at this length is not asked for its own.
LONG_ROW_BYTES = 512


@dataclass
class Divided:
    """A download that comes in spans: what of it has landed, and how it went so far."""

    position: int
    download: Download
    mark: Mark
    landed: Landed[Any]
    tasks: set[int] = field(default_factory=set)
    attempts: int = 1
    fetched_bytes: int = 0
    bad_row: tuple[Part, BadRowError] | None = None


class Planner:
    """Makes the tasks of a run.

    Args:
        run: what it is known by.
        reducer, options: what every task is given.
        work: the downloads that are waited for.
        following: is told of downloads that start here.
        threads: how many tasks the cluster does at once.
    """

    def __init__(
        self,
        run: str,
        reducer: Reducer[Any, Any],
        options: Mapping[str, Any],
        work: Work,
        following: Following,
        threads: int,
    ) -> None:
        self.divided: dict[str, Divided] = {}
        self._run = run
        self._reducer = reducer
        self._options = options
        self._schema: Format = options.get("schema") or Schema()
        self._work = work
        self._following = following
        self._threads = threads
        self._numbers = count()

    async def plan(self) -> list[Task]:
        """Return the tasks of all downloads, the largest first."""
        return sorted([task async for task in self._tasks()], key=lambda task: -task.size)

    async def _tasks(self) -> AsyncIterator[Task]:
        work = self._work
        sizes = {download.id: _size(download) for _, download in work.waiting}
        share = sum(sizes.values()) // self._threads
        target = max(share // TASKS_PER_THREAD, LEAST_ROWS)
        together: list[tuple[int, Download]] = []
        for position, download in work.waiting:
            known = work.keeper.known_of(download.id)
            parts = [saved for saved in known if saved.span != Span(download.id)]
            large = _may_exceed(download, work.split) or sizes[download.id] > max(share, 2 * LEAST_ROWS)
            spans = await self._divide(position, download, parts) if parts or large else []
            if spans:
                for task in spans:
                    yield task
                continue
            if together and (
                together[-1][0] + 1 != position or sum(sizes[d.id] for _, d in together) + sizes[download.id] > target
            ):
                yield self.together(together)
                together = []
            together.append((position, download))
        if together:
            yield self.together(together)

    def together(self, downloads: list[tuple[int, Download]]) -> Task:
        """Return the task of downloads that are neighbours in time."""
        work = self._work
        ids = {download.id for _, download in downloads}
        known = tuple(saved for i in ids for saved in work.keeper.known_of(i) if saved.span == Span(i))
        overlaps = {i: text for i, text in work.rules.overlaps.items() if i in ids}
        share = Share(
            work.export_id, tuple(downloads), overlaps, known,
            keeps_apart=work.keeper.keeps_apart, several=work.rules.several,
        )  # fmt: skip
        return self._task(share, sum(_size(download) for _, download in downloads))

    def _task(self, share: Share, size: int) -> Task:
        return Task(self._run, next(self._numbers), share, self._reducer, self._options, size)

    async def _divide(self, position: int, download: Download, parts: list[SavedFlight]) -> list[Task]:
        """Return tasks for the spans of a download, none if it is better fetched in one go."""
        work = self._work
        if not isinstance(work.source, ResumableSource):
            return []
        if parts:
            header, mark, rows_begin = parts[0].header, parts[0].mark, MAX_ROW_BYTES
        else:
            found = await self._probe(download)
            if found is None:
                return []
            header, mark, rows_begin = found
        total = mark.total
        if total is None:
            return []
        divided = Divided(position, download, mark, Landed(work.reducer))
        landed = divided.landed
        for saved in parts:
            if saved.done:
                landed.restore(saved)
        span_bytes = work.split or max(LEAST_SPAN_BYTES, total // (2 * self._threads))
        at, spans = 0, []
        for stretch in [*landed.stretches, None]:
            end = total if stretch is None else stretch.span.start
            if at < end:
                borders = borders_of(total, span_bytes, beyond=max(at, rows_begin))
                edges = [at, *(border for border in borders if border < end), end]
                spans += [Span(download.id, *edge) for edge in pairwise(edges)]
            at = total if stretch is None else stretch.span.end or total
        if not spans or (len(spans) == 1 and not landed.stretches):
            return []
        self.divided[download.id] = divided
        self._following.start(download.id)
        if parts:
            work.emit(events.Restored(download.id, landed.size_bytes, landed.rows, finished=False))
            self._following.land(download.id, None, landed.size_bytes, landed.rows)
        work.emit(events.Divided(download.id, len(spans)))
        return [self.span(divided, span, Entry(Reading(header if span.start else None))) for span in spans]

    def span(self, divided: Divided, span: Span, entry: Entry) -> Task:
        """Return the task of a span of a download that is divided."""
        total = divided.mark.total or 1
        size = _size(divided.download) * ((span.end or total) - span.start) // total
        part = Part(span, entry, divided.mark)
        share = Share(self._work.export_id, ((divided.position, divided.download),), {}, part=part)
        task = self._task(share, size)
        divided.tasks.add(task.number)
        return task

    async def _probe(self, download: Download) -> tuple[str, Mark, int] | None:
        """Return a download's header line, by what its content is known, and the byte at which its rows begin.

        None if it cannot be had in parts. What comes beside the header is dropped: a reading or two of a socket.
        """
        cutter = Cutter(Span(download.id), 1)
        decoder = self._schema.decoder(download_id=download.id)
        mark: Mark | None = None
        stream = self._work.source.stream(self._work.export_id, download)
        try:
            async with aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Opened):
                        mark = piece.mark
                    if isinstance(piece, bytes):
                        for chunk in cutter.feed(piece):
                            decoder.decode(chunk)
                            if decoder.header is not None:
                                break
                    if decoder.header is not None or (isinstance(piece, Opened) and mark is None):
                        break
        except MockExportError:
            return None  # the task will say what is wrong
        finally:
            await stream.close(None)
        if mark is None or mark.total is None or decoder.header is None:
            return None
        return decoder.header, mark, cutter.offset


def _may_exceed(download: Download, span_bytes: int | None) -> bool:
    """Tell whether a download may be longer than a span that was asked for: only such a one is worth a request."""
    if span_bytes is None:
        return False
    if download.size_bytes is not None:
        return download.size_bytes > span_bytes
    return download.rows is None or download.rows * LONG_ROW_BYTES > span_bytes


def _size(download: Download) -> int:
    """Return how much work a download is: its rows, if they are announced."""
    return UNKNOWN_ROWS if download.rows is None else download.rows
