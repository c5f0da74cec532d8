"""The workers of a cluster as those who bring an export in: submits tasks, takes each result once, notices losses.

A result is merged when it comes. A worker that is lost costs what it had in hand, which the scheduler has others bring
anew. Without a scheduler, or for too long without any worker, the run ends with an error.
"""

import asyncio
import logging
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import Any, cast

from mockexport import __version__, events
from mockexport.analysis import RunOptions
from mockexport.distributed.clusters import require_dask
from mockexport.distributed.following import Following
from mockexport.distributed.planning import Divided, Planner
from mockexport.distributed.tasks import Result, Task, by_value, enter, forget, nothing, stop, topic_of
from mockexport.errors import (
    BadRowError,
    ClusterError,
    HeaderError,
    OptionError,
    SourceError,
    first_error_alone,
)
from mockexport.model import Entry, Verdict, VerdictKind
from mockexport.pipeline.flights import Part, account_of, reached_of
from mockexport.pipeline.producing import PartVoid, Stopped
from mockexport.pipeline.sharing import Work
from mockexport.reducers import Reducer
from mockexport.report.account import DownloadAccount
from mockexport.report.overlaps import Reached
from mockexport.shown import foreign

__all__ = ["STAYS", "WORKERS_S", "ClusterCrew"]

_log = logging.getLogger("mockexport")

# How long to wait for a worker, at the start or after all were lost.
WORKERS_S = 60.0
# How often to ask which workers there are.
ASK_EVERY_S = 1.0
# How long a scheduler may take to answer that; one that is busy takes a second or two.
ANSWER_S = 30.0
# And how long it is given to clear up at the end.
END_S = 10.0
# What of a run is the client's own, or is about this machine.
STAYS = frozenset(
    {"listener", "checkpoint", "session", "save", "save_format", "split", "on_failure", "allow_incomplete"}
)


