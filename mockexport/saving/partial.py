"""The part of a download that is on the disk: its file, and the note beside it that says how much of it is sound.

A crash may tear what was written last, a power cut what was written before. So the note alone counts. It is written
every few seconds, once the bytes that it speaks of are on the disk: their number and SHA-256, the mark by which the
server knows the same content again, and what was announced of the download. What lies beyond is cut off. A file without
such a note, or one that is no plain file of this user's, is worth nothing.

Rules: no tasks here. Methods may be called from threads; one that still runs when its caller has been cancelled is
waited for by the next, and does nothing after the end.
"""

import hashlib
import os
import stat
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from io import FileIO
from pathlib import Path

import msgspec

from mockexport.errors import OutputError
from mockexport.newfile import NewFile
from mockexport.pipeline.streams import Mark
from mockexport.resuming.replies import is_strong
from mockexport.sources.listing import MAX_LISTING_BYTES, ListedFile

__all__ = ["NOTE_EVERY_S", "Note", "Partial", "Torn", "left_in", "sweep"]

# What a crash may cost, as with checkpoints.
NOTE_EVERY_S = 5.0
# Read at once: as much as a chunk of the default size.
PIECE_BYTES = 256 * 1024

_PARTIAL = ".partial"
_NOTE = ".partial.note"


class Torn(Exception):  # noqa: N818 - a state of the world
    """What is on the disk is not what was noted of it."""

    def __init__(self, problem: str) -> None:
        self.problem = problem
        super().__init__(problem)


class Note(msgspec.Struct, frozen=True):
    """What is noted of a part: whose it is, how much of it is sound, and by what the server knows the rest."""

    export_id: str
    file: ListedFile
    mark: Mark

    @property
    def size_bytes(self) -> int:
        """How many bytes are sound."""
        return self.file.size_bytes


