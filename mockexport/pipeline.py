"""Producers, one bounded queue, consumers, and the merge. It knows bytes and chunks, but no HTTP and no files.

A producer per download in flight reads a stream, cuts it into chunks and puts them into the queue. Consumers take them
out and fold them in threads. A full queue makes the producers wait; they stop reading, and TCP stops the sender. So
memory is (queue + producers + consumers) chunks, plus a state per download in flight, however long the export.
"""

import asyncio
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

from mockexport import events
from mockexport.checkpoint import Belonging, Checkpoint, Saved, SavedFlight, SavedRun
from mockexport.engine import Engine, Fold, choose_engine
from mockexport.errors import (
    BadRowError,
    HeaderError,
    OptionError,
    OutputError,
    ReducerError,
    SourceError,
    first_error_alone,
)
from mockexport.events import Advanced, DownloadFinished, DownloadStarted, Event, Listener, RunFinished, RunStarted
from mockexport.formats import Cutter
from mockexport.merging import Merger
from mockexport.model import Chunk, Download, Export, Schema, Span, Verdict, VerdictKind
from mockexport.reducers import Reducer, Result, pack_state, unpack_state
from mockexport.report import DownloadAccount
from mockexport.streams import ByteStream, Mark, Marker, Opened, ResumableSource, Resumed, Retry, Source, StartOver
from mockexport.tally import Tally, judge, overlapping

__all__ = ["DEFAULT_CHUNK_BYTES", "DEFAULT_CONCURRENCY", "DEFAULT_QUEUE_SIZE", "Outcome", "Pipeline", "RunStatistics"]

# Enough to keep two cores and a fast line busy, little enough for any server.
DEFAULT_CONCURRENCY = 4
# A hand-over costs as much as a thousand rows or two: large enough to bear it, small enough for the memory budget.
DEFAULT_CHUNK_BYTES = 384 * 1024
# Evens out a consumer's hiccup; more would only cost memory.
DEFAULT_QUEUE_SIZE = 4
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

    @property
    def state(self) -> S:
        """The merged state in the reducer's own form."""
        if self.engine.reducer is self._reducer:
            return cast("S", self.merged)
        return self._reducer.load(self.engine.reducer.dump(self.merged))

    def result(self) -> Result[Any]:
        """Return what the reducer makes of the merged state."""
        return self.engine.reducer.result(self.merged)


class _Lane(Generic[S]):
    """One attempt at one download: its chunks, in order, and what they have been folded into.

    `base` is what a checkpoint knows of the rows before the lane's first chunk; merged with the fold's, it is all.
    """

    def __init__(self, fold: Fold[S], reducer: Reducer[S, Any], base: SavedFlight | None) -> None:
        self.fold = fold
        self.error: HeaderError | None = None
        self.abandoned = False
        self.turn = asyncio.Lock()  # held while the fold is fed, or looked into
        self._reducer = reducer
        self._base = base
        self._base_rows = 0 if base is None else Tally.from_bytes(base.tally).rows
        self._borders = deque([(fold.offset, 1 if base is None else base.line)])  # where chunks end: offset, next line
        self._pending = 0
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def rows(self) -> int:
        return self._base_rows + self.fold.rows

    @property
    def tally(self) -> Tally:
        if self._base is None:
            return self.fold.tally
        tally = Tally.from_bytes(self._base.tally)
        tally.merge(self.fold.tally)
        return tally

    @property
    def state(self) -> S:
        if self._base is None:
            return self.fold.state
        return self._reducer.merge(unpack_state(self._reducer, self._base.state), self.fold.state)

    def chunk_put(self, end: int, next_line: int) -> None:
        self._borders.append((end, next_line))
        self._pending += 1
        self._drained.clear()

    def feed(self, chunks: list[Chunk]) -> None:
        """Fold chunks, in a thread; one that was abandoned meanwhile is not gone on with."""
        for chunk in chunks:
            if not self.abandoned:
                self.fold.feed(chunk)

    def chunks_done(self, number: int) -> None:
        self._pending -= number
        if not self._pending:
            self._drained.set()

    async def drained(self) -> None:
        """Wait until every chunk that was put has been folded."""
        await self._drained.wait()

    def saved(self, download_id: str, mark: Mark) -> SavedFlight | None:
        """Return what another lane can go on from; the fold must be at rest."""
        while len(self._borders) > 1 and self._borders[1][0] <= self.fold.offset:
            self._borders.popleft()
        offset, line = self._borders[0]
        header = self.fold.header
        if not offset or header is None or self.error is not None:
            return None
        state = pack_state(self._reducer, self.state)
        return SavedFlight(download_id, offset, line, header, mark, state, self.tally.to_bytes())


