"""The journal: one writer thread, one commit for all who wait. What a 202 stands on.

Requests hand their readings over and wait; the writer takes all that has gathered, stores it as one transaction, and
only when the commit has returned (the log is on the disk) tells each of them. While it commits, the next group gathers:
under load the groups grow and the disk decides the pace, without a timer. What a failure means is told in `writing`.
"""

import asyncio
import queue
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from mockexport.ingest.database import last_sequence
from mockexport.ingest.errors import Overloaded, StorageFailed, Unavailable
from mockexport.ingest.insertion import Insertion, collapse
from mockexport.ingest.readings import Reading
from mockexport.ingest.writing import JournalState, Writing

__all__ = ["Journal", "JournalCounts"]

T = TypeVar("T")

# What may wait for the writer: some tenths of a second of its work. Beyond it a client hears 503 at once rather than
# 202 too late, and memory stays bounded whatever comes.
MAX_WAITING_READINGS = 40_000
MAX_WAITING_REQUESTS = 4_000
# One transaction's share of that, so that a group of batches does not hold up a single reading for long.
_GROUP_READINGS = 5_000
# How often a full disk is tried again when no request does.
_PROBE_S = 1.0
# The age of the journal's rows is known to this grain.
_AGE_GRAIN_S = 0.5


@dataclass(slots=True)
class JournalCounts:
    """What the writer has done since it started. Only the writer's thread writes it."""

    accepted: int = 0
    duplicates: int = 0
    conflicts: int = 0
    commits: int = 0


@dataclass(slots=True)
class _Waiting:
    readings: Sequence[Reading]
    loop: asyncio.AbstractEventLoop
    settled: Callable[[Unavailable | None], None]


@dataclass(slots=True)
class _Job:
    work: Callable[[sqlite3.Connection], object]
    after: Callable[[object], None]
    done: "Future[object]"


