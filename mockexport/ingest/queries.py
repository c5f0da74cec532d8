"""Questions about what is stored: each takes a lease, then one read transaction, then Polars.

The methods may be called from any thread; from an event loop they are asked in `lanes`.
"""

import sqlite3
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import polars as pl

from mockexport.ingest.catalogue import Catalogue, StoredFile, listed
from mockexport.ingest.columns import day_number, latest
from mockexport.ingest.database import Connect, day_of
from mockexport.ingest.deletions import Deletion, journal_deletion
from mockexport.ingest.errors import Damaged, RequestProblem, Stopping, StorageFailed
from mockexport.ingest.journal import Journal
from mockexport.ingest.lanes import SHORT_COST, Lanes
from mockexport.ingest.leases import Leases
from mockexport.ingest.minutes import Minutes, minute_means
from mockexport.ingest.periods import Period
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.snapshots import Snapshot, StoredDays, Wanted, look, stored_days, stored_rows, take

__all__ = ["MAX_MINUTES", "Queries", "in_pieces"]

T = TypeVar("T")

# What one answer may hold: seventy days in which every minute was measured, some eight megabytes of JSON.
MAX_MINUTES = 100_000
# What is worked on at once: some tens of milliseconds of both cores, which is what a short question may find before it,
# and some tens of megabytes.
_PIECE_COST = 150_000
# What opening a file costs beside its rows: reading a row group for the sake of a few rows of it.
_FILE_COST = 5_000
# A question for no more than this is short unless it turns out to cost ever so much.
_NARROW_US = 2 * DAY_US
_NARROW_COST = 3 * SHORT_COST
# After every day that there can be.
_NO_DAY = 1 << 40


class _Costly(Exception):  # noqa: N818 - no fault
    """A narrow question that does not belong into the short lane."""

    def __init__(self, cost: int) -> None:
        self.cost = cost


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
        self.lanes: Lanes = Lanes()
        self._closing = False
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []

    def __repr__(self) -> str:
        return f"<Queries: {self.lanes.waiting} waiting>"

    async def ask(
        self, wanted: Wanted, priority: Mapping[str, int], limit: int | None, finish: Callable[[Minutes], T]
    ) -> T:
        """Ask for minute averages in the lane that the question belongs to, and finish the answer there.

        `minutes` says the rest.

        Raises:
            Overloaded: too many are asked already.
        """
        cost = 0
        if wanted.last_us - wanted.first_us >= _NARROW_US:
            cost = await self.lanes.plan(self.cost, wanted)
        try:
            return await self.lanes.run(
                cost, lambda: finish(self.minutes(wanted, priority, limit, cost or _NARROW_COST))
            )
        except _Costly as costly:
            return await self.lanes.run(costly.cost, lambda: finish(self.minutes(wanted, priority, limit)))

    def minutes(
        self,
        wanted: Wanted,
        priority: Mapping[str, int],
        limit: int | None = None,
        expected_cost: int | None = None,
    ) -> Minutes:
        """Return one user's minute averages: all, or where there are more than `limit`, at least one more than it.

        Raises:
            Damaged: a day that the question touches is not whole.
            RequestProblem: without a limit, there are more than one answer may hold.
        """
        result = Minutes.none()
        for part in self.pieces(wanted, priority, expected_cost):
            result = result + part
            if limit is None and len(result) > MAX_MINUTES:
                message = f"the span holds more than {MAX_MINUTES} minutes; ask for less at once, or with limit"
                raise RequestProblem("end", message)
            if limit is not None and len(result) > limit:
                break
        return result

    def pieces(
        self, wanted: Wanted, priority: Mapping[str, int], expected_cost: int | None = None
    ) -> Iterator[Minutes]:
        """Yield one user's minute averages piece by piece; whatever is damaged is told before the first.

        Raises:
            Damaged: a day that the question touches is not whole.
        """
        self._refuse_damaged(wanted)
        with self._seam(), self._leases.reading():
            snapshot = take(self._connect(), wanted)
            costs = _costs(snapshot, wanted)
            if expected_cost is not None and sum(costs.values()) > max(expected_cost, SHORT_COST) * 2:
                raise _Costly(sum(costs.values()))
            self._catalogue.verified(snapshot.files, day_of(wanted.first_us), day_of(wanted.last_us))
            # A minute lies within a period, so a few are worked on at a time, and memory does not grow with the span.
            for piece in in_pieces(wanted, costs, _PIECE_COST):
                self.lanes.give_way()
                if self._closing:
                    raise Stopping
                yield minute_means(stored_rows(snapshot, piece, self._catalogue), priority)

    def cost(self, wanted: Wanted) -> int:
        """Return about how many rows must be read for a user's readings: only the lists are looked at."""
        with self._seam():
            return sum(_costs(take(self._connect(), wanted), wanted).values())

    def rows(self, wanted: Wanted) -> pl.DataFrame:
        """Return the wanted readings, one per key, by time, user and device."""
        self._refuse_damaged(wanted)
        with self._seam(), self._leases.reading():
            rows = stored_rows(take(self._connect(), wanted), wanted, self._catalogue)
            return latest(rows).sort("timestamp", "user_id", "device_id").collect()

    def delete(self, wanted: Wanted, journal: Journal, after: Callable[[], None]) -> int:
        """Delete a user's readings of a span; return how many there were. `after` is called when it is in effect.

        Raises:
            Damaged: a day that the deletion touches is not whole, so nobody knows what is on it; nothing was deleted.
            Unavailable: it did not happen.
        """
        self._refuse_damaged(wanted)
        with self._seam(), self._leases.reading():
            before = take(self._connect(), wanted)
            self._catalogue.verified(before.files, day_of(wanted.first_us), day_of(wanted.last_us))
            user_id = wanted.user_id or ""

            def work(connection: sqlite3.Connection, seq: int) -> tuple[Snapshot, int]:
                # What is there is looked at and deleted in one transaction, so the count is exact.
                found = look(connection, wanted)
                deletion = Deletion(seq, user_id, wanted.first_us, wanted.last_us)
                return found, journal_deletion(connection, deletion)

            snapshot = journal.run_numbered(work, after)
            pieces = in_pieces(wanted, _costs(snapshot, wanted), _PIECE_COST)
            rows = (latest(stored_rows(snapshot, piece, self._catalogue)) for piece in pieces)
            return sum(part.select(pl.len()).collect().item() for part in rows)

    def days(self) -> StoredDays:
        """Return which days have readings, and what of them is deleted."""
        with self._seam():
            return stored_days(self._connect())

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
        self.lanes.close()
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


