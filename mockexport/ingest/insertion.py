"""What one commit puts into the journal: readings of many requests become rows, each new one with the next number.

The group goes to SQLite as one statement over one JSON text. Row by row the interpreter's lock would change hands ten
thousand times, each time waiting for a busy event loop; this way SQLite works beside it. Only the writer's thread comes
here, inside its transaction.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

import msgspec

from mockexport.ingest.checksums import row_checksum_sql, text_checksum
from mockexport.ingest.readings import Reading

__all__ = ["Group", "Insertion", "collapse"]

# Streams (user and device) whose number is remembered; the others are looked up in the table.
_KNOWN_STREAMS = 50_000

_PRIOR = """
SELECT json_group_array(given.key), json_group_array(journal.heart_rate)
FROM json_each(?) AS given JOIN journal ON journal.seq = (
    SELECT max(seq) FROM journal WHERE stream = given.value ->> 0 AND time_us = given.value ->> 1)
"""
# Materialized, or SQLite would take each value out of the JSON once for its column and again for the checksum.
_INSERT = f"""
WITH given AS MATERIALIZED (
    SELECT ? + key AS seq, value ->> 0 AS stream, value ->> 1 AS time_us, value ->> 2 AS heart_rate FROM json_each(?))
INSERT INTO journal (seq, stream, time_us, heart_rate, checksum)
SELECT seq, stream, time_us, heart_rate, {row_checksum_sql("seq", "stream", "time_us", "heart_rate")} FROM given
"""  # noqa: S608 - no outside text


@dataclass(frozen=True, slots=True)
class Group:
    """What one commit stores: a rate per (user, device, time), and what was dropped on the way."""

    rates: dict[tuple[str, str, int], int]
    duplicates: int
    conflicts: int


def collapse(readings: Iterable[Reading]) -> Group:
    """Return the last rate of each key, and how many readings repeated or contradicted an earlier one. Pure.

    A group is committed as a whole, so nothing can have been seen between its readings: only the last counts.
    """
    rates: dict[tuple[str, str, int], int] = {}
    duplicates = conflicts = 0
    for user, device, time_us, rate in readings:
        key = (user, device, time_us)
        prior = rates.get(key)
        if prior is not None:
            if prior == rate:
                duplicates += 1
            else:
                conflicts += 1
        rates[key] = rate
    return Group(rates, duplicates, conflicts)


class Insertion:
    """Inserts groups, and remembers what it would otherwise ask the tables for every time."""

    def __init__(self, next_seq: int) -> None:
        self._next_seq = next_seq
        self._streams: dict[tuple[str, str], int] = {}
        # The latest time that the journal holds of each of them, or held before a compaction.
        self._newest: dict[int, int] = {}

    @property
    def last_seq(self) -> int:
        """The last number that was given."""
        return self._next_seq - 1

    def take_number(self, connection: sqlite3.Connection) -> int:
        """Give a number to something else than a reading; part of a transaction."""
        seq, self._next_seq = self._next_seq, self._next_seq + 1
        # SQLite's own counter has to know of it: a number never returns, also where nothing is left that bears it.
        if not connection.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'journal'", (seq,)).rowcount:
            connection.execute("INSERT INTO sqlite_sequence VALUES ('journal', ?)", (seq,))
        return seq

    def insert(self, connection: sqlite3.Connection, group: Group) -> tuple[int, int]:
        """Insert what the journal does not hold already; return the rows inserted, and how many contradicted others."""
        known = self._streams
        if any((user, device) not in known for user, device, _ in group.rates):
            self._number_streams(connection, {key[:2] for key in group.rates})
        rows = [(known[user, device], time_us, rate) for (user, device, time_us), rate in group.rates.items()]
        # Nearly every reading is later than all before it from its device: then it cannot be in the journal already.
        newest = self._newest
        suspects = [key for key, (stream, time_us, _) in enumerate(rows) if time_us <= newest[stream]]
        conflicts = 0
        if suspects:
            prior = self._prior(connection, rows, suspects)
            conflicts = sum(rows[key][2] != rate for key, rate in prior.items())
            rows = [row for key, row in enumerate(rows) if prior.get(key) != row[2]]
        for stream, time_us, _ in rows:
            if time_us > newest[stream]:
                newest[stream] = time_us
        if rows:
            # Numbers are never given twice, even where this transaction fails: a reader may have seen them.
            first_seq, self._next_seq = self._next_seq, self._next_seq + len(rows)
            connection.execute(_INSERT, (first_seq, msgspec.json.encode(rows).decode()))
        return len(rows), conflicts

    def _prior(
        self, connection: sqlite3.Connection, rows: list[tuple[int, int, int]], suspects: list[int]
    ) -> dict[int, int]:
        """Return the journal's latest rates for those suspects that it holds, by place among the rows."""
        text = msgspec.json.encode([rows[key] for key in suspects]).decode()
        keys, rates = map(msgspec.json.decode, connection.execute(_PRIOR, (text,)).fetchone())
        return {suspects[key]: rate for key, rate in zip(keys, rates, strict=True)}

    def _number_streams(self, connection: sqlite3.Connection, wanted: set[tuple[str, str]]) -> None:
        if len(self._streams) + len(wanted) > _KNOWN_STREAMS:
            self.forget()
        for user, device in wanted - self._streams.keys():
            found = connection.execute(
                "SELECT stream FROM streams WHERE user_id = ? AND device_id = ?", (user, device)
            ).fetchone()
            if found is None:
                number = connection.execute("SELECT coalesce(max(stream), 0) + 1 FROM streams").fetchone()[0]
                checksum = text_checksum(number, user, device)
                connection.execute("INSERT INTO streams VALUES (?, ?, ?, ?)", (number, user, device, checksum))
            else:
                number = found[0]
            self._streams[user, device] = number
            (self._newest[number],) = connection.execute(
                "SELECT coalesce(max(time_us), -1) FROM journal WHERE stream = ?", (number,)
            ).fetchone()

    def forget(self) -> None:
        """Forget what is known of the tables: a transaction was undone, or rows were deleted."""
        self._streams.clear()
        self._newest.clear()
