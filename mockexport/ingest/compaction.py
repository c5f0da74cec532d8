"""Compaction: journal rows become sorted Parquet files, a few per day. Off the event loop, in a thread of its own.

A pass takes the oldest rows of the journal, merges each day's with some of the day's files, publishes the new files,
and then, in one transaction, lists them, drops what they replace and deletes the rows. A crash before that leaves files
in no list, after it files that nobody misses; the numbers in the rows make a repeated merge harmless.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mockexport.ingest.catalogue import Catalogue, StoredFile, add_files, drop_files, listed
from mockexport.ingest.checksums import row_checksum_sql
from mockexport.ingest.columns import SCHEMA, encode_day, journal_frame, merged, named
from mockexport.ingest.database import Connect, bad_rows
from mockexport.ingest.disk import Disk
from mockexport.ingest.errors import Damaged, StorageFailed, Unavailable
from mockexport.ingest.journal import Journal
from mockexport.ingest.leases import Leases
from mockexport.ingest.publishing import publish
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.snapshots import journal_columns, named_streams, read_transaction

__all__ = ["CompactionCounts", "Compactor", "to_merge"]

_log = logging.getLogger(__name__)

# Rows of one pass: what is held in memory, and what the one transaction deletes while readings wait.
MAX_PASS_ROWS = 200_000
# A file of this size is not merged any further: the cost of a merge stays bounded, and ten million readings of one day
# are five files and a few small ones.
MAX_FILE_ROWS = 2_000_000
# A file is merged with what is at least this fraction of it, so that every row is rewritten a few times at most.
_GROWTH = 4
# How often the thread looks at the journal's age, and idly at files that nobody has read yet.
_LOOK_S = 0.5
# After a pass that failed the next one waits this long.
_PAUSE_S = 5.0

_FITS = f"checksum = {row_checksum_sql('seq', 'stream', 'time_us', 'heart_rate')}"


def to_merge(rows: Sequence[int], arrived: int) -> int:
    """Decide how many of a day's newest files are merged with so many new rows; `rows` are the files', oldest first."""
    total, count = arrived, 0
    for size in reversed(rows):
        if size > _GROWTH * total or size + total > MAX_FILE_ROWS:
            break
        total, count = total + size, count + 1
    return count


@dataclass(slots=True)
class CompactionCounts:
    """What the compactor has done since it started. Only its thread writes it."""

    passes: int = 0
    failures: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0


class _Stopped(Exception):  # noqa: N818 - no fault
    """The pass was given up, for the service ends; the journal still has everything."""


@dataclass(frozen=True, slots=True)
class _Change:
    """What one pass puts into effect, all at once."""

    added: list[StoredFile]
    dropped: list[StoredFile]
    up_to_seq: int


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
    ) -> None:
        self.counts: CompactionCounts = CompactionCounts()
        self.bad_days: frozenset[int] = frozenset()
        self._journal, self._catalogue, self._leases, self._disk = journal, catalogue, leases, disk
        self._rows, self._age_s = rows, age_s
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

    def stop(self) -> None:
        """Ask for the end after the day that is being written; the rest of its pass is given up."""
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
                else:
                    self._look_at_a_file()
            except Exception as error:  # the thread must live: the next pass may succeed
                pause_until = time.monotonic() + _PAUSE_S
                # The type alone: a message could hold what was being stored.
                _log.warning("compaction failed", extra={"facts": {"error": type(error).__name__}})

    def compact(self) -> int:
        """Do one pass; return how many journal rows it moved.

        Raises:
            Unavailable: the pass did not happen; the journal still has everything.
        """
        with self._one_at_a_time:
            try:
                moved = self._pass()
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
        with self._leases.reading():
            arrived, up_to_seq = self._arrived()
            if arrived.height == 0:
                return 0
            added: list[StoredFile] = []
            dropped: list[StoredFile] = []
            for (day,), rows in arrived.group_by(
                (pl.col("timestamp").to_physical() // DAY_US).alias("day"), maintain_order=True
            ):
                if self._closing:
                    self._leases.retire([self._catalogue.path(file) for file in added])
                    raise _Stopped
                replaced, file = self._merge_day(int(str(day)), rows)
                dropped += replaced
                added.append(file)
            deleted = self._journal.run(
                lambda connection: _put_into_effect(connection, _Change(added, dropped, up_to_seq)),
                after=lambda rows: self._journal.forget(up_to_seq, rows),
            )
        self._catalogue.forget(dropped)
        self._leases.retire([self._catalogue.path(file) for file in dropped])
        return deleted

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

    def _merge_day(self, day: int, arrived: pl.DataFrame) -> tuple[list[StoredFile], StoredFile]:
        """Write one day's new file; return the files it replaces, and it."""
        with read_transaction(self._connection):
            files = listed(self._connection, day, day)
        # A damaged file stays listed and is left alone: its day answers 503 until somebody looks.
        files = [file for file in files if self._catalogue.is_sound(file)]
        count = to_merge([file.rows for file in files], arrived.height)
        replaced = files[len(files) - count :]
        stored = [
            pl.read_parquet(path, schema=SCHEMA, hive_partitioning=False, glob=False)
            for path in self._catalogue.verified(replaced)
        ]
        rows, duplicates, conflicts = merged(stored, arrived)
        highest = max([int(arrived["seq"].max()), *(file.highest_seq for file in replaced)])  # type: ignore[arg-type]
        file = publish(encode_day(day, rows, highest), self._catalogue.folder, self._disk)
        self.counts.duplicates += duplicates
        self.counts.conflicts += conflicts
        return replaced, file

    def _look_at_a_file(self) -> None:
        """Check one file that nobody has read yet, so that damage shows in /health before somebody needs the day."""
        with self._leases.reading():
            with read_transaction(self._connection):
                files = listed(self._connection, 0, 1 << 40)
            for file in files:
                if not self._catalogue.is_known(file):
                    self._catalogue.is_sound(file)
                    return


def _put_into_effect(connection: sqlite3.Connection, change: _Change) -> int:
    """The one transaction: list, drop, delete. Return how many journal rows went."""
    add_files(connection, change.added)
    drop_files(connection, change.dropped)
    return connection.execute(
        f"DELETE FROM journal WHERE seq <= ? AND {_FITS}",  # noqa: S608 - no outside text
        (change.up_to_seq,),
    ).rowcount
