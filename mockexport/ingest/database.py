"""The SQLite database: its tables, how a connection is opened, and whether what it holds is whole.

It is the root of truth: the journal, the list of Parquet files, and what was deleted. Nothing here knows of threads or
requests.

A reading's user and device are one row of `streams`, so that a journal row is four integers and a checksum: small,
quick to insert as a set, and verifiable without Python (see `checksums`).
"""

import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mockexport.ingest.checksums import row_checksum, row_checksum_sql, text_checksum
from mockexport.ingest.disk import FILE_MODE
from mockexport.ingest.errors import FolderUnusable
from mockexport.ingest.holders import ANYBODY
from mockexport.ingest.readings import DAY_US, EARLIEST_US, END_US

__all__ = [
    "DATABASE_NAME",
    "UNREADABLE",
    "BadRows",
    "Connect",
    "bad_rows",
    "check_format",
    "connect",
    "day_of",
    "last_sequence",
    "open_database",
]

DATABASE_NAME = "journal.sqlite"
_VERSION = 2
# How SQLite says that it cannot read; damaged names come out of Python's module as text that cannot be decoded.
UNREADABLE = (sqlite3.Error, UnicodeError)

# How long a statement waits for another connection's lock. Writers never meet (there is one), so this is for the
# moments in which SQLite itself recovers or restarts its log.
_BUSY_MS = 5_000
# A page cache for the journal's index, which is written all over.
_CACHE_KIB = 32_768
# The log is cut back to this after a checkpoint that found it larger.
_LOG_LIMIT_BYTES = 64 << 20

_LARGEST = (1 << 63) - 1

Connect = Callable[[Path, bool], sqlite3.Connection]

_SCHEMA = """
CREATE TABLE streams (
    stream INTEGER PRIMARY KEY, user_id TEXT NOT NULL, device_id TEXT NOT NULL, checksum INTEGER NOT NULL,
    UNIQUE (user_id, device_id)
) STRICT;
CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, stream INTEGER NOT NULL, time_us INTEGER NOT NULL,
    heart_rate INTEGER NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE INDEX journal_by_stream ON journal (stream, time_us);
"""
_FILES_SCHEMA = """
CREATE TABLE files (
    name TEXT PRIMARY KEY, first_day INTEGER NOT NULL, last_day INTEGER NOT NULL, rows INTEGER NOT NULL,
    first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, highest_seq INTEGER NOT NULL, erased_seq INTEGER NOT NULL,
    days TEXT NOT NULL, users INTEGER NOT NULL, holders BLOB NOT NULL, size_bytes INTEGER NOT NULL,
    sha256 TEXT NOT NULL, checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE deletions (
    seq INTEGER PRIMARY KEY, user_id TEXT NOT NULL, first_us INTEGER NOT NULL, last_us INTEGER NOT NULL,
    checksum INTEGER NOT NULL
) STRICT;
CREATE TABLE erased (day INTEGER PRIMARY KEY, seq INTEGER NOT NULL, checksum INTEGER NOT NULL) STRICT;
"""


