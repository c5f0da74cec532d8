"""A run's checkpoint: what it says, to whom it belongs, and its file.

A checkpoint holds the accounts and merged states of finished downloads, and of each one in flight whose body can be
resumed the mark by which the server knows the same content again, and the state of each span begun, up to a chunk's
border. All of it together or nothing: the file is replaced as a whole.

Rules: no clock and no tasks here. A file is used only if it is whole and belongs to this very run: the same export and
metadata, source, columns, filter, reducer, coverage, limit of bad rows, strictness and version. It holds patients'
data: its owner's alone (0600).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from mockexport import __version__
from mockexport.errors import CheckpointError, OutputError
from mockexport.model import Export, SizeLimits
from mockexport.newfile import NewFile, read_file
from mockexport.pipeline.options import RunOptions
from mockexport.pipeline.span import Begun
from mockexport.report.account import DownloadAccount

__all__ = ["Belonging", "Checkpoint", "Saved", "SavedRun", "from_bytes", "to_bytes"]

# What it begins with says the format of all of it; nothing inside says it again.
_NAME, _FORMAT = b"mockexport checkpoint", 5
_MAGIC = b"%s %d\n" % (_NAME, _FORMAT)
_DIGEST_BYTES = 32


@dataclass(frozen=True, slots=True)
class SavedRun:
    """The merged state of the finished downloads at the positions from `start` to `end` (exclusive) in time order."""

    start: int
    end: int
    state: bytes


@dataclass(frozen=True, slots=True)
class Saved:
    """What a checkpoint says."""

    finished: tuple[DownloadAccount, ...] = ()
    runs: tuple[SavedRun, ...] = ()
    begun: Mapping[str, Begun] = field(default_factory=dict)  # by download id


@dataclass(frozen=True, slots=True)
class Belonging:
    """Whose checkpoint it is: all that makes a saved state mean something else if it differs."""

    version: str
    export_id: str
    source: str
    downloads: str
    columns: str
    asked: str
    reducer: str
    strict: bool
    coverage: bool = False
    max_bad: str = ""

    @classmethod
    def of(cls, export: Export, *, source: str, reducer: str, options: RunOptions, as_of: str = "") -> "Belonging":
        """Return to whom a run's checkpoint belongs.

        Args:
            export: with its downloads' metadata.
            source: what it is called.
            reducer: its fingerprint.
            options: those of the run.
            as_of: what a DatedSource says.
        """
        announced = hashlib.sha256(msgspec.json.encode(export.downloads) + as_of.encode()).hexdigest()
        asked = options.filter
        ids = [None if ids is None else sorted(ids) for ids in (asked.patients, asked.event_types)]
        # A digest: whose rows were asked for is nobody's business.
        asked_for = hashlib.sha256(repr((asked.since_us, asked.until_us, *ids)).encode()).hexdigest()
        return cls(
            __version__, export.id, source, announced, options.schema.fingerprint, asked_for, reducer, options.strict,
            options.coverage, str(options.max_bad),
        )  # fmt: skip

    def difference(self, other: "Belonging") -> str | None:
        """Say in what `other`, a saved one, differs from this; None if they are the same."""
        if other.version != self.version:
            return f"it was made by version {other.version}, and this is {self.version}"
        if other.export_id != self.export_id:
            return f"it belongs to the export {other.export_id!a}"
        if other.source != self.source:
            return f"it was made of data from {other.source}"
        if other.downloads != self.downloads:
            return "the export's downloads are no longer those that it was made of"
        if other.columns != self.columns:
            return "it was made with other column names, null tokens or time zone, or whatever else describes a table"
        if other.asked != self.asked:
            return "it was made of other rows: the filter differs"
        if other.reducer != self.reducer:
            return "it was made for other statistics"
        if other.coverage != self.coverage:
            return f"it was made {'with' if other.coverage else 'without'} coverage over time (which --html asks for)"
        if other.max_bad != self.max_bad:
            return f"it was made with up to {other.max_bad} of bad rows allowed (analyze.max_bad), not {self.max_bad}"
        if other.strict != self.strict:
            return f"it was made {'with' if other.strict else 'without'} strict"
        return None


class _Content(msgspec.Struct, frozen=True):
    belonging: Belonging
    saved: Saved


def to_bytes(belonging: Belonging, saved: Saved) -> bytes:
    """Return a checkpoint as the bytes of its file."""
    payload = msgspec.msgpack.encode(_Content(belonging, saved))
    return _MAGIC + hashlib.sha256(payload).digest() + payload


def from_bytes(data: bytes, belonging: Belonging) -> Saved:
    """Return what a file's bytes say.

    Raises:
        ValueError: they are damaged, or belong to another run; the message says which.
    """
    head, payload = data[: len(_MAGIC) + _DIGEST_BYTES], data[len(_MAGIC) + _DIGEST_BYTES :]
    if not head.startswith(_MAGIC):
        name, _, version = head.partition(b"\n")[0].rpartition(b" ")
        if name == _NAME and version.isdigit() and len(version) < 9:
            raise ValueError(f"it has format {int(version)}, and this is format {_FORMAT}")
        raise ValueError("it is no checkpoint")
    if head != _MAGIC + hashlib.sha256(payload).digest():
        raise ValueError("it is damaged")
    try:
        content = msgspec.msgpack.decode(payload, type=_Content)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("it was altered: it does not hold what a checkpoint does") from error
    difference = belonging.difference(content.belonging)
    if difference is not None:
        raise ValueError(difference)
    return content.saved


class Checkpoint:
    """A run's checkpoint in a file.

    Args:
        path: the file; it need not be there, its folder must.
        source: what to call the source instead of its name, where that differs from run to run.
        size_limits: how long it may be, when it is read.
    """

    def __init__(self, path: str | Path, *, source: str | None = None, size_limits: SizeLimits | None = None) -> None:
        self.path: Path = Path(path)
        self.source = source
        self._limits = size_limits or SizeLimits()

    def __repr__(self) -> str:
        return f"<Checkpoint {self.path}>"

    def load(self, belonging: Belonging) -> Saved:
        """Return what an earlier run has saved, nothing if there is no file.

        Raises:
            CheckpointError: the file cannot be read, is damaged, or belongs to another run; it is left alone.
        """
        try:
            data = read_file(self.path, self._limits.checkpoint_bytes)
        except FileNotFoundError:
            return Saved()
        except OSError as error:
            raise CheckpointError(self.path, f"it cannot be read ({error.strerror})") from error
        if len(data) > self._limits.checkpoint_bytes:
            raise CheckpointError(self.path, f"it is longer than {self._limits.told('checkpoint_bytes')}")
        try:
            return from_bytes(data, belonging)
        except ValueError as problem:
            raise CheckpointError(self.path, str(problem)) from problem

    def save(self, belonging: Belonging, saved: Saved) -> None:
        """Replace the file, at once and whole.

        Raises:
            OutputError: it cannot be written; the old one is untouched.
        """
        with NewFile(self.path) as file:
            file.write(to_bytes(belonging, saved))
            file.commit()

    def remove(self) -> None:
        """Remove the file: the run it was for is done.

        Raises:
            OutputError: it cannot be removed.
        """
        try:
            self.path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(self.path, error.strerror or type(error).__name__) from error
