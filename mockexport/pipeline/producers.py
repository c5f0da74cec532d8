"""Producers: they bring downloads in, each over all its attempts, to its verdict.

A producer has one stream open at a time, so their number bounds the connections. It takes what waits first: a download,
or a span of one that is divided. The one that lands a download's last span brings the download to its verdict.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from mockexport import events
from mockexport.errors import BadRowError, HeaderError, OptionError, SourceError, TransferError
from mockexport.events import DownloadFinished, DownloadStarted, Event, Listener
from mockexport.formats.proposing import SAMPLE_BYTES
from mockexport.model import Chunk, Verdict, VerdictKind
from mockexport.pipeline import streams
from mockexport.pipeline.download import DownloadRun
from mockexport.pipeline.ledger import Ledger
from mockexport.pipeline.options import RunOptions
from mockexport.pipeline.sharing import PartVoid, Stopped
from mockexport.pipeline.slabs import Room, Slab, SlabPool, SlabQueue
from mockexport.pipeline.span import Begun, FoldingSpan
from mockexport.pipeline.streams import ByteStream, ResumableSource, Source, offer
from mockexport.pipeline.verdicts import Rules
from mockexport.pipeline.waits import Waits
from mockexport.pipeline.workers import Workers

__all__ = ["Here", "Producers"]

# What is asked for beyond a span's end, for the row that crosses it: a row is some forty bytes.
BEYOND_BYTES = 4096
# Files of one run are mostly alike, and advice takes a while: it is looked for after the first few failures.
MOST_ADVISED = 3

S = TypeVar("S")

# A download that is brought in here.
Here: TypeAlias = DownloadRun[S, FoldingSpan[S]]


class Producers(Generic[S]):
    """Those of one run.

    Args:
        source, export_id: what the bytes are asked of.
        options: those of the run.
        rules: by which downloads are judged.
        ledger: takes the downloads that have their verdicts.
        pool: the slabs that bytes are received into.
        queue: takes the slabs that are full.
        workers: read files.
        waits: adds up how long was waited for bytes, and for a place in the queue.
        emit: called with events.
        gives_back: do not divide a download that is long enough, but leave that to others, in `given_back`.
    """

    def __init__(
        self,
        source: Source,
        export_id: str,
        options: RunOptions,
        rules: Rules,
        ledger: Ledger[S],
        pool: SlabPool,
        queue: SlabQueue,
        workers: Workers,
        waits: Waits,
        emit: Listener,
        *,
        gives_back: bool = False,
    ) -> None:
        self._source = source
        self._export_id = export_id
        self._options = options
        self._rules = rules
        self._ledger = ledger
        self._pool = pool
        self._queue = queue
        self._workers = workers
        self._waits = waits
        self._emit = emit
        self._gives_back = gives_back
        self.given_back: dict[str, Begun] = {}  # by download id
        self._resumable = source if isinstance(source, ResumableSource) else None
        self._split_bytes = options.split if self._resumable is not None else None
        self._advised = 0  # downloads that advice was looked for
        self._waiting: deque[tuple[Here[S], FoldingSpan[S]]] = deque()  # of downloads that have begun
        self._downloads: Iterator[Here[S]] = iter(())  # that have not begun, made when their turn comes
        self._at_work = 0

    async def bring_in(self, downloads: Iterable[Here[S]]) -> None:
        """Bring all these downloads in, in this order as far as possible."""
        self._downloads = iter(downloads)
        async with asyncio.TaskGroup() as self._tasks:
            self._hire(self._options.concurrency)

    def _hire(self, number: int) -> None:
        """Start up to this number of producers more, as far as there may be any."""
        for _ in range(min(self._options.concurrency - self._at_work, number)):
            self._at_work += 1
            self._tasks.create_task(self._produce())

    def _put_first(self, download: Here[S], runs: Iterable[FoldingSpan[S]]) -> None:
        """Let these runs be the next: what a download holds up is less the sooner it is whole."""
        self._waiting.extendleft((download, run) for run in reversed(list(runs)))
        self._hire(len(self._waiting))

    def _next(self) -> tuple[Here[S], FoldingSpan[S]] | None:
        """Return what is to be brought in next, None if nothing is left."""
        while self._waiting:
            download, run = self._waiting.popleft()
            if not run.abandoned:
                return download, run
        following = next(self._downloads, None)
        return None if following is None else (following, self._depart(following))

    async def _produce(self) -> None:
        while (found := self._next()) is not None:
            download, run = found
            stream = self._open(download, run)
            verdict: Verdict | None = None
            try:
                verdict = await self._bring(download, run, stream)
            finally:
                await stream.close(verdict)
            if self._options.stops_on_failure and verdict is not None and verdict.kind is VerdictKind.FAILED:
                raise Stopped
        self._at_work -= 1

    def _depart(self, download: Here[S]) -> FoldingSpan[S]:
        """Begin a download, where an earlier run has stopped if there was one; return its first run."""
        download_id = download.download.id
        self._emit(DownloadStarted(download_id))
        self._ledger.in_flight[download_id] = download
        if not download.is_part:
            begun = None if self._resumable is None else self._ledger.begun.get(download_id)
            download.begin(begun, self._split_bytes)
            if begun is not None:
                self._emit(events.Restored(download_id, download.folded_bytes, download.rows, finished=False))
            if not download.runs:
                download.begin()  # it had all its rows and no verdict: they did not pass
            self._put_first(download, download.runs[1:])
        return download.runs[0]

    def _open(self, download: Here[S], run: FoldingSpan[S]) -> ByteStream:
        source, offset = self._resumable, run.cutter.at
        if download.mark is None or source is None or (not offset and run.span.end is None):
            return self._source.stream(self._export_id, download.download)
        until = None if run.span.end is None else run.span.end + BEYOND_BYTES
        return source.stream_from(self._export_id, download.download, offset, download.mark, until=until)

    async def _bring(self, download: Here[S], run: FoldingSpan[S], stream: ByteStream) -> Verdict | None:
        """Bring a run in; return the download's verdict, None if others of its runs are not in yet."""
        try:
            while True:
                read = await self._read(download, run, stream)
                if read is None:
                    return None
                async with download.landing, read.turn:
                    if read.abandoned:  # while it waited
                        return None
                    again = download.land(read, read.held(landed=True))
                self._put_first(download, again)
                verdict = download.verdict(self._rules)
                if verdict is None:
                    break
                # What an earlier run has kept is fetched again before it is blamed on the source.
                doubtful = verdict.kind is VerdictKind.MISMATCH and read.kept
                if verdict.kind is not VerdictKind.FAILED and not doubtful:
                    return await self._finish(download, verdict)
                if download.divided:
                    # What came together does not fit: once more, and in one go.
                    self._emit(download.start_over(download.attempts, verdict.reasons[0], again=True))
                    self._put_first(download, download.runs)
                    return None
                run = self._take(download, read, stream.start_over(verdict.reasons[0]))
        except BadRowError as error:
            if not download.divided or download.is_part:
                raise
            download.note_bad_row(run, error)
        except (SourceError, HeaderError) as error:
            if download.is_part:
                raise
            if isinstance(error, HeaderError) and download.divided:
                # In the middle it may be none: what was taken for a row there may be in quotes.
                self._emit(download.start_over(download.attempts, str(error), again=True))
                self._put_first(download, download.runs)
                return None
            download.abandon()
            async with download.at_rest():
                pass
            return await self._finish(download, Verdict(VerdictKind.FAILED, (str(error),)))
        if download.bad_row is not None:
            raise download.bad_row
        return None

    async def _read(self, download: Here[S], run: FoldingSpan[S], stream: ByteStream) -> FoldingSpan[S] | None:
        """Read the stream to the run's end, and fold all of it; return the run.

        After a StartOver that is another one. It is None if the run is of no use any more.
        """
        reading = run.reading = asyncio.timeout(None)
        room = Room(self._pool, self._workers, run.cutter)
        offer(stream, room)
        try:
            async with reading, aclosing(stream.pieces()) as pieces:
                while not run.cutter.done:
                    with self._waits.network:
                        piece = await anext(pieces, None)
                    if piece is None or run.abandoned:
                        break
                    if isinstance(piece, bytes):
                        await self._copy(download, run, piece, room)
                    elif isinstance(piece, memoryview) and piece.obj is room.buffer:
                        await self._put(download, run, run.cutter.took(len(piece)))
                    else:
                        run = self._take(download, run, piece)
                        room.turn_to(run.cutter)
                        continue
                    if self._split_bytes is not None and download.divisible:
                        self._divide(download, run, self._split_bytes)
                        if self._gives_back and download.divided:
                            await self._give_back(download, run)
                            return None
                await self._put(download, run, run.cutter.rest())
                await run.drained()
                if self._is_last(download, run) and not run.abandoned and run.error is None:
                    run.fold.finish()
        except TimeoutError:
            if not reading.expired():
                raise
        except SourceError:
            if not run.abandoned:  # several may fail at once: the first has said what there is to say
                raise
        finally:
            run.reading = None
            room.close()
        if run.abandoned:
            return None
        if run.error is not None:
            raise run.error
        if not run.cutter.done and run.span.end is not None and download.mark and run.cutter.at != download.mark.total:
            problem = "the part ended before the span that it was to hold"
            raise TransferError(download.download.id, self._source.name, problem, offset=run.cutter.at)
        return run

    @staticmethod
    def _is_last(download: Here[S], run: FoldingSpan[S]) -> bool:
        """Tell whether the download ends where the run does."""
        return run.span.end is None or (download.mark is not None and run.span.end == download.mark.total)

    async def _copy(self, download: Here[S], run: FoldingSpan[S], piece: bytes, room: Room) -> None:
        """Put bytes that came elsewhere into slabs."""
        rest = memoryview(piece)
        while rest and not run.cutter.done:
            free = await room.free()
            size = min(len(free), len(rest))
            free[:size] = rest[:size]
            await self._put(download, run, run.cutter.took(size))
            rest = rest[size:]

    async def _put(self, download: Here[S], run: FoldingSpan[S], chunks: list[Chunk]) -> None:
        """Hand a run's next chunks on; waits while there is no place for them."""
        for chunk in chunks:
            if run.error is not None:
                raise run.error
            if not chunk.offset:
                download.head = b""
            if chunk.offset == len(download.head) < SAMPLE_BYTES:
                download.head += bytes(chunk.data[: SAMPLE_BYTES - chunk.offset])
            run.chunk_put()
            with self._waits.queue:
                await self._queue.put(Slab(run, chunk))

    def _take(self, download: Here[S], run: FoldingSpan[S], marker: object) -> FoldingSpan[S]:
        """Do as the marker says; return the run that the next bytes are for."""
        download_id = download.download.id
        event: Event
        match marker:
            case streams.StartOver(attempt, wait_s, reason, asked_s):
                if download.is_part:
                    raise PartVoid(reason)
                before = run
                # The same stream goes on, and counts on.
                reading, before.reading = before.reading, None
                event = download.start_over(attempt, reason, wait_s, asked_s)
                (run,) = download.runs
                run.first_attempt, run.attempts = before.attempts, max(before.attempts, attempt + 1)
                run.reading = reading
            case streams.Opened(mark, version):
                if download.divided:
                    if mark is not None and download.mark is not None and mark.etag == download.mark.etag:
                        return run  # all of the body instead of a part: the span begins with it, and ends before it
                    run = self._take(
                        download, run, streams.StartOver(run.attempts, 0.0, "the content has changed since")
                    )
                download.mark, download.version = mark, version
                event = events.Opened(download_id, mark is not None, None if mark is None else mark.total)
            case streams.Retry(attempt, wait_s, reason, offset, asked_s):
                run.attempts = max(run.attempts, attempt + 1)
                event = events.Retried(download_id, attempt, wait_s, reason, offset, asked_s)
            case streams.Resumed(offset):
                event = events.Resumed(download_id, offset)
            case streams.Kept(offset, finished):
                run.kept = offset
                event = events.Kept(download_id, offset, finished)
            case _:
                # Somebody's own source: what is neither bytes nor a marker must not pass for one and be lost.
                problem = f"its pieces are bytes or markers, and one is of the type {type(marker).__name__}"
                raise OptionError("source", problem)
        self._emit(event)
        return run

    def _divide(self, download: Here[S], run: FoldingSpan[S], span_bytes: int) -> None:
        """Divide what of a download has not come yet, if it is long enough."""
        if run.fold.header is None:
            return
        spans = download.divide(run.fold.header, run.cutter.at, span_bytes)
        if spans:
            run.end_at(spans[0].start)
        if spans and not self._gives_back:
            self._emit(events.Divided(download.download.id, 1 + len(spans)))
            self._put_first(download, download.add(spans))

    async def _give_back(self, download: Here[S], run: FoldingSpan[S]) -> None:
        """Let others go on with a download, from what is folded of its first span.

        Raises:
            HeaderError, BadRowError: the fold has come upon it.
        """
        await run.drained()
        if run.error is not None:
            raise run.error
        begun, download_id = download.begun(), download.download.id
        assert begun is not None  # noqa: S101 - it has a mark, and a header
        self.given_back[download_id] = begun
        del self._ledger.in_flight[download_id]

    async def _finish(self, download: Here[S], verdict: Verdict) -> Verdict:
        """Hand a download over that has its verdict."""
        verdict = self._rules.final(download.download, verdict, download.tally)
        if verdict.kind is VerdictKind.FAILED and download.head and self._advised < MOST_ADVISED:
            from mockexport.pipeline.advice import advice_for  # no sooner: most runs end well

            self._advised += 1
            work = partial(advice_for, download.head, self._options.schema, download.download.id)
            advice = await asyncio.get_running_loop().run_in_executor(self._workers.threads, work)
            if advice is not None:
                verdict = Verdict(VerdictKind.FAILED, (*verdict.reasons, advice))
        account = await self._ledger.land(verdict, download, compared=self._rules.compares(download.download))
        bad_rows = sum(account.bad_rows.values())
        self._emit(DownloadFinished(account.download_id, verdict, account.received_bytes, account.rows, bad_rows))
        return verdict
