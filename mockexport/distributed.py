"""The same analysis on the workers of a Dask cluster: shares out, accounts and states back, one merge, here.

    from distributed import Client

    async with Client("tcp://scheduler:8786", asynchronous=True) as client:
        report = await mockexport.distributed.analyze("large", client=client, url="https://exports.example")

A task is a share: downloads that are neighbours in time, or one span of a download that is far larger than the rest.
The worker runs the ordinary pipeline over it. The largest tasks go first, so that none is left for the end. What a task
has brought is merged when it comes, once; a worker that is lost costs what it had in hand, which others bring anew.

Needs the extra `mockexport[dask]`. URL, token and header fields travel inside the tasks' data, which is in the memory
of scheduler and workers and on the wire between them (docs/scale.md says how to protect it); a task's key and name hold
nothing but numbers.
"""

import asyncio
import logging
import pickle
import re
import time
import uuid
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from itertools import count, pairwise
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, cast, overload

from mockexport import __version__, events
from mockexport.analysis import RunOptions, run_export
from mockexport.checkpoint import SavedFlight
from mockexport.errors import BadRowError, ClusterError, MockExportError, OptionError, SourceError, public_url
from mockexport.events import Event
from mockexport.formats import MAX_ROW_BYTES, CsvDecoder, Cutter
from mockexport.model import Download, Schema, Span, Verdict, VerdictKind
from mockexport.opening import SourceOptions, open_source
from mockexport.pipeline import Pipeline
from mockexport.pipeline.flights import Part, account_of
from mockexport.pipeline.landed import Landed, borders_of
from mockexport.pipeline.producing import PartVoid, Stopped
from mockexport.pipeline.sharing import Brought, Share, Work
from mockexport.reducers import Reducer, Statistics, Summary
from mockexport.report import DownloadAccount, Report
from mockexport.sources.export_api import ExportApi
from mockexport.sources.piped import Piped
from mockexport.streams import Mark, Opened, ResumableSource
from mockexport.tally import judge

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["analyze", "connected", "local_cluster"]

R = TypeVar("R")

_log = logging.getLogger("mockexport")

# Tasks for each thread of a worker: enough that the last ones end at about the same time.
TASKS_PER_THREAD = 8
# A task costs the scheduler some milliseconds; fewer rows than this are fetched and reduced in less than fifty.
LEAST_ROWS = 100_000
# A download without announced rows, among others that have some, is taken for one of this many.
UNKNOWN_ROWS = 1_000_000
# A part of a download this short is not worth its request and its task.
LEAST_SPAN_BYTES = 8 * 2**20
# How long to wait for a worker, at the start or after all were lost.
WORKERS_S = 60.0
# How often a worker tells how far it is.
TELL_EVERY_S = 0.5
# What of a run is the client's own, or is about this machine.
STAYS = frozenset({"listener", "checkpoint", "session", "save", "save_format", "split", "on_failure"})


@overload
async def analyze(
    export_id: str | None = None, *, client: "Client", reducer: None = None, **options: Unpack[RunOptions]
) -> Report[Statistics]: ...


@overload
async def analyze(
    export_id: str | None = None, *, client: "Client", reducer: Reducer[Any, R], **options: Unpack[RunOptions]
) -> Report[R]: ...


async def analyze(
    export_id: str | None = None,
    *,
    client: "Client",
    reducer: Reducer[Any, Any] | None = None,
    **options: Unpack[RunOptions],
) -> Report[Any]:
    """Fetch, reduce, verify and merge an export on the workers of a cluster, and return its report.

    The report is the one of `mockexport.analyze`, to the byte. `concurrency` bounds the streams of one task; `split` is
    the length of a span, by default such that no download is more than a worker's share.

    Args:
        export_id: the export; by default a folder's own, and `demo` elsewhere.
        client: an asynchronous Dask client; it is left open.
        reducer: what becomes of the rows; the workers must be able to import it, or cloudpickle to take it along.
        **options: as for `mockexport.analyze`, but for `session` and `save`. Folders and files must be the workers',
            too; without `url`, the workers must be on this machine.

    Returns:
        The report (see mockexport.analyze).

    Raises:
        ClusterError: if there are no workers, or they or the scheduler are lost, or are of another version.
        MockExportError: what mockexport.analyze raises.
    """
    for name in ("session", "save"):
        if options.get(name) is not None:
            raise OptionError(name, "does not go with a cluster: it is this process's own")
    if isinstance(options.get("source"), Piped):
        raise OptionError("source", "standard input is this process's own: a cluster cannot read it")
    if not client.asynchronous:
        raise OptionError("client", "must be asynchronous: Client(…, asynchronous=True)")
    reducer = Summary() if reducer is None else reducer
    return await run_export(export_id, reducer, crew=_Crew(client, reducer, options), **options)


