"""Consumers: they take slabs out of the queue and have them folded, each span's one at a time and in order."""

from typing import Generic, TypeVar

from mockexport.errors import BadRowError, HeaderError
from mockexport.events import Advanced, Listener
from mockexport.model import Chunk
from mockexport.pipeline.ledger import Ledger
from mockexport.pipeline.slabs import SlabPool, SlabQueue
from mockexport.pipeline.span import FoldingSpan
from mockexport.pipeline.waits import Waits
from mockexport.pipeline.workers import Workers

__all__ = ["Consumers"]

S = TypeVar("S")


class Consumers(Generic[S]):
    """Those of one run.

    Args:
        queue: where the slabs come from.
        pool: where they go back to.
        workers: fold them.
        ledger: knows the downloads in flight.
        waits: adds up how long was waited for chunks.
        listener: called with progress.
    """

    def __init__(
        self,
        queue: SlabQueue,
        pool: SlabPool,
        workers: Workers,
        ledger: Ledger[S],
        waits: Waits,
        listener: Listener | None,
    ) -> None:
        self._queue = queue
        self._pool = pool
        self._workers = workers
        self._ledger = ledger
        self._waits = waits
        self._listener = listener

    async def consume(self) -> None:
        """Be one of the consumers, until cancelled.

        Raises:
            BadRowError: for a bad row of an undivided download, if strict.
            ReducerError, LimitError: as Fold.feed and FoldingSpan.check do.
        """
        while True:
            with self._waits.chunks:
                slab = await self._queue.get()
            run = slab.run
            if not run.abandoned and run.error is None:
                await self._fold(run, slab.chunk)
            if (buffer := slab.buffer) is not None:
                self._pool.give_back(buffer)
            self._queue.release(run)
            run.chunk_done()

    async def _fold(self, run: FoldingSpan[S], chunk: Chunk) -> None:
        try:
            async with run.turn:
                await self._workers.feed(run.fold, run.numbered(chunk))
                run.check()
        except HeaderError as error:
            run.fail(error)
        except BadRowError as error:
            if run.span.end is None:
                raise
            run.fail(error)  # its line, and whether it is the first, depend on other spans
        download = self._ledger.in_flight.get(run.span.download_id)
        # It may have been abandoned meanwhile.
        if download is not None and not run.abandoned and run.error is None and self._listener is not None:
            self._listener(Advanced(download.download.id, download.folded_bytes, download.rows))