class Partial:
    """The file in the making of one download. Use it for one run: `commit` or `leave` or `discard` is its end.

    Args:
        path: where the whole file is to be.
        every_s: how often to note what there is; at every piece if 0.
    """

    def __init__(self, path: Path, *, every_s: float = NOTE_EVERY_S) -> None:
        self.path = path
        self._partial = path.with_name(path.name + _PARTIAL)
        self._note = path.with_name(path.name + _NOTE)
        self._every_s = every_s
        self._lock = threading.Lock()
        self._file: FileIO | None = None
        self._over = False
        self._left: Note | None = None  # what is still to be read again
        self._about: Note | None = None  # what to note, but for size and digest; None: not worth a note
        self._clear()

    def _clear(self) -> None:
        self._digest = hashlib.sha256()
        self._size = 0
        self._noted_s = time.monotonic()

    def found(self) -> Note | None:
        """Return what an earlier run has noted; whether it is there shows when it is read."""
        return _read_note(self._note)

    def go_on(self, note: Note) -> None:
        """Go on from what was `found`: let `read` return it, before anything is written."""
        with self._lock:
            self._left = self._about = note

    def read(self) -> bytes:
        """Return the next bytes of what an earlier run has left, none at its end; what is written follows them.

        Raises:
            Torn: they are not what was noted.
        """
        with self._lock:
            left = self._left
            if left is None or self._over:
                return b""
            try:
                if self._file is None:
                    self._file = open(_open_own(self._partial, os.O_RDWR), "r+b", buffering=0)  # noqa: SIM115
                piece = self._file.read(min(PIECE_BYTES, left.size_bytes - self._size))
                self._digest.update(piece)
                self._size += len(piece)
                if piece:
                    return piece
                if self._digest.hexdigest() != left.file.sha256:
                    raise Torn("what an earlier run has left is damaged")
                self._file.truncate(self._size)
                self._left = None
            except OSError as error:
                raise Torn(f"what an earlier run has left cannot be read: {error.strerror}") from error
            return b""

    def begin(self, about: Note | None) -> None:
        """Begin at the first byte, or again; `about` tells what to note of the bytes that follow, None if nothing."""
        with self._lock:
            try:
                # First, so that no note speaks of bytes that are gone. (Should a power cut bring it back: the digest.)
                self._note.unlink(missing_ok=True)
                if self._file is not None:
                    self._file.seek(0)
                    self._file.truncate()
                else:
                    self._partial.unlink(missing_ok=True)
            except OSError as error:
                raise self._fault(error) from error
            self._left, self._about = None, about
            self._clear()

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            OutputError: it cannot be written.
        """
        with self._lock:
            if self._over:
                return
            try:
                self._open_new()
                assert self._file is not None  # noqa: S101 - just opened
                rest = memoryview(piece)
                while rest:
                    rest = rest[self._file.write(rest) :]
                self._digest.update(piece)
                self._size += len(piece)
                if time.monotonic() - self._noted_s >= self._every_s:
                    self._write_note()
            except OSError as error:
                raise self._fault(error) from error

    def flush(self) -> tuple[int, str]:
        """See that all bytes are on the disk; return their number and SHA-256."""
        with self._lock:
            if not self._over:
                try:
                    self._open_new()
                    assert self._file is not None  # noqa: S101 - just opened
                    os.fsync(self._file.fileno())
                except OSError as error:
                    raise self._fault(error) from error
            return self._size, self._digest.hexdigest()

    def commit(self) -> None:
        """Make the file appear under its name; call `flush` before."""
        with self._lock:
            if self._over or self._file is None:
                return
            try:
                self._file.close()
                self._partial.replace(self.path)
                self._note.unlink(missing_ok=True)
            except OSError as error:
                raise self._fault(error) from error
            finally:
                self._over = True

    def leave(self) -> None:
        """Leave what there is to another run, if it can be of use to one; nothing happens after the end."""
        with self._lock:
            if self._over or self._file is None:
                self._over = True
                return
            self._over = True
            if self._left is None:
                with suppress(OSError, OutputError):  # what led here says more, and an older note may do
                    self._write_note()
            with suppress(OSError):
                self._file.close()
            if not self._note.exists():
                self._remove()

    def discard(self) -> None:
        """Remove what there is; nothing happens after the end."""
        with self._lock:
            if self._over:
                return
            self._over = True
            if self._file is not None:
                with suppress(OSError):
                    self._file.close()
            self._remove()

    def _remove(self) -> None:
        with suppress(OSError):  # what led here says more
            self._note.unlink(missing_ok=True)
            self._partial.unlink(missing_ok=True)

    def _open_new(self) -> None:
        if self._file is None:
            self._note.unlink(missing_ok=True)
            self._partial.unlink(missing_ok=True)
            self._file = open(self._partial, "xb", buffering=0, opener=_private)  # noqa: SIM115

    def _write_note(self) -> None:
        if self._about is None or self._file is None or not self._size:
            return
        os.fsync(self._file.fileno())
        file = msgspec.structs.replace(self._about.file, size_bytes=self._size, sha256=self._digest.hexdigest())
        with NewFile(self._note, named=False) as note:
            note.write(msgspec.json.encode(msgspec.structs.replace(self._about, file=file)) + b"\n")
            note.commit()
        self._noted_s = time.monotonic()

    def _fault(self, error: OSError) -> OutputError:
        return OutputError(self.path, error.strerror or type(error).__name__)


def left_in(directory: Path) -> list[Note]:
    """Return what is noted of the parts in a folder."""
    return list(filter(None, map(_read_note, sorted(directory.glob(f"*{_NOTE}")))))


def sweep(directory: Path, names: Iterable[str]) -> None:
    """Remove all parts that are noted, and those of the files of these names: nothing is in the making any more."""
    for note in directory.glob(f"*{_NOTE}*"):  # and one that was being written
        partial = note.with_name(note.name.partition(_NOTE)[0] + _PARTIAL)
        with suppress(OSError):
            note.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
    for name in names:
        with suppress(OSError):
            directory.joinpath(name + _PARTIAL).unlink(missing_ok=True)


def _read_note(path: Path) -> Note | None:
    """Return a note that is whole, sensible and our own."""
    try:
        with open(_open_own(path, os.O_RDONLY), "rb") as file:
            note = msgspec.json.decode(file.read(MAX_LISTING_BYTES), type=Note)
    except (OSError, ValueError, RecursionError):
        return None
    total = note.mark.total
    usable = total is not None and 0 < note.size_bytes <= total and is_strong(note.mark.etag)
    return note if usable else None


def _open_own(path: Path, flags: int) -> int:
    """Open a plain file of this user's: in a folder that others may write to, a link would be theirs to choose."""
    descriptor = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0))
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or (hasattr(os, "geteuid") and found.st_uid != os.geteuid()):
        os.close(descriptor)
        raise PermissionError(1, "is no plain file of this user's")
    return descriptor


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
