"""The workers of a cluster as those who bring an export in: submits tasks, takes each result once, notices losses.

A result is merged when it comes. A worker that is lost costs what it had in hand, which the scheduler has others bring
again. Without a scheduler, or for too long without any worker, the run ends with an error.
"""

import asyncio
import logging
import uuid
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any, TypeAlias, cast

from mockexport import __version__, events
from mockexport.distributed.clusters import require_dask
from mockexport.distributed.following import Following
from mockexport.distributed.planning import of_part, planned, span_bytes, together
from mockexport.distributed.tasks import Result, Task, by_value, enter, failure_of, forget, nothing, stop, topic_of
from mockexport.errors import BadRowError, ClusterError, HeaderError, OptionError, SourceError, first_error_alone
from mockexport.model import Download, Verdict, VerdictKind
from mockexport.pipeline.download import DownloadRun
from mockexport.pipeline.sharing import Brought, PartVoid, Share, Stopped, Work
from mockexport.pipeline.span import Begun, SpanRun
from mockexport.pipeline.streams import ResumableSource
from mockexport.reducers import Reducer
from mockexport.report.account import DownloadAccount
from mockexport.sources.opening import SOURCES

__all__ = ["WORKERS_S", "ClusterCrew"]

_log = logging.getLogger("mockexport")

# How long to wait for a worker, at the start or after all were lost.
WORKERS_S = 60.0
# How often to ask which workers there are.
ASK_EVERY_S = 1.0
# How long a scheduler may take to answer that; one that is busy takes a second or two.
ANSWER_S = 30.0
# And how long it is given to clear up at the end.
END_S = 10.0


# A download whose spans workers bring in.
There: TypeAlias = DownloadRun[Any, SpanRun]


