"""The pipeline: producers, one bounded queue, consumers, and the merge.

A producer per stream, of a download or of a span of one, cuts it into chunks and puts them into the queue. Consumers
take them out and fold them in threads. A full queue makes the producers wait; they stop reading, and TCP stops the
sender. So memory is (queue + producers + consumers) chunks, plus a state per stream, however long the export.
"""

import asyncio
import os
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import starmap
from typing import Any, Generic, TypeVar, cast

from mockexport import events
from mockexport.engine.choosing import Engine, choose_engine
from mockexport.errors import (
    BadRowError,
    HeaderError,
    LimitError,
    NotedError,
    OptionError,
    OutputError,
    ReducerError,
    first_error_alone,
    reducer_at_work,
)
from mockexport.events import Advanced, Event, Listener, RunFinished, RunStarted
from mockexport.formats.filters import Filter
from mockexport.formats.format import Format
from mockexport.formats.schema import Schema
from mockexport.model import (
    Chunk,
    Download,
    Entry,
    Export,
    MaxBad,
    Reading,
    SizeLimits,
    Span,
    Verdict,
    VerdictKind,
)
from mockexport.pipeline.checkpoint import Belonging, Checkpoint, SavedFlight
from mockexport.pipeline.flights import Flight, Leg
from mockexport.pipeline.keeping import Keeper
from mockexport.pipeline.lanes import Lane, Stopwatch
from mockexport.pipeline.peeking import Look, Peeker
from mockexport.pipeline.producing import Producers, Stopped
from mockexport.pipeline.rechecking import still_valid
from mockexport.pipeline.sharing import Brought, BroughtSpan, Crew, Share, Work
from mockexport.pipeline.slabs import SlabPool, SlabQueue
from mockexport.pipeline.streams import DatedSource, Source
from mockexport.pipeline.variety import Limited, check_listed
from mockexport.pipeline.verdicts import Rules, overlapping
from mockexport.pipeline.workers import Workers
from mockexport.reducers import Latest, Reducer, Result
from mockexport.report.account import DownloadAccount

__all__ = [
    "DEFAULT_CONCURRENCY",
    "DEFAULT_MAX_BAD",
    "DEFAULT_QUEUE_SIZE",
    "Outcome",
    "Pipeline",
    "RunStatistics",
]

# Enough to keep two cores and a fast line busy, little enough for any server.
DEFAULT_CONCURRENCY = 4
# A hand-over costs as much as a thousand rows, and two threads' waking: large enough to bear it, small enough for the
# memory budget, in which batches of Python objects are the most, where there are any.
NATIVE_CHUNK_BYTES = 512 * 1024
BATCH_CHUNK_BYTES = 384 * 1024
# Evens out a consumer's hiccup; more would only cost memory.
DEFAULT_QUEUE_SIZE = 2
# A table that was read as what it is has hardly any bad rows; one in ten is a table read as something else.
DEFAULT_MAX_BAD = "10%"
# What a crash may cost, beside the little that saving takes.
CHECKPOINT_EVERY_S = 5.0

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """A snapshot of a run: how deep the queue is and was, how far it got, and where time was waited.

    The waits are summed over all producers (network, queue) and all consumers (chunks), in seconds.
    """

    queue_depth: int
    peak_queue_depth: int
    in_flight: int
    finished: int
    received_bytes: int
    rows: int
    waited_for_network_s: float
    waited_for_queue_s: float
    waited_for_chunks_s: float


@dataclass(frozen=True, slots=True)
class Outcome(Generic[S]):
    """What a run leaves: the merged state, in the engine's form, and an account of every download, in time order."""

    engine: Engine[Any]
    merged: Any
    downloads: tuple[DownloadAccount, ...]
    elapsed_s: float
    _reducer: Reducer[S, Any]
    _limited: Limited[Any, Any]

    @property
    def state(self) -> S:
        """The merged state in the reducer's own form."""
        reducer, state = self.engine.reducer, self.merged
        if isinstance(reducer, Latest):
            state, reducer = reducer.settled(state), reducer.inner
        return cast("S", state) if reducer is self._reducer else self._reducer.load(reducer.dump(state))

    def result(self) -> Result[Any]:
        """Return what the reducer makes of the merged state."""
        with reducer_at_work(self._reducer, "result"):
            return self._limited.result(self.merged)


