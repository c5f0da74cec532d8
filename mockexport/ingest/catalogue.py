"""The list of Parquet files, and whether each is still what was written.

A file's SHA-256 is checked before Polars first opens it, and again whenever its size, inode or times have changed: a
Parquet reader given wrong bytes may answer wrongly, or worse, die.
"""

import sqlite3
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

import msgspec

from mockexport.ingest.checksums import file_sha256, text_checksum
from mockexport.ingest.errors import Damaged
from mockexport.ingest.periods import Period

__all__ = ["READINGS_FOLDER", "Catalogue", "DayRows", "StoredFile", "add_files", "drop_files", "listed"]

READINGS_FOLDER = "readings"

# The kernel's clock for files ticks every few milliseconds: a file changed twice within a tick looks unchanged. So what
# is younger than this is not remembered as sound, but read again.
_SETTLED_NS = 10**9


class DayRows(msgspec.Struct, array_like=True, frozen=True):
    """What a file holds of one day: how many rows, and the highest sequence number that went into it."""

    day: int
    rows: int
    highest_seq: int


@dataclass(frozen=True, slots=True)
class StoredFile:
    """One Parquet file as the database lists it.

    `name` is its path below the readings' folder, `first_day` and `last_day` are its period (see `periods`), `days` is
    what it holds of each day as JSON, `users` how many users, `holders` which ones (see `holders`), and `erased_seq`
    the number up to which deletions have been carried out in it.
    """

    name: str
    first_day: int
    last_day: int
    rows: int
    first_us: int
    last_us: int
    highest_seq: int
    erased_seq: int
    days: str
    users: int
    holders: bytes
    size_bytes: int
    sha256: str

    @property
    def period(self) -> Period:
        """The period whose readings it holds some of."""
        return Period(self.first_day, self.last_day)

    def day_rows(self) -> list[DayRows]:
        """Return what it holds of each day, ascending."""
        return msgspec.json.decode(self.days, type=list[DayRows])

    def held_days(self, first_day: int = 0, last_day: int = 1 << 40) -> list[int]:
        """Return the days within a span that it holds readings of."""
        return [each.day for each in self.day_rows() if first_day <= each.day <= last_day]


def listed(connection: sqlite3.Connection, first_day: int = 0, last_day: int = 1 << 40) -> list[StoredFile]:
    """Return the files whose periods touch some days, by period and age.

    Raises:
        Damaged: an entry of the list is not what was written.
    """
    rows = connection.execute(
        "SELECT * FROM files WHERE first_day <= ? AND last_day >= ? ORDER BY first_day, highest_seq",
        (last_day, first_day),
    ).fetchall()
    for *facts, checksum in rows:
        if checksum != text_checksum(*facts):
            raise Damaged([facts[1]], "the list of files")
    return [StoredFile(*facts) for *facts, _ in rows]


def add_files(connection: sqlite3.Connection, files: Iterable[StoredFile]) -> None:
    """List files; part of a transaction."""
    connection.executemany(
        f"INSERT INTO files VALUES ({', '.join('?' * 14)})",  # noqa: S608 - no outside text
        [(*astuple(file), text_checksum(*astuple(file))) for file in files],
    )


def drop_files(connection: sqlite3.Connection, files: Iterable[StoredFile]) -> None:
    """Take files off the list; part of a transaction."""
    connection.executemany("DELETE FROM files WHERE name = ?", [(file.name,) for file in files])


class Catalogue:
    """Where the files lie, and what is known of their bytes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._sound: dict[str, tuple[int, ...]] = {}
        self._damaged: dict[str, list[int]] = {}

    def path(self, file: StoredFile) -> Path:
        """Return where a file lies."""
        return self.folder / file.name

    def is_sound(self, file: StoredFile) -> bool:
        """Tell whether a file holds the bytes that were written; reads it where that is not known yet."""
        path = self.path(file)
        try:
            state = path.stat()
            identity = (state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
            with self._lock:
                if self._sound.get(file.name) == identity:
                    return True
            sound = state.st_size == file.size_bytes and file_sha256(path) == file.sha256
            settled = time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED_NS
        except OSError:  # gone, or unreadable: a bad sector says so here
            sound = False
        with self._lock:
            if sound:
                if settled:
                    self._sound[file.name] = identity
                self._damaged.pop(file.name, None)
            else:
                self._sound.pop(file.name, None)
                self._damaged[file.name] = file.held_days()
        return sound

    def is_known(self, file: StoredFile) -> bool:
        """Tell whether a file has been looked at."""
        with self._lock:
            return file.name in self._sound or file.name in self._damaged

    def verified(self, files: Sequence[StoredFile], first_day: int = 0, last_day: int = 1 << 40) -> list[Path]:
        """Return the files' paths.

        Raises:
            Damaged: one of them is not what was written; names the days within the span that it holds.
        """
        damaged = [file for file in files if not self.is_sound(file)]
        if damaged:
            days = (day for file in damaged for day in file.held_days(first_day, last_day))
            raise Damaged(days, "a Parquet file")
        return [self.path(file) for file in files]

    def forget(self, files: Iterable[StoredFile]) -> None:
        """Stop remembering files that are in no list any more."""
        with self._lock:
            for file in files:
                self._sound.pop(file.name, None)
                self._damaged.pop(file.name, None)

    def damaged_days(self) -> frozenset[int]:
        """Return the days with a file that is known to be damaged."""
        with self._lock:
            return frozenset(day for days in self._damaged.values() for day in days)
