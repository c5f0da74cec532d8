"""Backup of a data folder, also while the service runs; and the check of one, a backup or the folder itself.

A backup is what one read transaction sees: the database by SQLite's backup API, and links to the files that it lists,
which never change. Another disk gets copies. It is made beside its place and renamed into it when all of it is durable:

    the folder under a temporary name, the database in it, and the files in folders of their periods
    sync the database and what was copied       or they may be empty
    sync each folder, inner ones first          or names in it may be lost
    rename the whole, sync the folder it is in

so a backup that is there is whole. A file that compaction has replaced and removed meanwhile means to begin again.
"""

import errno
import shutil
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from mockexport.ingest.catalogue import READINGS_FOLDER, StoredFile, listed
from mockexport.ingest.checksums import file_sha256
from mockexport.ingest.database import DATABASE_NAME, UNREADABLE, bad_rows, check_format, connect
from mockexport.ingest.disk import Disk, RealDisk, private_folder
from mockexport.ingest.errors import Damaged, FolderUnusable, day_text
from mockexport.ingest.snapshots import read_transaction

__all__ = ["Backup", "Checked", "back_up", "check"]

# Compaction replaces files every few seconds, and linking takes milliseconds.
_ATTEMPTS = 10


@dataclass(frozen=True, slots=True)
class Backup:
    """What a backup holds; `copied` is whether its files are copies, and not links to the same bytes."""

    files: int
    readings: int
    copied: bool


@dataclass(frozen=True, slots=True)
class Checked:
    """What a folder holds, and in words what is wrong with it."""

    files: int
    readings: int
    journal_rows: int
    problems: Sequence[str]


class _Replaced(Exception):  # noqa: N818 - a state of the world
    """A file has been replaced while it was about to be linked."""


def back_up(data: Path, target: Path, disk: Disk | None = None) -> Backup:
    """Make a backup of `data` at `target`, which must not exist yet.

    Raises:
        FolderUnusable: one of the two folders cannot be used; nothing was left at `target`.
    """
    disk = RealDisk() if disk is None else disk
    if target.exists():
        raise FolderUnusable(target, "is there already; a backup is a folder of its own")
    partial = target.with_name(f".{target.name}.partial")
    try:
        private_folder(target.parent, disk)
        for _ in range(_ATTEMPTS):
            shutil.rmtree(partial, ignore_errors=True)
            try:
                made = _fill(data, partial, disk)
            except _Replaced:
                continue
            disk.rename(partial, target)
            disk.sync_folder(target.parent)
            return made
        raise FolderUnusable(data, "its files were replaced faster than they could be linked; try again")
    except OSError as error:
        raise FolderUnusable(error.filename or target, error.strerror or type(error).__name__) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _fill(data: Path, partial: Path, disk: Disk) -> Backup:
    readings = partial / READINGS_FOLDER
    disk.make_folder(partial)
    disk.make_folder(readings)
    files = _copy_database(data, partial / DATABASE_NAME)
    disk.sync_file(partial / DATABASE_NAME)
    copied = False
    folders = {file.period.folder for file in files}
    for folder in sorted(folders):
        disk.make_folder(readings / folder)
    for file in files:
        source, place = data / READINGS_FOLDER / file.name, readings / file.name
        try:
            try:
                disk.link(source, place)
            except OSError as error:
                if error.errno not in (errno.EXDEV, errno.EPERM, errno.EMLINK):
                    raise
                copied = True
                handle = disk.write(place, source.read_bytes())
                try:
                    disk.sync(handle)
                finally:
                    disk.close(handle)
        except FileNotFoundError:
            raise _Replaced from None
    for folder in sorted(folders):
        disk.sync_folder(readings / folder)
    disk.sync_folder(readings)
    disk.sync_folder(partial)
    return Backup(len(files), sum(file.rows for file in files), copied)


def _open(folder: Path) -> sqlite3.Connection:
    path = folder / DATABASE_NAME
    if not path.is_file():
        # SQLite would make one.
        raise FolderUnusable(folder, f"has no {DATABASE_NAME}, so it is no data folder")
    try:
        connection = connect(path, False)
        check_format(folder, connection)
    except UNREADABLE as error:
        raise FolderUnusable(folder, f"{DATABASE_NAME}: {error}") from error
    return connection


def _copy_database(data: Path, place: Path) -> list[StoredFile]:
    """Copy what one read transaction sees; return the files that it lists."""
    source = _open(data)
    try:
        with read_transaction(source):
            files = listed(source)
            copy = sqlite3.connect(place, isolation_level=None)
            try:
                # The copy is of this very transaction.
                source.backup(copy)
                # No log beside it, so that it is one file that can be copied on and looked at.
                copy.execute("PRAGMA journal_mode = DELETE")
            finally:
                copy.close()
            place.chmod(0o600)
        return files
    except (Damaged, *UNREADABLE) as error:
        raise FolderUnusable(data, f"{DATABASE_NAME}: {error}") from error
    finally:
        source.close()


def check(folder: Path) -> Checked:
    """Hold everything in a data folder or backup against its checksums; the service may be running meanwhile.

    Raises:
        FolderUnusable: it is no data folder, or its database cannot be read at all.
    """
    connection = _open(folder)
    try:
        with read_transaction(connection):
            problems = []
            structure = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
            if structure != "ok":
                problems.append(f"{DATABASE_NAME}: {structure}")
            bad = bad_rows(connection)
            problems += [f"journal: a row of {day_text(day)} is damaged" for day in sorted(bad.days)]
            if bad.everywhere:
                problems.append(f"{DATABASE_NAME}: a row that concerns every day is damaged")
            journal_rows = connection.execute("SELECT count(*) FROM journal").fetchone()[0]
            files = [] if bad.everywhere else listed(connection)
        for file in files:
            problem = _problem_of(folder / READINGS_FOLDER / file.name, file)
            # A running service may have replaced it meanwhile.
            if problem is not None and file in listed(connection, file.first_day, file.last_day):
                days = ", ".join(day_text(day) for day in file.held_days()[:5])
                more = ", …" if len(file.held_days()) > 5 else ""
                problems.append(f"{READINGS_FOLDER}/{file.name} ({days}{more}): {problem}")
        return Checked(len(files), sum(file.rows for file in files), journal_rows, problems)
    except UNREADABLE as error:
        raise FolderUnusable(folder, f"{DATABASE_NAME} is damaged ({type(error).__name__})") from error
    finally:
        connection.close()


def _problem_of(path: Path, file: StoredFile) -> str | None:
    try:
        if path.stat().st_size != file.size_bytes or file_sha256(path) != file.sha256:
            return "is not what was written"
        rows = pl.scan_parquet(path, hive_partitioning=False, glob=False).select(pl.len()).collect().item()
    except FileNotFoundError:
        return "is missing"
    except (OSError, pl.exceptions.PolarsError) as error:
        return f"cannot be read ({type(error).__name__})"
    return None if rows == file.rows else f"has {rows} rows instead of {file.rows}"
