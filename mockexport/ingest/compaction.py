"""Compaction: journal rows become sorted Parquet files, a few per period. Off the event loop, in a thread of its own.

When, and what a failure means; what a pass does is told in `passes`. Between passes, small days are joined (see
`periods`), and files that nobody has read yet are checked.
"""

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mockexport.ingest.catalogue import Catalogue
from mockexport.ingest.database import Connect
from mockexport.ingest.disk import Disk
from mockexport.ingest.errors import StorageFailed, Unavailable
from mockexport.ingest.journal import Journal
from mockexport.ingest.leases import Leases
from mockexport.ingest.passes import Passes, Stopped

__all__ = ["CompactionCounts", "Compactor"]

_log = logging.getLogger(__name__)

# How often the thread looks at the journal's age, and idly at files that nobody has read yet.
_LOOK_S = 0.5
# After a pass that failed the next one waits this long.
_PAUSE_S = 5.0


@dataclass(slots=True)
class CompactionCounts:
    """What the compactor has done since it started. Only its thread writes it."""

    passes: int = 0
    failures: int = 0
    rows: int = 0
    duplicates: int = 0
    conflicts: int = 0


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
        self._journal, self._leases = journal, leases
        self._rows, self._age_s = rows, age_s
        # Whether deletions may wait to be carried out.
        self._deletions_wait = True
        self._passes = Passes(database, connector, journal, catalogue, leases, disk, keep_days)
        self._one_at_a_time = threading.Lock()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="compaction", daemon=True)

    @property
    def bad_days(self) -> frozenset[int]:
        """The days of journal rows that were found damaged."""
        return self._passes.bad_days

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
        self._closing = self._passes.stopping = True
        self._wake.set()

    def close(self) -> None:
        """Stop, and wait for it."""
        self.stop()
        if self._thread.is_alive():
            self._thread.join()
        self._passes.close()

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
                elif self._deletions_wait or self._passes.has_old:
                    self.forget()
                elif self._passes.files_changed:
                    self.tidy_up()
            except Exception as error:  # the thread must live: the next pass may succeed
                pause_until = time.monotonic() + _PAUSE_S
                # The type alone: a message could hold what was being stored.
                _log.warning("compaction failed", extra={"facts": {"error": type(error).__name__}})

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

    def tidy_up(self) -> None:
        """Join small files of one period, or check one file."""
        with self._one_at_a_time, self._leases.reading():
            if self._passes.tidy_up():
                self._wake.set()

    def _run(self, work: Callable[[], int]) -> int:
        with self._one_at_a_time, self._leases.reading():
            try:
                moved = work()
            except Stopped:
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
        stored = self._passes.store_arrived()
        self.counts.duplicates += stored.duplicates
        self.counts.conflicts += stored.conflicts
        return stored.rows

    def _forget(self) -> int:
        self._passes.drop_old()
        self._deletions_wait = False
        self._passes.carry_out_deletions()
        return 0
