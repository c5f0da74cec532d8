"""A task: what a worker is given, what it does with it, what it reports meanwhile, and what it gives back.

What a worker reports goes through the scheduler, in order but without a promise; what it gives back comes once. So all
that happened is in the result, too, and the client takes each event from what comes first.

A task travels packed. Dask's workers close when a message names a module that they do not have, each that gets it, and
with them what others have running there; so the message itself names none, and what is in it is opened within the task.
"""

import asyncio
import builtins
import pickle
import time
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib import import_module
from io import BytesIO
from types import FunctionType
from typing import Any, cast

from msgspec.structs import astuple

from mockexport import __version__, events
from mockexport.distributed.clusters import require_dask
from mockexport.errors import ClusterError, MockExportError, OptionError
from mockexport.events import Event
from mockexport.pipeline.options import RunOptions
from mockexport.pipeline.run import Pipeline
from mockexport.pipeline.sharing import Brought, Share
from mockexport.reducers import Reducer
from mockexport.shown import foreign
from mockexport.sources.export_api import ExportApi
from mockexport.sources.opening import SourceOptions, open_source

__all__ = [
    "Message",
    "Result",
    "Task",
    "at_work",
    "bring",
    "by_value",
    "enter",
    "failure_of",
    "forget",
    "nothing",
    "stop",
    "topic_of",
]

# How often a worker reports how far it is with a task.
TELL_EVERY_S = 0.5

# What a worker reports: (task, token of this try, worker, its address, number of the event, its class, its fields).
# Progress has no number: it is not kept for the result.
Message = tuple[int, str, str, str, int | None, str, list[Any]]


@dataclass(frozen=True, repr=False)
class Task:
    """What a worker is given; `where` are SourceOptions, and `size` is how much work it is."""

    run: str
    number: int
    share: Share
    reducer: Reducer[Any, Any]
    where: Mapping[str, Any]
    options: RunOptions
    size: int

    def packed(self) -> BytesIO:
        """Return it as bytes, with what of the reducer no worker can import; their repr shows nothing, for logs.

        Raises:
            OptionError: the reducer, or the source, holds what belongs to this process.
        """
        try:
            return BytesIO(import_module("cloudpickle").dumps(self))
        except Exception as error:  # whatever the caller's own code, or a library's, raises
            raise OptionError(
                "reducer and source",
                f"one of them cannot be sent to a worker ({type(error).__name__}: {error}); give url, urls, folder or"
                " files instead of a source that is open",
            ) from error


@dataclass(frozen=True, repr=False)
class Result:
    """What a worker gives back: what it brought, or why it could not; and what happened meanwhile, in this try."""

    brought: Brought | None
    error: MockExportError | None
    token: str = ""
    happened: tuple[Event, ...] = ()


# On a worker: the shares that are being brought, by run.
at_work: dict[str, set["asyncio.Task[Brought]"]] = {}
# And the runs that are over: a task of theirs may start before its worker hears that nobody wants it.
_stopped: deque[str] = deque(maxlen=1000)


async def enter(version: str, packed: BytesIO) -> Any:
    """Do a task where there may be no mockexport; it travels by value."""
    from mockexport.distributed.tasks import bring

    return await bring(version, packed)


def nothing() -> None:
    """Be a task, by value: what a worker is wanted for."""


def by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """Return a function that is made of nothing global, in a form that is pickled by value and not by its name."""
    alike = FunctionType(function.__code__, {"__builtins__": builtins}, function.__name__)
    alike.__module__ = "__main__"
    return alike


async def bring(version: str, packed: BytesIO) -> Result:
    """Do a task, packed by this version; this runs on a worker, in its event loop."""
    if version != __version__:
        problem = f"a worker has mockexport {__version__}, and this is {version}; install the same everywhere"
        return Result(None, ClusterError(problem))
    try:
        task: Task = pickle.loads(packed.getvalue())  # noqa: S301 - who reaches a worker can run anything there
    except (ImportError, AttributeError) as error:
        return Result(None, ClusterError(f"a worker cannot load the reducer ({error}); install it there, too"))
    if task.run in _stopped:
        return Result(None, None)
    telling = _Telling(task)
    work = asyncio.create_task(_bring_share(task, telling))
    at_work.setdefault(task.run, set()).add(work)
    try:
        return telling.result(await work, None)
    except MockExportError as error:
        return telling.result(None, error)
    except asyncio.CancelledError:
        current = asyncio.current_task()
        if current is not None and current.cancelling():
            raise
        return telling.result(None, None)
    finally:
        at_work[task.run].discard(work)
        if not at_work[task.run]:
            del at_work[task.run]


async def _bring_share(task: Task, telling: "_Telling") -> Brought:
    export_id = task.share.export_id
    async with open_source(export_id, **cast("SourceOptions", task.where)) as opened:
        if not isinstance(opened.source, ExportApi):
            await opened.source.discover(export_id)  # of files, it is what finds them
        # A task is one thread's, as the cluster counts; the others have tasks of their own.
        options = replace(task.options, consumers=1, split=task.share.split, on_failure="continue")
        return await Pipeline(opened.source, task.reducer, options, listener=telling).run_share(task.share)


def failure_of(error: Exception, task: Task) -> ClusterError:
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


async def stop(run: str) -> None:
    """End what a worker still does for a run; this runs on every worker."""
    _stopped.append(run)
    works = set(at_work.get(run, ()))
    for work in works:
        work.cancel()
    if works:
        await asyncio.wait(works)


def forget(topic: str, dask_scheduler: Any) -> None:
    """Drop what the scheduler keeps of what was reported; this runs there, by value, and it fills in the argument."""
    dask_scheduler._broker.truncate(topic)  # noqa: SLF001 - it has no other way


def topic_of(run: str) -> str:
    """Return under which name a run's messages are sent."""
    return f"mockexport-{run}"


class _Telling:
    """A worker's listener: reports to the client what happens, and keeps it for the result."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._token = uuid.uuid4().hex
        self._worker = require_dask().get_worker()
        self._happened: list[Event] = []
        self._next_s = 0.0

    def __call__(self, event: Event) -> None:
        match event:
            case events.Advanced():
                if time.monotonic() >= self._next_s:
                    self._next_s = time.monotonic() + TELL_EVERY_S
                    self._tell(None, event)
            case events.DownloadFinished():
                pass  # the client knows when it has the result, and that is when it counts
            case _:
                self._tell(len(self._happened), event)
                self._happened.append(event)

    def _tell(self, number: int | None, event: Event) -> None:
        values = list(astuple(event))
        worker = self._worker
        message: Message = (
            self._task.number, self._token, worker.id, worker.address, number, type(event).__name__, values
        )  # fmt: skip
        worker.log_event(topic_of(self._task.run), message)

    def result(self, brought: Brought | None, error: MockExportError | None) -> Result:
        return Result(brought, error, self._token, tuple(self._happened))