@asynccontextmanager
async def connected(address: str, *, timeout_s: float) -> AsyncIterator["Client"]:
    """Connect to the scheduler at an address such as `tcp://10.0.0.1:8786`, and yield a client.

    Raises:
        OptionError: if the extra is missing, or the address is none.
        ClusterError: if no scheduler answers.
    """
    dask = _dask()
    if not re.fullmatch(r"(tcp|tls|ws|wss)://[^/@]+:[0-9]+/?", address):
        raise OptionError("dask", f"{public_url(address)!a} is neither local:N nor an address such as tls://host:8786")
    try:
        client = await dask.Client(address, asynchronous=True, set_as_default=False, timeout=timeout_s)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"no scheduler answers at {address} within {timeout_s:g} s") from error
    try:
        yield client
    finally:
        await client.close()


def _dask() -> Any:
    """Return Dask's scheduler library, whose types are few.

    Raises:
        OptionError: the extra is missing.
    """
    try:
        return import_module("distributed")
    except ImportError as error:
        raise OptionError("dask", "needs the extra: pip install 'mockexport[dask]'") from error


@asynccontextmanager
async def local_cluster(processes: int) -> AsyncIterator["Client"]:
    """Run so many worker processes on this machine, for themselves, and yield a client of theirs.

    Raises:
        OptionError: if the extra is missing.
        ClusterError: if they cannot be started.
    """
    dask = _dask()
    try:
        # Two threads each: while one share waits for the network, another computes. No dashboard: nobody is to look in.
        # No logs: what is wrong comes back as an error.
        async with (
            dask.LocalCluster(
                n_workers=processes, threads_per_worker=2, processes=True, host="127.0.0.1",
                dashboard_address="127.0.0.1:0", asynchronous=True, silence_logs=logging.CRITICAL,
            ) as cluster,
            dask.Client(cluster, asynchronous=True, set_as_default=False) as client,
        ):  # fmt: skip
            yield client
    except (OSError, RuntimeError, TimeoutError) as error:
        raise ClusterError(f"the worker processes could not be run ({type(error).__name__})") from error


@dataclass(frozen=True, repr=False)
class _Task:
    """What a worker is given. Its repr tells nothing: Dask logs what it runs."""

    run: str
    number: int
    version: str
    export_id: str
    share: Share
    reducer: Reducer[Any, Any]
    options: Mapping[str, Any]
    size: int = field(compare=False, default=0)

    def __repr__(self) -> str:
        return f"<task {self.number}>"


@dataclass(frozen=True, repr=False)
class _Result:
    """What a worker gives back: what it brought, or why it could not; and what happened meanwhile."""

    brought: Brought | None
    error: MockExportError | None
    happened: tuple[Event, ...]


# On a worker: the shares that are being brought, by run.
_at_work: dict[str, set["asyncio.Task[Brought]"]] = {}
# And the runs that are over: a task of theirs may start before its worker hears that nobody wants it.
_stopped: deque[str] = deque(maxlen=1000)


async def _bring(task: _Task) -> _Result:
    """Do a task; this runs on a worker, in its event loop."""
    if task.version != __version__:
        problem = f"a worker has mockexport {__version__}, and this is {task.version}; install the same everywhere"
        return _Result(None, ClusterError(problem), ())
    if task.run in _stopped:
        return _Result(None, None, ())
    told = _Telling(task)
    work = asyncio.create_task(_bring_share(task, told))
    _at_work.setdefault(task.run, set()).add(work)
    try:
        return _Result(await work, None, tuple(told.happened))
    except MockExportError as error:
        return _Result(None, error, tuple(told.happened))
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return _Result(None, None, ())
    finally:
        _at_work[task.run].discard(work)
        if not _at_work[task.run]:
            del _at_work[task.run]


