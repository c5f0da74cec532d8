"""Files as a source: the ones that a user names, one by one or by a pattern; and the bytes of a file.

Nothing is known of such files but their bytes, so their downloads are unverifiable; compressed ones at least show
whether they are whole.
"""

import glob
import hashlib
import logging
import os
import stat
from collections.abc import AsyncGenerator, Iterable, Mapping
from contextlib import suppress
from pathlib import Path

from mockexport.errors import ExportNotFound, FolderError, TransferError
from mockexport.model import Download, Export, SizeLimits, Verdict
from mockexport.pipeline.streams import Piece, Room, StartOver
from mockexport.sources.listing import LISTING, UNFINISHED, ListedFile, check_file, readable
from mockexport.unpacking.compression import START_BYTES, compression_of
from mockexport.unpacking.stream import OwnRoom, UnpackedStream

__all__ = [
    "NDJSON_SUFFIXES",
    "SUFFIXES",
    "FileStream",
    "Files",
    "as_of",
    "downloads_of",
    "is_ndjson",
    "rows_of",
    "tables_in",
]

# What a folder's tables are called; how they are compressed is told by their bytes.
_PACKED = (".gz", ".zst")
SUFFIXES = tuple(table + packed for table in (".csv", ".tsv") for packed in ("", *_PACKED))
# And its files of resources, lines of JSON.
NDJSON_SUFFIXES = tuple(lines + packed for lines in (".ndjson", ".jsonl") for packed in ("", *_PACKED))
# Other programs leave a log of their own beside the resources.
_LOGS = ("log.ndjson", "log.jsonl", UNFINISHED)

_log = logging.getLogger("mockexport")

_NOT_READ = "which is for other tools and not read here; keep CSV (--save-format csv) to read it again"


class Files:
    """A Source over files that are named: each is a download of one export, in the order of their names.

    Args:
        files: a path, a glob pattern (`**` for any depth of folders), or several paths.
        size_limits: how many files there may be, and how much memory zstd may ask for.

    Raises:
        FolderError: if there is no such file, or the same data seems to be named twice.
    """

    def __init__(self, files: str | Path | Iterable[str | Path], *, size_limits: SizeLimits | None = None) -> None:
        self._limits = size_limits or SizeLimits()
        self._name = readable(files) if isinstance(files, str | Path) else "files"
        paths = _found(files) if isinstance(files, str | Path) else [Path(path) for path in files]
        if not paths:
            raise FolderError(self._name, "matches no file")
        self._limits.check("downloads", len(paths), f"files like {self._name}")
        for path in paths:
            if path.suffix == ".parquet":
                raise FolderError(path, f"is Parquet, {_NOT_READ}")
        _refuse_twins(paths)
        above = os.path.commonpath([os.path.abspath(path.parent) for path in paths])
        self._id = readable(_plain(paths[0].name) if len(paths) == 1 else Path(above).name or "files")
        self._by_id = _by_id((Path(os.path.relpath(path, above)).as_posix(), path) for path in paths)

    @property
    def name(self) -> str:
        """The path or pattern."""
        return self._name

    @property
    def is_plain(self) -> bool:
        """Whether no file is compressed (see streams.PlainSource)."""
        return are_plain(path.name for path in self._by_id.values())

    async def export_ids(self) -> list[str]:
        """Return the one id: a single file's name without its suffixes, or that of the folder that holds them all."""
        return [self._id]

    async def discover(self, export_id: str) -> Export:
        """Return the export with its downloads (see streams.Source.discover)."""
        if export_id != self._id:
            raise ExportNotFound(export_id, self.name, [self._id])
        return Export(export_id, downloads_of(self._by_id))

    def takes_in(self, folder: Path) -> bool:
        """Tell whether a table that is put into a folder might be one of these files the next time."""
        if not glob.has_magic(self._name):
            return False
        target = folder.resolve()
        above, deep, _ = self._name.partition("**")
        if deep and target.is_relative_to(Path(above).resolve()):
            return True
        return any(path.parent.resolve() == target for path in self._by_id.values())

    def as_of(self) -> str:
        """Return sizes and dates (see streams.DatedSource)."""
        return as_of(self._by_id.values())

    def stream(self, export_id: str, download: Download) -> UnpackedStream:
        """Return the file's rows (see streams.Source.stream)."""
        return rows_of(self._by_id[download.id], download, self._limits)


