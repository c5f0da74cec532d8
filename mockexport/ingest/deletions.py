"""What was deleted: a user's readings of a span of time, journalled like a reading, with a sequence number of its own.

A deletion hides the readings that came before it from every question at once; those that come later are not its
concern. Compaction rewrites the files that hold hidden readings, and when none is left forgets the deletion. What then
remains is a number per day from which readings were erased: a snapshot of the bridge that is older than it cannot be
told any more, and is gone instead of different.
"""

import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass

import polars as pl

from mockexport.ingest.catalogue import StoredFile
from mockexport.ingest.checksums import text_checksum
from mockexport.ingest.columns import SCHEMA
from mockexport.ingest.errors import Damaged
from mockexport.ingest.holders import may_hold
from mockexport.ingest.readings import DAY_US

__all__ = [
    "DELETED_BY",
    "Deletion",
    "erased_days",
    "journal_deletion",
    "note_erased",
    "pending_deletions",
    "touches",
    "with_deletions",
    "without_deleted",
]

# The column that says which deletion hides a row.
DELETED_BY = "deleted_by"


@dataclass(frozen=True, slots=True)
class Deletion:
    """A user's readings of a span, both ends inclusive, that were stored before the number was given."""

    seq: int
    user_id: str
    first_us: int
    last_us: int


def pending_deletions(connection: sqlite3.Connection, user_id: str | None = None) -> list[Deletion]:
    """Return the deletions, of one user or of all, that are not carried out yet in every file; oldest first.

    Raises:
        Damaged: one of them is not what was written.
    """
    condition, values = ("1", ()) if user_id is None else ("user_id = ?", (user_id,))
    rows = connection.execute(
        f"SELECT * FROM deletions WHERE {condition} ORDER BY seq",  # noqa: S608 - our own text
        values,
    ).fetchall()
    if any(checksum != text_checksum(*facts) for *facts, checksum in rows):
        raise Damaged([], "the list of deletions")
    return [Deletion(*facts) for *facts, _ in rows]


def journal_deletion(connection: sqlite3.Connection, deletion: Deletion) -> int:
    """Write a deletion down and take its readings out of the journal; part of a transaction.

    Returns:
        How many of the journal's rows went.
    """
    facts = astuple(deletion)
    connection.execute("INSERT INTO deletions VALUES (?, ?, ?, ?, ?)", (*facts, text_checksum(*facts)))
    hidden = "stream IN (SELECT stream FROM streams WHERE user_id = ?) AND time_us BETWEEN ? AND ?"
    values = (deletion.user_id, deletion.first_us, deletion.last_us)
    days = connection.execute(
        f"SELECT DISTINCT time_us / {DAY_US} FROM journal WHERE {hidden}",  # noqa: S608 - our own text
        values,
    ).fetchall()
    note_erased(connection, {day: deletion.seq for (day,) in days})
    # What is deleted is to be gone from the pages, too.
    connection.execute("PRAGMA secure_delete = ON")
    try:
        removed = connection.execute(f"DELETE FROM journal WHERE {hidden}", values).rowcount  # noqa: S608 - our own text
        # A name that nothing refers to is forgotten; should the user come back, another number is given.
        connection.execute(
            "DELETE FROM streams WHERE user_id = ? AND stream NOT IN (SELECT stream FROM journal)", (deletion.user_id,)
        )
    finally:
        connection.execute("PRAGMA secure_delete = OFF")
    return removed


def touches(deletion: Deletion, file: StoredFile) -> bool:
    """Tell whether a file may still hold rows that a deletion hides."""
    return (
        file.erased_seq < deletion.seq
        and file.first_us <= deletion.last_us
        and file.last_us >= deletion.first_us
        and may_hold(file.holders, deletion.user_id)
    )


def with_deletions(rows: pl.LazyFrame, deletions: Sequence[Deletion]) -> pl.LazyFrame:
    """Add `DELETED_BY`: the number of the last deletion that hides a row, or null. The order of rows is kept."""
    if not deletions:
        return rows.with_columns(pl.lit(None, pl.Int64).alias(DELETED_BY))
    spans = pl.LazyFrame(
        {
            "user_id": [each.user_id for each in deletions],
            "first_us": [each.first_us for each in deletions],
            "last_us": [each.last_us for each in deletions],
            DELETED_BY: [each.seq for each in deletions],
        }
    )
    placed = rows.with_row_index("place")
    hidden = (
        placed.join(spans, on="user_id")
        .filter(
            pl.col("timestamp").to_physical().is_between(pl.col("first_us"), pl.col("last_us")),
            pl.col("seq") < pl.col(DELETED_BY),
        )
        .group_by("place")
        .agg(pl.col(DELETED_BY).max())
    )
    return placed.join(hidden, on="place", how="left", maintain_order="left").drop("place")


def without_deleted(rows: pl.LazyFrame, deletions: Sequence[Deletion]) -> pl.LazyFrame:
    """Leave out the rows that a deletion hides."""
    if not deletions:
        return rows
    return with_deletions(rows, deletions).filter(pl.col(DELETED_BY).is_null()).select(*SCHEMA)


def erased_days(connection: sqlite3.Connection, first_day: int = 0, last_day: int = 1 << 40) -> dict[int, int]:
    """Return, by day, the number of the last deletion that took readings out of it for good.

    Raises:
        Damaged: an entry is not what was written.
    """
    rows = connection.execute("SELECT * FROM erased WHERE day BETWEEN ? AND ?", (first_day, last_day)).fetchall()
    if any(checksum != text_checksum(day, seq) for day, seq, checksum in rows):
        raise Damaged([], "the list of deletions")
    return {day: seq for day, seq, _ in rows}


def note_erased(connection: sqlite3.Connection, days: Mapping[int, int]) -> None:
    """Note the numbers of deletions that have taken readings out of days; part of a transaction."""
    for day, seq in days.items():
        connection.execute(
            "INSERT INTO erased VALUES (?1, ?2, ?3) ON CONFLICT (day) DO UPDATE SET seq = ?2, checksum = ?3"
            " WHERE seq < ?2",
            (day, seq, text_checksum(day, seq)),
        )
