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
from mockexport.ingest.database import day_of
from mockexport.ingest.errors import Damaged

__all__ = [
    "Snapshot",
    "Wanted",
    "day_sequences",
    "journal_columns",
    "named_streams",
    "read_transaction",
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
    """The files that may hold wanted rows, and the journal's wanted rows."""

    files: list[StoredFile]
    journal: pl.DataFrame


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
    """
    with read_transaction(connection):
        files = listed(connection, day_of(wanted.first_us), day_of(wanted.last_us))
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
    return Snapshot(files, named(journal_frame(columns), streams))


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

    Raises:
        Damaged: a file is not what was written.
    """
    parts = [snapshot.journal.lazy()]
    files = [file for file in snapshot.files if file.first_us <= wanted.last_us and file.last_us >= wanted.first_us]
    if files:
        paths = catalogue.verified(files)
        rows = pl.scan_parquet(paths, schema=SCHEMA, hive_partitioning=False, glob=False)
        rows = rows.filter(pl.col("timestamp").is_between(_moment(wanted.first_us), _moment(wanted.last_us)))
        if wanted.user_id is not None:
            rows = rows.filter(pl.col("user_id") == wanted.user_id)
        if wanted.device_id is not None:
            rows = rows.filter(pl.col("device_id") == wanted.device_id)
        if wanted.up_to_seq is not None:
            rows = rows.filter(pl.col("seq") <= wanted.up_to_seq)
        parts.insert(0, rows)
    return pl.concat(parts)


def _moment(time_us: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)


def day_sequences(connection: sqlite3.Connection) -> dict[int, int]:
    """Return the highest sequence number of every day that has readings, by day."""
    with read_transaction(connection):
        found = connection.execute(
            "SELECT day, max(seq) FROM (SELECT day, highest_seq AS seq FROM files"
            " UNION ALL SELECT time_us / 86400000000, seq FROM journal) GROUP BY day ORDER BY day"
        ).fetchall()
    return {int(day): int(seq) for day, seq in found}
