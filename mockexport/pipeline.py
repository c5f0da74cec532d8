"""Producers, one bounded queue, consumers, and the merge. It knows bytes and chunks, but no HTTP and no files.

A producer per download in flight reads a stream, cuts it into chunks and puts them into the queue. Consumers take them
out and fold them in threads. A full queue makes the producers wait; they stop reading, and TCP stops the sender. So
memory is (queue + producers + consumers) chunks, plus a state per download in flight, however long the export.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from mockexport.engine import Engine, Fold, choose_engine
from mockexport.errors import HeaderError, OptionError, SourceError, first_error_alone, reducer_at_work
from mockexport.events import (
    Advanced,
    DownloadFinished,
    DownloadStarted,
    Event,
    Listener,
    RunFinished,
    RunStarted,
    StartedOver,
)
from mockexport.formats import Cutter
from mockexport.merging import Merger
from mockexport.model import Chunk, Download, Schema, Span, Verdict, VerdictKind
from mockexport.reducers import Reducer, Result
from mockexport.report import DownloadAccount
from mockexport.streams import ByteStream, Source, StartOver
from mockexport.tally import Tally, judge, overlapping

__all__ = ["DEFAULT_CHUNK_BYTES", "DEFAULT_CONCURRENCY", "DEFAULT_QUEUE_SIZE", "Outcome", "Pipeline", "RunStatistics"]

# Enough to keep two cores and a fast line busy, little enough for any server.
DEFAULT_CONCURRENCY = 4
# Large enough that a hand-over costs nothing beside its rows, small enough for a CPU's cache and the memory budget.
DEFAULT_CHUNK_BYTES = 256 * 1024
# Evens out a consumer's hiccup; more would only cost memory.
DEFAULT_QUEUE_SIZE = 4

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

    @property
    def state(self) -> S:
        """The merged state in the reducer's own form."""
        if self.engine.reducer is self._reducer:
            return cast("S", self.merged)
        return self._reducer.load(self.engine.reducer.dump(self.merged))

    def result(self) -> Result[Any]:
        """Return what the reducer makes of the merged state."""
        with reducer_at_work(self._reducer, "result"):
            return self.engine.reducer.result(self.merged)


class _Lane(Generic[S]):
    """One attempt at one download: its chunks, in order, and what they have been folded into."""

    def __init__(self, fold: Fold[S]) -> None:
        self.fold = fold
        self.error: HeaderError | None = None
        self.abandoned = False
        self._pending = 0
        self._drained = asyncio.Event()
        self._drained.set()

    def chunk_put(self) -> None:
        self._pending += 1
        self._drained.clear()

    def chunk_done(self) -> None:
        self._pending -= 1
        if not self._pending:
            self._drained.set()

    async def drained(self) -> None:
        """Wait until every chunk that was put has been folded."""
        await self._drained.wait()


class _ChunkQueue(asyncio.Queue[tuple[_Lane[Any], Chunk]]):
    """A bounded queue that hands out the chunks of one lane one at a time, and of different lanes in turn.

    A lane is ready while it has chunks and no consumer works on it; only ready lanes are on offer. Whoever has taken a
    chunk must `release` its lane, and comes back for the next: so a lane that turns ready then has a taker already.
    """

    def _init(self, maxsize: int) -> None:
        self._waiting: dict[_Lane[Any], deque[Chunk]] = {}
        self._ready: deque[_Lane[Any]] = deque()
        self._taken: set[_Lane[Any]] = set()
        self._depth = 0
        self.peak = 0

    def qsize(self) -> int:
        return self._depth

    def empty(self) -> bool:
        return not self._ready

    def _put(self, item: tuple[_Lane[Any], Chunk]) -> None:
        lane, chunk = item
        chunks = self._waiting.setdefault(lane, deque())
        chunks.append(chunk)
        if len(chunks) == 1 and lane not in self._taken:
            self._ready.append(lane)
        self._depth += 1
        self.peak = max(self.peak, self._depth)

    def _get(self) -> tuple[_Lane[Any], Chunk]:
        lane = self._ready.popleft()
        self._taken.add(lane)
        self._depth -= 1
        return lane, self._waiting[lane].popleft()

    def release(self, lane: _Lane[Any]) -> None:
        """Put the lane on offer again."""
        self._taken.remove(lane)
        if self._waiting[lane]:
            self._ready.append(lane)
        else:
            del self._waiting[lane]


class _Stopwatch:
    """Adds up the time spent inside it, by any number of tasks."""

    def __init__(self) -> None:
        self.total_s = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.total_s += time.monotonic() - start


