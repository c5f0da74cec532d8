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
from typing import Any, Generic, TypeVar, Unpack, cast

from mockexport import events
from mockexport.engine.choosing import Engine, choose_engine
from mockexport.errors import (
    BadRowError,
    LimitError,
    NotedError,
    OutputError,
    ReducerError,
    first_error_alone,
    reducer_at_work,
)
from mockexport.events import Event, Listener, RunFinished, RunStarted
from mockexport.model import Download, Export, SizeLimits, Verdict, VerdictKind
from mockexport.pipeline.checkpoint import Belonging, Checkpoint
from mockexport.pipeline.consumers import Consumers
from mockexport.pipeline.download import DownloadRun
from mockexport.pipeline.ledger import Ledger
from mockexport.pipeline.options import RunKeywords, RunOptions
from mockexport.pipeline.peeking import Look, Peeker
from mockexport.pipeline.producers import Here, Producers
from mockexport.pipeline.rechecking import still_valid
from mockexport.pipeline.sharing import Brought, Crew, Share, Stopped, Work
from mockexport.pipeline.slabs import SlabPool, SlabQueue
from mockexport.pipeline.span import Begun, FoldingSpan, PackedSpan
from mockexport.pipeline.streams import DatedSource, PlainSource, Source
from mockexport.pipeline.variety import Limited, check_listed
from mockexport.pipeline.verdicts import Rules, overlapping
from mockexport.pipeline.waits import Waits
from mockexport.pipeline.workers import Workers
from mockexport.reducers import Latest, Reducer, Result
from mockexport.report.account import DownloadAccount

__all__ = ["Outcome", "Pipeline", "RunStatistics"]

