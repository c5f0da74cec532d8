"""Keeps what another source brings: every download that counts becomes a file in a folder, in the same pass.

What the folder holds already, verified and unchanged, is read from there instead of being fetched again, and verified
anew like everything else. Until all downloads are in, the folder holds `unfinished.ndjson`, a line per file so far,
instead of `export.json`: so that a part cannot pass for the whole.
"""

import hashlib
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from pathlib import Path

import aiofiles
import aiofiles.os
import msgspec
from aiofiles.threadpool import wrap
from aiofiles.threadpool.binary import AsyncBufferedIOBase

from mockexport.errors import FolderError, OutputError, TransferError
from mockexport.folder import (
    LISTING,
    MAX_LISTING_BYTES,
    PARQUET_LISTING,
    UNFINISHED,
    FolderListing,
    ListedFile,
    file_name,
    read_listing,
    write_listing,
)
from mockexport.metadata import format_api_time
from mockexport.model import Download, Export, Verdict, VerdictKind
from mockexport.sources.claiming import Claim
from mockexport.sources.files import FileStream
from mockexport.streams import ByteStream, Piece, Source, StartOver

__all__ = ["Saving"]


class Saving:
    """A Source that passes on another's exports and keeps them in `directory`, one export to a folder.

    Call `finish` after the run, and `release` whatever became of it. Files are readable by their owner alone.
    """

    def __init__(self, source: Source, directory: str | Path) -> None:
        self._source = source
        self.directory: Path = Path(directory)
        self._claim: Claim | None = None
        self._export: Export | None = None
        self._names: dict[str, str] = {}
        self._known: dict[str, ListedFile] = {}  # from earlier runs
        self._kept: dict[str, ListedFile] = {}  # in this one

    @property
    def name(self) -> str:
        """The other source's name."""
        return self._source.name

    async def export_ids(self) -> list[str]:
        """Return the other source's exports."""
        return await self._source.export_ids()

    async def discover(self, export_id: str) -> Export:
        """Return the export, once the folder is seen to be fit for it.

        Raises:
            FolderError: if the folder holds another export.
            OutputError: if it cannot be made, or another run is writing to it.
        """
        export = await self._source.discover(export_id)
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(self.directory, error.strerror or type(error).__name__) from error
        self._claim = Claim(self.directory)
        if (self.directory / PARQUET_LISTING).exists():
            raise FolderError(self.directory, "holds an export as Parquet; give CSV its own folder")
        for listing in (self._read_finished(), self._read_unfinished()):
            if listing is None:
                continue
            if listing.id != export_id:
                raise FolderError(self.directory, f"holds the export {listing.id!a}; give {export_id!a} its own folder")
            self._known |= {listed.id: listed for listed in listing.downloads}
        self._export = export
        self._names = {download.id: file_name(place, download.id) for place, download in enumerate(export.downloads)}
        return export

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the download's bytes, from the folder if they are there, and keep them on their way."""
        fetched = self._source.stream(export_id, download)
        listed = self._known.get(download.id)
        if listed is not None and listed.verdict is None and _describes(listed, download):
            return _KeptStream(self, download, listed, fetched)
        return _SavedStream(self, download, fetched)

    def path_of(self, download: Download) -> Path:
        """Return the path of a download's file."""
        return self.directory / self._names[download.id]

    def keep(self, listed: ListedFile) -> None:
        """Note a file that is in place."""
        assert self._export is not None  # noqa: S101 - streams follow discovery
        self._kept[listed.id] = listed
        line = msgspec.json.encode(_Note(self._export.id, listed)) + b"\n"
        path = self.directory / UNFINISHED
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            with open(descriptor, "ab") as notes:
                notes.write(line)
        except OSError as error:
            raise OutputError(path, error.strerror or type(error).__name__) from error

    def finish(self) -> None:
        """Write `export.json` if every download of the export is in place; else leave the folder marked unfinished."""
        if self._export is None or any(download.id not in self._kept for download in self._export.downloads):
            return
        files = tuple(self._kept[download.id] for download in self._export.downloads)
        write_listing(self.directory, FolderListing(self._export.id, files))
        path = self.directory / UNFINISHED
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(path, error.strerror or type(error).__name__) from error

    def release(self) -> None:
        """Let other runs write to the folder."""
        if self._claim is not None:
            self._claim.release()

    def _read_finished(self) -> FolderListing | None:
        return read_listing(self.directory) if (self.directory / LISTING).exists() else None

    def _read_unfinished(self) -> FolderListing | None:
        path = self.directory / UNFINISHED
        try:
            if not path.is_file():
                return None
            with path.open("rb") as notes_file:
                lines = notes_file.read(MAX_LISTING_BYTES).split(b"\n")[
                    :-1
                ]  # one without its end was cut off by a crash
        except OSError as error:
            raise FolderError(path, f"cannot be read: {error.strerror}") from error
        try:
            notes = [msgspec.json.decode(line, type=_Note) for line in lines]
        except ValueError as error:
            raise FolderError(path, f"is not of this program ({error}); remove it to fetch everything anew") from error
        if not notes:
            return None
        return FolderListing(notes[-1].export_id, tuple({note.file.id: note.file for note in notes}.values()))


