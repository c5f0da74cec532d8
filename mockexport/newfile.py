"""A file that appears whole or not at all: written under a temporary name, renamed when it is complete.

Rules: only this machine's disk can fail here, and every such failure is an OutputError with the path. Whatever raises
between two calls belongs to the caller and passes through unchanged, leaving no trace of the file.
"""

import os
from pathlib import Path
from types import TracebackType
from typing import Self

from mockexport.errors import OutputError

__all__ = ["NewFile"]


class NewFile:
    """A new file at `path`, readable by its owner alone; what was at `path` stays until `commit`.

    Use it as a context manager: what is not committed at the end is discarded. Where `path` is a link, it is the file
    that it leads to. Where it is a device or a pipe, that is written to as it is: there is nothing to keep, and a file
    in its place would be the end of a /dev/null.
    """

    __slots__ = ("_file", "_partial", "path")

    def __init__(self, path: Path) -> None:
        self.path: Path = path
        try:
            target = path.resolve()
            special = target.exists() and not (target.is_file() or target.is_dir())
            self._partial = None if special else target.with_name(target.name + ".partial")
            if self._partial is None:
                descriptor = os.open(target, os.O_WRONLY)
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
                self._partial.replace(self.path.resolve())
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
