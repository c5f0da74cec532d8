"""Lanes: the chunks of one attempt at one span, and what they are folded into; and the queue that hands them out.

A lane's chunks are folded one at a time and in order, so what a lane holds always describes exactly the bytes from its
start to an offset: that is what can be saved.
"""

import asyncio
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Generic, TypeVar

from mockexport.engine.fold import Fold
from mockexport.errors import BadRowError, HeaderError
from mockexport.formats.tally import Tally
from mockexport.model import Chunk, Span
from mockexport.pipeline.checkpoint import SavedFlight
from mockexport.pipeline.streams import Mark
from mockexport.pipeline.variety import Limited
from mockexport.reducers import pack_state, unpack_state

__all__ = ["ChunkQueue", "Lane", "Stopwatch"]

S = TypeVar("S")


class Lane(Generic[S]):
    """One attempt at one span: its chunks, in order, and what they have been folded into.

    `base` is what a checkpoint knows of the rows before the lane's first chunk; merged with the fold's, it is all.
    """

    def __init__(self, fold: Fold[S], reducer: Limited[S, Any], span: Span, base: SavedFlight | None) -> None:
        self.fold = fold
        self.span = span
        self.error: HeaderError | BadRowError | None = None
        self.abandoned: bool = False
        self.leash: asyncio.Timeout | None = None  # of whoever reads for it
        self.turn: asyncio.Lock = asyncio.Lock()  # held while the fold is fed, or looked into
        self._reducer = reducer
        self._base = base
        self._base_rows = 0 if base is None else Tally.from_bytes(base.tally).rows
        offset, line = (span.read_from, 1) if base is None else (base.offset, base.line)
        self._borders = deque([(offset, line)])  # where chunks end: offset, next line
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

    def abandon(self) -> None:
        """Let nothing more come of the lane; whoever reads for it is called off."""
        self.abandoned = True
        self._pull()

    def fail(self, error: HeaderError | BadRowError) -> None:
        """Take note of why no more chunks are of use."""
        self.error = error
        self._pull()

    def _pull(self) -> None:
        if self.leash is not None:
            self.leash.reschedule(asyncio.get_running_loop().time())
            self.leash = None

    def chunk_put(self, end: int, next_line: int) -> None:
        self._borders.append((end, next_line))
        self._pending += 1
        self._drained.clear()

    def feed(self, chunks: list[Chunk]) -> None:
        """Fold chunks, in a thread; one that was abandoned meanwhile is not gone on with."""
        for chunk in chunks:
            if not self.abandoned:
                self.fold.feed(chunk)
        self._pass_borders()
        self._reducer.check(self.fold)

    def _pass_borders(self) -> None:
        """Forget the borders before the last one that is folded."""
        while len(self._borders) > 1 and self._borders[1][0] <= self.fold.offset:
            self._borders.popleft()

    def chunks_done(self, number: int) -> None:
        self._pending -= number
        if not self._pending:
            self._drained.set()

    async def drained(self) -> None:
        """Wait until every chunk that was put has been folded."""
        await self._drained.wait()

    def saved(self, download_id: str, mark: Mark) -> SavedFlight | None:
        """Return what another lane can go on from; the fold must be at rest."""
        self._pass_borders()
        offset, line = self._borders[0]
        header = self.fold.header
        if not offset or header is None or self.error is not None:
            return None
        state = pack_state(self._reducer, self.state)
        tally = self.tally.to_bytes()
        return SavedFlight(download_id, offset, line, header, mark, state, tally, self.span.start, self.span.end)


class ChunkQueue(asyncio.Queue[tuple[Lane[Any], list[Chunk]]]):
    """A bounded queue that takes chunks one by one and hands out all that a lane has, to one taker at a time.

    Going to a thread and back costs as much as many rows do, so a consumer that comes late makes one trip with all that
    waits. A lane is ready while it has chunks and no consumer works on it; only ready lanes are on offer, in turn.
    Whoever has taken chunks must `release` their lane, and comes back for more: so a lane that turns ready then has a
    taker already.
    """

    def _init(self, maxsize: int) -> None:
        self._waiting: dict[Lane[Any], list[Chunk]] = {}
        self._ready: deque[Lane[Any]] = deque()
        self._taken: set[Lane[Any]] = set()
        self._depth = 0
        self.peak: int = 0

    def qsize(self) -> int:
        return self._depth

    def empty(self) -> bool:
        return not self._ready

    def _put(self, item: tuple[Lane[Any], list[Chunk]]) -> None:
        lane, added = item
        chunks = self._waiting.setdefault(lane, [])
        if not chunks and lane not in self._taken:
            self._ready.append(lane)
        chunks += added
        self._depth += len(added)
        self.peak = max(self.peak, self._depth)

    def _get(self) -> tuple[Lane[Any], list[Chunk]]:
        lane = self._ready.popleft()
        self._taken.add(lane)
        chunks, self._waiting[lane] = self._waiting[lane], []
        self._depth -= len(chunks)
        # One putter is woken for every get; there is room for more of them.
        for _ in chunks[1:]:
            self._wakeup_next(self._putters)  # type: ignore[attr-defined]
        return lane, chunks

    def release(self, lane: Lane[Any]) -> None:
        """Put the lane on offer again."""
        self._taken.remove(lane)
        if self._waiting[lane]:
            self._ready.append(lane)
        else:
            del self._waiting[lane]


class Stopwatch:
    """Adds up the time spent inside it, by any number of tasks."""

    def __init__(self) -> None:
        self.total_s: float = 0.0

    @contextmanager
    def running(self) -> Iterator[None]:
        start = time.monotonic()
        try:
            yield
        finally:
            self.total_s += time.monotonic() - start