def are_plain(names: Iterable[str]) -> bool:
    """Tell whether no file is compressed, by their names."""
    return not any(name.lower().endswith(_PACKED) for name in names)


def tables_in(directory: Path) -> dict[str, Path]:
    """Return the tables of a folder by their names, in that order.

    Raises:
        FolderError: if there is none, or one in two forms.
    """
    try:
        with os.scandir(directory) as found:
            is_folder = {entry.name: entry.is_dir() for entry in sorted(found, key=lambda entry: entry.name)}
    except OSError as error:
        raise FolderError(directory, f"cannot be read: {error.strerror}") from error
    files = [directory / name for name in is_folder if not is_folder[name]]
    paths = [path for path in files if path.name.lower().endswith(SUFFIXES)]
    lines = [path for path in files if is_ndjson(path)]
    if paths and lines:
        raise FolderError(directory, f"holds both tables and NDJSON; name one kind: '{directory}/*.ndjson'")
    suffixes = NDJSON_SUFFIXES if lines else SUFFIXES
    paths += lines
    if not paths and any(directory.glob("*.parquet")):
        raise FolderError(directory, f"holds Parquet, {_NOT_READ}")
    if not paths:
        raise FolderError(
            directory,
            f"holds no {LISTING}, and no file whose name ends in {', '.join(SUFFIXES)}, or .ndjson; other names, and"
            f" folders in it, take a pattern in quotes: '{directory}/**/*.txt'",
        )
    others = sum(not name.startswith(".") for name in is_folder.keys() - {path.name for path in paths})
    if others:
        what = "1 other entry is" if others == 1 else f"{others:,} other entries are"
        _log.info("%s: %s passed over, as tables in a folder end in %s", directory, what, ", ".join(suffixes))
    _refuse_twins(paths)
    return _by_id((path.name, path) for path in paths)


def is_ndjson(path: Path) -> bool:
    """Tell whether a file is one of resources, by its name."""
    return path.name.lower().endswith(NDJSON_SUFFIXES) and path.name.lower() not in _LOGS


def downloads_of(paths: Mapping[str, Path], rows: Mapping[str, int] | None = None) -> tuple[Download, ...]:
    """Return files as downloads, with the `rows` that are announced of some, by id.

    The length of the body of a compressed one is not known before it has been read.
    """
    rows = rows or {}
    return tuple(Download(name, rows=rows.get(name), size_bytes=_body_bytes(path)) for name, path in paths.items())


def as_of(paths: Iterable[Path]) -> str:
    """Return a digest that differs once a file has been written to or replaced."""
    digest = hashlib.sha256()
    for path in paths:
        with suppress(OSError):  # whoever reads it will say why
            found = path.stat()
            digest.update(f"{found.st_size} {found.st_mtime_ns} {found.st_ino}\n".encode())
    return digest.hexdigest()


def rows_of(path: Path, download: Download, limits: SizeLimits | None = None) -> UnpackedStream:
    """Return the rows of a file, decompressed if need be."""
    return UnpackedStream(FileStream(path, download), download.id, str(path), limits)


def _found(pattern: str | Path) -> list[Path]:
    if Path(pattern).exists():
        return [Path(pattern)]
    found = sorted(path for path in map(Path, glob.glob(str(pattern), recursive=True)) if not path.is_dir())
    if not found and not glob.has_magic(str(pattern)):
        raise FolderError(pattern, "there is no such file or folder")
    return found


def _plain(name: str) -> str:
    """Return a file's name without the suffixes of a table."""
    fitting = [len(suffix) for suffix in (*SUFFIXES, *NDJSON_SUFFIXES) if name.lower().endswith(suffix)]
    return name[: len(name) - max(fitting, default=0)] or name


