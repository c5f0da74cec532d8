"""What is stored, as of a moment: one read transaction gives the list of files and the journal's rows; Polars the rest.

The caller holds a lease (see `leases`) from before the transaction until the frames are read. Rows leave SQLite as one
JSON list per column: one step of the statement, so the interpreter's lock changes hands once and not once per row.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import polars as pl

from mockexport.ingest.catalogue import Catalogue, StoredFile, listed
from mockexport.ingest.checksums import text_checksum
from mockexport.ingest.columns import JOURNAL_COLUMNS, SCHEMA, journal_frame, named
from mockexport.ingest.database import day_of, last_sequence
from mockexport.ingest.deletions import (
    DELETED_BY,
    Deletion,
    erased_days,
    pending_deletions,
    with_deletions,
    without_deleted,
)
from mockexport.ingest.errors import Damaged, NothingThere
from mockexport.ingest.holders import may_hold
from mockexport.ingest.readings import DAY_US

__all__ = [
    "Snapshot",
    "StoredDays",
    "Wanted",
    "journal_columns",
    "look",
    "named_streams",
    "read_transaction",
    "stored_days",
    "stored_rows",
    "take",
]


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which readings: a time span with both ends inclusive, and optionally one user, one device, a highest sequence."""

    first_us: int
    last_us: int
    user_id: str | None = None
    device_id: str | None = None
    up_to_seq: int | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The files that hold wanted rows or may, the journal's wanted rows, and the deletions that hide some of them."""

    files: list[StoredFile]
    journal: pl.DataFrame
    deletions: list[Deletion]


@contextmanager
def read_transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """See one state of the database until the block ends."""
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def journal_columns() -> str:
    """Return the select list that gives one JSON list per journal column."""
    return ", ".join(f"json_group_array({name})" for name in JOURNAL_COLUMNS)


def take(connection: sqlite3.Connection, wanted: Wanted) -> Snapshot:
    """Ask the database, in one transaction.

    Raises:
        Damaged: a row that was read is not what was written.
        NothingThere: a deletion after the wanted highest sequence has taken rows of these days for good.
    """
    with read_transaction(connection):
        return look(connection, wanted)


def look(connection: sqlite3.Connection, wanted: Wanted) -> Snapshot:
    """Ask the database within a transaction of the caller's: `take` says the rest."""
    first_day, last_day = day_of(wanted.first_us), day_of(wanted.last_us)
    if wanted.up_to_seq is not None:
        erased = erased_days(connection, first_day, last_day)
        if any(seq > wanted.up_to_seq for seq in erased.values()):
            raise NothingThere("Download not found")
    files = [file for file in listed(connection, first_day, last_day) if _may_hold(file, wanted)]
    deletions = pending_deletions(connection, wanted.user_id)
    streams = _wanted_streams(connection, wanted)
    condition, values = "time_us BETWEEN ? AND ?", [wanted.first_us, wanted.last_us]
    if wanted.up_to_seq is not None:
        condition, values = f"{condition} AND seq <= ?", [*values, wanted.up_to_seq]
    if wanted.user_id is not None:
        marks = ", ".join("?" * streams.height)
        condition, values = f"stream IN ({marks}) AND {condition}", [*streams["stream"].to_list(), *values]
    columns = connection.execute(
        f"SELECT {journal_columns()} FROM journal WHERE {condition}",  # noqa: S608 - no outside text
        values,
    ).fetchone()
    return Snapshot(files, named(journal_frame(columns), streams), deletions)


def _may_hold(file: StoredFile, wanted: Wanted) -> bool:
    if file.first_us > wanted.last_us or file.last_us < wanted.first_us:
        return False
    if wanted.user_id is not None and not may_hold(file.holders, wanted.user_id):
        return False
    if wanted.first_us <= file.first_us or file.last_us <= wanted.last_us:
        return True  # at least its first or its last reading is within
    return bool(file.held_days(day_of(wanted.first_us), day_of(wanted.last_us)))


