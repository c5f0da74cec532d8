"""Producers: they bring downloads in, each over all its attempts, to its verdict.

A producer has one stream open at a time, so their number bounds the connections. It takes what waits first: a download,
or a leg of one that is divided. Whoever lands a download's last leg brings that to its verdict.
"""

import asyncio
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from functools import partial
from typing import Generic, TypeVar, cast

from mockexport import events
from mockexport.errors import BadRowError, HeaderError, SourceError, TransferError
from mockexport.events import DownloadFinished, DownloadStarted, Listener
from mockexport.formats.format import Format
from mockexport.formats.proposing import SAMPLE_BYTES
from mockexport.model import Chunk, Verdict, VerdictKind
from mockexport.pipeline.flights import Flight, Leg
from mockexport.pipeline.keeping import Keeper
from mockexport.pipeline.lanes import Stopwatch
from mockexport.pipeline.slabs import Room, Slab, SlabPool, SlabQueue
from mockexport.pipeline.streams import ByteStream, Marker, Opened, ResumableSource, Source, StartOver, offer
from mockexport.pipeline.verdicts import Rules
from mockexport.pipeline.workers import Workers

__all__ = ["PartVoid", "Producers", "Stopped"]

# What is asked for beyond a span's end, for the row that crosses it: a row is some forty bytes.
BEYOND_BYTES = 4096
# Files of one run are mostly alike, and advice takes a while: of so many that failed it is looked for.
MOST_ADVISED = 3

S = TypeVar("S")


class Stopped(Exception):  # noqa: N818 - no error of its own
    """A download failed, and the run is to stop there."""


class PartVoid(SourceError):  # noqa: N818 - a state of the world, named as one
    """One span's bytes are no longer those of the others: all of the download is to begin anew."""


