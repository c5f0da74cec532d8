"""Files that are written, or read, at once and whole.

A new one appears whole or not at all: written under a temporary name, renamed when it is complete. Only this machine's
disk can fail there, and every such failure is an OutputError with the path. Whatever raises between two calls belongs
to the caller and passes through unchanged, leaving no trace of the file. One that is read must be a regular file: a
device may have no end, and a pipe nobody who writes into it.
"""

import errno
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from mockexport.errors import OutputError

__all__ = ["NewFile", "check_regular", "make_folder", "read_file"]


def read_file(path: str | Path, most_bytes: int) -> bytes:
    """Return a regular file's bytes, or its first `most_bytes` + 1 if it is longer.

    Raises:
        OSError: it cannot be read, or is none; `strerror` says which.
    """
    # Without waiting: to open a pipe is to wait for a writer.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        _check_mode(found.st_mode)
        return file.read(min(found.st_size, most_bytes) + 1)


def check_regular(path: str | Path) -> None:
    """Raise OSError unless there is a regular file at `path`; for those who have something else read it."""
    _check_mode(os.stat(path).st_mode)


def _check_mode(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, where a regular file is expected")


def make_folder(directory: Path) -> None:
    """Make a folder, its owner's alone, and those it is to be in, unless it is there.

    Raises:
        OutputError: it cannot be made.
    """
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        lost = directory.is_symlink() and not directory.exists()
        raise OutputError(directory, "it is a link that leads nowhere" if lost else _reason(error)) from error


class NewFile:
    """A new file at `path`, readable by its owner alone; what was at `path` stays until `commit`.

    Use it as a context manager: what is not committed at the end is discarded. Where `path` is a link, it is the file
    that it leads to. Where it is a device or a pipe, that is written to as it is: there is nothing to keep, and a file
    in its place would be the end of a /dev/null.

    Args:
        path: where it is to be.
        named: the user has named it. What else stands under the name of a file that a program makes in a folder, such
            as a link that somebody has left there, is replaced and not followed.
    """

    __slots__ = ("_file", "_partial", "_target", "path")

    def __init__(self, path: Path, *, named: bool = True) -> None:
        self.path: Path = path
        try:
            self._target = path.resolve() if named else path
            special = named and self._target.exists() and not (self._target.is_file() or self._target.is_dir())
            self._partial = None if special else self._target.with_name(self._target.name + ".partial")
            if self._partial is None:
                descriptor = os.open(self._target, os.O_WRONLY)
            else:
                # What an earlier, killed run left is no use, and its permissions or a link in its place less so.
                self._partial.unlink(missing_ok=True)
                descriptor = os.open(self._partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            self._file = open(descriptor, "wb", buffering=0)  # noqa: SIM115 - closed by commit and discard
        except (OSError, RuntimeError) as error:  # RuntimeError: a loop of links, before Python 3.13
            raise OutputError(path, _reason(error)) from error

    def write(self, data: bytes) -> None:
        """Append `data`."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._file.write(rest) :]
        except OSError as error:
            raise OutputError(self.path, _reason(error)) from error

    def commit(self) -> None:
        """Make the file appear under its name, its bytes on the disk first."""
        try:
            if self._partial is not None:
                os.fsync(self._file.fileno())
            self._file.close()
            if self._partial is not None:
                self._partial.replace(self._target)
        except OSError as error:
            raise OutputError(self.path, _reason(error)) from error

    def discard(self) -> None:
        """Remove what was written so far; nothing happens after `commit`."""
        try:
            self._file.close()
            if self._partial is not None:
                self._partial.unlink(missing_ok=True)
        except OSError:
            # Where not even removing works, the error that led here says more than this one.
            return

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()

    def __repr__(self) -> str:
        return f"<NewFile {self.path} {'closed' if self._file.closed else 'open'}>"


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or type(error).__name__