async def _bring_share(task: _Task, told: "_Telling") -> Brought:
    where = {key: value for key, value in task.options.items() if key in SourceOptions.__annotations__}
    how = {key: value for key, value in task.options.items() if key not in where}
    async with open_source(task.export_id, **cast("Any", where)) as opened:
        if not isinstance(opened.source, ExportApi):
            await opened.source.discover(task.export_id)  # of files, it is what finds them
        # A task is one thread's, as the cluster counts; the others have tasks of their own.
        pipeline = Pipeline(opened.source, task.reducer, listener=told, consumers=1, **how)
        return await pipeline.run_share(task.share)


async def _stop(run: str) -> None:
    """End what a worker still does for a run; this runs on every worker."""
    _stopped.append(run)
    works = set(_at_work.get(run, ()))
    for work in works:
        work.cancel()
    if works:
        await asyncio.wait(works)


class _Telling:
    """A worker's listener: tells the client now and then how far a task is, and keeps the rest for the result."""

    def __init__(self, task: _Task) -> None:
        self.happened: list[Event] = []
        self._task = task
        self._token = uuid.uuid4().hex
        self._worker = _dask().get_worker()
        self._next_s = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case events.DownloadStarted(download_id):
                self._tell(download_id, 0, 0)
            case events.Advanced(download_id, received_bytes, rows):
                if time.monotonic() >= self._next_s:
                    self._next_s = time.monotonic() + TELL_EVERY_S
                    self._tell(download_id, received_bytes, rows)
            case events.DownloadFinished():
                pass  # the client knows when it has the result, and that is when it counts
            case _:
                self.happened.append(event)

    def _tell(self, download_id: str, received_bytes: int, rows: int) -> None:
        message = [self._task.number, self._token, download_id, received_bytes, rows]
        self._worker.log_event(_topic(self._task.run), message)


def _topic(run: str) -> str:
    return f"mockexport-{run}"


@dataclass
class _Divided:
    """A download that comes in spans: what of it has landed, and how it went so far."""

    position: int
    download: Download
    header: str
    mark: Mark
    landed: Landed[Any]
    tasks: set[int] = field(default_factory=set)
    attempts: int = 1
    fetched_bytes: int = 0
    bad_row: tuple[int, BadRowError] | None = None


