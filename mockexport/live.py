"""`Run`: an export's analysis as it goes on, with provisional reports, and the report at its end.

It is `analyze` in a task of its own; a snapshot is taken when one is asked for, so nothing piles up where nobody looks.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, Unpack

from mockexport import __version__
from mockexport.analysis import AnalyzeKeywords, run_export
from mockexport.errors import OptionError, RunNotOpen
from mockexport.events import Event, RunStarted
from mockexport.model import Download
from mockexport.pipeline.peeking import Look
from mockexport.pipeline.run import Pipeline
from mockexport.reducers import Reducer
from mockexport.report.account import Account
from mockexport.report.notes import STATISTICS, Note
from mockexport.report.report import R, Report, in_order

__all__ = ["Run", "Snapshot"]

# However short the interval that is asked for: of the time, looking takes no more than this part.
_MOST_OF_THE_TIME = 0.1


@dataclass(frozen=True, slots=True)
class Snapshot(Generic[R]):
    """What a run has come to so far.

    `report` is of all `rows` folded so far, at a chunk's border: provisional, and `incomplete` names every download
    that is not finished and complete; a download that fails later on takes its rows with it. Its account is of
    finished downloads. `announced_rows` is None where a download announces none. `elapsed_s` is since the run began.
    """

    report: Report[R]
    rows: int
    received_bytes: int
    announced_rows: int | None
    finished: int
    in_flight: int
    to_come: int
    elapsed_s: float

    @property
    def share(self) -> float | None:
        """The part of the announced rows that is in the report, from 0 to 1; None where nothing is announced."""
        if not self.announced_rows:
            return None
        return min(self.rows / self.announced_rows, 1.0)

    def _repr_html_(self) -> str:
        """Return what a notebook shows under the cell: the totals so far, and of how much of the data they are."""
        from mockexport.report.cell import report_cell  # no sooner: most runs are in no notebook

        covered = "" if self.share is None else f", {self.share:.0%} of all"
        told = f"provisional, of {self.rows:,} rows{covered}, after {self.elapsed_s:.1f} s"
        report = self.report
        return report_cell(report.account.export_id, told, report.totals, report.notes)


class Run(Generic[R]):
    """An analysis that goes on, from `async with` to its end::

        async with mockexport.Run("small") as run:
            async for snapshot in run:
                print(snapshot.share, snapshot.report.totals)
            report = await run.report()

    Leaving the block before the end breaks the run off. Its errors are raised where it is waited for: by the loop, by
    `report`, or else at the end of the block. The final report is the same whether or not somebody looks.

    Args:
        export_id: as of `analyze`, and so are `reducer` and all options.
        every_s: seconds between snapshots, at least; more where taking one takes long.
    """

    def __init__(
        self,
        export_id: str | None = None,
        *,
        reducer: Reducer[Any, R] | None = None,
        every_s: float = 1.0,
        **options: Unpack[AnalyzeKeywords],
    ) -> None:
        if not every_s > 0:
            raise OptionError("every_s", f"must be above 0, not {every_s}")
        self._every_s = every_s
        self._listener = options.get("listener")
        options["listener"] = self._listen
        self._work = (export_id, reducer, options)
        self._task: asyncio.Task[Report[Any]] | None = None
        self._ready: tuple[Pipeline[Any], str, str, bool] | None = None
        self._downloads: tuple[Download, ...] = ()
        self._engine = ""
        self._told = False  # its error has been raised, if there is one
        self._begun_s = 0.0
        self._next_s = 0.0

    def __repr__(self) -> str:
        state = "not begun" if self._task is None else "over" if self._task.done() else "going on"
        return f"<Run {state}>"

    async def __aenter__(self) -> Self:
        if self._task is not None:
            raise RunNotOpen("a Run runs once; make another one")
        export_id, reducer, options = self._work
        self._begun_s = time.monotonic()
        self._next_s = self._begun_s + self._every_s
        self._task = asyncio.create_task(run_export(export_id, reducer, on_ready=self._take_ready, **options))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        task = self._running()
        task.cancel()
        await asyncio.wait({task})
        if error is None and not self._told and not task.cancelled() and (problem := task.exception()) is not None:
            raise problem

    async def report(self) -> Report[R]:
        """Wait for the end of the run and return its report; raises what `analyze` raises."""
        task = self._running()
        await asyncio.wait({task})
        return self._ended(task)

    def _ended(self, task: "asyncio.Task[Report[Any]]") -> Report[R]:
        self._told = True
        if task.cancelled():
            raise RunNotOpen("the run was broken off, as its block was left; there is no report")
        return task.result()

    def __aiter__(self) -> AsyncIterator[Snapshot[R]]:
        """Yield snapshots until the run is over."""
        return self._snapshots()

    async def _snapshots(self) -> AsyncIterator[Snapshot[R]]:
        task = self._running()
        while True:
            pause_s = max(self._next_s - time.monotonic(), 0)
            await asyncio.wait({task}, timeout=pause_s)
            if task.done():
                self._ended(task)
                return
            began_s = time.monotonic()
            look = await self._look(task)
            now_s = time.monotonic()
            self._next_s = max(began_s + self._every_s, now_s + (now_s - began_s) / _MOST_OF_THE_TIME)
            if look is not None and self._ready is not None:
                yield self._snapshot(look, *self._ready[1:])

    async def _look(self, task: "asyncio.Task[Report[Any]]") -> Look | None:
        if self._ready is None:
            return None
        looking = asyncio.ensure_future(self._ready[0].look())
        try:
            # A run that fails before it begins answers nobody.
            await asyncio.wait({task, looking}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not looking.done():
                looking.cancel()
        return looking.result() if looking.done() else None

    def _snapshot(self, look: Look, export_id: str, source: str, synthetic: bool) -> Snapshot[R]:
        elapsed_s = time.monotonic() - self._begun_s
        accounts = tuple(look.finished[d.id] for d in self._downloads if d.id in look.finished)
        account = Account(export_id, source, synthetic, self._engine, __version__, elapsed_s, accounts)
        complete = {account.download_id for account in accounts if account.verdict.complete}
        incomplete = tuple(d.id for d in self._downloads if d.id not in complete)
        unasked = {account.download_id for account in accounts if account.verdict.unasked}
        announced = [d.rows for d in self._downloads if d.id not in unasked]
        patients, totals = in_order(look.result)
        notes = tuple(Note(STATISTICS, text) for text in look.result.notes)
        return Snapshot(
            report=Report(patients, totals, incomplete, account, notes, allow_incomplete=True),
            rows=account.rows + sum(rows for rows, _ in look.in_flight.values()),
            received_bytes=sum(a.received_bytes for a in accounts) + sum(n for _, n in look.in_flight.values()),
            announced_rows=None if None in announced else sum(rows or 0 for rows in announced),
            finished=len(accounts),
            in_flight=len(look.in_flight),
            to_come=len(self._downloads) - len(accounts) - len(look.in_flight),
            elapsed_s=elapsed_s,
        )

    def _take_ready(self, pipeline: Pipeline[Any], export_id: str, source: str, synthetic: bool) -> None:
        self._ready = (pipeline, export_id, source, synthetic)

    def _listen(self, event: Event) -> None:
        if isinstance(event, RunStarted):
            self._downloads, self._engine = event.downloads, event.engine
        if self._listener is not None:
            self._listener(event)

    def _running(self) -> "asyncio.Task[Report[Any]]":
        if self._task is None:
            raise RunNotOpen("the run has not begun: use `async with`")
        return self._task