def _by_id(named: Iterable[tuple[str, Path]]) -> dict[str, Path]:
    """Return paths by the ids of their downloads."""
    found: dict[str, Path] = {}
    for name, path in named:
        twin = found.setdefault(readable(name), path)
        if twin is not path:
            raise FolderError(path, f"cannot be told from {twin} by its name; rename one of them")
    return found


def _found_file(path: Path) -> os.stat_result:
    """Return what is known of a file; refuse what is named and cannot be read as one, rather than pass over it."""
    try:
        found = path.stat()
    except PermissionError as error:
        raise FolderError(path, f"cannot be read: {error.strerror}") from error
    except (OSError, ValueError):  # ValueError: no path at all
        there = "is a link that leads nowhere" if path.is_symlink() else "there is no such file"
        raise FolderError(path, there) from None
    if not stat.S_ISREG(found.st_mode):
        raise FolderError(path, "is no file")
    return found


def _refuse_twins(paths: list[Path]) -> None:
    """Refuse what is no file, and the same data twice: under two names, or with a compressed copy beside it."""
    seen: dict[object, Path] = {}
    folders: dict[Path, Path] = {}
    for path in paths:
        found, folder = _found_file(path), path.parent
        if folder not in folders:
            folders[folder] = folder.resolve()
        for key in ((found.st_dev, found.st_ino), (folders[folder], _plain(path.name))):
            twin = seen.setdefault(key, path)
            if twin is not path:
                raise FolderError(path, f"seems to be the same data as {twin.name}; name one of them only")


def _body_bytes(path: Path) -> int | None:
    try:
        with open(path, "rb", buffering=0) as file:
            return None if compression_of(file.read(START_BYTES)) else os.fstat(file.fileno()).st_size
    except OSError:
        return None  # whoever reads it will say why


class FileStream:
    """The bytes of one file as they are (streams.ByteStream). A file does not get better: nothing is tried twice.

    Args:
        path: the file.
        download: what it is, for messages.
        listed: what `export.json`, in the same folder, says of it; its SHA-256 is then checked.
    """

    def __init__(self, path: Path, download: Download, listed: ListedFile | None = None) -> None:
        self._path = path
        self._download = download
        self._listed = listed
        self._received = 0
        self._room: Room | None = None

    def receive_into(self, room: Room) -> None:
        """Read into a reader's memory (see streams.ReceivingStream)."""
        self._room = room

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the file's bytes; at its end, hold them against the SHA-256 that is noted, if there is one."""
        digest = None if self._listed is None else hashlib.sha256()
        room = self._room or OwnRoom()
        try:
            if self._listed is not None:
                check_file(self._path.parent, self._listed)
            with open(self._path, "rb", buffering=0) as file:  # noqa: ASYNC230 - it takes no time
                size = os.fstat(file.fileno()).st_size or None  # where none is known, the end is what shows it
                while self._received != size and (piece := await room.read(file, self._received)):
                    self._received += len(piece)
                    if digest is not None:
                        digest.update(piece)
                    yield piece if self._room is not None else bytes(piece)
        except FolderError as error:
            raise self._fault(str(error)) from error
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}") from error
        if self._listed is None and not self._received and self._path.suffix.lower() in _PACKED:
            raise self._fault("it is empty, which no compressed file is; did the program that made it fail?")
        if self._listed is not None and digest is not None and digest.hexdigest() != self._listed.sha256:
            raise self._fault(f"its SHA-256 is not the one in {LISTING}: it was changed; download or generate it again")

    def start_over(self, problem: str) -> StartOver:
        """Refuse, with the problem: the file would be the same."""
        raise self._fault(problem)

    def _fault(self, problem: str) -> TransferError:
        return TransferError(self._download.id, str(self._path), problem, offset=self._received)

    async def close(self, verdict: Verdict | None) -> None:
        """Nothing is left to do: the file closes with the iteration."""
