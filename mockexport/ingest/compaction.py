"""Compaction: journal rows become sorted Parquet files, a few per period. Off the event loop, in a thread of its own.

A pass drops what is too old, takes what was deleted out of the files, then takes the oldest rows of the journal, merges
each period's with some of the period's files, publishes the new files, lists them and drops what they replace, in one
transaction, and deletes the rows in some further ones. A crash before that leaves files in no list, after it files that
nobody misses; the numbers in the rows make it harmless that a row is in both, and that it is merged again. Between
passes, small days are joined (see `periods`).
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mockexport.ingest.catalogue import Catalogue, StoredFile, add_files, drop_files, listed
from mockexport.ingest.checksums import row_checksum_sql
from mockexport.ingest.columns import day_number, journal_frame, named
from mockexport.ingest.database import Connect, bad_rows
from mockexport.ingest.deletions import note_erased, pending_deletions, touches, without_deleted
from mockexport.ingest.disk import Disk
from mockexport.ingest.errors import Damaged, StorageFailed, Unavailable
from mockexport.ingest.journal import Journal
from mockexport.ingest.leases import Leases
from mockexport.ingest.periods import Period, sparse_periods, targets
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.rewriting import Change, Rewriter
from mockexport.ingest.snapshots import journal_columns, named_streams, read_transaction

__all__ = ["CompactionCounts", "Compactor"]

_log = logging.getLogger(__name__)

# Rows of one pass: what is held in memory.
MAX_PASS_ROWS = 200_000
# Rows that one transaction deletes while readings wait, some ten milliseconds: all of a pass would be a fifth of a
# second.
_DELETED_AT_ONCE = 10_000
# How often the thread looks at the journal's age, and idly at files that nobody has read yet.
_LOOK_S = 0.5
# After a pass that failed the next one waits this long.
_PAUSE_S = 5.0

_FITS = f"checksum = {row_checksum_sql('seq', 'stream', 'time_us', 'heart_rate')}"


@dataclass(slots=True)
class CompactionCounts:
    """What the compactor has done since it started. Only its thread writes it."""

    passes: int = 0
    failures: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0


class _Stopped(Exception):  # noqa: N818 - no fault
    """The pass was given up, for the service ends; the journal still has what it did not put into effect."""


class Compactor:
    """The thread. `compact` may also be called directly, from one thread at a time."""

    def __init__(
        self,
        database: Path,
        connector: Connect,
        journal: Journal,
        catalogue: Catalogue,
        leases: Leases,
        disk: Disk,
        *,
        rows: int,
        age_s: float,
        keep_days: int | None = None,
    ) -> None:
        self.counts: CompactionCounts = CompactionCounts()
        self.bad_days: frozenset[int] = frozenset()
        self._journal, self._catalogue, self._leases, self._disk = journal, catalogue, leases, disk
        self._rows, self._age_s, self._keep_days = rows, age_s, keep_days
        # The first day that was kept when old ones were last dropped.
        self._kept_from_day = 0
        # Whether deletions may wait to be carried out, and whether the files may leave something to do between passes.
        self._deletions_wait = self._files_changed = True
        self._connection = connector(database, False)
        self._one_at_a_time = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="compaction", daemon=True)

    def start(self) -> None:
        """Begin to look after the journal."""
        self._thread.start()

    def notice(self) -> None:
        """Learn that the journal has grown."""
        if self._journal.depth >= self._rows:
            self._wake.set()

    def notice_deletion(self) -> None:
        """Learn that something was deleted."""
        self._deletions_wait = True
        self._wake.set()

    def stop(self) -> None:
        """Ask for the end after the period that is being written; the rest of its pass is given up."""
        self._closing = True
        self._wake.set()

    def close(self) -> None:
        """Stop, and wait for it."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._connection.close()

    def _work(self) -> None:
        pause_until = 0.0
        while not self._closing:
            self._wake.wait(_LOOK_S)
            self._wake.clear()
            if self._closing or time.monotonic() < pause_until:
                continue
            try:
                if self._journal.depth >= self._rows or self._journal.oldest_age_s() >= self._age_s:
                    self.compact()
                    if self._journal.depth >= self._rows:
                        self._wake.set()
                elif self._deletions_wait or self._keep_from_day() > self._kept_from_day:
                    self.forget()
                elif self._files_changed:
                    self._look_at_files()
            except Exception as error:  # the thread must live: the next pass may succeed
                pause_until = time.monotonic() + _PAUSE_S
                # The type alone: a message could hold what was being stored.
                _log.warning("compaction failed", extra={"facts": {"error": type(error).__name__}})

    def _keep_from_day(self) -> int:
        """Return the first day that is kept."""
        return 0 if self._keep_days is None else max(0, int(time.time()) // 86_400 - self._keep_days)

    def compact(self) -> int:
        """Do one pass; return how many journal rows it moved.

        Raises:
            Unavailable: the pass did not happen; the journal still has everything.
        """
        return self._run(self._pass)

    def forget(self) -> None:
        """Take what is too old or deleted out of the files, and leave the journal alone.

        Raises:
            Unavailable: it did not happen.
        """
        self._run(self._forget)

    def _run(self, work: Callable[[], int]) -> int:
        with self._one_at_a_time, self._leases.reading():
            try:
                moved = work()
            except _Stopped:
                return 0
            except Unavailable as error:
                self.counts.failures += 1
                if isinstance(error, StorageFailed):
                    self._stop_accepting(error)
                raise
            except sqlite3.Error as error:
                self.counts.failures += 1
                raise StorageFailed(type(error).__name__) from error
            self.counts.passes += 1
            self.counts.rows += moved
            return moved

    def _stop_accepting(self, failure: StorageFailed) -> None:
        """After a failed fsync the journal must not promise either: the same disk is under it."""

        def fail(connection: sqlite3.Connection) -> None:
            raise failure

        try:
            self._journal.run(fail)
        except Unavailable:
            return

    def _pass(self) -> int:
        self._forget()
        return self._store_arrived()

    def _forget(self) -> int:
        self._drop_old()
        self._carry_out_deletions()
        return 0

    def _rewriter(self) -> tuple[Rewriter, list[StoredFile]]:
        """Return what rewrites files by what is deleted and too old now, and the files that are listed now."""
        with read_transaction(self._connection):
            files, deletions = listed(self._connection), pending_deletions(self._connection)
        return Rewriter(self._catalogue, self._disk, deletions, self._keep_from_day() * DAY_US), files

    def _drop_old(self) -> None:
        """Drop the days that are not kept any longer, from files and journal at once: a day is there or not."""
        day = self._keep_from_day()
        if day <= self._kept_from_day:
            return
        rewriter, files = self._rewriter()
        change = Change()
        for file in files:
            self._stop_if_asked(change)
            if file.first_us < day * DAY_US:
                rewriter.sift(file, change)
        days = {old for file in change.dropped for old in file.held_days(0, day - 1)}

        def work(connection: sqlite3.Connection, seq: int) -> tuple[None, int]:
            old = f"time_us < {day * DAY_US} AND {_FITS}"
            in_journal = connection.execute(f"SELECT DISTINCT time_us / {DAY_US} FROM journal WHERE {old}")  # noqa: S608 - our own
            # A snapshot of such a day is gone, also when readings of it come in again.
            change.erased = dict.fromkeys(days | {each for (each,) in in_journal.fetchall()}, seq)
            _list(connection, change)
            return None, connection.execute(f"DELETE FROM journal WHERE {old}").rowcount  # noqa: S608 - our own

        self._journal.run_numbered(work)
        self._give_up(change)
        self._kept_from_day = day

    def _carry_out_deletions(self) -> None:
        """Rewrite every file that may hold what was deleted, one at a time, and forget the deletions that are done."""
        self._deletions_wait = False
        rewriter, files = self._rewriter()
        with read_transaction(self._connection):
            deletions = pending_deletions(self._connection)
        for file in files:
            self._stop_if_asked(Change())
            # A damaged file is left alone; the deletion stays pending, and hides its rows should it be put back.
            if any(touches(each, file) for each in deletions) and self._catalogue.is_sound(file):
                change = Change()
                rewriter.sift(file, change)
                self._put_into_effect(change)
        if deletions:
            up_to_seq = deletions[-1].seq
            self._journal.run(lambda connection: _forget_done(connection, up_to_seq))

    def _store_arrived(self) -> int:
        """Move the journal's oldest rows into files; return how many went."""
        arrived, up_to_seq = self._arrived()
        if arrived.height == 0:
            return 0
        rewriter, files = self._rewriter()
        # Something of it may have been deleted since it was read; the new files count as free of it.
        arrived = without_deleted(arrived.lazy(), rewriter.deletions).collect()
        arrived = arrived.filter(pl.col("timestamp").to_physical() >= self._keep_from_day() * DAY_US)
        held: dict[Period, list[StoredFile]] = {}
        for file in files:
            held.setdefault(file.period, []).append(file)

        def may_join(parts: list[Period]) -> bool:
            return rewriter.may_join([file for part in parts for file in held[part]])

        counts = dict(arrived.group_by(day_number()).len().iter_rows())
        periods = targets({part: sum(file.rows for file in held[part]) for part in held}, counts, may_join)
        change = Change()
        first_day = day_number().replace_strict({day: period.first_day for day, period in periods.items()})
        by_first_day = {period.first_day: period for period in periods.values()}
        for (first,), rows in arrived.group_by(first_day.alias("first"), maintain_order=True):
            self._stop_if_asked(change)
            period = by_first_day[int(str(first))]
            inside = held.get(period) or [file for file in files if period.holds(file.period)]
            rewriter.arrive(period, inside, rows, change)
        self._put_into_effect(change)
        moved = self._delete_from_journal(up_to_seq)
        self.counts.duplicates += change.duplicates
        self.counts.conflicts += change.conflicts
        return moved

    def _stop_if_asked(self, change: Change) -> None:
        if self._closing:
            self._leases.retire([self._catalogue.path(file) for file in change.added])
            raise _Stopped

    def _put_into_effect(self, change: Change) -> None:
        """Do the one transaction, and give up what it replaced."""
        self._journal.run(lambda connection: _list(connection, change))
        self._give_up(change)

    def _delete_from_journal(self, up_to_seq: int) -> int:
        """Delete the sound rows up to a number, which are in the files now; return how many."""
        chosen = f"SELECT seq FROM journal WHERE seq <= {up_to_seq} AND {_FITS} ORDER BY seq LIMIT {_DELETED_AT_ONCE}"  # noqa: S608 - our own
        moved, rows = 0, _DELETED_AT_ONCE
        while rows == _DELETED_AT_ONCE:
            rows = self._journal.run(
                lambda connection: connection.execute(f"DELETE FROM journal WHERE seq IN ({chosen})").rowcount,  # noqa: S608 - our own
                after=lambda deleted: self._journal.forget(up_to_seq if deleted < _DELETED_AT_ONCE else 0, deleted),
            )
            moved += rows
        return moved

    def _give_up(self, change: Change) -> None:
        """Let go of the files that a change has replaced."""
        self._files_changed = True
        self._catalogue.forget(change.dropped)
        self._leases.retire([self._catalogue.path(file) for file in change.dropped])

    def _arrived(self) -> tuple[pl.DataFrame, int]:
        """Return the journal's oldest sound rows, and the number up to which they are all of them."""
        with read_transaction(self._connection):
            # A damaged row stays where it is: it belongs to no file, and deleting it would hide it.
            columns = self._connection.execute(
                f"SELECT {journal_columns()} FROM"  # noqa: S608 - no outside text
                f" (SELECT * FROM journal WHERE {_FITS} ORDER BY seq LIMIT {MAX_PASS_ROWS})"
            ).fetchone()
            frame = journal_frame(columns)
            remaining = self._connection.execute("SELECT count(*) FROM journal").fetchone()[0]
            if frame.height < min(remaining, MAX_PASS_ROWS):
                self.bad_days = bad_rows(self._connection).days
            streams = named_streams(self._connection, "stream IN (SELECT stream FROM journal)", ())
        rows = named(frame, streams)
        if rows.height != frame.height:
            # Rows of a stream that is gone; joining would drop them in silence.
            raise Damaged([], "the names of devices")
        return rows, int(frame["seq"][-1]) if frame.height else 0

    def _look_at_files(self) -> None:
        """Join small files, one month or year at a time; then check one file that nobody has read yet.

        So damage shows in /health before somebody needs the day.
        """
        with self._one_at_a_time, self._leases.reading():
            rewriter, files = self._rewriter()
            held: dict[Period, int] = {}
            for file in files:
                held[file.period] = held.get(file.period, 0) + file.rows
            for period in sparse_periods(held):
                inside = [file for file in files if period.holds(file.period)]
                if rewriter.may_join(inside):
                    change = Change()
                    rewriter.join(period, inside, change)
                    self._put_into_effect(change)
                    self._wake.set()
                    return
            for file in files:
                if not self._catalogue.is_known(file):
                    self._catalogue.is_sound(file)
                    return
            self._files_changed = False


def _list(connection: sqlite3.Connection, change: Change) -> None:
    """Put a change into effect; part of a transaction."""
    add_files(connection, change.added)
    drop_files(connection, change.dropped)
    note_erased(connection, change.erased)


def _forget_done(connection: sqlite3.Connection, up_to_seq: int) -> None:
    """Forget the deletions that no file is left for; part of a transaction."""
    files = listed(connection)
    for deletion in pending_deletions(connection):
        if deletion.seq <= up_to_seq and not any(touches(deletion, file) for file in files):
            connection.execute("DELETE FROM deletions WHERE seq = ?", (deletion.seq,))
