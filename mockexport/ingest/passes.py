"""What a pass of compaction does: what is too old goes, what was deleted goes, what has arrived comes into files.

New files are published, and then, in one transaction, listed, and what they replace dropped; the journal's rows are
deleted in some further ones. A crash before that leaves files in no list, after it files that nobody misses; the
numbers in the rows make it harmless that a row is in both, and that it is merged again.
"""

import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mockexport.ingest.catalogue import Catalogue, StoredFile, add_files, drop_files, listed
from mockexport.ingest.checksums import row_checksum_sql
from mockexport.ingest.columns import day_number, journal_frame, named
from mockexport.ingest.database import Connect, bad_rows
from mockexport.ingest.deletions import note_erased, pending_deletions, touches, without_deleted
from mockexport.ingest.disk import Disk
from mockexport.ingest.errors import Damaged
from mockexport.ingest.journal import Journal
from mockexport.ingest.leases import Leases
from mockexport.ingest.periods import Period, sparse_periods, targets
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.rewriting import Change, Rewriter
from mockexport.ingest.snapshots import journal_columns, named_streams, read_transaction

__all__ = ["Passes", "Stopped", "Stored"]

# Rows of one pass: what is held in memory.
MAX_PASS_ROWS = 200_000
# Rows that one transaction deletes while readings wait, some ten milliseconds: all of a pass would be a fifth of a
# second.
_DELETED_AT_ONCE = 10_000

_FITS = f"checksum = {row_checksum_sql('seq', 'stream', 'time_us', 'heart_rate')}"


class Stopped(Exception):  # noqa: N818 - no fault
    """The pass was given up, for the service ends; the journal still has what it did not put into effect."""


@dataclass(frozen=True, slots=True)
class Stored:
    """How many rows left the journal, and how many of them repeated or contradicted stored ones."""

    rows: int
    duplicates: int
    conflicts: int


class Passes:
    """The steps, each from one thread at a time, under a lease.

    Attributes:
        stopping: set to give the pass up before its next period.
        bad_days: days of journal rows that were found damaged.
        files_changed: whether the files may leave something for `tidy_up`.
    """

    def __init__(
        self,
        database: Path,
        connector: Connect,
        journal: Journal,
        catalogue: Catalogue,
        leases: Leases,
        disk: Disk,
        keep_days: int | None,
    ) -> None:
        self.stopping: bool = False
        self.bad_days: frozenset[int] = frozenset()
        self.files_changed: bool = True
        self._journal, self._catalogue, self._leases, self._disk = journal, catalogue, leases, disk
        self._keep_days = keep_days
        # The first day that was kept when old ones were last dropped.
        self._kept_from_day = 0
        self._connection = connector(database, False)

    @property
    def has_old(self) -> bool:
        """Whether a day has become too old since old ones were last dropped."""
        return self._keep_from_day() > self._kept_from_day

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    def _keep_from_day(self) -> int:
        """Return the first day that is kept."""
        return 0 if self._keep_days is None else max(0, int(time.time()) // 86_400 - self._keep_days)

    def _rewriter(self) -> tuple[Rewriter, list[StoredFile]]:
        """Return what rewrites files by what is deleted and too old now, and the files that are listed now."""
        with read_transaction(self._connection):
            files, deletions = listed(self._connection), pending_deletions(self._connection)
        return Rewriter(self._catalogue, self._disk, deletions, self._keep_from_day() * DAY_US), files

    def drop_old(self) -> None:
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

    def carry_out_deletions(self) -> None:
        """Rewrite every file that may hold what was deleted, one at a time, and forget the deletions that are done."""
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

    def store_arrived(self) -> Stored:
        """Move the journal's oldest rows into files; return what went."""
        arrived, up_to_seq = self._arrived()
        if arrived.height == 0:
            return Stored(0, 0, 0)
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
        return Stored(self._delete_from_journal(up_to_seq), change.duplicates, change.conflicts)

    def tidy_up(self) -> bool:
        """Join small files, one month or year at a time, or check one file that nobody has read yet.

        So damage shows in /health before somebody needs the day.

        Returns:
            Whether something was joined, so that more may be.
        """
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
                return True
        for file in files:
            if not self._catalogue.is_known(file):
                self._catalogue.is_sound(file)
                return False
        self.files_changed = False
        return False

    def _stop_if_asked(self, change: Change) -> None:
        if self.stopping:
            self._leases.retire([self._catalogue.path(file) for file in change.added])
            raise Stopped

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
        self.files_changed = True
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