def _wanted_streams(connection: sqlite3.Connection, wanted: Wanted) -> pl.DataFrame:
    if wanted.user_id is None:
        return named_streams(connection, "stream IN (SELECT stream FROM journal)", ())
    if wanted.device_id is None:
        return named_streams(connection, "user_id = ?", (wanted.user_id,))
    return named_streams(connection, "user_id = ? AND device_id = ?", (wanted.user_id, wanted.device_id))


def named_streams(connection: sqlite3.Connection, condition: str, values: tuple[str, ...]) -> pl.DataFrame:
    """Return streams with their users and devices; `condition` is SQL of our own.

    Raises:
        Damaged: a name is not what was written.
    """
    rows = connection.execute(
        f"SELECT stream, user_id, device_id, checksum FROM streams WHERE {condition}",  # noqa: S608 - our own text
        values,
    ).fetchall()
    if any(checksum != text_checksum(*facts) for *facts, checksum in rows):
        raise Damaged([], "the names of devices")
    schema = {"stream": pl.Int64(), "user_id": pl.String(), "device_id": pl.String()}
    return pl.DataFrame([row[:3] for row in rows], schema=schema, orient="row")


def stored_rows(snapshot: Snapshot, wanted: Wanted, catalogue: Catalogue) -> pl.LazyFrame:
    """Return the wanted rows of files and journal together; several may have one key (see `columns.latest`).

    What was deleted is left out, by the deletions up to the wanted highest sequence.

    Raises:
        Damaged: a file is not what was written.
        NothingThere: a later deletion has taken rows of what is wanted, so it cannot be told any more.
    """
    # Of a snapshot that was taken for a longer span, only this one's part.
    within = pl.col("timestamp").is_between(_moment(wanted.first_us), _moment(wanted.last_us))
    parts = [snapshot.journal.lazy().filter(within)]
    files = [file for file in snapshot.files if _may_hold(file, wanted)]
    if files:
        paths = catalogue.verified(files, day_of(wanted.first_us), day_of(wanted.last_us))
        rows = pl.scan_parquet(paths, schema=SCHEMA, hive_partitioning=False, glob=False)
        rows = rows.filter(within)
        if wanted.user_id is not None:
            rows = rows.filter(pl.col("user_id") == wanted.user_id)
        if wanted.device_id is not None:
            rows = rows.filter(pl.col("device_id") == wanted.device_id)
        if wanted.up_to_seq is not None:
            rows = rows.filter(pl.col("seq") <= wanted.up_to_seq)
        parts.insert(0, rows)
    rows = pl.concat(parts)
    if not snapshot.deletions:
        return rows
    if wanted.up_to_seq is None:
        return without_deleted(rows, snapshot.deletions)
    marked = with_deletions(rows, snapshot.deletions).collect()
    if marked.filter(pl.col(DELETED_BY) > wanted.up_to_seq).height:
        raise NothingThere("Download not found")
    return marked.lazy().filter(pl.col(DELETED_BY).is_null()).select(*SCHEMA)


def _moment(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


@dataclass(frozen=True, slots=True)
class StoredDays:
    """The days that have readings and the highest sequence number of each; what was erased, and is being deleted."""

    highest: dict[int, int]
    erased: dict[int, int]
    deletions: list[Deletion]
    last_seq: int

    def deleted_at(self, day: int) -> int:
        """Return the number of the last pending deletion that may concern a day, or 0."""
        spans = ((each.seq, day_of(each.first_us), day_of(each.last_us)) for each in self.deletions)
        return max((seq for seq, first, last in spans if first <= day <= last), default=0)


def stored_days(connection: sqlite3.Connection) -> StoredDays:
    """Return which days have readings. A deletion counts as news of a day: what it held before has another name."""
    with read_transaction(connection):
        files = listed(connection)
        highest = dict(
            connection.execute(f"SELECT time_us / {DAY_US}, max(seq) FROM journal GROUP BY 1")  # noqa: S608 - our own
        )
        erased, deletions = erased_days(connection), pending_deletions(connection)
        found = StoredDays(highest, erased, deletions, last_sequence(connection))
    for file in files:
        for each in file.day_rows():
            highest[each.day] = max(each.highest_seq, highest.get(each.day, 0))
    for day in sorted(highest):
        highest[day] = max(highest.pop(day), erased.get(day, 0), found.deleted_at(day))
    return found