class ClusterCrew:
    """The workers of a cluster (see pipeline.sharing.Crew).

    Args:
        client: an asynchronous client.
        reducer, options: those of the run.
        workers_s: how long to wait for workers.
    """

    def __init__(self, client: Any, reducer: Reducer[Any, Any], options: RunOptions, *, workers_s: float) -> None:
        self._client = client  # its own types are few
        self._reducer = reducer
        self._options = {key: value for key, value in options.items() if key not in STAYS and value is not None}
        self._workers_s = workers_s
        self._enter = by_value(enter)
        self._run = uuid.uuid4().hex[:12]
        self._tasks: dict[Any, Task] = {}  # by future
        self._void: dict[str, tuple[int, int]] = {}  # attempts and bytes of downloads that began anew
        self._given_up = False  # whether workers may still be at what is of no use any more

    async def bring_in(self, work: Work) -> None:
        """Bring every download to its verdict (see pipeline.sharing.Crew.bring_in)."""
        self._work = work
        if not {"url", "folder", "files", "urls", "fhir", "source"} & self._options.keys():
            self._require_neighbours()
            self._options["url"] = work.source.name
        threads = await self._threads()
        if not work.waiting:
            return
        self._following = Following(work.emit)
        self._planner = Planner(self._run, self._reducer, self._options, work, self._following, threads)
        self._client.subscribe_topic(topic_of(self._run), self._following.hear)
        try:
            with first_error_alone():
                async with asyncio.TaskGroup() as group:
                    watch = group.create_task(self._watch())
                    await self._work_off()
                    watch.cancel()
        finally:
            await self._end()

    def _require_neighbours(self) -> None:
        address = str(self._client.scheduler.address)
        if not address.startswith("inproc://") and "127.0.0.1" not in address and "localhost" not in address:
            raise OptionError("url", "the cluster is not on this machine: say where its workers find the data")

    # ---- what there is

    async def _workers(self) -> dict[str, int]:
        """Return how many threads each worker has, by its address.

        Raises:
            ClusterError: the scheduler does not tell.
        """
        if self._client.status != "running":
            raise ClusterError("the connection to the scheduler was lost")
        try:
            async with asyncio.timeout(ANSWER_S):
                return cast("dict[str, int]", await self._client.nthreads())
        except TimeoutError as error:
            raise ClusterError(f"the scheduler has not answered for {ANSWER_S:g} s") from error
        except OSError as error:
            raise ClusterError("the connection to the scheduler was lost") from error

    async def _threads(self) -> int:
        """Return how many tasks the cluster does at once, once there is a worker."""
        wanted = None
        try:
            async with asyncio.timeout(self._workers_s):
                while not (threads := sum((await self._workers()).values())):
                    if wanted is None:
                        _log.info("the cluster has no worker yet: waiting for one, up to %g s", self._workers_s)
                    # One that starts workers on demand starts none before there is something to do.
                    wanted = wanted or self._client.submit(by_value(nothing), key=f"mockexport-{self._run}", pure=False)
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise ClusterError(f"no worker came within {self._workers_s:g} s (analyze.workers_s)") from None
        finally:
            if wanted is not None:
                wanted.release()
        return threads

    async def _watch(self) -> None:
        """Raise when all workers have been gone for too long, or the scheduler is, or the listener has raised."""
        loop = asyncio.get_running_loop()
        seen_s, said = loop.time(), False
        while loop.time() - seen_s < self._workers_s:
            with suppress(TimeoutError):
                async with asyncio.timeout(min(ASK_EVERY_S, self._workers_s / 2)):
                    await self._following.broken.wait()
            if self._following.error is not None:
                raise self._following.error
            workers = await self._workers()
            if workers:
                seen_s, said = loop.time(), False
            elif not said:
                said = True
                _log.info("all workers are gone: waiting for one, up to %g s", self._workers_s)
            running = {task.number for future, task in self._tasks.items() if not future.done()}
            self._following.missing(workers.keys(), running.__contains__)
        raise ClusterError(f"all workers are gone, and none came back within {self._workers_s:g} s (analyze.workers_s)")

    async def _end(self) -> None:
        """Leave nothing behind on the cluster."""
        self._following.close()
        if self._client.status != "running":
            return
        with suppress(Exception):  # it may be what was lost
            async with asyncio.timeout(END_S):
                self._client.unsubscribe_topic(topic_of(self._run))
                if self._tasks or self._given_up:
                    await self._client.cancel(list(self._tasks), force=True)
                    await self._client.run(stop, self._run, on_error="ignore")
                await self._client.run_on_scheduler(by_value(forget), topic_of(self._run))

    # ---- tasks

    async def _work_off(self) -> None:
        done: Any = require_dask().as_completed(loop=self._client.loop)
        for task in await self._planner.plan():
            done.add(self._submit(task))
        while self._tasks:
            future = await anext(done)
            if future not in self._tasks:
                continue  # given up
            if future.status == "lost":
                done.add(future)  # with the worker that held the result: another one brings it anew
                continue
            task = self._tasks[future]
            result = await self._result(future, task)
            del self._tasks[future]
            future.release()
            for more in await self._take(task, result):
                done.add(self._submit(more))

    def _submit(self, task: Task) -> Any:
        key = f"mockexport-{self._run}-{task.number}"
        future = self._client.submit(self._enter, __version__, task.packed(), key=key, priority=task.size, pure=False)
        self._tasks[future] = task
        self._following.expect(task)
        return future

    async def _result(self, future: Any, task: Task) -> Result:
        """Return a task's result.

        Raises:
            ClusterError: there is none.
        """
        try:
            # If the result is lost with the worker that holds it, this lasts until there is another.
            return cast("Result", await future.result())
        except Exception as error:
            if future.status != "error":  # it is not the task's own
                raise ClusterError("the connection to the scheduler was lost") from error
            raise _failure(error, task) from error

    # ---- results

    async def _take(self, task: Task, result: Result) -> list[Task]:
        """Take what a task came to; return the tasks that follow from it."""
        self._following.finish(task.number, result)
        downloads = task.share.downloads
        if task.share.part is not None:
            divided = self._planner.divided[downloads[0][1].id]
            divided.tasks.discard(task.number)
            return await self._take_span(divided, task.number, task.share.part, result)
        if result.error is not None:
            raise result.error
        if result.brought is None:
            raise ClusterError("a task was ended on its worker by somebody else")
        brought = result.brought
        positions = {download.id: position for position, download in downloads}
        apart = {positions[a.download_id] for a in brought.accounts if not a.verdict.complete}
        accounts = [self._with_void(account) for account in brought.accounts]
        await self._work.keeper.take_in(accounts, brought.runs, apart)
        for account in accounts:
            self._following.finished(account)
            if self._work.stop_on_failure and account.verdict.kind is VerdictKind.FAILED:
                raise Stopped
        return []

    async def _take_span(self, divided: Divided, number: int, part: Part, result: Result) -> list[Task]:
        work, download = self._work, divided.download
        again: list[Task] = []
        match result.error:
            case None:
                pass
            case PartVoid() as void:
                return await self._anew(divided, str(void))
            case BadRowError() as bad:
                if divided.bad_row is None or part.span.start < divided.bad_row[0].span.start:
                    divided.bad_row = (part, bad)
            case HeaderError() as error:
                # In the middle it may be none: what was taken for a row there may be in quotes.
                return await self._anew(divided, str(error))
            case SourceError() as error:
                await self._judged(divided, Verdict(VerdictKind.FAILED, (str(error),)))
                return []
            case _:
                raise result.error
        if result.brought is not None and result.brought.span is not None:
            span, landed = result.brought.span, divided.landed
            wrong = landed.restore(span.saved)
            again = [] if wrong is None else [self._planner.span(divided, *wrong)]
            divided.attempts += span.attempts - 1
            divided.fetched_bytes += span.fetched_bytes
            work.keeper.know(download.id, landed.saved(divided.mark))
            self._following.land(download.id, number, landed.size_bytes, landed.rows)
        elif result.error is None:
            raise ClusterError("a task was ended on its worker by somebody else")
        if divided.bad_row is not None:
            refused, bad = divided.bad_row
            lines = divided.landed.lines_before(refused.span.start)
            if lines is not None:
                first = divided.landed.stretches[0]
                if refused.span.start and first.left != refused.entry.reading:  # what was read there was no row
                    divided.bad_row = None
                    return [*again, self._planner.span(divided, refused.span, Entry(first.left, first.offset))]
                raise BadRowError(bad.download_id, bad.line + lines, bad.offset, bad.reason)
        if not divided.tasks and divided.landed.is_whole(divided.mark.total):
            verdict = work.rules.verdict(download, divided.landed.tally, divided.landed.offset)
            if verdict.kind is VerdictKind.FAILED:
                return await self._anew(divided, verdict.reasons[0])
            await self._judged(divided, work.rules.final(download, verdict, divided.landed.tally))
        return again

    async def _anew(self, divided: Divided, reason: str) -> list[Task]:
        """Fetch a download in one go after all."""
        download_id = divided.download.id
        await self._give_up(divided)
        self._following.begin_anew(download_id)
        self._work.keeper.know(download_id, [])
        self._void[download_id] = (divided.attempts, divided.fetched_bytes)
        self._work.emit(events.StartedOver(download_id, divided.attempts, 0.0, reason, divided.fetched_bytes))
        return [self._planner.together([(divided.position, divided.download)])]

    async def _give_up(self, divided: Divided) -> None:
        """Want none of the spans of a download that are on their way."""
        del self._planner.divided[divided.download.id]
        unwanted = [future for future, task in self._tasks.items() if task.number in divided.tasks]
        if not unwanted:
            return
        self._following.drop(divided.tasks)
        for future in unwanted:
            del self._tasks[future]
        self._given_up = True
        await self._client.cancel(unwanted, force=True)

    def _with_void(self, account: DownloadAccount) -> DownloadAccount:
        """Add what spans that turned out void have cost."""
        attempts, fetched_bytes = self._void.get(account.download_id, (0, 0))
        return replace(
            account, attempts=account.attempts + attempts, fetched_bytes=account.fetched_bytes + fetched_bytes
        )

    def _reached(self, divided: Divided, verdict: Verdict) -> Reached | None:
        compared = verdict.counts and self._work.rules.compares(divided.download)
        return reached_of(self._work.reducer, divided.landed.state) if compared else None

    async def _judged(self, divided: Divided, verdict: Verdict) -> None:
        """Hand a divided download over that has its verdict."""
        await self._give_up(divided)
        account = account_of(
            divided.download,
            verdict,
            divided.landed.tally,
            attempts=divided.attempts,
            received_bytes=divided.landed.size_bytes,
            fetched_bytes=divided.fetched_bytes,
            version=divided.mark.version,
            reached=self._reached(divided, verdict),
        )
        await self._work.keeper.take_over(divided.position, account, divided.landed)
        self._following.finished(account)
        if self._work.stop_on_failure and verdict.kind is VerdictKind.FAILED:
            raise Stopped


def _failure(error: Exception, task: Task) -> ClusterError:
    """Return why a task has no result, of which Dask says this."""
    if isinstance(error, require_dask().KilledWorker):
        downloads, tries = ", ".join(i.id for _, i in task.share.downloads), error.allowed_failures + 1
        return ClusterError(
            f"the task to bring {downloads} ended each of the {tries} workers that tried it, and is tried no more;"
            " look at the workers' logs, and at their memory"
        )
    if isinstance(error, ImportError):
        return ClusterError(f"a worker has no mockexport; install {__version__} there, too")
    # What a reducer raised, which may quote a row, has been put into other words on the worker.
    return ClusterError(f"a task failed on its worker ({type(error).__name__}: {foreign(str(error))})")