class _Flight(Generic[S]):
    """One download on its way, over all its attempts; the lane and the cutter are those of the present one."""

    def __init__(
        self, download: Download, new_lane: Callable[[Span], _Lane[S]], new_cutter: Callable[[Span], Cutter]
    ) -> None:
        self.download = download
        self._new_lane = new_lane
        self._new_cutter = new_cutter
        self._attempts = 0
        self._void_bytes = 0
        self._begin()

    def _begin(self) -> None:
        span = Span(self.download.id)
        self.lane = self._new_lane(span)
        self.cutter = self._new_cutter(span)
        self._attempts += 1

    def start_over(self) -> None:
        """Forget everything that came so far and begin with a fresh state and tally."""
        self.lane.abandoned = True
        self._void_bytes += self.cutter.received
        self._begin()

    def account(self, verdict: Verdict) -> DownloadAccount:
        """Return how it went."""
        tally: Tally = self.lane.fold.tally
        return DownloadAccount(
            download_id=self.download.id,
            verdict=verdict,
            rows=tally.rows,
            bad_rows=dict(tally.bad),
            first_bad_rows=tuple(tally.examples),
            missing_values=dict(tally.missing),
            attempts=self._attempts,
            received_bytes=self.cutter.received,
            fetched_bytes=self._void_bytes + self.cutter.received,
        )


