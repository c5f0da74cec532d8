"""Disks for tests: one that keeps the book of what a power cut may undo, and one that fails when told to.

`PowerCutDisk` does every operation for real and writes it down. `after_power_cut` then builds the folder as it may be
found after the power came back: what no sync has made durable may have happened or not, in any combination.
"""

import errno
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from mockexport.ingest.disk import RealDisk

__all__ = ["FailingDisk", "Operation", "PowerCutDisk", "after_power_cut", "pending"]


@dataclass(frozen=True, slots=True)
class Operation:
    """One step as it was done. `kind` is folder, write, link, sync, rename, sync_folder, unlink or commit."""

    kind: str
    path: Path
    target: Path | None = None
    data: bytes = b""


class PowerCutDisk(RealDisk):
    """Does and writes down. `skip` names one kind of sync, by its place, that is left out: to see it missed."""

    def __init__(self, skip: Callable[[Operation], bool] = lambda operation: False) -> None:
        self.operations: list[Operation] = []
        self._open: dict[int, Path] = {}
        self._skip = skip

    def _note(self, operation: Operation) -> None:
        if not self._skip(operation):
            self.operations.append(operation)

    def make_folder(self, path: Path) -> None:
        super().make_folder(path)
        self._note(Operation("folder", path))

    def write(self, path: Path, data: bytes) -> int:
        handle = super().write(path, data)
        self._open[handle] = path
        self._note(Operation("write", path, data=data))
        return handle

    def sync(self, handle: int) -> None:
        self._note(Operation("sync", self._open[handle]))

    def close(self, handle: int) -> None:
        super().close(handle)
        del self._open[handle]

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self._note(Operation("rename", old, new))

    def sync_folder(self, path: Path) -> None:
        self._note(Operation("sync_folder", path))

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._note(Operation("unlink", path))

    def link(self, old: Path, new: Path) -> None:
        super().link(old, new)
        # Its bytes were made durable under the old name.
        self._note(Operation("link", new, data=new.read_bytes()))

    def sync_file(self, path: Path) -> None:
        # Written by somebody else, all at once as far as this book goes.
        self._note(Operation("write", path, data=path.read_bytes()))
        self._note(Operation("sync", path))


def pending(operations: Iterable[Operation]) -> tuple[list[Operation], list[Operation]]:
    """Split what has happened into what is durable and what a power cut may still undo, in order.

    Bytes become durable when their file is synced, whatever its name then; names (of folders, files, after a rename or
    an unlink) when the folder that holds them is.
    """
    durable: list[Operation] = []
    doubtful: list[Operation] = []
    for operation in operations:
        if operation.kind == "sync":
            saved = [each for each in doubtful if each.kind == "write" and each.path == operation.path]
        elif operation.kind == "sync_folder":
            saved = [each for each in doubtful if each.kind != "write" and each.path.parent == operation.path]
            # A new file's name is durable with its folder too; its bytes are not. See `after_power_cut`.
            saved += [
                Operation("name", each.path)
                for each in doubtful
                if each.kind == "write" and each.path.parent == operation.path
            ]
        else:
            doubtful.append(operation)
            continue
        doubtful = [each for each in doubtful if each not in saved]
        durable += saved
    return durable, doubtful


def after_power_cut(root: Path, done: Iterable[Operation], lost: Iterable[Operation]) -> dict[Path, bytes]:
    """Return the files (path below `root` to bytes) after all of `done` happened except `lost`, which never did.

    A file whose bytes are lost is there and empty: its name may be durable before its content. A file in a folder that
    is lost is lost with it.
    """
    missing = list(lost)
    folders = {root}
    files: dict[Path, bytes] = {}
    for operation in done:
        gone = operation in missing
        if operation.kind == "folder" and not gone and operation.path.parent in folders:
            folders.add(operation.path)
        elif operation.kind == "write" and operation.path.parent in folders:
            files[operation.path] = b"" if gone else operation.data
        elif operation.kind == "link" and not gone and operation.path.parent in folders:
            files[operation.path] = operation.data
        elif operation.kind == "rename" and not gone and operation.target is not None:
            for path in [path for path in files if path.is_relative_to(operation.path)]:
                files[operation.target / path.relative_to(operation.path)] = files.pop(path)
        elif operation.kind == "unlink" and not gone:
            files.pop(operation.path, None)
    return files


class FailingDisk(RealDisk):
    """Fails its n-th operation (from 0) once, with the error given; a failing write leaves half of its bytes."""

    def __init__(self, fails_at: int, error: int = errno.EIO) -> None:
        self.count = 0
        self.failed: str | None = None
        self._fails_at, self._error = fails_at, error

    def _due(self, kind: str) -> bool:
        due = self.count == self._fails_at
        self.count += 1
        if due:
            self.failed = kind
        return due

    def _fail(self) -> OSError:
        return OSError(self._error, os.strerror(self._error))

    def make_folder(self, path: Path) -> None:
        if self._due("folder"):
            raise self._fail()
        super().make_folder(path)

    def write(self, path: Path, data: bytes) -> int:
        if self._due("write"):
            os.close(super().write(path, data[: len(data) // 2]))
            raise self._fail()
        return super().write(path, data)

    def sync(self, handle: int) -> None:
        if self._due("sync"):
            raise self._fail()
        super().sync(handle)

    def rename(self, old: Path, new: Path) -> None:
        if self._due("rename"):
            raise self._fail()
        super().rename(old, new)

    def sync_folder(self, path: Path) -> None:
        if self._due("sync_folder"):
            raise self._fail()
        super().sync_folder(path)

    def unlink(self, path: Path) -> None:
        if self._due("unlink"):
            raise self._fail()
        super().unlink(path)
