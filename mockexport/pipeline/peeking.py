"""A look into a run while it goes on: the state of all rows so far, copied, and how far each download is.

Rules: a task of the run's own looks, so it ends with the run, and whoever asked may leave at any time. A state is read
only while nobody changes it, as in keeping: a lane's while its turn is held, what has landed while `landing` is, the
merged ones while `merging` is. As that is held throughout, no download lands meanwhile and is seen twice or not at all.
What is handed out is made of bytes and shares nothing with the run.
"""

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mockexport.errors import reducer_at_work
from mockexport.pipeline.flights import Flight
from mockexport.pipeline.keeping import Keeper
from mockexport.pipeline.lanes import Lane
from mockexport.pipeline.ranges import Merger
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

    def __init__(self, reducer: Reducer[S, Any], keeper: Keeper[S]) -> None:
        self._reducer = reducer
        self._keeper = keeper
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
        """Answer until cancelled; whoever waits then is told that the run is over. Positions are in time order."""
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
        keeper = self._keeper
        in_flight = {}
        async with keeper.merging:
            merger = await loop.run_in_executor(threads, keeper.copied, self._copy)
            for download_id, flight in list(keeper.in_flight.items()):
                copied, rows = await self._copied_flight(flight, threads)
                in_flight[download_id] = (rows, flight.received_bytes)
                await loop.run_in_executor(threads, merger.add, positions[download_id], copied)
            finished = dict(keeper.accounts)
        return Look(await loop.run_in_executor(threads, self._result, merger), finished, in_flight)

    async def _copied_flight(self, flight: Flight[S], threads: ThreadPoolExecutor) -> tuple[S, int]:
        """Return a copy of all that has been folded of a download, what has landed of it included; of so many rows.

        Rows are counted as their state is copied: the other legs go on meanwhile.
        """
        loop, parts = asyncio.get_running_loop(), []
        async with flight.landing:
            rows = flight.landed.rows
            for stretch in flight.landed.stretches:
                copied = await loop.run_in_executor(threads, self._copy, stretch.state)
                parts.append((stretch.span.start, copied))
            for leg in list(flight.legs):
                async with leg.lane.turn:
                    parts.append((leg.span.start, await loop.run_in_executor(threads, self._copied, leg.lane)))
                    rows += leg.lane.rows
        merged = self._reducer.empty()
        for _, state in sorted(parts, key=lambda part: part[0]):
            with reducer_at_work(self._reducer, "merge"):
                merged = self._reducer.merge(merged, state)
        return merged, rows

    def _copied(self, lane: Lane[S]) -> S:
        return self._copy(lane.state)

    def _copy(self, state: S) -> S:
        # By way of bytes: a reducer's `merge` may hand on parts of what it is given.
        with reducer_at_work(self._reducer, "dump"):
            data = self._reducer.dump(state)
        with reducer_at_work(self._reducer, "load"):
            return self._reducer.load(data)

    def _result(self, merger: Merger[S]) -> Result[Any]:
        merged = merger.merged()
        with reducer_at_work(self._reducer, "result"):
            return self._reducer.result(merged)