class Pipeline(Generic[S]):
    """Turns an export into one merged state while it downloads. Use an instance for one run.

    Args:
        source: where the bytes come from.
        reducer: what becomes of the rows.
        schema: how the columns are called.
        concurrency: downloads in flight at once.
        chunk_bytes: size of a chunk, in bytes; a chunk holds one row at the least.
        queue_size: chunks that may wait for a consumer.
        consumers: how many chunks are folded at once; by default as many as there are cores, and one for an engine
            that holds the interpreter's lock.
        strict: make the first bad row an error.
        engine: "auto" for the fastest there is for the reducer, or "kernel" or "python" (see engine.choose_engine).
        listener: called with every event, in the event loop's thread; it should return quickly.
    """

    def __init__(
        self,
        source: Source,
        reducer: Reducer[S, Any],
        *,
        schema: Schema | None = None,
        concurrency: int = DEFAULT_CONCURRENCY,
        chunk_bytes: int = DEFAULT_CHUNK_BYTES,
        queue_size: int = DEFAULT_QUEUE_SIZE,
        consumers: int | None = None,
        strict: bool = False,
        engine: str = "auto",
        listener: Listener | None = None,
    ) -> None:
        self._schema = schema or Schema()
        self._engine = choose_engine(reducer, self._schema, strict=strict, wanted=engine)
        if consumers is None:
            consumers = self._engine.useful_threads(os.cpu_count() or 1)
        for option, number in (
            ("concurrency", concurrency),
            ("chunk_bytes", chunk_bytes),
            ("queue_size", queue_size),
            ("consumers", consumers),
        ):
            if number < 1:
                raise OptionError(option, f"must be at least 1, not {number}")
        self._source = source
        self._reducer = reducer
        self._concurrency = concurrency
        self._chunk_bytes = chunk_bytes
        self._consumers = consumers
        self._listener = listener
        self._queue = _ChunkQueue(queue_size)
        self._merger = Merger(self._engine.reducer)
        self._in_flight: dict[str, _Flight[S]] = {}
        self._accounts: dict[str, DownloadAccount] = {}
        self._network, self._full, self._idle = _Stopwatch(), _Stopwatch(), _Stopwatch()

    def __repr__(self) -> str:
        return f"<Pipeline {self.statistics()}>"

    def statistics(self) -> RunStatistics:
        """Return a snapshot of the run; cheap enough to ask often."""
        finished = self._accounts.values()
        running = self._in_flight.values()
        return RunStatistics(
            queue_depth=self._queue.qsize(),
            peak_queue_depth=self._queue.peak,
            in_flight=len(running),
            finished=len(finished),
            received_bytes=sum(d.received_bytes for d in finished) + sum(f.cutter.received for f in running),
            rows=sum(d.rows for d in finished) + sum(f.lane.fold.rows for f in running),
            waited_for_network_s=self._network.total_s,
            waited_for_queue_s=self._full.total_s,
            waited_for_chunks_s=self._idle.total_s,
        )

    async def run(self, export_id: str) -> Outcome[S]:
        """Discover an export; fetch, fold, verify and merge all its downloads.

        A download that fails contributes nothing and does not disturb the others; its account says why.

        Raises:
            ExportNotFound, SourceError: if the export cannot be discovered.
            BadRowError: for a bad row, if strict.
            ReducerError: if the reducer raises.
        """
        started = time.monotonic()
        export = await self._source.discover(export_id)
        self._emit(RunStarted(export.id, export.downloads, self._engine.name))
        overlaps = overlapping(export.downloads)
        # Downloads start in time order, so that their states can be merged early.
        queued = deque(enumerate(export.downloads))
        with first_error_alone(), ThreadPoolExecutor(self._consumers, thread_name_prefix="mockexport") as threads:
            async with asyncio.TaskGroup() as outer:
                consumers = [outer.create_task(self._consume(threads)) for _ in range(self._consumers)]
                async with asyncio.TaskGroup() as producers:
                    for _ in range(min(self._concurrency, len(queued))):
                        producers.create_task(self._produce(export.id, queued, overlaps))
                for consumer in consumers:
                    consumer.cancel()
        elapsed_s = time.monotonic() - started
        self._emit(RunFinished(export.id, elapsed_s))
        accounts = tuple(self._accounts[download.id] for download in export.downloads)
        return Outcome(self._engine, self._merger.merged(), accounts, elapsed_s, self._reducer)

    async def _produce(self, export_id: str, queued: deque[tuple[int, Download]], overlaps: dict[str, str]) -> None:
        while queued:
            position, download = queued.popleft()
            stream = self._source.stream(export_id, download)
            verdict: Verdict | None = None
            try:
                verdict = await self._download(position, download, stream, overlaps.get(download.id))
            finally:
                await stream.close(verdict)

    async def _download(self, position: int, download: Download, stream: ByteStream, overlap: str | None) -> Verdict:
        """Bring one download to its verdict, and its state to the merger."""
        self._emit(DownloadStarted(download.id))
        flight = self._in_flight[download.id] = _Flight(download, self._new_lane, self._new_cutter)
        try:
            verdict = await self._read(flight, stream)
            while verdict.kind is VerdictKind.FAILED:
                self._start_over(flight, stream.start_over(verdict.reasons[0]))
                verdict = await self._read(flight, stream)
        except (SourceError, HeaderError) as error:
            flight.lane.abandoned = True
            await flight.lane.drained()
            verdict = Verdict(VerdictKind.FAILED, (str(error),))
        if not verdict.counts:
            self._merger.skip(position)
        else:
            if overlap is not None:
                verdict = Verdict(VerdictKind.MISMATCH, (*verdict.reasons, overlap))
            self._merger.add(position, flight.lane.fold.state)
        del self._in_flight[download.id]
        account = self._accounts[download.id] = flight.account(verdict)
        bad_rows = sum(account.bad_rows.values())
        self._emit(DownloadFinished(download.id, verdict, account.received_bytes, account.rows, bad_rows))
        return verdict

    async def _read(self, flight: _Flight[S], stream: ByteStream) -> Verdict:
        """Read the stream to its end, fold all of it, and judge."""
        async with aclosing(stream.pieces()) as pieces:
            while True:
                with self._network.running():
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                if isinstance(piece, StartOver):
                    self._start_over(flight, piece)
                    continue
                for chunk in flight.cutter.feed(piece):
                    await self._put(flight.lane, chunk)
        for chunk in flight.cutter.finish():
            await self._put(flight.lane, chunk)
        await flight.lane.drained()
        if flight.lane.error is not None:
            raise flight.lane.error
        return judge(flight.download, flight.lane.fold.tally)

    def _new_lane(self, span: Span) -> _Lane[S]:
        return _Lane(self._engine.new_fold(span))

    def _new_cutter(self, span: Span) -> Cutter:
        return Cutter(span, self._chunk_bytes, count_lines=self._engine.count_lines)

    def _start_over(self, flight: _Flight[S], restart: StartOver) -> None:
        flight.start_over()
        self._emit(StartedOver(flight.download.id, restart.attempt, restart.wait_s, restart.reason))

    async def _put(self, lane: _Lane[S], chunk: Chunk) -> None:
        if lane.error is not None:
            raise lane.error
        lane.chunk_put()
        with self._full.running():
            await self._queue.put((lane, chunk))

    async def _consume(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with self._idle.running():
                lane, chunk = await self._queue.get()
            if not lane.abandoned and lane.error is None:
                try:
                    await loop.run_in_executor(threads, lane.fold.feed, chunk)
                except HeaderError as error:
                    lane.error = error
                if not lane.abandoned and lane.error is None:  # it may have been, meanwhile
                    self._emit(Advanced(chunk.span.download_id, lane.fold.offset, lane.fold.rows))
            self._queue.release(lane)
            lane.chunk_done()

    def _emit(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)