class ClusterCrew:
    """The workers of a cluster (see pipeline.sharing.Crew).

    Args:
        client: an asynchronous client.
        reducer: the run's, as workers are to have it.
        where: where workers find the data: SourceOptions.
        workers_s: how long to wait for workers.
    """

    def __init__(self, client: Any, reducer: Reducer[Any, Any], where: Mapping[str, Any], *, workers_s: float) -> None:
        self._client = client  # its own types are few
        self._reducer = reducer
        self._where = where
        self._workers_s = workers_s
        self._enter = by_value(enter)
        self._run = uuid.uuid4().hex[:12]
        self._numbers = count()
        self._tasks: dict[Any, Task] = {}  # by future
        self._sent: dict[int, tuple[There, SpanRun]] = {}  # spans on their way, by the task's number
        self._void: dict[str, tuple[int, int]] = {}  # attempts and bytes of downloads that began again
        self._given_up = False  # whether workers may still be at what is of no use any more

    async def bring_in(self, work: Work) -> None:
        """Bring every download to its verdict (see pipeline.sharing.Crew.bring_in)."""
        self._work = work
        if not self._where.keys() & {*SOURCES, "source"}:
            self._require_neighbours()
            self._where = {**self._where, "url": work.source.name}
        self._threads = await self._wait_for_threads()
        if not work.waiting:
            return
        self._following = Following(work.emit)
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
            ClusterError: the scheduler does not answer.
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

    async def _wait_for_threads(self) -> int:
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
        self._done: Any = require_dask().as_completed(loop=self._client.loop)
        together = []
        for position, download in self._work.waiting:
            begun = self._work.ledger.begun.get(download.id)
            # What was begun in one go is gone on with so.
            if begun is None or begun.spans[0].span.end is None or not isinstance(self._work.source, ResumableSource):
                together.append((position, download))
            else:
                self._divide((position, download), begun, restored=True)
        for share, size in sorted(planned(self._work, together, self._threads), key=lambda each: -each[1]):
            self._submit(share, size)
        while self._tasks:
            future = await anext(self._done)
            if future not in self._tasks:
                continue  # given up
            if future.status == "lost":
                self._done.add(future)  # with the worker that held the result: another one brings it again
                continue
            task = self._tasks[future]
            result = await self._result(future, task)
            del self._tasks[future]
            future.release()
            self._following.finish(task.number, result)
            if task.share.is_part:
                await self._take_span(task.number, result)
            else:
                await self._take(task.share, result)

    def _submit(self, share: Share, size: int) -> int:
        """Send a share out as a task; return its number."""
        task = Task(self._run, next(self._numbers), share, self._reducer, self._where, self._work.options, size)
        key = f"mockexport-{self._run}-{task.number}"
        future = self._client.submit(self._enter, __version__, task.packed(), key=key, priority=task.size, pure=False)
        self._tasks[future] = task
        self._following.expect(task)
        self._done.add(future)
        return task.number

    def _divide(self, placed: tuple[int, Download], begun: Begun, *, restored: bool) -> None:
        """Send the spans of a download out, from where it has got to; `restored`: in an earlier run."""
        work, download_id = self._work, placed[1].id
        download: There = DownloadRun(*placed, work.reducer, SpanRun)
        download.begin(begun, span_bytes(begun.mark.total or 0, work.options.split, self._threads))
        if not download.runs:  # it had all its rows and no verdict: they did not pass
            del work.ledger.begun[download_id]
            self._submit(*together(work, [placed], split=work.options.split))
            return
        work.ledger.in_flight[download_id] = download
        self._following.start(download_id)
        if restored:
            work.emit(events.Restored(download_id, download.folded_bytes, download.rows, finished=False))
        self._following.land(download_id, None, download.landed.size_bytes, download.landed.rows)
        work.emit(events.Divided(download_id, len(download.runs)))
        self._send(download, download.runs)

    def _send(self, download: There, spans: Iterable[SpanRun]) -> None:
        for sent in spans:
            assert download.mark is not None  # noqa: S101 - only what has one is divided
            placed = (download.position, download.download)
            number = self._submit(*of_part(self._work, placed, download.mark, sent.begun))
            self._sent[number] = (download, sent)

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
            raise failure_of(error, task) from error

    # ---- results

    async def _take(self, share: Share, result: Result) -> None:
        """Take what downloads came to; divide those that are given back."""
        brought = _brought(result)
        positions = {download.id: (position, download) for position, download in share.downloads}
        apart = {positions[account.download_id][0] for account in brought.accounts if not account.verdict.complete}
        accounts = [self._with_void(account) for account in brought.accounts]
        await self._work.ledger.take_in(accounts, brought.runs, apart)
        for account in accounts:
            self._finished(account)
        for download_id, begun in brought.begun.items():
            self._divide(positions[download_id], begun, restored=False)

    async def _take_span(self, number: int, result: Result) -> None:
        """Take what a span came to; bring the download to its verdict if it was the last."""
        download, sent = self._sent.pop(number)
        work, download_id = self._work, download.download.id
        match result.error:
            case BadRowError() as bad:
                download.note_bad_row(sent, bad)
            case PartVoid() | HeaderError() as error:
                # In the middle it may be no header: what was taken for a row there may be in quotes.
                await self._begin_again(download, str(error))
                return
            case SourceError() as error:
                await self._finish(download, Verdict(VerdictKind.FAILED, (str(error),)))
                return
            case _:
                brought = _brought(result)
                sent.came(brought.attempts, brought.fetched_bytes)
                (held,) = brought.begun[download_id].spans
                async with download.landing:
                    again = download.land(sent, held.unpacked(work.reducer))
                self._following.land(download_id, number, download.landed.size_bytes, download.landed.rows)
                self._send(download, again)
        if download.bad_row is not None:
            raise download.bad_row
        await self._give_up(download)
        verdict = download.verdict(work.rules)
        if verdict is not None and verdict.kind is VerdictKind.FAILED:
            await self._begin_again(download, verdict.reasons[0])
        elif verdict is not None:
            await self._finish(download, work.rules.final(download.download, verdict, download.tally))

    async def _begin_again(self, download: There, reason: str) -> None:
        """Have a download fetched in one go after all."""
        work, download_id = self._work, download.download.id
        download.abandon()
        await self._give_up(download)
        work.emit(download.start_over(download.attempts, reason))
        self._void[download_id] = (download.attempts, download.fetched_bytes)
        self._following.forget(download_id)
        del work.ledger.in_flight[download_id]
        work.ledger.begun.pop(download_id, None)
        self._submit(*together(work, [(download.position, download.download)], split=None))

    async def _give_up(self, download: There) -> None:
        """Want none of the spans of a download that are abandoned."""
        numbers = {n for n, (of, sent) in self._sent.items() if of is download and sent.abandoned}
        if not numbers:
            return
        self._following.drop(numbers)
        unwanted = [future for future, task in self._tasks.items() if task.number in numbers]
        for future in unwanted:
            del self._tasks[future]
        for number in numbers:
            del self._sent[number]
        self._given_up = True
        await self._client.cancel(unwanted, force=True)

    def _with_void(self, account: DownloadAccount) -> DownloadAccount:
        """Add what spans that turned out void have cost."""
        attempts, fetched_bytes = self._void.get(account.download_id, (0, 0))
        return replace(
            account, attempts=account.attempts + attempts, fetched_bytes=account.fetched_bytes + fetched_bytes
        )

    async def _finish(self, download: There, verdict: Verdict) -> None:
        """Hand a divided download over that has its verdict."""
        download.abandon()
        await self._give_up(download)
        compared = self._work.rules.compares(download.download)
        self._finished(await self._work.ledger.land(verdict, download, compared=compared))

    def _finished(self, account: DownloadAccount) -> None:
        self._following.finished(account)
        if self._work.options.stops_on_failure and account.verdict.kind is VerdictKind.FAILED:
            raise Stopped


def _brought(result: Result) -> Brought:
    """Return what a task has brought; raise if it has brought nothing."""
    if result.error is not None:
        raise result.error
    if result.brought is None:
        raise ClusterError("a task was ended on its worker by somebody else")
    return result.brought
