"""One data folder, opened: joins the lock, the database, the journal, compaction and queries. No HTTP."""

import contextlib
import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mockexport.ingest.catalogue import READINGS_FOLDER, Catalogue, listed
from mockexport.ingest.compaction import Compactor
from mockexport.ingest.database import DATABASE_NAME, UNREADABLE, Connect, bad_rows, connect, open_database
from mockexport.ingest.disk import Disk, RealDisk, private_folder
from mockexport.ingest.errors import FolderUnusable
from mockexport.ingest.journal import Journal
from mockexport.ingest.leases import Leases
from mockexport.ingest.lock import FolderLock
from mockexport.ingest.publishing import remove_orphans
from mockexport.ingest.queries import Queries
from mockexport.ingest.settings import Settings
from mockexport.ingest.snapshots import Wanted
from mockexport.ingest.writing import JournalState

__all__ = ["Health", "Store"]

_log = logging.getLogger(__name__)

# Rows in the journal beyond which nothing is accepted: compaction has not kept up for long, and a start, a query and
# the disk all pay for every row.
MAX_JOURNAL_ROWS = 4_000_000


@dataclass(frozen=True, slots=True)
class Health:
    """How the store is. `status` is ok, degraded (stored days are damaged) or unavailable (nothing is accepted)."""

    status: str
    journal: JournalState
    journal_rows: int
    oldest_age_s: float
    damaged_days: tuple[int, ...]
    accepting: bool


class Store:
    """An open data folder. Only one at a time exists for it, on this machine."""

    def __init__(
        self,
        settings: Settings,
        *,
        disk: Disk | None = None,
        connector: Connect = connect,
        observe_commit: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """Open the folder, making it where it is missing; replay, check and tidy up what a crash has left.

        Raises:
            FolderInUse: another process owns it.
            FolderUnusable: it cannot be used.
        """
        disk = RealDisk() if disk is None else disk
        self.folder: Path = settings.data
        readings = self.folder / READINGS_FOLDER
        with contextlib.ExitStack() as opened:
            try:
                private_folder(readings, disk)
                self._lock = FolderLock(self.folder)
                opened.callback(self._lock.release)
                connection = open_database(self.folder, connector)
                opened.callback(connection.close)
                # SQLite makes its own bytes durable; the names of its files are ours to see to.
                disk.sync_folder(self.folder)
                bad = bad_rows(connection)
                files = listed(connection) if not bad.everywhere else None
                if files is not None:
                    removed = remove_orphans(readings, frozenset(file.name for file in files), disk)
                    if removed:
                        _log.info("orphans removed", extra={"facts": {"files": removed}})
            except OSError as error:
                raise FolderUnusable(self.folder, error.strerror or type(error).__name__) from error
            except UNREADABLE as error:
                raise FolderUnusable(self.folder, f"{DATABASE_NAME} is damaged ({type(error).__name__})") from error
            self._bad = bad
            database = self.folder / DATABASE_NAME
            self.catalogue: Catalogue = Catalogue(readings)
            self.leases: Leases = Leases(disk.unlink)
            self.journal: Journal = Journal(
                connection, on_commit=lambda: self.compactor.notice(), observe_commit=observe_commit
            )
            opened.callback(self.journal.close)
            self.compactor: Compactor = Compactor(
                database,
                connector,
                self.journal,
                self.catalogue,
                self.leases,
                disk,
                rows=settings.compact_rows,
                age_s=settings.compact_age_s,
                keep_days=settings.keep_days,
            )
            self.queries: Queries = Queries(database, connector, self.catalogue, self.leases, self._damage)
            opened.pop_all()

    def start_compaction(self) -> None:
        """Let the journal be looked after in the background."""
        self.compactor.start()

    def health(self) -> Health:
        """Return how the store is."""
        days, everywhere = self._damage()
        days |= self.catalogue.damaged_days()
        accepting = self.journal.state is JournalState.OPEN and self.has_room()
        status = "unavailable" if not accepting else "degraded" if days or everywhere else "ok"
        return Health(
            status, self.journal.state, self.journal.depth, self.journal.oldest_age_s(), tuple(sorted(days)), accepting
        )

    async def delete(self, wanted: Wanted) -> int:
        """Delete a user's readings of a span; return how many there were.

        They are gone from every answer when this returns, and from the files soon after.

        Raises:
            Unavailable: it did not happen.
        """
        cost = await self.queries.lanes.plan(self.queries.cost, wanted)
        return await self.queries.lanes.run(
            cost, self.queries.delete, wanted, self.journal, self.compactor.notice_deletion
        )

    def has_room(self) -> bool:
        """Tell whether the journal is below its bound."""
        return self.journal.depth < MAX_JOURNAL_ROWS

    def close(self) -> None:
        """Finish what waits for the journal, break off what can be done again, and let the folder go."""
        self.compactor.stop()
        self.queries.close()
        self.compactor.close()
        self.journal.close()
        self._lock.release()

    def _damage(self) -> tuple[frozenset[int], bool]:
        return self._bad.days | self.compactor.bad_days, self._bad.everywhere