class _Crew:
    """The workers of a cluster, as those who bring an export in (pipeline.sharing.Crew)."""

    def __init__(self, client: "Client", reducer: Reducer[Any, Any], options: RunOptions) -> None:
        self._client: Any = client  # its own types are few
        self._reducer = reducer
        self._options = {key: value for key, value in options.items() if key not in STAYS and value is not None}
        self._schema = options.get("schema") or Schema()
        self._run = uuid.uuid4().hex[:12]
        self._numbers = count()
        self._raised: Exception | None = None  # by the listener
        self._tasks: dict[int, _Task] = {}
        self._futures: dict[Any, int] = {}  # the number of its task, by future
        self._divided: dict[str, _Divided] = {}
        self._tokens: dict[int, str] = {}
        self._progress: dict[str, dict[int, tuple[int, int]]] = {}
        self._started: set[str] = set()
        self._void: dict[str, tuple[int, int]] = {}  # attempts and bytes of downloads that began anew

    async def bring_in(self, work: Work) -> None:
        """Bring every download to its verdict (see pipeline.sharing.Crew.bring_in)."""
        self._work = work
        if not {"url", "folder", "files", "source"} & self._options.keys():
            self._require_neighbours()
            self._options["url"] = work.source.name
        threads = await self._threads()
        if not work.waiting:
            return
        self._client.subscribe_topic(_topic(self._run), self._hear)
        watch = asyncio.create_task(self._watch())
        try:
            await self._work_off(threads, watch)
        finally:
            watch.cancel()
            self._client.unsubscribe_topic(_topic(self._run))
            await self._end()

    def _require_neighbours(self) -> None:
        address = str(self._client.scheduler.address)
        if not address.startswith("inproc://") and "127.0.0.1" not in address and "localhost" not in address:
            raise OptionError("url", "the cluster is not on this machine: say where its workers find the data")

    async def _threads(self) -> int:
        """Return how many tasks the cluster does at once, once there is a worker."""
        try:
            async with asyncio.timeout(WORKERS_S):
                while not (threads := sum((await self._client.nthreads()).values())):  # noqa: ASYNC110 - it is asked
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise ClusterError(f"no worker came within {WORKERS_S:g} s") from None
        except OSError as error:
            raise ClusterError("the scheduler does not answer") from error
        return int(threads)

    async def _watch(self) -> None:
        """Raise when all workers have been gone for too long, or the scheduler is."""
        gone_s = 0.0
        while gone_s < WORKERS_S:
            await asyncio.sleep(1)
            if self._raised is not None:
                raise self._raised
            try:
                async with asyncio.timeout(WORKERS_S):
                    gone_s = 0.0 if await self._client.nthreads() else gone_s + 1
            except (OSError, TimeoutError) as error:
                raise ClusterError("the scheduler was lost") from error
        raise ClusterError(f"all workers are gone, and none came back within {WORKERS_S:g} s")

    async def _end(self) -> None:
        """Leave nothing behind on the cluster."""
        if not self._futures:
            return
        with suppress(Exception):  # it may be what was lost
            async with asyncio.timeout(10):
                await self._client.cancel(list(self._futures), force=True)
                await self._client.run(_stop, self._run, on_error="ignore")

    # ---- tasks

    async def _work_off(self, threads: int, watch: "asyncio.Task[None]") -> None:
        done: Any = _dask().as_completed(loop=self._client.loop)
        plan = [task async for task in self._plan(threads)]
        for task in sorted(plan, key=lambda task: -task.size):
            done.add(self._submit(task))
        results = aiter(done)
        while self._futures:
            following = asyncio.ensure_future(anext(results))
            try:
                await asyncio.wait({following, watch}, return_when=asyncio.FIRST_COMPLETED)
                if watch.done():
                    watch.result()
                future = following.result()
            finally:
                following.cancel()
            number = self._futures.pop(future, None)
            result = await self._result(future)
            future.release()
            if number is not None:
                for more in await self._take(self._tasks.pop(number), result):
                    done.add(self._submit(more))

    def _submit(self, task: _Task) -> Any:
        future = self._client.submit(
            _bring, task, key=f"mockexport-{self._run}-{task.number}", priority=task.size, pure=False
        )
        self._tasks[task.number] = task
        self._futures[future] = task.number
        return future

    async def _result(self, future: Any) -> _Result:
        """Return a task's result.

        Raises:
            ClusterError: there is none.
        """
        if future.status in ("cancelled", "lost"):
            raise ClusterError("the connection to the scheduler was lost")
        try:
            return cast("_Result", await future.result())
        except _dask().KilledWorker as error:
            raise ClusterError(
                f"a task ended {error.allowed_failures + 1} workers, one after the other, and is not tried again;"
                " look at their logs, and at their memory"
            ) from error
        except (ImportError, AttributeError, pickle.UnpicklingError) as error:
            what = f"{type(self._reducer).__module__}.{type(self._reducer).__qualname__}"
            raise ClusterError(
                f"a worker cannot load the task ({type(error).__name__}): are mockexport and {what} installed there?"
            ) from error
        except MockExportError:
            raise
        except Exception as error:
            raise ClusterError(f"a task failed on its worker ({type(error).__name__})") from error

    def _task(self, share: Share, size: int) -> _Task:
        number = next(self._numbers)
        return _Task(self._run, number, __version__, share.export_id, share, self._reducer, self._options, size)

    async def _plan(self, threads: int) -> AsyncIterator[_Task]:
        """Yield the tasks of all downloads: neighbours in time together, those far larger than the rest in spans."""
        work = self._work
        sizes = {download.id: _size(download) for _, download in work.waiting}
        total = sum(sizes.values())
        share = total // threads
        target = max(share // TASKS_PER_THREAD, LEAST_ROWS)
        together: list[tuple[int, Download]] = []
        for position, download in work.waiting:
            known = work.keeper.known_of(download.id)
            parts = [saved for saved in known if saved.span != Span(download.id)]
            large = work.split is not None or sizes[download.id] > max(share, 2 * LEAST_ROWS)
            spans = await self._divide(position, download, parts, threads, large=large) if parts or large else []
            if spans:
                for task in spans:
                    yield task
                continue
            if together and (
                together[-1][0] + 1 != position or sum(sizes[d.id] for _, d in together) + sizes[download.id] > target
            ):
                yield self._together(together)
                together = []
            together.append((position, download))
        if together:
            yield self._together(together)

    def _together(self, downloads: list[tuple[int, Download]]) -> _Task:
        work = self._work
        ids = {download.id for _, download in downloads}
        known = tuple(saved for i in ids for saved in work.keeper.known_of(i) if saved.span == Span(i))
        overlaps = {i: text for i, text in work.overlaps.items() if i in ids}
        share = Share(work.export_id, tuple(downloads), overlaps, known, keeps_apart=work.keeper.keeps_apart)
        return self._task(share, sum(_size(download) for _, download in downloads))

    async def _divide(
        self, position: int, download: Download, parts: list[SavedFlight], threads: int, *, large: bool
    ) -> list[_Task]:
        """Return tasks for the spans of a download, none if it is better fetched in one go."""
        work = self._work
        if not isinstance(work.source, ResumableSource):
            return []
        if parts:
            header, mark, rows_begin = parts[0].header, parts[0].mark, MAX_ROW_BYTES
        else:
            found = await self._probe(download)
            if found is None:
                return []
            header, mark, rows_begin = found
        total = mark.total
        if total is None:
            return []
        divided = _Divided(position, download, header, mark, Landed(work.reducer))
        for saved in parts:
            if saved.done:
                divided.landed.restore(saved)
        span_bytes = work.split or max(LEAST_SPAN_BYTES, total // (2 * threads))
        at, spans = 0, []
        for stretch in [*divided.landed.stretches, None]:
            end = total if stretch is None else stretch.span.start
            if at < end:
                borders = borders_of(total, span_bytes, beyond=max(at, rows_begin))
                edges = [at, *(border for border in borders if border < end), end]
                spans += [Span(download.id, *edge) for edge in pairwise(edges)]
            at = total if stretch is None else stretch.span.end or total
        if not spans or (len(spans) == 1 and not divided.landed.stretches):
            return []
        self._divided[download.id] = divided
        self._start(download.id)
        if parts:
            landed = divided.landed
            work.emit(events.Restored(download.id, landed.size_bytes, landed.rows, finished=False))
        work.emit(events.Divided(download.id, len(spans)))
        tasks = []
        for span in spans:
            part = Part(span, header, mark)
            length = (span.end or total) - span.start
            size = _size(download) * length // total
            share = Share(work.export_id, ((position, download),), {}, part=part)
            tasks.append(self._task(share, size))
        divided.tasks = {task.number for task in tasks}
        return tasks

    async def _probe(self, download: Download) -> tuple[str, Mark, int] | None:
        """Return a download's header line, by what its content is known, and the byte at which its rows begin.

        None if it cannot be had in parts. What comes beside the header is dropped: a reading or two of a socket.
        """
        cutter = Cutter(Span(download.id), 1)
        decoder = CsvDecoder(self._schema)
        mark: Mark | None = None
        stream = self._work.source.stream(self._work.export_id, download)
        try:
            async with aclosing(stream.pieces()) as pieces:
                async for piece in pieces:
                    if isinstance(piece, Opened):
                        mark = piece.mark
                    if isinstance(piece, bytes):
                        for chunk in cutter.feed(piece):
                            decoder.skip_header(chunk)
                            if decoder.header is not None:
                                break
                    if decoder.header is not None or (isinstance(piece, Opened) and mark is None):
                        break
        except MockExportError:
            return None  # the task will say what is wrong
        finally:
            await stream.close(None)
        if mark is None or mark.total is None or decoder.header is None:
            return None
        return decoder.header, mark, cutter.offset

    # ---- results

    async def _take(self, task: _Task, result: _Result) -> list[_Task]:
        """Take what a task came to; return the tasks that follow from it."""
        downloads = task.share.downloads
        divided = self._divided.get(downloads[0][1].id) if task.share.part is not None else None
        if task.share.part is not None and (divided is None or task.number not in divided.tasks):
            return []  # of an attempt that is void
        for event in result.happened:
            if isinstance(event, events.Opened) and divided is not None:
                continue
            self._work.emit(event)
        if divided is not None:
            divided.tasks.discard(task.number)
            return await self._take_span(divided, task.share.part, result)
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
            self._finished(account)
            if self._work.stop_on_failure and account.verdict.kind is VerdictKind.FAILED:
                raise Stopped
        return []

    async def _take_span(self, divided: _Divided, part: Part | None, result: _Result) -> list[_Task]:
        work, download = self._work, divided.download
        match result.error:
            case None:
                pass
            case PartVoid() as void:
                return self._anew(divided, str(void))
            case BadRowError() as bad if part is not None:
                if divided.bad_row is None or part.span.start < divided.bad_row[0]:
                    divided.bad_row = (part.span.start, bad)
            case SourceError() as error:
                await self._judged(divided, Verdict(VerdictKind.FAILED, (str(error),)))
                return []
            case error:
                raise error
        if result.brought is not None and result.brought.span is not None:
            span = result.brought.span
            divided.landed.restore(span.saved)
            divided.attempts += span.attempts - 1
            divided.fetched_bytes += span.fetched_bytes
            work.keeper.know(download.id, divided.landed.saved(divided.header, divided.mark))
        elif result.error is None:
            raise ClusterError("a task was ended on its worker by somebody else")
        if divided.bad_row is not None:
            start, bad = divided.bad_row
            lines = divided.landed.lines_before(start)
            if lines is not None:
                raise BadRowError(bad.download_id, bad.line + lines, bad.offset, bad.reason)
        if not divided.tasks and divided.landed.is_whole(divided.mark.total):
            tally = divided.landed.stretches[0].tally
            verdict = judge(download, tally)
            if verdict.kind is VerdictKind.FAILED:
                return self._anew(divided, verdict.reasons[0])
            if work.strict and tally.bad:
                stump = tally.examples[-1]
                raise BadRowError(download.id, stump.line, divided.landed.offset, stump.reason)
            overlap = work.overlaps.get(download.id)
            if verdict.counts and overlap is not None:
                verdict = Verdict(VerdictKind.MISMATCH, (*verdict.reasons, overlap))
            await self._judged(divided, verdict)
        return []

    def _anew(self, divided: _Divided, reason: str) -> list[_Task]:
        """Fetch a download in one go after all."""
        download_id = divided.download.id
        self._progress.pop(download_id, None)
        del self._divided[download_id]
        self._work.keeper.know(download_id, [])
        self._void[download_id] = (divided.attempts, divided.fetched_bytes)
        self._work.emit(events.StartedOver(download_id, divided.attempts, 0.0, reason, divided.fetched_bytes))
        return [self._together([(divided.position, divided.download)])]

    def _with_void(self, account: DownloadAccount) -> DownloadAccount:
        """Add what spans that turned out void have cost."""
        attempts, fetched_bytes = self._void.get(account.download_id, (0, 0))
        return replace(
            account, attempts=account.attempts + attempts, fetched_bytes=account.fetched_bytes + fetched_bytes
        )

    async def _judged(self, divided: _Divided, verdict: Verdict) -> None:
        """Hand a divided download over that has its verdict."""
        work, download = self._work, divided.download
        divided.tasks = set()
        account = account_of(
            download,
            verdict,
            divided.landed.tally,
            attempts=divided.attempts,
            received_bytes=divided.landed.size_bytes,
            fetched_bytes=divided.fetched_bytes,
        )
        await work.keeper.take_over(divided.position, account, divided.landed)
        self._finished(account)
        if work.stop_on_failure and verdict.kind is VerdictKind.FAILED:
            raise Stopped

    def _finished(self, account: DownloadAccount) -> None:
        self._start(account.download_id)
        self._progress[account.download_id] = {}
        bad_rows = sum(account.bad_rows.values())
        self._work.emit(
            events.DownloadFinished(
                account.download_id, account.verdict, account.received_bytes, account.rows, bad_rows
            )
        )

    # ---- progress

    def _start(self, download_id: str) -> None:
        if download_id not in self._started:
            self._started.add(download_id)
            self._work.emit(events.DownloadStarted(download_id))

    def _hear(self, heard: tuple[float, Any]) -> None:
        """Take what a worker tells of a task on its way; one that was lost is not listened to any more."""
        try:
            self._follow(*heard[1])
        except Exception as error:
            self._raised = self._raised or error

    def _follow(self, number: int, token: str, download_id: str, received_bytes: int, rows: int) -> None:
        if number not in self._tasks or download_id in self._work.keeper.accounts:
            return
        before = self._tokens.get(number)
        if before != token:
            if rows:
                return  # late, of a worker that was lost
            self._tokens[number] = token
            if before is not None and before != token:
                _log.info("download %s: its worker was lost; another one brings it anew", download_id)
        self._start(download_id)
        told = self._progress.setdefault(download_id, {})
        told[number] = (received_bytes, rows)
        if rows:
            all_bytes, all_rows = (sum(figures) for figures in zip(*told.values(), strict=True))
            self._work.emit(events.Advanced(download_id, all_bytes, all_rows))


def _size(download: Download) -> int:
    """Return how much work a download is: its rows, if they are announced."""
    return UNKNOWN_ROWS if download.rows is None else download.rows
