"""Questions about what is stored, answered in a few threads beside the event loop.

Each question takes a lease, then one read transaction, then Polars. The threads are few, since Polars uses all cores by
itself, and what waits for them is bounded: beyond it a caller hears 503 at once.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import polars as pl

from mockexport.ingest.catalogue import Catalogue, StoredFile, listed
from mockexport.ingest.columns import latest
from mockexport.ingest.database import Connect, day_of
from mockexport.ingest.errors import Damaged, Overloaded, RequestProblem, Stopping, StorageFailed
from mockexport.ingest.leases import Leases
from mockexport.ingest.minutes import Minutes, minute_means
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.snapshots import Snapshot, Wanted, day_sequences, stored_rows, take

__all__ = ["Queries", "in_pieces"]

T = TypeVar("T")

# Two at work: one waits for the disk or the database while the other computes.
_THREADS = 2
# At some ten milliseconds each this is a second of waiting, about what a caller is willing to wait.
MAX_WAITING = 64
# A month of one user's readings, once a second from two devices, is some hundred megabytes while it is worked on.
_DAYS_AT_ONCE = 32
# What one reply may hold: two years in which every minute was measured, some eighty megabytes of JSON.
MAX_MINUTES = 2 * 366 * 24 * 60


class Queries:
    """The threads and their connections. The plain methods may be called from any thread, `run` from an event loop."""

    def __init__(
        self,
        database: Path,
        connector: Connect,
        catalogue: Catalogue,
        leases: Leases,
        damaged: Callable[[], tuple[frozenset[int], bool]],
    ) -> None:
        self._database, self._connector = database, connector
        self._catalogue, self._leases, self._damaged = catalogue, leases, damaged
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="query")
        self._waiting = 0
        self._closing = False
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    @property
    def waiting(self) -> int:
        """How many questions are asked and not answered."""
        return self._waiting

    def __repr__(self) -> str:
        return f"<Queries: {self._waiting} waiting>"

    async def run(self, question: Callable[..., T], *arguments: object) -> T:
        """Ask one of the methods below in a thread.

        Raises:
            Overloaded: too many are asked already.
        """
        if self._waiting >= MAX_WAITING:
            raise Overloaded("too many queries wait")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, question, *arguments)
        finally:
            self._waiting -= 1

    def minutes(self, wanted: Wanted, priority: Mapping[str, int]) -> Minutes:
        """Return one user's minute averages.

        Raises:
            Damaged: a day that the question touches is not whole.
            RequestProblem: there are more than one reply may hold.
        """
        self._refuse_damaged(wanted)
        with self._seam(), self._leases.reading():
            snapshot = take(self._connect(), wanted)
            result = Minutes([], [], [])
            # A minute lies within a day, so days are worked on a few at a time, and memory does not grow with the span.
            for piece in in_pieces(wanted, _days(snapshot), _DAYS_AT_ONCE):
                if self._closing:
                    raise Stopping
                result += minute_means(stored_rows(snapshot, piece, self._catalogue), priority)
                if len(result) > MAX_MINUTES:
                    raise RequestProblem("end", f"the span holds more than {MAX_MINUTES} minutes; ask for less at once")
            return result

    def rows(self, wanted: Wanted) -> pl.DataFrame:
        """Return the wanted readings, one per key, by time, user and device."""
        self._refuse_damaged(wanted)
        with self._seam(), self._leases.reading():
            rows = stored_rows(take(self._connect(), wanted), wanted, self._catalogue)
            return latest(rows).sort("timestamp", "user_id", "device_id").collect()

    def days(self) -> dict[int, int]:
        """Return the highest sequence number of every day that has readings."""
        with self._seam():
            return day_sequences(self._connect())

    def files(self, first_day: int, last_day: int) -> list[StoredFile]:
        """Return which files hold the readings of some days."""
        with self._seam():
            return listed(self._connect(), first_day, last_day)

    def size(self, day: int) -> int:
        """Return about how many rows a day has: at least as many as `rows` would give."""
        wanted = Wanted(day * DAY_US, (day + 1) * DAY_US - 1)
        with self._seam(), self._leases.reading():
            snapshot = take(self._connect(), wanted)
            stored = (each.rows for file in snapshot.files for each in file.day_rows() if each.day == day)
            return snapshot.journal.height + sum(stored)

    def close(self) -> None:
        """End the threads; questions that have not begun are dropped, and those under way end with their piece."""
        self._closing = True
        self._threads.shutdown(cancel_futures=True)
        for connection in self._connections:
            connection.close()

    def _refuse_damaged(self, wanted: Wanted) -> None:
        # A damaged row may have been anybody's, so a damaged day answers nobody.
        days, everywhere = self._damaged()
        touched = {day for day in days if day_of(wanted.first_us) <= day <= day_of(wanted.last_us)}
        if touched or everywhere:
            raise Damaged(touched, "a journal row" if touched else "the journal")

    @contextmanager
    def _seam(self) -> Iterator[None]:
        """Let no error of SQLite, Polars or the disk pass for an answer, or for a crash."""
        try:
            yield
        except (sqlite3.Error, pl.exceptions.PolarsError, OSError, UnicodeError) as error:
            raise StorageFailed(f"reading: {type(error).__name__}") from error

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connector(self._database, False)
            self._connections.append(connection)
        return connection


def _days(snapshot: Snapshot) -> list[int]:
    """Return the days on which the snapshot has anything, ascending."""
    journal = snapshot.journal["timestamp"].to_physical() // DAY_US
    return sorted({day for file in snapshot.files for day in file.held_days()} | set(journal.unique().to_list()))


def in_pieces(wanted: Wanted, days: Sequence[int], at_once: int) -> list[Wanted]:
    """Cut a time span so that each piece holds so many of the days at most, and all of them are covered. Pure."""
    pieces = []
    for index in range(0, len(days), at_once):
        part = days[index : index + at_once]
        first, last = max(wanted.first_us, part[0] * DAY_US), min(wanted.last_us, (part[-1] + 1) * DAY_US - 1)
        pieces.append(replace(wanted, first_us=first, last_us=last))
    return pieces