class _ChunkQueue(asyncio.Queue[tuple[_Lane[Any], list[Chunk]]]):
    """A bounded queue that takes chunks one by one and hands out all that a lane has, to one taker at a time.

    Going to a thread and back costs as much as many rows do, so a consumer that comes late makes one trip with all that
    waits. A lane is ready while it has chunks and no consumer works on it; only ready lanes are on offer, in turn.
    Whoever has taken chunks must `release` their lane, and comes back for more: so a lane that turns ready then has a
    taker already.
    """

    def _init(self, maxsize: int) -> None:
        self._waiting: dict[_Lane[Any], list[Chunk]] = {}
        self._ready: deque[_Lane[Any]] = deque()
        self._taken: set[_Lane[Any]] = set()
        self._depth = 0
        self.peak = 0

    def qsize(self) -> int:
        return self._depth

    def empty(self) -> bool:
        return not self._ready

    def _put(self, item: tuple[_Lane[Any], list[Chunk]]) -> None:
        lane, added = item
        chunks = self._waiting.setdefault(lane, [])
        if not chunks and lane not in self._taken:
            self._ready.append(lane)
        chunks += added
        self._depth += len(added)
        self.peak = max(self.peak, self._depth)

    def _get(self) -> tuple[_Lane[Any], list[Chunk]]:
        lane = self._ready.popleft()
        self._taken.add(lane)
        chunks, self._waiting[lane] = self._waiting[lane], []
        self._depth -= len(chunks)
        # One putter is woken for every get; there is room for more of them.
        for _ in chunks[1:]:
            self._wakeup_next(self._putters)  # type: ignore[attr-defined]
        return lane, chunks

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
        self,
        download: Download,
        new_lane: Callable[[Span, SavedFlight | None], _Lane[S]],
        new_cutter: Callable[[Span, int], Cutter],
        base: SavedFlight | None,
    ) -> None:
        self.download = download
        self.mark: Mark | None = None if base is None else base.mark
        self._new_lane = new_lane
        self._new_cutter = new_cutter
        self._attempts = 1
        self._void_bytes = 0
        self._begin(base)

    def _begin(self, base: SavedFlight | None) -> None:
        offset, line = (0, 1) if base is None else (base.offset, base.line)
        span = Span(self.download.id, offset)
        self.lane = self._new_lane(span, base)
        self.cutter = self._new_cutter(span, line)
        self._skipped_bytes = offset

    @property
    def received_bytes(self) -> int:
        """The download's bytes so far, those that a checkpoint spared included."""
        return self._skipped_bytes + self.cutter.received

    def take(self, marker: Marker) -> Event:
        """Do as the marker says; return it as an event."""
        download_id = self.download.id
        match marker:
            case StartOver(attempt, wait_s, reason, asked_s):
                self.lane.abandoned = True
                void_bytes = self.cutter.received
                self._void_bytes += void_bytes
                self._attempts = max(self._attempts, attempt + 1)
                self.mark = None
                self._begin(None)
                return events.StartedOver(download_id, attempt, wait_s, reason, void_bytes, asked_s)
            case Retry(attempt, wait_s, reason, offset, asked_s):
                self._attempts = max(self._attempts, attempt + 1)
                return events.Retried(download_id, attempt, wait_s, reason, offset, asked_s)
            case Opened(mark):
                self.mark = mark
                return events.Opened(download_id, mark is not None, None if mark is None else mark.total)
            case Resumed(offset):
                return events.Resumed(download_id, offset)

    def saved(self) -> SavedFlight | None:
        """Return what another run can go on from, None if the source gave nothing to know its content by."""
        return None if self.mark is None else self.lane.saved(self.download.id, self.mark)

    def account(self, verdict: Verdict) -> DownloadAccount:
        """Return how it went."""
        tally = self.lane.tally
        return DownloadAccount(
            download_id=self.download.id,
            verdict=verdict,
            rows=tally.rows,
            bad_rows=dict(tally.bad),
            first_bad_rows=tuple(tally.examples),
            missing_values=dict(tally.missing),
            attempts=self._attempts,
            received_bytes=self.received_bytes,
            fetched_bytes=self._void_bytes + self.cutter.received,
        )