def _costs(snapshot: Snapshot, wanted: Wanted) -> dict[Period, int]:
    """Return what each period costs to read for one user, ascending: its files, and that user's share of their rows.

    A day that only the journal holds is a period, too.
    """
    costs: dict[Period, int] = {}
    for file in snapshot.files:
        first, last = day_of(file.first_us), day_of(file.last_us)
        within = min(last, day_of(wanted.last_us)) - max(first, day_of(wanted.first_us)) + 1
        share = file.rows * within // ((last - first + 1) * file.users)
        costs[file.period] = costs.get(file.period, 0) + _FILE_COST + share
    stored = sorted(costs)
    for day, rows in snapshot.journal.group_by(day_number()).len().iter_rows():
        place = bisect_right(stored, (day, _NO_DAY)) - 1
        period = stored[place] if place >= 0 and stored[place].last_day >= day else Period(day, day)
        costs[period] = costs.get(period, 0) + rows
    return dict(sorted(costs.items()))


def in_pieces(wanted: Wanted, costs: Mapping[Period, int], at_once: int) -> list[Wanted]:
    """Cut a time span so that each piece's periods cost about so much at most; the others hold nothing. Pure."""
    parts: list[list[Period]] = []
    spent = at_once
    for period, cost in costs.items():
        if period.last_day < day_of(wanted.first_us) or day_of(wanted.last_us) < period.first_day:
            continue
        if spent + cost > at_once:
            parts.append([])
            spent = 0
        parts[-1].append(period)
        spent += cost
    return [
        replace(
            wanted,
            first_us=max(wanted.first_us, part[0].first_day * DAY_US),
            last_us=min(wanted.last_us, (part[-1].last_day + 1) * DAY_US - 1),
        )
        for part in parts
    ]