class _Note(msgspec.Struct, frozen=True):
    export_id: str
    file: ListedFile


class _SavedStream:
    """A stream whose bytes are written to a file as they pass."""

    def __init__(self, saving: Saving, download: Download, fetched: ByteStream) -> None:
        self._saving = saving
        self._download = download
        self._fetched = fetched
        self._path = saving.path_of(download)
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._file: AsyncBufferedIOBase | None = None
        self._begin()

    def _begin(self) -> None:
        self._digest = hashlib.sha256()
        self._size = 0

    async def pieces(self) -> AsyncGenerator[Piece]:
        async with aclosing(self._fetched.pieces()) as pieces:
            async for piece in pieces:
                if isinstance(piece, bytes):
                    await self._write(piece)
                elif isinstance(piece, StartOver):
                    await self._discard()
                yield piece

    def start_over(self, problem: str) -> StartOver:
        restart = self._fetched.start_over(problem)
        self._begin()
        return restart

    async def close(self, verdict: Verdict | None) -> None:
        try:
            if verdict is not None and verdict.counts:
                await self._commit(verdict)
        finally:
            await self._discard()
            await self._fetched.close(verdict)

    async def _write(self, piece: bytes) -> None:
        try:
            if self._file is None:
                self._partial.unlink(missing_ok=True)
                # Not awaited: if this were cancelled, the file would be there and nobody would know of it.
                self._file = wrap(open(self._partial, "xb", opener=_private))  # noqa: ASYNC230, SIM115
            elif self._size == 0:  # a new attempt after one that had ended
                await self._file.seek(0)
                await self._file.truncate()
            await self._file.write(piece)
        except OSError as error:
            raise OutputError(self._path, error.strerror or type(error).__name__) from error
        self._digest.update(piece)
        self._size += len(piece)

    async def _commit(self, verdict: Verdict) -> None:
        if self._file is None:  # an empty body is a file too
            await self._write(b"")
        assert self._file is not None  # noqa: S101 - just opened
        try:
            await self._file.flush()
            descriptor = self._file.fileno()
            await aiofiles.os.wrap(os.fsync)(descriptor)
            await self._file.close()
            self._partial.replace(self._path)
        except OSError as error:
            raise OutputError(self._path, error.strerror or type(error).__name__) from error
        self._file = None
        self._saving.keep(_listed(self._download, self._path.name, self._size, self._digest.hexdigest(), verdict))

    async def _discard(self) -> None:
        self._begin()
        if self._file is not None:
            file, self._file = self._file, None
            with suppress(OSError):  # what led here says more
                try:
                    await file.close()
                finally:  # also where this is cancelled
                    self._partial.unlink(missing_ok=True)


class _KeptStream:
    """A stream from a file that an earlier run has kept; should that not do, from where it came from."""

    def __init__(self, saving: Saving, download: Download, listed: ListedFile, fetched: ByteStream) -> None:
        self._saving = saving
        self._listed = listed
        self._file = FileStream(saving.directory / listed.file, download, listed)
        self._saved = _SavedStream(saving, download, fetched)
        self._use_file = True

    async def pieces(self) -> AsyncGenerator[Piece]:
        if self._use_file:
            try:
                async with aclosing(self._file.pieces()) as pieces:
                    async for piece in pieces:
                        yield piece
                return
            except TransferError as error:
                restart = self.start_over(error.problem)
            yield restart
        async with aclosing(self._saved.pieces()) as pieces:
            async for piece in pieces:
                yield piece

    def start_over(self, problem: str) -> StartOver:
        if not self._use_file:
            return self._saved.start_over(problem)
        self._use_file = False
        return StartOver(1, 0.0, f"the file kept earlier will not do ({problem}); fetching it again")

    async def close(self, verdict: Verdict | None) -> None:
        if self._use_file and verdict is not None and verdict.counts:
            self._saving.keep(self._listed)
            verdict = None  # nothing was fetched
        await self._saved.close(verdict)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _describes(listed: ListedFile, download: Download) -> bool:
    """Whether a kept file's metadata still is what the source announces."""
    kept = listed.to_download()
    return all(
        getattr(kept, name) == getattr(download, name)
        for name in ("id", "rows", "event_types", "patients", "start_us", "end_us")
    )


def _listed(download: Download, file: str, size: int, sha256: str, verdict: Verdict) -> ListedFile:
    return ListedFile(
        id=download.id,
        rows=download.rows,
        event_types=download.event_types,
        patients=download.patients,
        start_time=None if download.start_us is None else format_api_time(download.start_us),
        end_time=None if download.end_us is None else format_api_time(download.end_us),
        file=file,
        size_bytes=size,
        sha256=sha256,
        verdict=None if verdict.kind is VerdictKind.VERIFIED else verdict.kind,
    )