class _Stopped(Exception):  # noqa: N818 - no error of its own
    """A download failed, and the run is to stop there."""


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
        stop_on_failure: break the other downloads off when one has failed; they count as skipped.
        checkpoint: where to keep what another run can go on from; removed once every download is complete.
        checkpoint_every_s: how often it is kept; also at the end of a run that is broken off.
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
        stop_on_failure: bool = False,
        checkpoint: Checkpoint | None = None,
        checkpoint_every_s: float = CHECKPOINT_EVERY_S,
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
        self._strict = strict
        self._stop_on_failure = stop_on_failure
        self._checkpoint = checkpoint
        self._checkpoint_every_s = checkpoint_every_s
        self._belonging: Belonging | None = None
        self._restored: dict[str, SavedFlight] = {}
        self._merging = asyncio.Lock()  # held while states are merged, or looked into
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
            received_bytes=sum(d.received_bytes for d in finished) + sum(f.received_bytes for f in running),
            rows=sum(d.rows for d in finished) + sum(f.lane.rows for f in running),
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
        self._restore(export)
        overlaps = overlapping(export.downloads)
        # Downloads start in time order, so that their states can be merged early.
        queued = deque((at, d) for at, d in enumerate(export.downloads) if d.id not in self._accounts)
        try:
            with first_error_alone(), ThreadPoolExecutor(self._consumers, thread_name_prefix="mockexport") as threads:
                async with asyncio.TaskGroup() as outer:
                    others = [outer.create_task(self._consume(threads)) for _ in range(self._consumers)]
                    if self._checkpoint is not None:
                        others.append(outer.create_task(self._keep_saving(threads)))
                    async with asyncio.TaskGroup() as producers:
                        for _ in range(min(self._concurrency, len(queued))):
                            producers.create_task(self._produce(export.id, queued, overlaps))
                    for other in others:
                        other.cancel()
        except _Stopped:
            self._skip_the_rest(export)
        except (BadRowError, ReducerError, OutputError):
            # A reducer that has raised may have left its state half changed; a disk that is full is full.
            raise
        except BaseException:
            self._save_now()
            raise
        self._conclude()
        elapsed_s = time.monotonic() - started
        self._emit(RunFinished(export.id, elapsed_s))
        accounts = tuple(self._accounts[download.id] for download in export.downloads)
        return Outcome(self._engine, self._merger.merged(), accounts, elapsed_s, self._reducer)

    async def _produce(self, export_id: str, queued: deque[tuple[int, Download]], overlaps: dict[str, str]) -> None:
        while queued:
            position, download = queued.popleft()
            base = self._restored.get(download.id)
            if base is not None and isinstance(self._source, ResumableSource):
                stream = self._source.stream_from(export_id, download, base.offset, base.mark)
            else:
                base, stream = None, self._source.stream(export_id, download)
            verdict: Verdict | None = None
            try:
                verdict = await self._download(position, download, base, stream, overlaps.get(download.id))
            finally:
                await stream.close(verdict)
            if self._stop_on_failure and verdict.kind is VerdictKind.FAILED:
                raise _Stopped

    async def _download(
        self, position: int, download: Download, base: SavedFlight | None, stream: ByteStream, overlap: str | None
    ) -> Verdict:
        """Bring one download to its verdict, and its state to the merger."""
        self._emit(DownloadStarted(download.id))
        flight = self._in_flight[download.id] = _Flight(download, self._new_lane, self._new_cutter, base)
        if base is not None:
            self._emit(events.Restored(download.id, base.offset, flight.lane.rows, finished=False))
        try:
            verdict = await self._read(flight, stream)
            while verdict.kind is VerdictKind.FAILED:
                self._emit(flight.take(stream.start_over(verdict.reasons[0])))
                verdict = await self._read(flight, stream)
        except (SourceError, HeaderError) as error:
            flight.lane.abandoned = True
            await flight.lane.drained()
            verdict = Verdict(VerdictKind.FAILED, (str(error),))
        if verdict.counts and overlap is not None:
            verdict = Verdict(VerdictKind.MISMATCH, (*verdict.reasons, overlap))
        async with self._merging:
            self._merge(position, verdict, flight.lane)
            account = self._accounts[download.id] = flight.account(verdict)
            del self._in_flight[download.id]
        bad_rows = sum(account.bad_rows.values())
        self._emit(DownloadFinished(download.id, verdict, account.received_bytes, account.rows, bad_rows))
        return verdict

    def _merge(self, position: int, verdict: Verdict, lane: _Lane[S]) -> None:
        if not verdict.counts:
            # The next run of a checkpoint tries again, so its place must stay free.
            if self._checkpoint is None:
                self._merger.skip(position)
        elif verdict.complete or self._checkpoint is None:
            self._merger.add(position, lane.state)
        else:
            self._merger.add_apart(position, lane.state)

    async def _read(self, flight: _Flight[S], stream: ByteStream) -> Verdict:
        """Read the stream to its end, fold all of it, and judge."""
        async with aclosing(stream.pieces()) as pieces:
            while True:
                with self._network.running():
                    piece = await anext(pieces, None)
                if piece is None:
                    break
                if not isinstance(piece, bytes):
                    self._emit(flight.take(piece))
                    continue
                for chunk in flight.cutter.feed(piece):
                    await self._put(flight.lane, chunk, flight.cutter.line)
        for chunk in flight.cutter.finish():
            await self._put(flight.lane, chunk, flight.cutter.line)
        await flight.lane.drained()
        if flight.lane.error is not None:
            raise flight.lane.error
        return judge(flight.download, flight.lane.tally)

    def _new_lane(self, span: Span, base: SavedFlight | None) -> _Lane[S]:
        fold = self._engine.new_fold(span, None if base is None else base.header)
        return _Lane(fold, self._engine.reducer, base)

    def _new_cutter(self, span: Span, line: int) -> Cutter:
        count_lines = self._engine.count_lines
        return Cutter(span, self._chunk_bytes, offset=span.start, line=line, count_lines=count_lines)

    async def _put(self, lane: _Lane[S], chunk: Chunk, next_line: int) -> None:
        if lane.error is not None:
            raise lane.error
        lane.chunk_put(chunk.end, next_line)
        with self._full.running():
            await self._queue.put((lane, [chunk]))

    async def _consume(self, threads: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with self._idle.running():
                lane, chunks = await self._queue.get()
            if not lane.abandoned and lane.error is None:
                try:
                    async with lane.turn:
                        await loop.run_in_executor(threads, lane.feed, chunks)
                except HeaderError as error:
                    lane.error = error
                else:
                    self._emit(Advanced(chunks[0].span.download_id, lane.fold.offset, lane.rows))
            self._queue.release(lane)
            lane.chunks_done(len(chunks))

    def _restore(self, export: Export) -> None:
        """Take over what an earlier run has saved."""
        if self._checkpoint is None:
            return
        self._belonging = Belonging.of(
            export.id,
            export.downloads,
            source=self._checkpoint.source or self._source.name,
            schema=self._schema,
            reducer=self._reducer.fingerprint,
            strict=self._strict,
        )
        saved = self._checkpoint.load(self._belonging)
        for run in saved.runs:
            self._merger.restore(run.start, run.end, unpack_state(self._engine.reducer, run.state))
        for account in saved.finished:
            self._accounts[account.download_id] = account
            self._emit(events.Restored(account.download_id, account.received_bytes, account.rows, finished=True))
        self._restored = {flight.download_id: flight for flight in saved.flights}
        # At once: a folder that cannot be written to is better known before the morning is over.
        self._save_now()

    async def _keep_saving(self, threads: ThreadPoolExecutor) -> None:
        """Save every few seconds, each state while nobody changes it.

        In the run's own threads: when they have ended, nothing is being saved any more.
        """
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self._checkpoint_every_s)
            flights = []
            for flight in list(self._in_flight.values()):
                async with flight.lane.turn:
                    flights.append(await loop.run_in_executor(threads, flight.saved))
            async with self._merging:
                saved = await loop.run_in_executor(threads, self._saved, flights)
            await loop.run_in_executor(threads, self._save, saved)
            self._emit(events.CheckpointSaved(len(saved.finished), len(saved.flights)))

    def _saved(self, flights: Iterable[SavedFlight | None]) -> Saved:
        finished = {i: account for i, account in self._accounts.items() if account.verdict.complete}
        # One that is about to begin, or has come to nothing but may another time, stands where the last run left it.
        known = {i: flight for i, flight in self._restored.items() if i not in self._accounts}
        known |= {flight.download_id: flight for flight in flights if flight is not None}
        return Saved(
            finished=tuple(finished.values()),
            runs=tuple(SavedRun(a, b, pack_state(self._engine.reducer, state)) for a, b, state in self._merger.runs()),
            flights=tuple(flight for i, flight in known.items() if i not in finished),
        )

    def _save(self, saved: Saved) -> None:
        if self._checkpoint is not None and self._belonging is not None:
            self._checkpoint.save(self._belonging, saved)

    def _save_now(self) -> None:
        """Save with everything at rest."""
        if self._checkpoint is not None:
            self._save(self._saved(flight.saved() for flight in self._in_flight.values()))

    def _conclude(self) -> None:
        """Leave a checkpoint only where another run has something left to do."""
        if self._checkpoint is None:
            return
        if all(account.verdict.complete for account in self._accounts.values()):
            self._checkpoint.remove()
        else:
            self._save_now()

    def _skip_the_rest(self, export: Export) -> None:
        for download in export.downloads:
            if download.id not in self._accounts:
                verdict = Verdict(VerdictKind.SKIPPED, ("the run stopped because another download failed",))
                flight = self._in_flight.get(download.id) or _Flight(download, self._new_lane, self._new_cutter, None)
                self._accounts[download.id] = flight.account(verdict)

    def _emit(self, event: Event) -> None:
        if self._listener is not None:
            self._listener(event)
