"""Slabs: buffers of one size, out of a fixed pool; the room in one that a stream's bytes come into; their queue.

The pool is a run's memory: a producer that finds none left waits, reads no more, and so the sender waits, too.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from io import FileIO
from typing import Any, cast

from mockexport.formats import Cutter
from mockexport.model import Chunk
from mockexport.pipeline.span import FoldingSpan
from mockexport.pipeline.workers import Workers

__all__ = ["Room", "Slab", "SlabPool", "SlabQueue"]


@dataclass(slots=True, eq=False)
class Slab:
    """A chunk on its way to a run's fold."""

    run: FoldingSpan[Any]
    chunk: Chunk

    @property
    def buffer(self) -> bytearray | None:
        """The buffer that the chunk is a view of; None if it has bytes of its own."""
        data = self.chunk.data
        return cast("bytearray", data.obj) if isinstance(data, memoryview) else None


class SlabPool:
    """So many buffers of `slab_bytes` each, made when they are first needed."""

    def __init__(self, slab_bytes: int, number: int) -> None:
        self._slab_bytes = slab_bytes
        # The last one that was given back is the first to be used again: it is still in the processor's caches.
        self._free: asyncio.LifoQueue[bytearray | None] = asyncio.LifoQueue()
        for _ in range(number):
            self._free.put_nowait(None)  # not made yet

    async def take(self) -> bytearray:
        """Return a buffer, once there is one."""
        return await self._free.get() or bytearray(self._slab_bytes)

    def give_back(self, buffer: bytearray | None) -> None:
        """Take a buffer back that nobody uses any more; None for one that somebody may still write to."""
        self._free.put_nowait(buffer)


class Room:
    """The free part of a slab, for the bytes of one stream (see streams.Room); `cutter` is their span's."""

    def __init__(self, pool: SlabPool, workers: Workers, cutter: Cutter) -> None:
        self._pool = pool
        self._workers = workers
        self._is_written_to = False
        self._cutter = cutter

    @property
    def buffer(self) -> bytearray | None:
        """The slab in use."""
        return self._cutter.buffer

    async def free(self) -> memoryview:
        """Return where the next bytes may be put; waits for a slab."""
        if self._cutter.buffer is None:
            self._cutter.fill(await self._pool.take())
        return self._cutter.room

    async def read(self, file: FileIO, offset: int) -> memoryview:
        """Read a file from `offset` on into the free part; return what came, nothing at the file's end."""
        room = await self.free()
        return room[: await self._written(self._workers.read(file, room, offset))]

    async def fill(self, pour: Callable[[memoryview], int]) -> memoryview:
        """Have a function put bytes into the free part, in a thread, and return how many; return those."""
        room = await self.free()
        return room[: await self._written(self._workers.call(pour, room))]

    async def _written(self, writing: Awaitable[int]) -> int:
        self._is_written_to = True  # until it is known that it is not: a task that is cancelled does not know
        size = await writing
        self._is_written_to = False
        return size

    def turn_to(self, cutter: Cutter) -> None:
        """Let the next bytes be for this span; if it is another, nothing more comes of those before."""
        if cutter is self._cutter:
            return
        buffer = self._cutter.buffer
        self._cutter.let_go()
        self._cutter = cutter
        if buffer is not None:
            cutter.fill(buffer)

    def close(self) -> None:
        """Give the slab back."""
        buffer = self._cutter.buffer
        self._cutter.let_go()
        if buffer is not None:
            self._pool.give_back(None if self._is_written_to else buffer)


class SlabQueue(asyncio.Queue[Slab]):
    """A bounded queue that hands out a span's slabs in order, and to one taker at a time.

    A run of a span is ready while it has slabs and no consumer works on it; only those are on offer, in turn. Whoever
    has taken a slab must `release` its run, and comes back for more: so one that turns ready then has a taker already.
    """

    def _init(self, maxsize: int) -> None:
        self._waiting: dict[FoldingSpan[Any], deque[Slab]] = {}
        self._ready: deque[FoldingSpan[Any]] = deque()
        self._taken: set[FoldingSpan[Any]] = set()
        self._depth = 0
        self.peak: int = 0

    def qsize(self) -> int:
        return self._depth

    def empty(self) -> bool:
        return not self._ready

    def _put(self, item: Slab) -> None:
        slabs = self._waiting.setdefault(item.run, deque())
        if not slabs and item.run not in self._taken:
            self._ready.append(item.run)
        slabs.append(item)
        self._depth += 1
        self.peak = max(self.peak, self._depth)

    def _get(self) -> Slab:
        run = self._ready.popleft()
        self._taken.add(run)
        self._depth -= 1
        return self._waiting[run].popleft()

    def release(self, run: FoldingSpan[Any]) -> None:
        """Put the run on offer again."""
        self._taken.remove(run)
        if self._waiting[run]:
            self._ready.append(run)
        else:
            del self._waiting[run]
