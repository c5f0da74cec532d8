"""The system calls by which a file becomes durable, as a seam: the real ones here, scripted ones in tests.

Whatever the service writes itself goes through a `Disk`; SQLite does its own. Every operation is one that may fail and
one that a power cut may undo until it is made durable: bytes by `sync` of the file, names by `sync_folder`.
"""

import os
from pathlib import Path
from typing import Protocol

__all__ = ["Disk", "RealDisk", "private_folder"]

# Health data: for the owner's eyes only.
FILE_MODE, FOLDER_MODE = 0o600, 0o700


class Disk(Protocol):
    """What publishing needs of a file system."""

    def make_folder(self, path: Path) -> None:
        """Create a folder whose parent exists."""

    def write(self, path: Path, data: bytes) -> int:
        """Create a new file with these bytes; return a handle for `sync` and `close`."""

    def sync(self, handle: int) -> None:
        """Make the file's bytes durable."""

    def close(self, handle: int) -> None:
        """Give the handle back."""

    def rename(self, old: Path, new: Path) -> None:
        """Give a file another name in its folder."""

    def sync_folder(self, path: Path) -> None:
        """Make the names in a folder durable."""

    def link(self, old: Path, new: Path) -> None:
        """Give a file a second name."""

    def sync_file(self, path: Path) -> None:
        """Make the bytes of a file durable that somebody else has written, as SQLite does."""

    def unlink(self, path: Path) -> None:
        """Remove a file."""

    def remove_folder(self, path: Path) -> None:
        """Remove an empty folder."""


class RealDisk:
    """The operating system's."""

    def make_folder(self, path: Path) -> None:
        path.mkdir(mode=FOLDER_MODE, exist_ok=True)

    def write(self, path: Path, data: bytes) -> int:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(handle, view) :]
        except BaseException:
            os.close(handle)
            raise
        return handle

    def sync(self, handle: int) -> None:
        os.fsync(handle)

    def close(self, handle: int) -> None:
        os.close(handle)

    def rename(self, old: Path, new: Path) -> None:
        old.rename(new)

    def sync_folder(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def link(self, old: Path, new: Path) -> None:
        new.hardlink_to(old)

    def sync_file(self, path: Path) -> None:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)

    def unlink(self, path: Path) -> None:
        path.unlink(missing_ok=True)

    def remove_folder(self, path: Path) -> None:
        path.rmdir()


def private_folder(path: Path, disk: Disk) -> None:
    """Make `path` and its missing parents, for the owner alone, and durable."""
    missing = []
    while not path.is_dir():
        missing.append(path)
        path = path.parent
    for folder in reversed(missing):
        disk.make_folder(folder)
        disk.sync_folder(folder.parent)
