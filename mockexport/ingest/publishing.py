"""How a Parquet file comes to be listed, in steps that a power cut may interrupt anywhere.

    make the period's folder, sync its parent   or the folder's name may be lost, and all in it
    write the bytes under a temporary name
    sync the file                               or a listed file may be empty
    rename it
    sync the folder                             or a listed file may still have its temporary name
    one transaction: list it, drop what it replaces, delete the journal's rows

Before the transaction nothing depends on the file, after it everything does. Each of the syncs is needed; a test takes
out one after the other and sees readings lost.
"""

import errno
import hashlib
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from mockexport.ingest.catalogue import StoredFile
from mockexport.ingest.disk import Disk
from mockexport.ingest.errors import DiskFull, StorageFailed
from mockexport.ingest.periods import Period

__all__ = ["TEMPORARY_SUFFIX", "ParquetBytes", "publish", "remove_orphans"]

T = TypeVar("T")

TEMPORARY_SUFFIX = ".tmp"
_PERIODS = ("day=", "month=", "year=")
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class ParquetBytes:
    """Rows of one period, encoded, and what the list says about them (see `catalogue.StoredFile`)."""

    period: Period
    data: bytes
    rows: int
    first_us: int
    last_us: int
    highest_seq: int
    erased_seq: int
    days: str
    users: int
    holders: bytes


def publish(content: ParquetBytes, folder: Path, disk: Disk) -> StoredFile:
    """Write a file so that it may be listed; the listing itself is the caller's transaction.

    Raises:
        DiskFull: no room; nothing is left behind.
        StorageFailed: a write, rename or sync failed: what the disk holds is not known.
    """
    try:
        return _publish(content, folder, disk)
    except OSError as error:
        if error.errno in _NO_ROOM and not isinstance(error, _SyncError):
            raise DiskFull from error
        raise StorageFailed(f"publishing a file: {errno.errorcode.get(error.errno or 0, 'error')}") from error


class _SyncError(OSError):
    """A sync that failed, even for want of room, has thrown bytes away that were reported as written."""


def _synced(sync: Callable[[T], None], target: T) -> None:
    try:
        sync(target)
    except OSError as error:
        raise _SyncError(*error.args) from error


def _publish(content: ParquetBytes, folder: Path, disk: Disk) -> StoredFile:
    # The number tells a person the order; the random part keeps an earlier, interrupted attempt out of the way.
    name = f"{content.period.folder}/{content.highest_seq:012d}-{secrets.token_hex(4)}.parquet"
    final = folder / name
    temporary = final.with_suffix(TEMPORARY_SUFFIX)
    if not final.parent.is_dir():
        disk.make_folder(final.parent)
    # Also where the folder was there: its maker may have been interrupted before this.
    _synced(disk.sync_folder, folder)
    try:
        handle = disk.write(temporary, content.data)
        try:
            _synced(disk.sync, handle)
        finally:
            disk.close(handle)
        disk.rename(temporary, final)
    except OSError:
        _try_unlink(temporary, disk)
        raise
    _synced(disk.sync_folder, final.parent)
    return StoredFile(
        name=name,
        first_day=content.period.first_day,
        last_day=content.period.last_day,
        rows=content.rows,
        first_us=content.first_us,
        last_us=content.last_us,
        highest_seq=content.highest_seq,
        erased_seq=content.erased_seq,
        days=content.days,
        users=content.users,
        holders=content.holders,
        size_bytes=len(content.data),
        sha256=hashlib.sha256(content.data).hexdigest(),
    )


def remove_orphans(folder: Path, names: frozenset[str], disk: Disk) -> int:
    """Remove files that are in no list: what interrupted compactions left; and empty folders. Return how many files.

    Only at the start: later, a folder that is found empty may be one that a file is about to be written into.
    """
    removed = 0
    with os.scandir(folder) as periods:
        for period in periods:
            if not period.name.startswith(_PERIODS) or not period.is_dir(follow_symlinks=False):
                continue
            left = 0
            for name in os.listdir(period.path):
                if f"{period.name}/{name}" in names:
                    left += 1
                else:
                    disk.unlink(Path(period.path, name))
                    removed += 1
            if not left:
                disk.remove_folder(Path(period.path))
    return removed


def _try_unlink(path: Path, disk: Disk) -> None:
    try:
        disk.unlink(path)
    except OSError:
        return  # in no list, so harmless; the next start removes it