class Pipeline(Generic[S]):
    """Turns an export into one merged state while it downloads. Use an instance for one run.

    Args:
        source: where the bytes come from.
        reducer: what becomes of the rows.
        schema: how bytes become rows.
        filter: the rows that are asked for; downloads whose metadata says that they hold none are not fetched.
        concurrency: streams open at once, of downloads or of spans of them.
        split: divide downloads that are longer into spans of about so many bytes, each on a connection of its own,
            where the source can be asked for a part and proves that the content is the same; None for never.
        chunk_bytes: size of a chunk, in bytes; a chunk holds one row at the least. By default 512 KiB, and 384 KiB
            where an engine makes batches of them.
        queue_size: chunks that may wait for a consumer.
        consumers: how many chunks are folded at once; by default as many as there are cores, and one for an engine
            that holds the interpreter's lock.
        coverage: count rows by hour of UTC, for the downloads' accounts.
        strict: make the first bad row an error, and what else would be noted of rows.
        max_bad: with more bad rows than this, a number or a share, a download has failed.
        engine: "auto" for the fastest there is for the reducer, or "kernel" or "python" (see engine.choose_engine).
        stop_on_failure: break the other downloads off when one has failed; they count as skipped.
        checkpoint: where to keep what another run can go on from; removed once every download is complete.
        checkpoint_every_s: how often it is kept; also at the end of a run that is broken off.
        listener: called with every event, in the event loop's thread; it should return quickly.
        size_limits: how many downloads, groups and event types there may be.
    """

    def __init__(
        self,
        source: Source,
        reducer: Reducer[S, Any],
        *,
        schema: Format | None = None,
        filter: Filter | None = None,  # noqa: A002 - what everybody calls it
        concurrency: int = DEFAULT_CONCURRENCY,
        split: int | None = None,
        chunk_bytes: int | None = None,
        queue_size: int = DEFAULT_QUEUE_SIZE,
        consumers: int | None = None,
        coverage: bool = False,
        strict: bool = False,
        max_bad: int | str = DEFAULT_MAX_BAD,
        engine: str = "auto",
        stop_on_failure: bool = False,
        checkpoint: Checkpoint | None = None,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
        listener: Listener | None = None,
        size_limits: SizeLimits | None = None,
    ) -> None:
        self._limits = size_limits or SizeLimits()
        self._schema: Format = schema or Schema()
        self._asked = filter or Filter()
        asked = None if self._asked.is_open else self._asked
        self._engine = choose_engine(
            reducer, self._schema, asked=asked, coverage=coverage, strict=strict, wanted=engine
        )
        self._limited: Limited[Any, Any] = Limited(self._engine.reducer, self._limits)
        if chunk_bytes is None:
            chunk_bytes = NATIVE_CHUNK_BYTES if self._engine.folds_natively else BATCH_CHUNK_BYTES
        if consumers is None:
            consumers = self._engine.useful_threads(os.cpu_count() or 1)
        for option, number in (
            ("concurrency", concurrency),
            ("chunk_bytes", chunk_bytes),
            ("queue_size", queue_size),
            ("consumers", consumers),
            ("split", 1 if split is None else split),
        ):
            if number < 1:
                raise OptionError(option, f"must be at least 1, not {number}")
        self._source = source
        self._reducer = reducer
        self._concurrency = concurrency
        self._split = split
        self._consumers = consumers
        self._coverage = coverage
        self._strict = strict
        self._max_bad = MaxBad.of(max_bad)
        self._stop_on_failure = stop_on_failure
        self._checkpoint = checkpoint
        self._listener = listener
        self._queue = SlabQueue(queue_size)
        # One that is being filled for each producer, those that wait, and those that are worked on.
        self._pool = SlabPool(chunk_bytes, concurrency + queue_size + consumers)
        self._keeper = Keeper(self._limited, checkpoint, checkpoint_every_s, self._emit)
        self._peeker = Peeker(self._limited, self._keeper)
        self._network, self._full, self._idle = Stopwatch(), Stopwatch(), Stopwatch()

    def __repr__(self) -> str:
        return f"<Pipeline {self.statistics()}>"

    def statistics(self) -> RunStatistics:
        """Return a snapshot of the run; cheap enough to ask often."""
        finished = self._keeper.accounts.values()
        running = self._keeper.in_flight.values()
        return RunStatistics(
            queue_depth=self._queue.qsize(),
            peak_queue_depth=self._queue.peak,
            in_flight=len(running),
            finished=len(finished),
            received_bytes=sum(d.received_bytes for d in finished) + sum(f.received_bytes for f in running),
            rows=sum(d.rows for d in finished) + sum(f.rows for f in running),
            waited_for_network_s=self._network.total_s,
            waited_for_queue_s=self._full.total_s,
            waited_for_chunks_s=self._idle.total_s,
        )

    async def look(self) -> Look | None:
        """Return what the rows so far come to, without disturbing the run; None once that is over.

        It begins when the run does, and ends with it: to be asked from another task than the run's.
        """
        return await self._peeker.look()

    async def run(self, export_id: str, crew: Crew | None = None) -> Outcome[S]:
        """Discover an export; fetch, fold, verify and merge all its downloads.

        A download that fails contributes nothing and does not disturb the others; its account says why. A `crew`, if
        there is one, brings them in instead of this process.

        Raises:
            ExportNotFound, SourceError: if the export cannot be discovered.
            BadRowError, NotedError: for a bad row, or something to be noted of rows, if strict.
            ReducerError: if the reducer raises.
            LimitError: if there is more of something than there may be.
        """
        started = time.monotonic()
        export = await self._source.discover(export_id)
        check_listed(export, self._limits)
        self._emit(RunStarted(export.id, export.downloads, self._engine.name))
        saved = self._keeper.load(self._belonging(export), export, self._schema)
        self._keeper.restore(
            await still_valid(saved, self._source, export, concurrency=self._concurrency, emit=self._emit)
        )
        self._skip_the_unasked(export)
        # Downloads start in time order, so that their states can be merged early.
        waiting = [at for at in enumerate(export.downloads) if at[1].id not in self._keeper.accounts]
        positions = {download.id: position for position, download in waiting}
        rules = Rules(self._strict, self._max_bad, overlapping(export.downloads), several=len(export.downloads) > 1)
        try:
            if crew is None:
                await self._bring_in(export.id, starmap(self._flight, waiting), positions, rules)
            else:
                work = Work(
                    export.id, waiting, rules, self._source, self._limited, self._keeper,
                    self._split, self._stop_on_failure, self._emit,
                )  # fmt: skip
                with first_error_alone(), ThreadPoolExecutor(1, thread_name_prefix="mockexport") as threads:
                    async with asyncio.TaskGroup() as group:
                        saving = group.create_task(self._keeper.keep_saving(threads))
                        await crew.bring_in(work)
                        saving.cancel()
        except Stopped:
            self._skip_the_rest(export)
        except (BadRowError, NotedError, ReducerError, LimitError, OutputError):
            # A merge that has raised may have left its states half changed; a disk that is full is full.
            raise
        except BaseException:
            self._keeper.save_now()
            raise
        self._keeper.conclude()
        elapsed_s = time.monotonic() - started
        self._emit(RunFinished(export.id, elapsed_s))
        accounts = tuple(self._keeper.accounts[download.id] for download in export.downloads)
        return Outcome(self._engine, self._keeper.merged(), accounts, elapsed_s, self._reducer, self._limited)

    async def run_share(self, share: Share) -> Brought:
        """Bring in what another process has chosen of an export: what a worker of a cluster does.

        Raises:
            PartVoid: the content of a span is no longer that of the others.
            TransferError: a span cannot be had.
            BadRowError: for a bad row, if strict; of a span the line is counted from its first row.
            ReducerError: if the reducer raises.
        """
        self._keeper.keeps_apart = share.keeps_apart
        for saved in share.known:
            self._keeper.know(saved.download_id, [*self._keeper.known_of(saved.download_id), saved])
        rules = Rules(self._strict, self._max_bad, share.overlaps, several=share.several)
        positions = {download.id: position for position, download in share.downloads}
        flights, span = starmap(self._flight, share.downloads), None
        if share.part is None:
            await self._bring_in(share.export_id, flights, positions, rules)
        else:
            flight = next(flights)
            flight.begin_part(share.part)
            await self._bring_in(share.export_id, [flight], positions, rules)
            (part,) = flight.saved_landed()
            span = BroughtSpan(part, flight.attempts, flight.fetched_bytes)
        accounts = tuple(self._keeper.accounts.values())
        return Brought(self._engine.name, accounts, tuple(self._keeper.brought()), span)

    async def _bring_in(
        self, export_id: str, flights: Iterable[Flight[S]], positions: Mapping[str, int], rules: Rules
    ) -> None:
        """Produce and consume until all flights have their verdicts."""
        workers = Workers(self._engine, self._consumers)
        producers = Producers(
            self._source,
            export_id,
            self._keeper,
            pool=self._pool,
            queue=self._queue,
            workers=workers,
            emit=self._emit,
            network=self._network,
            full=self._full,
            concurrency=self._concurrency,
            split_bytes=self._split,
            rules=rules,
            schema=self._schema,
            stop_on_failure=self._stop_on_failure,
        )
        with first_error_alone(), workers:
            async with asyncio.TaskGroup() as outer:
                others = [outer.create_task(self._consume(workers)) for _ in range(self._consumers)]
                others.append(outer.create_task(self._keeper.keep_saving(workers.threads)))
                others.append(outer.create_task(self._peeker.answer(workers.threads, positions)))
                await producers.bring_in(flights)
                for other in others:
                    other.cancel()

    def _new_leg(self, span: Span, base: SavedFlight | None, entry: Entry) -> Leg[S]:
        begin = span.read_from if entry.offset is None else entry.offset
        reading = entry.reading if base is None else Reading(base.header, base.pending)
        fold = self._engine.new_fold(span, reading.header, reading.pending)
        cutter = self._schema.cutter(span, offset=begin if base is None else base.offset)
        if entry.offset is not None:
            cutter.begin = entry.offset
        return Leg(span, Lane(fold, self._limited, span, base, entry), cutter)

    def _flight(self, position: int, download: Download) -> Flight[S]:
        return Flight(position, download, self._limited, self._new_leg)

    async def _consume(self, workers: Workers) -> None:
        while True:
            with self._idle:
                slab = await self._queue.get()
            lane = slab.lane
            if not lane.abandoned and lane.error is None:
                await self._fold(lane, slab.chunk, workers)
            if (buffer := slab.buffer) is not None:
                self._pool.give_back(buffer)
            self._queue.release(lane)
            lane.chunk_done()

    async def _fold(self, lane: Lane[S], chunk: Chunk, workers: Workers) -> None:
        try:
            async with lane.turn:
                await workers.feed(lane.fold, lane.numbered(chunk))
                lane.check()
        except HeaderError as error:
            lane.fail(error)
        except BadRowError as error:
            if lane.span.end is None:
                raise
            lane.fail(error)  # its line, and whether it is the first, depend on other spans
        flight = self._keeper.in_flight.get(lane.span.download_id)
        # It may have been abandoned meanwhile.
        if flight is not None and not lane.abandoned and lane.error is None and self._listener is not None:
            self._listener(Advanced(flight.download.id, flight.folded_bytes, flight.rows))

    def _skip_the_unasked(self, export: Export) -> None:
        """Give the downloads in which nothing is asked for, by their metadata, their verdict."""
        for position, download in enumerate(export.downloads):
            reason = self._asked.rules_out(download)
            if reason is None:
                continue
            if download.id not in self._keeper.accounts:
                verdict = Verdict(VerdictKind.SKIPPED, (reason,), unasked=True)
                self._keeper.skip(position, self._flight(position, download).account(verdict))
            self._emit(events.Skipped(download.id, reason))

    def _skip_the_rest(self, export: Export) -> None:
        for position, download in enumerate(export.downloads):
            if download.id not in self._keeper.accounts:
                verdict = Verdict(VerdictKind.SKIPPED, ("the run stopped because another download failed",))
                flight = self._keeper.in_flight.get(download.id) or self._flight(position, download)
                self._keeper.accounts[download.id] = flight.account(verdict)

    def _belonging(self, export: Export) -> Belonging:
        given = None if self._checkpoint is None else self._checkpoint.source
        return Belonging.of(
            export.id,
            export.downloads,
            as_of=self._source.as_of() if isinstance(self._source, DatedSource) else "",
            source=given or self._source.name,
            schema=self._schema,
            asked=self._asked,
            reducer=self._reducer.fingerprint,
            coverage=self._coverage,
            strict=self._strict,
            max_bad=self._max_bad,
        )

    def _emit(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)
