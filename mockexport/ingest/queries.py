"""Questions about what is stored, answered in a few threads beside the event loop.

Each question takes a lease, then one read transaction, then Polars. The threads are few, since Polars uses all cores by
itself, and what waits for them is bounded: beyond it a caller hears 503 at once.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import polars as pl

from mockexport.ingest.catalogue import Catalogue
from mockexport.ingest.columns import latest
from mockexport.ingest.database import Connect, day_of
from mockexport.ingest.errors import Damaged, Overloaded, StorageFailed
from mockexport.ingest.leases import Leases
from mockexport.ingest.minutes import Minutes, minute_means
from mockexport.ingest.snapshots import Wanted, day_sequences, stored_rows, take

__all__ = ["Queries"]

T = TypeVar("T")

# Two at work: one waits for the disk or the database while the other computes.
_THREADS = 2
# At some ten milliseconds each this is a second of waiting, about what a caller is willing to wait.
MAX_WAITING = 64


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
        """
        with self._rows(wanted) as rows:
            return minute_means(rows, priority)

    def rows(self, wanted: Wanted) -> pl.DataFrame:
        """Return the wanted readings, one per key, by time, user and device."""
        with self._rows(wanted) as rows:
            return latest(rows).sort("timestamp", "user_id", "device_id").collect()

    def days(self) -> dict[int, int]:
        """Return the highest sequence number of every day that has readings."""
        with self._seam():
            return day_sequences(self._connect())

    def size(self, day: int) -> int:
        """Return about how many rows a day has: at least as many as `rows` would give."""
        first_us = day * 86_400 * 10**6
        wanted = Wanted(first_us, first_us + 86_400 * 10**6 - 1)
        with self._seam(), self._leases.reading():
            snapshot = take(self._connect(), wanted)
            return snapshot.journal.height + sum(file.rows for file in snapshot.files)

    def close(self) -> None:
        """End the threads; questions that wait are answered first."""
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()

    @contextmanager
    def _rows(self, wanted: Wanted) -> Iterator[pl.LazyFrame]:
        # A user's rows may hide behind a damaged row of any user, so a damaged day answers nobody.
        days, everywhere = self._damaged()
        touched = {day for day in days if day_of(wanted.first_us) <= day <= day_of(wanted.last_us)}
        if touched or everywhere:
            raise Damaged(touched, "a journal row" if touched else "the journal")
        with self._seam(), self._leases.reading():
            snapshot = take(self._connect(), wanted)
            yield stored_rows(snapshot, wanted, self._catalogue)

    @contextmanager
    def _seam(self) -> Iterator[None]:
        """Let no error of SQLite, Polars or the disk pass for an answer, or for a crash."""
        try:
            yield
        except (sqlite3.Error, pl.exceptions.PolarsError, OSError) as error:
            raise StorageFailed(f"reading: {type(error).__name__}") from error

    def _connect(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connector(self._database, False)
            self._connections.append(connection)
        return connection


def slices(wanted: Wanted, rows: int, rows_per_slice: int) -> list[Wanted]:
    """Cut a time span into equal pieces of about so many rows, so that each fits in memory. Pure."""
    pieces = max(1, -(-rows // rows_per_slice))
    span = wanted.last_us - wanted.first_us + 1
    edges = [wanted.first_us + span * index // pieces for index in range(pieces + 1)]
    return [replace(wanted, first_us=first, last_us=end - 1) for first, end in zip(edges, edges[1:], strict=False)]