class Producers(Generic[S]):
    """Those of one run.

    Args:
        source, export_id: what the bytes are asked of.
        keeper: takes the downloads that have their verdicts.
        pool: the slabs that bytes are received into.
        queue: takes the slabs that are full.
        workers: read files.
        emit: called with events.
        network, full: how long was waited for bytes, and for a place in the queue.
        concurrency: how many there are at most.
        split_bytes: divide downloads into spans of so many bytes, where the source allows; None for never.
        rules: by which downloads are judged.
        schema: how they are described.
        stop_on_failure: raise Stopped when a download has failed.
    """

    def __init__(
        self,
        source: Source,
        export_id: str,
        keeper: Keeper[S],
        *,
        pool: SlabPool,
        queue: SlabQueue,
        workers: Workers,
        emit: Listener,
        network: Stopwatch,
        full: Stopwatch,
        concurrency: int,
        split_bytes: int | None,
        rules: Rules,
        schema: Format,
        stop_on_failure: bool,
    ) -> None:
        self._source = source
        self._export_id = export_id
        self._keeper = keeper
        self._pool = pool
        self._queue = queue
        self._workers = workers
        self._emit = emit
        self._network = network
        self._full = full
        self._concurrency = concurrency
        self._split_bytes = split_bytes if isinstance(source, ResumableSource) else None
        self._rules = rules
        self._schema = schema
        self._advised = 0  # downloads that advice was looked for
        self._stop_on_failure = stop_on_failure
        self._waiting: deque[tuple[Flight[S], Leg[S]]] = deque()  # of downloads that have begun
        self._flights: Iterator[Flight[S]] = iter(())  # of those that have not, made when their turn comes
        self._at_work = 0

    async def bring_in(self, flights: Iterable[Flight[S]]) -> None:
        """Bring all these downloads in, in this order as far as possible."""
        self._flights = iter(flights)
        async with asyncio.TaskGroup() as self._tasks:
            self._hire(self._concurrency)

    def _hire(self, number: int) -> None:
        """See that so many more find a producer, as far as there may be any."""
        for _ in range(min(self._concurrency - self._at_work, number)):
            self._at_work += 1
            self._tasks.create_task(self._produce())

    def _put_first(self, flight: Flight[S], legs: Iterable[Leg[S]]) -> None:
        """Let these legs be the next: what a download holds up is less the sooner it is whole."""
        self._waiting.extendleft((flight, leg) for leg in reversed(list(legs)))
        self._hire(len(self._waiting))

    def _next(self) -> tuple[Flight[S], Leg[S]] | None:
        """Return what is to be brought in next, None if nothing is left."""
        while self._waiting:
            flight, leg = self._waiting.popleft()
            if not leg.lane.abandoned:
                return flight, leg
        following = next(self._flights, None)
        return None if following is None else (following, self._depart(following))

    async def _produce(self) -> None:
        while (found := self._next()) is not None:
            flight, leg = found
            stream = self._open(flight, leg)
            verdict: Verdict | None = None
            try:
                verdict = await self._bring(flight, leg, stream)
            finally:
                await stream.close(verdict)
            if self._stop_on_failure and verdict is not None and verdict.kind is VerdictKind.FAILED:
                raise Stopped
        self._at_work -= 1

    def _depart(self, flight: Flight[S]) -> Leg[S]:
        """Begin a download, where an earlier run has stopped if there was one; return its first leg."""
        download_id = flight.download.id
        self._emit(DownloadStarted(download_id))
        self._keeper.in_flight[download_id] = flight
        if flight.part is not None:
            return flight.legs[0]
        known = self._keeper.known_of(download_id)
        if known and not isinstance(self._source, ResumableSource):
            known = []
        flight.begin(known)
        if known:
            self._emit(events.Restored(download_id, flight.folded_bytes, flight.rows, finished=False))
        if not flight.legs:
            flight.begin()  # it had all its rows and no verdict: they did not pass
        self._put_first(flight, flight.legs[1:])
        return flight.legs[0]

    def _open(self, flight: Flight[S], leg: Leg[S]) -> ByteStream:
        source, download, offset = self._source, flight.download, leg.cutter.at
        if flight.mark is None or not isinstance(source, ResumableSource) or (not offset and leg.span.end is None):
            return source.stream(self._export_id, download)
        until = None if leg.span.end is None else leg.span.end + BEYOND_BYTES
        return source.stream_from(self._export_id, download, offset, flight.mark, until=until)

    async def _bring(self, flight: Flight[S], leg: Leg[S], stream: ByteStream) -> Verdict | None:
        """Bring a leg in; return the download's verdict, None if others of its legs are not in yet."""
        try:
            while True:
                read = await self._read(flight, leg, stream)
                if read is None:
                    return None
                async with flight.landing:
                    if read.lane.abandoned:  # while it waited
                        return None
                    again = flight.land(read)
                self._put_first(flight, again)
                if flight.bad_row is not None or flight.legs or flight.part is not None:
                    break
                verdict = self._rules.verdict(flight.download, flight.tally, flight.landed.offset)
                # What an earlier run has kept is fetched anew before it is blamed on the source.
                doubtful = verdict.kind is VerdictKind.MISMATCH and read.kept
                if verdict.kind is not VerdictKind.FAILED and not doubtful:
                    return await self._finish(flight, verdict)
                if flight.divided:
                    # What came together does not fit: once more, and in one go.
                    self._emit(flight.start_over(flight.attempts, verdict.reasons[0], again=True))
                    self._put_first(flight, flight.legs)
                    return None
                self._emit(flight.take(read, stream.start_over(verdict.reasons[0])))
                leg = flight.legs[0]
        except BadRowError as error:
            if not flight.divided or flight.part is not None:
                raise
            flight.note_bad_row(leg, error)
        except (SourceError, HeaderError) as error:
            if flight.part is not None:
                raise
            if isinstance(error, HeaderError) and flight.divided:
                # In the middle it may be none: what was taken for a row there may be in quotes.
                self._emit(flight.start_over(flight.attempts, str(error), again=True))
                self._put_first(flight, flight.legs)
                return None
            flight.abandon()
            for other in flight.legs:
                async with other.lane.turn:
                    pass  # now it is at rest
            return await self._finish(flight, Verdict(VerdictKind.FAILED, (str(error),)))
        if flight.bad_row is not None:
            raise flight.bad_row
        return None

    async def _read(self, flight: Flight[S], leg: Leg[S], stream: ByteStream) -> Leg[S] | None:
        """Read the stream to the leg's end, and fold all of it; return the leg.

        After a StartOver that is another one. It is None if the leg is of no use any more.
        """
        leash = leg.lane.leash = asyncio.timeout(None)
        room = Room(self._pool, self._workers, leg.cutter)
        offer(stream, room)
        try:
            async with leash, aclosing(stream.pieces()) as pieces:
                while not leg.cutter.done:
                    with self._network:
                        piece = await anext(pieces, None)
                    if piece is None or leg.lane.abandoned:
                        break
                    if isinstance(piece, bytes):
                        await self._copy(flight, leg, piece, room)
                    elif isinstance(piece, memoryview) and piece.obj is room.buffer:
                        await self._put(flight, leg, leg.cutter.took(len(piece)))
                    else:
                        leg = self._take(flight, leg, cast("Marker", piece))
                        room.turn_to(leg.cutter)
                        continue
                    if self._split_bytes is not None and flight.divisible:
                        self._divide(flight, self._split_bytes)
                await self._put(flight, leg, leg.cutter.rest())
                await leg.lane.drained()
                if self._is_last(flight, leg) and not leg.lane.abandoned and leg.lane.error is None:
                    leg.lane.finish()
        except TimeoutError:
            if not leash.expired():
                raise
        except SourceError:
            if not leg.lane.abandoned:  # several may fail at once: the first has said what there is to say
                raise
        finally:
            leg.lane.leash = None
            room.close()
        if leg.lane.abandoned:
            return None
        if leg.lane.error is not None:
            raise leg.lane.error
        if not leg.cutter.done and leg.span.end is not None and flight.mark and leg.cutter.at != flight.mark.total:
            problem = "the part ended before the span that it was to hold"
            raise TransferError(flight.download.id, self._source.name, problem, offset=leg.cutter.at)
        return leg

    @staticmethod
    def _is_last(flight: Flight[S], leg: Leg[S]) -> bool:
        """Tell whether the download ends where the leg does."""
        return leg.span.end is None or (flight.mark is not None and leg.span.end == flight.mark.total)

    async def _copy(self, flight: Flight[S], leg: Leg[S], piece: bytes, room: Room) -> None:
        """Put bytes that came elsewhere into slabs."""
        rest = memoryview(piece)
        while rest and not leg.cutter.done:
            free = await room.free()
            size = min(len(free), len(rest))
            free[:size] = rest[:size]
            await self._put(flight, leg, leg.cutter.took(size))
            rest = rest[size:]

    async def _put(self, flight: Flight[S], leg: Leg[S], chunks: list[Chunk]) -> None:
        """Hand a leg's next chunks on; waits while there is no place for them."""
        for chunk in chunks:
            if leg.lane.error is not None:
                raise leg.lane.error
            if not chunk.offset:
                flight.head = b""
            if chunk.offset == len(flight.head) < SAMPLE_BYTES:
                flight.head += bytes(chunk.data[: SAMPLE_BYTES - chunk.offset])
            leg.lane.chunk_put()
            with self._full:
                await self._queue.put(Slab(leg.lane, chunk))

    def _take(self, flight: Flight[S], leg: Leg[S], marker: Marker) -> Leg[S]:
        """Do as the marker says; return the leg that the next bytes are for."""
        if isinstance(marker, StartOver) and flight.part is not None:
            raise PartVoid(marker.reason)
        if isinstance(marker, Opened) and flight.divided:
            if marker.mark is not None and flight.mark is not None and marker.mark.etag == flight.mark.etag:
                return leg  # the whole body instead of a part of it: the span begins with it, and ends before it does
            leg = self._take(flight, leg, StartOver(leg.attempts, 0.0, "the content has changed since"))
        self._emit(flight.take(leg, marker))
        return flight.legs[0] if isinstance(marker, StartOver) else leg

    def _divide(self, flight: Flight[S], span_bytes: int) -> None:
        legs = flight.divide(span_bytes)
        if legs:
            self._emit(events.Divided(flight.download.id, len(flight.legs)))
            self._put_first(flight, legs)

    async def _finish(self, flight: Flight[S], verdict: Verdict) -> Verdict:
        """Hand a download over that has its verdict."""
        verdict = self._rules.final(flight.download, verdict, flight.tally)
        if verdict.kind is VerdictKind.FAILED and flight.head and self._advised < MOST_ADVISED:
            from mockexport.pipeline.advice import advice_for  # no sooner: most runs end well

            self._advised += 1
            work = partial(advice_for, flight.head, self._schema, flight.download.id)
            advice = await asyncio.get_running_loop().run_in_executor(self._workers.threads, work)
            if advice is not None:
                verdict = Verdict(VerdictKind.FAILED, (*verdict.reasons, advice))
        account = await self._keeper.land(verdict, flight, compared=self._rules.compares(flight.download))
        bad_rows = sum(account.bad_rows.values())
        self._emit(DownloadFinished(account.download_id, verdict, account.received_bytes, account.rows, bad_rows))
        return verdict
