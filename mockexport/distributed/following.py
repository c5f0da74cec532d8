"""What workers report of tasks on their way, as the events of one run: each once, in order, of work that still counts.

A try of a task is known by its token. Its events are numbered, and are passed on as they come; the result holds all of
them, and what had not come by then is passed on with it. When a worker is lost, the tries it had in hand are void: that
is an event of its own, and nothing more of them is passed on.
"""

import asyncio
from collections.abc import Callable, Collection
from dataclasses import dataclass

from mockexport import events
from mockexport.distributed.tasks import Message, Result, Task
from mockexport.events import Event, Listener
from mockexport.report.account import DownloadAccount

__all__ = ["Following"]


@dataclass(slots=True)
class _Try:
    """One try of a task: which worker's, and how many of its events were passed on."""

    token: str
    worker: str
    address: str
    passed_on: int = 0


class Following:
    """Passes on to a run's listener what workers report; `emit` is called with events.

    `broken` is set when the listener has raised `error`.
    """

    def __init__(self, emit: Listener) -> None:
        self.broken: asyncio.Event = asyncio.Event()
        self.error: Exception | None = None
        self._emit = emit
        self._tasks: dict[int, Task] = {}  # those that count
        self._tries: dict[int, _Try] = {}
        self._void: dict[str, int] = {}  # how many events of tries that are void were passed on, by token
        self._started: set[str] = set()
        self._landed: dict[str, tuple[int, int]] = {}  # bytes and rows that have come back, by download
        self._on_way: dict[str, dict[int, tuple[int, int]]] = {}  # and those that have not, by task

    def expect(self, task: Task) -> None:
        """Follow a task from now on."""
        self._tasks[task.number] = task

    def drop(self, numbers: Collection[int]) -> None:
        """Follow these tasks no more: what they bring is of no use."""
        for number in numbers:
            self._tasks.pop(number, None)
            self._tries.pop(number, None)

    def close(self) -> None:
        """Follow none any more: the run is over, and what is still heard of it comes too late."""
        self._tasks.clear()
        self._tries.clear()
        self._emit = lambda _: None  # Dask's client never forgets its listeners: no run, with its states, hangs on this

    def start(self, download_id: str) -> None:
        """Pass on that a download has started, unless that is known."""
        if download_id not in self._started:
            self._started.add(download_id)
            self._emit(events.DownloadStarted(download_id))

    def hear(self, heard: tuple[float, Message]) -> None:
        """Take what a worker reports, and when the scheduler heard it."""
        try:
            self._hear(*heard[1])
        except Exception as error:
            self.error = self.error or error
            self.broken.set()

    def _hear(
        self, number: int, token: str, worker: str, address: str, place: int | None, name: str, values: list[object]
    ) -> None:
        if number not in self._tasks or token in self._void:
            return  # late
        before = self._tries.get(number)
        if before is None or before.token != token:
            if before is not None:
                # Another try means that the one before is lost; then so is what else that worker had in hand.
                self.lose({before.worker}, lambda _: True)
            self._tries[number] = _Try(token, worker, address)
        event: Event = getattr(events, name)(*values)
        now = self._tries[number]
        if place is None:
            self._take(number, event)
        elif place == now.passed_on:
            now.passed_on += 1
            self._take(number, event)

    def _take(self, number: int, event: Event) -> None:
        match event:
            case events.DownloadStarted(download_id):
                self.start(download_id)
                self._on_way.setdefault(download_id, {})[number] = (0, 0)
            case events.Advanced(download_id, received_bytes, rows):
                self._advance(download_id, number, (received_bytes, rows))
            case events.Opened() if self._tasks[number].share.is_part:
                pass  # of a span whose server sent the whole: the download was opened before
            case _:
                self._emit(event)

    def _advance(self, download_id: str, number: int | None, figures: tuple[int, int] | None) -> None:
        on_way = self._on_way.setdefault(download_id, {})
        if number is not None and figures is not None:
            on_way[number] = figures
        elif number is not None:
            on_way.pop(number, None)
        parts = [self._landed.get(download_id, (0, 0)), *on_way.values()]
        self._emit(events.Advanced(download_id, sum(part[0] for part in parts), sum(part[1] for part in parts)))

    def missing(self, addresses: Collection[str], pending: Callable[[int], bool]) -> None:
        """Take note of which workers there are; what others had in hand, of tasks that are `pending`, is lost."""
        self.lose({now.worker for now in self._tries.values() if now.address not in addresses}, pending)

    def lose(self, workers: Collection[str], pending: Callable[[int], bool]) -> None:
        """Pass on that workers are lost, each with what it had in hand of tasks that are `pending`."""
        for worker in workers:
            lost = {number: now for number, now in self._tries.items() if now.worker == worker and pending(number)}
            if not lost:
                continue
            downloads: dict[str, None] = {}
            for number, now in lost.items():
                self._void[now.token] = now.passed_on
                del self._tries[number]
                downloads |= {i: None for i, on_way in self._on_way.items() if number in on_way}
            self._emit(events.WorkerLost(next(iter(lost.values())).address, tuple(downloads)))
            for download_id in downloads:
                for number in lost.keys() & self._on_way[download_id].keys():
                    self._advance(download_id, number, None)

    def finish(self, number: int, result: Result) -> None:
        """Pass on what happened in a task that has a result, as far as that is still to be done."""
        now = self._tries.pop(number, None)
        told = now.passed_on if now is not None and now.token == result.token else self._void.get(result.token, 0)
        for event in result.happened[told:]:
            self._take(number, event)
        del self._tasks[number]

    def land(self, download_id: str, number: int | None, landed_bytes: int, landed_rows: int) -> None:
        """Pass on how far a download is of which a span has come back, a task's or from a checkpoint."""
        self._landed[download_id] = (landed_bytes, landed_rows)
        self._advance(download_id, number, None)

    def forget(self, download_id: str) -> None:
        """Forget how far a download was."""
        self._landed.pop(download_id, None)
        self._on_way.pop(download_id, None)

    def finished(self, account: DownloadAccount) -> None:
        """Pass on that a download has its verdict."""
        self.start(account.download_id)
        self.forget(account.download_id)
        bad_rows = sum(account.bad_rows.values())
        self._emit(
            events.DownloadFinished(
                account.download_id, account.verdict, account.received_bytes, account.rows, bad_rows
            )
        )
