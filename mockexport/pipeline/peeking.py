"""A look into a run while it goes on: the state of all rows so far, copied, and how far each download is.

Rules: a task of the run's own looks, so it ends with the run, and those who asked may leave at any time. A state is
read only while nobody changes it, as in the ledger: a span's while its turn is held, what has landed while `landing`
is, the merged ones while `merging` is. That is held throughout, so that no download lands meanwhile and is seen twice.
What is handed out is made of bytes and shares nothing with the run.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mockexport.errors import reducer_at_work
from mockexport.pipeline.ledger import Ledger
from mockexport.pipeline.producers import Here
from mockexport.pipeline.ranges import RangeMerger, merging
from mockexport.pipeline.span import FoldingSpan
from mockexport.reducers import Reducer, Result
from mockexport.report.account import DownloadAccount

__all__ = ["Look", "Peeker"]

S = TypeVar("S")


@dataclass(frozen=True, slots=True)
class Look:
    """What a run had at one moment: the results of all rows so far, finished downloads, and the rest's rows, bytes."""

    result: Result[Any]
    finished: Mapping[str, DownloadAccount]
    in_flight: Mapping[str, tuple[int, int]]


class Peeker(Generic[S]):
    """Answers who asks how far a run is."""

    def __init__(self, reducer: Reducer[S, Any], ledger: Ledger[S]) -> None:
        self._reducer = reducer
        self._ledger = ledger
        self._asked = asyncio.Event()
        self._answer: asyncio.Future[Look | None] | None = None
        self._over = False

    async def look(self) -> Look | None:
        """Return how far the run is; None if it has not begun or is over. Those who ask at once get one answer."""
        if self._over:
            return None
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
            self._asked.set()
        return await asyncio.shield(self._answer)

    async def answer(self, threads: ThreadPoolExecutor, positions: Mapping[str, int]) -> None:
        """Answer until cancelled; those who wait then get None. Positions are in time order."""
        try:
            while True:
                await self._asked.wait()
                self._asked.clear()
                found = await self._look(threads, positions)
                if self._answer is not None:
                    self._answer.set_result(found)
                self._answer = None
        finally:
            self._over = True
            if self._answer is not None and not self._answer.done():
                self._answer.set_result(None)

    async def _look(self, threads: ThreadPoolExecutor, positions: Mapping[str, int]) -> Look:
        loop = asyncio.get_running_loop()
        ledger = self._ledger
        in_flight = {}
        async with ledger.merging:
            merger = await loop.run_in_executor(threads, ledger.copied, self._copy)
            for download_id, download in list(ledger.in_flight.items()):
                copied, rows = await self._copied_download(download, threads)
                in_flight[download_id] = (rows, download.received_bytes)
                position = positions[download_id]
                await loop.run_in_executor(threads, merger.add, position, position + 1, copied)
            finished = dict(ledger.accounts)
        return Look(await loop.run_in_executor(threads, self._result, merger), finished, in_flight)

    async def _copied_download(self, download: Here[S], threads: ThreadPoolExecutor) -> tuple[S, int]:
        """Return a copy of all that has been folded or has landed of a download, and how many rows that is.

        Rows are counted as their state is copied: the other spans go on meanwhile.
        """
        loop, parts = asyncio.get_running_loop(), RangeMerger(merging(self._reducer))
        async with download.landing:
            rows = download.landed.rows
            for held in download.landed.spans:
                copied = await loop.run_in_executor(threads, self._copy, held.state)
                await loop.run_in_executor(threads, parts.add, held.span.start, held.span.end, copied)
            for run in list(download.runs):
                async with run.turn:
                    copied = await loop.run_in_executor(threads, self._copied, run)
                    rows += run.rows
                await loop.run_in_executor(threads, parts.add, run.span.start, run.span.end, copied)
        return self._ledger.merged(parts), rows

    def _copied(self, run: FoldingSpan[S]) -> S:
        return self._copy(run.state)

    def _copy(self, state: S) -> S:
        # By way of bytes: a reducer's `merge` may hand on parts of what it is given.
        with reducer_at_work(self._reducer, "dump"):
            data = self._reducer.dump(state)
        with reducer_at_work(self._reducer, "load"):
            return self._reducer.load(data)

    def _result(self, merger: RangeMerger[S]) -> Result[Any]:
        merged = self._ledger.merged(merger)
        with reducer_at_work(self._reducer, "result"):
            return self._reducer.result(merged)