# The memory that a run's slabs share, however many they are: 1 MiB each on two cores. A hand-over costs as much as a
# thousand rows, and two threads' waking, so they are as large as the budget of all a process takes allows.
NATIVE_POOL_BYTES = 4 * 1024 * 1024
# Where no HTTP client and no decompression take memory, there is more room.
FILE_POOL_BYTES = 6 * 1024 * 1024
LEAST_CHUNK_BYTES = 256 * 1024
# Batches of Python objects, where there are any, are the most of the budget, and several times as large as their bytes.
BATCH_CHUNK_BYTES = 384 * 1024
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
        options: how the run goes, instead of `concurrency`, `size_limits` and keywords.
        checkpoint: where to keep what another run can go on from; removed once every download is complete.
        checkpoint_every_s: how often it is kept; also at the end of a run that is broken off.
        listener: called with every event, in the event loop's thread; it should return quickly.
        concurrency: streams open at once, of downloads or of spans of them; 4 by default.
        size_limits: how many downloads, groups and event types there may be.
        **keywords: how else the run goes (see RunKeywords).
    """

    def __init__(
        self,
        source: Source,
        reducer: Reducer[S, Any],
        options: RunOptions | None = None,
        *,
        checkpoint: Checkpoint | None = None,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
        listener: Listener | None = None,
        concurrency: int | None = None,
        size_limits: SizeLimits | None = None,
        **keywords: Unpack[RunKeywords],
    ) -> None:
        if options is None:
            options = RunOptions.of(concurrency=concurrency, size_limits=size_limits, **keywords)
        self._engine = choose_engine(
            reducer,
            options.schema,
            asked=None if options.filter.is_open else options.filter,
            coverage=options.coverage,
            strict=options.strict,
            wanted=options.engine,
        )
        self._limited: Limited[Any, Any] = Limited(self._engine.reducer, options.size_limits)
        self._consumers = options.consumers or self._engine.useful_threads(os.cpu_count() or 1)
        # Those that wait and those that are worked on: with all of them full nobody need be filling one more, as what
        # comes meanwhile waits in the system's buffers. Each producer has one, however slowly the others get theirs.
        slabs = max(options.concurrency, options.queue_size + self._consumers)
        pool_bytes = FILE_POOL_BYTES if isinstance(source, PlainSource) and source.is_plain else NATIVE_POOL_BYTES
        native_bytes = max(LEAST_CHUNK_BYTES, pool_bytes // slabs)
        chunk_bytes = options.chunk_bytes or (native_bytes if self._engine.folds_natively else BATCH_CHUNK_BYTES)
        self._options = options
        self._source = source
        self._reducer = reducer
        self._checkpoint = checkpoint
        self._listener = listener
        self._queue = SlabQueue(options.queue_size)
        self._pool = SlabPool(chunk_bytes, slabs)
        self._ledger: Ledger[Any] = Ledger(self._limited, checkpoint, checkpoint_every_s, self._emit)
        self._peeker: Peeker[Any] = Peeker(self._limited, self._ledger)
        self._waits = Waits()

    def __repr__(self) -> str:
        return f"<Pipeline {self.statistics()}>"

    def statistics(self) -> RunStatistics:
        """Return a snapshot of the run; cheap enough to ask often."""
        finished = self._ledger.accounts.values()
        running = self._ledger.in_flight.values()
        return RunStatistics(
            queue_depth=self._queue.qsize(),
            peak_queue_depth=self._queue.peak,
            in_flight=len(running),
            finished=len(finished),
            received_bytes=sum(d.received_bytes for d in finished) + sum(f.received_bytes for f in running),
            rows=sum(d.rows for d in finished) + sum(f.rows for f in running),
            waited_for_network_s=self._waits.network.total_s,
            waited_for_queue_s=self._waits.queue.total_s,
            waited_for_chunks_s=self._waits.chunks.total_s,
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
        check_listed(export, self._options.size_limits)
        self._emit(RunStarted(export.id, export.downloads, self._engine.name))
        # To whom it belongs takes a look at every file.
        belonging = None if self._checkpoint is None else self._belonging(export)
        saved = self._ledger.load(belonging, export, self._options.schema)
        concurrency = self._options.concurrency
        self._ledger.restore(await still_valid(saved, self._source, export, concurrency=concurrency, emit=self._emit))
        self._skip_the_unasked(export)
        # Downloads start in time order, so that their states can be merged early.
        waiting = [at for at in enumerate(export.downloads) if at[1].id not in self._ledger.accounts]
        rules = self._rules(overlapping(export.downloads), several=len(export.downloads) > 1)
        try:
            if crew is None:
                positions = {download.id: position for position, download in waiting}
                await self._bring_in(export.id, starmap(self._download, waiting), positions, rules)
            else:
                work = Work(
                    export.id, waiting, self._options, rules, self._source, self._limited, self._ledger, self._emit
                )
                with first_error_alone(), ThreadPoolExecutor(1, thread_name_prefix="mockexport") as threads:
                    async with asyncio.TaskGroup() as group:
                        saving = group.create_task(self._ledger.keep_saving(threads))
                        await crew.bring_in(work)
                        saving.cancel()
        except Stopped:
            self._skip_the_rest(export)
        except (BadRowError, NotedError, ReducerError, LimitError, OutputError):
            # A merge that has raised may have left its states half changed; a disk that is full is full.
            raise
        except BaseException:
            self._ledger.save_now()
            raise
        self._ledger.conclude()
        elapsed_s = time.monotonic() - started
        self._emit(RunFinished(export.id, elapsed_s))
        accounts = tuple(self._ledger.accounts[download.id] for download in export.downloads)
        return Outcome(self._engine, self._ledger.merged(), accounts, elapsed_s, self._reducer, self._limited)

    async def run_share(self, share: Share) -> Brought:
        """Bring in what another process has chosen of an export: what a worker of a cluster does.

        Raises:
            PartVoid: the content of a span is no longer that of the others.
            TransferError: a span cannot be had.
            BadRowError: for a bad row, if strict; of a span the line is counted from its first row.
            ReducerError: if the reducer raises.
        """
        self._ledger.keeps_apart = share.keeps_apart
        self._ledger.begun |= share.begun
        rules = self._rules(share.overlaps, several=share.several)
        positions = {download.id: position for position, download in share.downloads}
        downloads = starmap(self._download, share.downloads)
        if not share.is_part:
            given_back = await self._bring_in(share.export_id, downloads, positions, rules, gives_back=True)
            accounts = tuple(self._ledger.accounts.values())
            return Brought(self._engine.name, accounts, tuple(self._ledger.brought()), given_back)
        (download,) = downloads
        download_id = download.download.id
        download.begin_part(share.begun[download_id])
        await self._bring_in(share.export_id, [download], positions, rules)
        begun = download.begun()
        came = {} if begun is None else {download_id: begun}
        return Brought(self._engine.name, (), (), came, download.attempts, download.fetched_bytes)

    async def _bring_in(
        self,
        export_id: str,
        downloads: Iterable[Here[Any]],
        positions: Mapping[str, int],
        rules: Rules,
        *,
        gives_back: bool = False,
    ) -> Mapping[str, Begun]:
        """Produce and consume until all downloads have their verdicts; return those that are given back instead."""
        workers = Workers(self._engine, self._consumers)
        producers = Producers(
            self._source, export_id, self._options, rules, self._ledger, self._pool, self._queue, workers, self._waits,
            self._emit, gives_back=gives_back,
        )  # fmt: skip
        consumers = Consumers(self._queue, self._pool, workers, self._ledger, self._waits, self._listener)
        with first_error_alone(), workers:
            async with asyncio.TaskGroup() as outer:
                others = [outer.create_task(consumers.consume()) for _ in range(self._consumers)]
                others.append(outer.create_task(self._ledger.keep_saving(workers.threads)))
                others.append(outer.create_task(self._peeker.answer(workers.threads, positions)))
                await producers.bring_in(downloads)
                for other in others:
                    other.cancel()
        return producers.given_back

    def _rules(self, overlaps: Mapping[str, str], *, several: bool) -> Rules:
        return Rules(self._options.strict, self._options.max_bad, overlaps, several=several)

    def _download(self, position: int, download: Download) -> Here[Any]:
        return DownloadRun(position, download, self._limited, self._span)

    def _span(self, begun: PackedSpan) -> FoldingSpan[Any]:
        fold = self._engine.new_fold(begun.span, begun.left.header, begun.left.pending)
        return FoldingSpan(begun, fold, self._options.schema.cutter(begun.span, offset=begun.offset), self._limited)

    def _skip_the_unasked(self, export: Export) -> None:
        """Give the downloads in which nothing is asked for, by their metadata, their verdict."""
        for position, download in enumerate(export.downloads):
            reason = self._options.filter.rules_out(download)
            if reason is None:
                continue
            if download.id not in self._ledger.accounts:
                verdict = Verdict(VerdictKind.SKIPPED, (reason,), unasked=True)
                self._ledger.skip(position, self._download(position, download).account(verdict))
            self._emit(events.Skipped(download.id, reason))

    def _skip_the_rest(self, export: Export) -> None:
        for position, download in enumerate(export.downloads):
            if download.id not in self._ledger.accounts:
                verdict = Verdict(VerdictKind.SKIPPED, ("the run stopped because another download failed",))
                ended = self._ledger.in_flight.get(download.id) or self._download(position, download)
                self._ledger.accounts[download.id] = ended.account(verdict)

    def _belonging(self, export: Export) -> Belonging:
        given = None if self._checkpoint is None else self._checkpoint.source
        return Belonging.of(
            export,
            source=given or self._source.name,
            reducer=self._reducer.fingerprint,
            options=self._options,
            as_of=self._source.as_of() if isinstance(self._source, DatedSource) else "",
        )

    def _emit(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)