def connect(path: Path, writing: bool) -> sqlite3.Connection:
    """Open one connection: for the writer, or one that can only read. Transactions are begun by hand."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=_BUSY_MS / 1000)
    connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB if writing else _CACHE_KIB // 8}")
    if writing:
        connection.execute("PRAGMA journal_mode = WAL")
        # A commit returns when the log is on the disk, not when it is on its way.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA fullfsync = ON")
        # Checkpoints are the writer's own statement, so that their errors are seen: the automatic ones swallow them.
        connection.execute("PRAGMA wal_autocheckpoint = 0")
        connection.execute(f"PRAGMA journal_size_limit = {_LOG_LIMIT_BYTES}")
    else:
        connection.execute("PRAGMA query_only = ON")
    return connection


def open_database(folder: Path, connector: Connect = connect) -> sqlite3.Connection:
    """Open (or make) the database of a data folder for writing; SQLite replays its log here after a crash.

    Raises:
        FolderUnusable: it is no database of ours, or broken beyond what is known to be a row.
    """
    path = folder / DATABASE_NAME
    # SQLite gives its log and index the mode of the database, so the mode is settled before it opens it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE))
    try:
        connection = connector(path, True)
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version == 0:
            connection.executescript(
                f"BEGIN IMMEDIATE; {_SCHEMA} {_FILES_SCHEMA} PRAGMA user_version = {_VERSION}; COMMIT;"
            )
        elif version == 1:
            _adopt_first_format(connection)
        else:
            check_format(folder, connection)
        _check_structure(folder, connection)
    except UNREADABLE as error:
        raise FolderUnusable(folder, f"{DATABASE_NAME}: {error}") from error
    return connection


def check_format(folder: Path, connection: sqlite3.Connection) -> None:
    """Refuse a database that is not of this format.

    Raises:
        FolderUnusable: it is of another.
    """
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version != _VERSION:
        raise FolderUnusable(folder, f"written by another version of this service (format {version})")


def _adopt_first_format(connection: sqlite3.Connection) -> None:
    """Take over a folder of format 1, whose files hold a day each: the list alone changes, in one transaction.

    The files stay as they are until compaction joins or replaces them.
    """
    connection.execute("BEGIN IMMEDIATE")
    rows = connection.execute("SELECT * FROM files").fetchall()
    connection.execute("DROP TABLE files")
    for statement in filter(str.strip, _FILES_SCHEMA.split(";")):
        connection.execute(statement)
    for *facts, checksum in rows:
        name, day, count, first_us, last_us, highest_seq, size_bytes, sha256 = facts
        # Of a day's file it was not told who is in it: it counts as one user's, and may hold anybody.
        entry = (
            *(name, day, day, count, first_us, last_us, highest_seq, 0, f"[[{day},{count},{highest_seq}]]"),
            *(1, ANYBODY, size_bytes, sha256),
        )
        # An entry that was damaged must not become sound by being copied.
        fits = checksum == text_checksum(*facts)
        connection.execute(
            f"INSERT INTO files VALUES ({', '.join('?' * 14)})",  # noqa: S608 - no outside text
            (*entry, text_checksum(*entry) if fits else -1),
        )
    connection.execute(f"PRAGMA user_version = {_VERSION}")
    connection.execute("COMMIT")


def _check_structure(folder: Path, connection: sqlite3.Connection) -> None:
    """Hold the trees and indexes against each other; an index that disagrees is only a copy, and made again."""
    for mending in ("REINDEX", None):
        found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
        if found == "ok":
            return
        if mending is not None:
            connection.execute(mending)
    raise FolderUnusable(folder, f"{DATABASE_NAME} is damaged ({found})")


@dataclass(frozen=True, slots=True)
class BadRows:
    """Which days have rows that are not what was written; `everywhere` where the day itself cannot be known."""

    days: frozenset[int]
    everywhere: bool


def bad_rows(connection: sqlite3.Connection) -> BadRows:
    """Read every row of every table once and find those whose checksum does not fit.

    The journal is bounded, so this is bounded too.
    """
    expected = row_checksum_sql("seq", "stream", "time_us", "heart_rate")
    days: set[int] = set()
    everywhere = False
    query = (
        "SELECT seq, stream, time_us, heart_rate, checksum FROM journal"  # noqa: S608 - no outside text
        f" WHERE (checksum = {expected}) IS NOT 1 OR stream NOT IN (SELECT stream FROM streams)"
    )
    for row in connection.execute(query):
        suspects = _suspects(*row) if all(isinstance(value, int) for value in row) else set()
        days |= suspects
        everywhere = everywhere or not suspects
    for stream, user_id, device_id, checksum in connection.execute("SELECT * FROM streams"):
        everywhere = everywhere or checksum != text_checksum(stream, user_id, device_id)
    for table in ("files", "deletions", "erased"):
        for *facts, checksum in connection.execute(f"SELECT * FROM {table}"):  # noqa: S608 - our own names
            everywhere = everywhere or checksum != text_checksum(*facts)
    return BadRows(frozenset(days), everywhere)


def _suspects(seq: int, stream: int, time_us: int, heart_rate: int, checksum: int) -> set[int]:
    """Return the days to which a damaged row may belong.

    That is the day it shows, and where turning one bit of its time makes the checksum fit, the day it then shows: the
    day that a row has left must not look whole. Days on which nothing can have been measured are nobody's.
    """
    positive = time_us & _LARGEST
    turned = (positive, *(positive ^ (1 << bit) for bit in range(63)))
    fitting = (time for time in turned if row_checksum(seq, stream, time, heart_rate) == checksum)
    return {day_of(time) for time in (time_us, *fitting) if EARLIEST_US <= time < END_US}


def day_of(time_us: int) -> int:
    """Return the day number (days since 1970-01-01, UTC) of a time."""
    return time_us // DAY_US


def last_sequence(connection: sqlite3.Connection) -> int:
    """Return the highest sequence number ever given, also where its row is gone.

    SQLite's own counter has no checksum, so the files' numbers and the rows' are held beside it.
    """
    row = connection.execute(
        "SELECT max(seq) FROM (SELECT seq FROM sqlite_sequence WHERE name = 'journal'"
        " UNION ALL SELECT max(seq) FROM journal UNION ALL SELECT max(highest_seq) FROM files"
        " UNION ALL SELECT max(seq) FROM deletions UNION ALL SELECT max(seq) FROM erased)"
    ).fetchone()
    return int(row[0] or 0)
