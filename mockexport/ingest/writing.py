"""The one connection that writes: transactions on it, and what it means when one of them fails.

After a failed write or fsync nobody knows what the disk holds, so nothing is accepted until a restart has looked. A
full disk is different: the transaction is undone, and tried again when there is room.
"""

import sqlite3
from collections.abc import Callable
from enum import StrEnum
from typing import TypeVar

from mockexport.ingest.errors import DiskFull, StorageFailed, Unavailable

__all__ = ["JournalState", "Writing", "verdict_on"]

T = TypeVar("T")

# The log is moved into the database after so much writing: rarely enough not to count, often enough to stay small.
_CHECKPOINT_ROWS, _CHECKPOINT_COMMITS = 50_000, 500


class JournalState(StrEnum):
    """Whether the journal takes readings."""

    OPEN = "open"
    FULL = "disk full"
    FAILED = "failed"
    CLOSED = "closed"


def verdict_on(error: Exception) -> Unavailable:
    """Decide what an error of the storage means for those who wait. Pure."""
    if isinstance(error, Unavailable):
        return error
    name = getattr(error, "sqlite_errorname", None) or type(error).__name__
    return DiskFull() if name == "SQLITE_FULL" else StorageFailed(name)


class Writing:
    """The connection. Only the writer's thread comes here; `state` and `failure` may be read from any."""

    def __init__(self, connection: sqlite3.Connection, undone: Callable[[], None]) -> None:
        """`undone` is called after a transaction that did not happen."""
        self.state: JournalState = JournalState.OPEN
        self.failure: Unavailable | None = None
        self._connection, self._undone = connection, undone
        self._uncheckpointed_rows = self._uncheckpointed_commits = 0

    def close(self) -> None:
        """Move the log into the database and let it go."""
        if self.state is not JournalState.FAILED:
            self._checkpoint("TRUNCATE")
            self._connection.close()
        # After a failure the connection is left as it is: closing it would move a doubtful log into the database.
        self.state = JournalState.CLOSED

    def do(self, work: Callable[[sqlite3.Connection], T]) -> T | Unavailable:
        """Do `work` and commit; on any error undo, remember what it means, and return that."""
        if self.state is JournalState.FAILED and self.failure is not None:
            return self.failure
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            result = work(connection)
            connection.execute("COMMIT")
        except Exception as error:  # whatever it is, nothing was promised
            return self._fail(error)
        self.state, self.failure = JournalState.OPEN, None
        return result

    def _fail(self, error: Exception) -> Unavailable:
        failure = verdict_on(error)
        self._undone()
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except sqlite3.Error as second:
            failure = verdict_on(second)
            failure = StorageFailed("ROLLBACK") if isinstance(failure, DiskFull) else failure
        self.failure = failure
        self.state = JournalState.FULL if isinstance(failure, DiskFull) else JournalState.FAILED
        return failure

    def count(self, rows: int) -> None:
        """Learn how many rows a commit has written."""
        self._uncheckpointed_rows += rows
        self._uncheckpointed_commits += 1

    def tidy_up(self) -> None:
        """Move the log into the database, if it has grown."""
        if (
            self._uncheckpointed_rows >= _CHECKPOINT_ROWS or self._uncheckpointed_commits >= _CHECKPOINT_COMMITS
        ) and self.state is JournalState.OPEN:
            self._checkpoint("PASSIVE")

    def _checkpoint(self, mode: str) -> None:
        try:
            self._connection.execute(f"PRAGMA wal_checkpoint({mode})")
        except sqlite3.Error as error:
            self._fail(error)
        self._uncheckpointed_rows = self._uncheckpointed_commits = 0
