"""Lanes: the chunks of one attempt at one span, and what they are folded into.

A lane's chunks are folded one at a time and in order, so what a lane holds always describes exactly the bytes from its
start to an offset: that is what can be saved.
"""

import asyncio
import time
from dataclasses import replace
from typing import Any, Generic, TypeVar

from mockexport.engine.fold import Fold
from mockexport.errors import BadRowError, HeaderError
from mockexport.formats.tally import Tally
from mockexport.model import Chunk, Entry, Reading, Span
from mockexport.pipeline.checkpoint import SavedFlight
from mockexport.pipeline.streams import Mark
from mockexport.pipeline.variety import Limited
from mockexport.reducers import load_state

__all__ = ["Lane", "Stopwatch"]

S = TypeVar("S")


class Lane(Generic[S]):
    """One attempt at one span: its chunks, in order, and what they have been folded into.

    `base` is what a checkpoint knows of the rows before the lane's first chunk; merged with the fold's, it is all.
    `entry` is how the span is begun with.
    """

    def __init__(
        self, fold: Fold[S], reducer: Limited[S, Any], span: Span, base: SavedFlight | None, entry: Entry
    ) -> None:
        self.fold = fold
        self.span = span
        self.entered: Reading = entry.reading if base is None else base.entered
        self.error: HeaderError | BadRowError | None = None
        self.abandoned: bool = False
        self.leash: asyncio.Timeout | None = None  # of whoever reads for it
        self.turn: asyncio.Lock = asyncio.Lock()  # held while the fold is fed, or looked into
        self._reducer = reducer
        self._base = base
        self._base_rows = 0 if base is None else Tally.from_bytes(base.tally).rows
        begin = span.read_from if entry.offset is None else entry.offset
        fold.offset, fold.line = (begin, 1) if base is None else (base.offset, base.line)
        self._pending = 0
        self._drained = asyncio.Event()
        self._drained.set()

    @property
    def rows(self) -> int:
        return self._base_rows + self.fold.rows

    @property
    def left(self) -> Reading:
        """How to read on behind what is folded."""
        return Reading(self.fold.header, self.fold.pending)

    def finish(self) -> None:
        """Take note that the download has ended: there is nothing behind what is folded.

        Raises:
            HeaderError, BadRowError, ReducerError: as Fold.feed does.
        """
        self.fold.finish()

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
        return self._reducer.merge(load_state(self._reducer, self._base.state), self.fold.state)

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

    def chunk_put(self) -> None:
        self._pending += 1
        self._drained.clear()

    def numbered(self, chunk: Chunk) -> Chunk:
        """Return the next chunk to be folded with its line number, which is known once the one before is folded."""
        return replace(chunk, line=self.fold.line)

    def check(self) -> None:
        """Hold what is folded to the limits of the run.

        Raises:
            LimitError: there are more groups, patients or event types than there may be.
        """
        self._reducer.check(self.fold)

    def chunk_done(self) -> None:
        self._pending -= 1
        if not self._pending:
            self._drained.set()

    async def drained(self) -> None:
        """Wait until every chunk that was put has been folded."""
        await self._drained.wait()

    def saved(self, download_id: str, mark: Mark) -> SavedFlight | None:
        """Return what another lane can go on from; the fold must be at rest."""
        offset, line, header = self.fold.offset, self.fold.line, self.fold.header
        if not offset or header is None or self.error is not None:
            return None
        state = self._reducer.dump(self.state)
        tally = self.tally.to_bytes()
        return SavedFlight(
            download_id, offset, line, header, mark, state, tally, self.span.start, self.span.end,
            self.fold.pending, self.entered,
        )  # fmt: skip


class Stopwatch:
    """Adds up the time spent inside it, by any number of tasks."""

    def __init__(self) -> None:
        self._inside = 0
        self._balance = 0.0  # of those who have left; of those inside, minus the time at which they came

    @property
    def total_s(self) -> float:
        """The seconds so far, those of who is inside included."""
        return self._balance + self._inside * time.monotonic() if self._inside else self._balance

    def __enter__(self) -> None:
        self._inside += 1
        self._balance -= time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        self._balance += time.monotonic()