class Journal:
    """The writer and its queue. `write` from an event loop; `run` for other transactions, from any other thread."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        *,
        on_commit: Callable[[], None] = lambda: None,
        observe_commit: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self.counts: JournalCounts = JournalCounts()
        self._on_commit = on_commit
        self._observe_commit = observe_commit
        self._insertion = Insertion(last_sequence(connection) + 1)
        # Numbers of streams that an undone transaction would have made are no numbers, its times no times.
        self._writing = Writing(connection, self._insertion.forget)
        self._depth: int = connection.execute("SELECT count(*) FROM journal").fetchone()[0]
        now = time.monotonic()
        # What a former process left is at least as old as this one.
        self._ages: deque[tuple[int, float]] = deque([(self._insertion.last_seq, now)] if self._depth else [])
        self._queue: queue.SimpleQueue[_Waiting | _Job | None] = queue.SimpleQueue()
        # Two counters, each written by one side, instead of one that both would have to lock.
        self._submitted_readings = self._settled_readings = 0
        self._submitted_requests = self._settled_requests = 0
        self._thread = threading.Thread(target=self._work, name="journal", daemon=True)
        self._thread.start()

    # What others may ask

    @property
    def state(self) -> JournalState:
        """Whether it takes readings."""
        return self._writing.state

    @property
    def depth(self) -> int:
        """How many rows the journal holds."""
        return self._depth

    @property
    def waiting(self) -> int:
        """How many readings wait for the writer."""
        return self._submitted_readings - self._settled_readings

    def oldest_age_s(self) -> float:
        """Return the age of the oldest row that is not yet in Parquet; 0 where there is none."""
        try:
            return time.monotonic() - self._ages[0][1]
        except IndexError:
            return 0.0

    def __repr__(self) -> str:
        return f"<Journal {self.state}: {self._depth} rows, {self.waiting} waiting>"

    # The two ways in

    async def write(self, readings: Sequence[Reading]) -> None:
        """Store readings and return when they are on the disk.

        Raises:
            Unavailable: they are not, and nothing may be promised about them.
        """
        if not readings:
            return
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def settled(failure: Unavailable | None) -> None:
            if done.done():  # the request was cancelled
                return
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

        self.submit(readings, settled)
        await done

    def submit(self, readings: Sequence[Reading], settled: Callable[[Unavailable | None], None]) -> None:
        """Store readings; `settled` is called in the running event loop when they are on the disk, or with why not.

        Raises:
            Unavailable: they are not taken, and `settled` is not called.
        """
        self._admit(len(readings))
        self._queue.put(_Waiting(readings, asyncio.get_running_loop(), settled))

    def run(self, work: Callable[[sqlite3.Connection], T], after: Callable[[T], None] = lambda result: None) -> T:
        """Do `work` in a transaction of the writer's, commit it, and return what it returned.

        `after` is called with that on the writer's thread, before anything else is stored.

        Raises:
            Unavailable: the transaction did not happen.
        """
        if self.state is JournalState.CLOSED:
            raise StorageFailed("closed")
        done: Future[T] = Future()
        self._queue.put(_Job(work, after, done))  # type: ignore[arg-type]  # the job's type is known here alone
        return done.result()

    def run_numbered(
        self, work: Callable[[sqlite3.Connection, int], tuple[T, int]], after: Callable[[], None] = lambda: None
    ) -> T:
        """Do `work` as `run` does, with the next sequence number, for what deletes rows of the journal.

        `work` returns what is returned here, and how many rows it has deleted.

        Raises:
            Unavailable: the transaction did not happen.
        """

        def forget(found: tuple[T, int]) -> None:
            self._insertion.forget()
            self.forget(0, found[1])
            after()

        return self.run(lambda connection: work(connection, self._insertion.take_number(connection)), forget)[0]

    def forget(self, up_to_seq: int, rows: int) -> None:
        """Learn how many rows compaction has removed up to a sequence number. Called as `run`'s `after`."""
        self._depth -= rows
        while self._ages and (self._ages[0][0] <= up_to_seq or not self._depth):
            self._ages.popleft()

    def close(self) -> None:
        """Finish what waits, move the log into the database, and end the thread."""
        if self.state is JournalState.CLOSED:
            return
        self._queue.put(None)
        self._thread.join()

    def _admit(self, readings: int) -> None:
        if self.state is JournalState.CLOSED:
            raise StorageFailed("closed")
        failure = self._writing.failure
        if failure is not None and self.state is not JournalState.OPEN:
            # Raised once per request: without this it would gather a traceback for each of them.
            raise failure.with_traceback(None)
        # One request may always wait, however large, so the bound cannot lock anyone out for good.
        if self._submitted_requests - self._settled_requests >= MAX_WAITING_REQUESTS or (
            self.waiting and self.waiting + readings > MAX_WAITING_READINGS
        ):
            raise Overloaded("the journal's queue is full")
        self._submitted_readings += readings
        self._submitted_requests += 1

    # The writer's thread

    def _work(self) -> None:
        # Nobody has been promised anything while waiting, so the order is free: single readings go before batches,
        # which then share what is left of a group. A person's device does not queue behind an import.
        single: list[_Waiting] = []
        bulk: deque[_Waiting] = deque()
        jobs: deque[_Job] = deque()
        closing = False
        while True:
            idle = not (single or bulk or jobs)
            if idle and closing:
                break
            try:
                item = self._take() if idle else self._queue.get_nowait()
                while True:
                    if item is None:
                        closing = True
                    elif isinstance(item, _Job):
                        jobs.append(item)
                    elif len(item.readings) == 1:
                        single.append(item)
                    else:
                        bulk.append(item)
                    item = self._queue.get_nowait()
            except queue.Empty:
                pass
            group, single = single, []
            readings = len(group)
            while bulk and readings < _GROUP_READINGS:
                waiting = bulk.popleft()
                group.append(waiting)
                readings += len(waiting.readings)
            if group:
                self._settle(group, self._store(group))
            if jobs:
                self._do(jobs.popleft())
        self._finish()

    def _take(self) -> _Waiting | _Job | None:
        """Wait for the next item; meanwhile, where the disk was full, try whether there is room."""
        while True:
            try:
                return self._queue.get(timeout=_PROBE_S if self.state is JournalState.FULL else None)
            except queue.Empty:
                self._writing.do(_probe)

    def _store(self, group: list[_Waiting]) -> Unavailable | None:
        """Commit a group; return why not, if not."""
        collapsed = collapse(reading for waiting in group for reading in waiting.readings)
        started = time.perf_counter()
        stored = self._writing.do(lambda connection: self._insertion.insert(connection, collapsed))
        if isinstance(stored, Unavailable):
            return stored
        rows, conflicts = stored
        self._observe_commit(time.perf_counter() - started)
        self._depth += rows
        accepted = sum(len(waiting.readings) for waiting in group)
        self.counts.accepted += accepted
        self.counts.conflicts += conflicts + collapsed.conflicts
        self.counts.duplicates += collapsed.duplicates + len(collapsed.rates) - rows
        self.counts.commits += 1
        now = time.monotonic()
        if rows:
            last_seq = self._insertion.last_seq
            if self._ages and now - self._ages[-1][1] < _AGE_GRAIN_S and len(self._ages) > 1:
                self._ages[-1] = (last_seq, self._ages[-1][1])
            else:
                self._ages.append((last_seq, now))
        self._writing.count(rows)
        self._on_commit()
        return None

    def _do(self, job: _Job) -> None:
        result = self._writing.do(job.work)
        if isinstance(result, Unavailable):
            job.done.set_exception(result)
        else:
            self._writing.count(0)
            job.after(result)
            job.done.set_result(result)

    def _settle(self, group: list[_Waiting], failure: Unavailable | None) -> None:
        """Answer those who waited, one call into each event loop, and then tidy up on nobody's time."""
        loops: dict[asyncio.AbstractEventLoop, list[_Waiting]] = {}
        for waiting in group:
            loops.setdefault(waiting.loop, []).append(waiting)
            self._settled_readings += len(waiting.readings)
        self._settled_requests += len(group)
        for loop, settled in loops.items():
            try:
                loop.call_soon_threadsafe(_resolve, settled, failure)
            except RuntimeError:
                # The loop is closed: nobody is left who could be told. What was stored stays.
                continue
        self._writing.tidy_up()

    def _finish(self) -> None:
        self._writing.close()
        while not self._queue.empty():
            item = self._queue.get()
            if isinstance(item, _Waiting):
                self._settle([item], StorageFailed("closed"))
            elif item is not None:
                item.done.set_exception(StorageFailed("closed"))


def _probe(connection: sqlite3.Connection) -> None:
    """Write something small, to learn whether there is room."""
    connection.execute("UPDATE sqlite_sequence SET seq = seq")


def _resolve(group: list[_Waiting], failure: Unavailable | None) -> None:
    for waiting in group:
        waiting.settled(failure)
