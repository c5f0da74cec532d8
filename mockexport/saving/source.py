"""Keeps what another source brings: every download that counts becomes a file in a folder, in the same pass.

What the folder holds already, verified and unchanged, is read from there instead of being fetched again, and verified
like everything else. So is what a run that was broken off has left of a file (sources/partial.py), once the server
has proved that it goes on from there, by the rules that hold within a run (sources/resuming.py).

Until all downloads are in, the folder holds `unfinished.ndjson`, a line per file so far, instead of `export.json`: so
that a part cannot pass for the whole.
"""

import asyncio
import os
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec

from mockexport.errors import FolderError, OutputError, TransferError
from mockexport.model import Download, Export, Verdict, VerdictKind
from mockexport.newfile import NewFile, make_folder
from mockexport.pipeline.streams import (
    ByteStream,
    Kept,
    Mark,
    Opened,
    Piece,
    ResumableSource,
    Resumed,
    Room,
    Source,
    StartOver,
    is_unchanged,
    offer,
)
from mockexport.saving.claiming import Claim
from mockexport.saving.partial import NOTE_EVERY_S, Note, Partial, Torn, left_in, sweep
from mockexport.shown import quoted
from mockexport.sources.files import FileStream
from mockexport.sources.listing import (
    LISTING,
    MANIFEST,
    MAX_LISTING_BYTES,
    PARQUET_LISTING,
    UNFINISHED,
    FolderListing,
    ListedFile,
    file_name,
    read_listing,
    write_listing,
)
from mockexport.sources.metadata import format_api_time

__all__ = ["Saving"]


@runtime_checkable
class ManifestSource(Protocol):
    """A Source whose files have a manifest of their own kind, which other programs read."""

    def kept_manifest(self, files: Mapping[str, str]) -> bytes:
        """Return the manifest with the names of the files that were kept, by download id, in place of addresses."""


class Saving:
    """A Source that passes on another's exports and keeps them in `directory`, one export to a folder.

    Call `finish` after the run, and `release` whatever became of it. Files are readable by their owner alone.

    Args:
        source: where the bytes come from.
        directory: the folder.
        note_every_s: how often to note of a file in the making what another run can go on from.
        suffix: how the files' names end, by what is in them.
    """

    def __init__(
        self, source: Source, directory: str | Path, *, note_every_s: float = NOTE_EVERY_S, suffix: str = ".csv"
    ) -> None:
        self._source = source
        self.directory: Path = Path(directory)
        self.note_every_s: float = note_every_s
        self._suffix = suffix
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
        make_folder(self.directory)
        self._claim = Claim(self.directory)
        if (self.directory / PARQUET_LISTING).exists():
            raise FolderError(self.directory, "holds an export as Parquet; give CSV its own folder")
        for listing in (self._read_finished(), self._read_unfinished()):
            if listing is None:
                continue
            self._refuse_other(listing.id, export_id)
            self._known |= {listed.id: listed for listed in listing.downloads}
        for note in left_in(self.directory):
            self._refuse_other(note.export_id, export_id)
        self._export = export
        self._names = {
            download.id: file_name(place, download.id, self._suffix) for place, download in enumerate(export.downloads)
        }
        return export

    def _refuse_other(self, found: str, export_id: str) -> None:
        if found != export_id:
            raise FolderError(self.directory, f"holds the export {quoted(found)}; give {export_id!a} its own folder")

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the download's bytes, from the folder if they are there, and keep them on their way."""
        listed = self._known.get(download.id)
        if listed is not None and listed.verdict is None and _describes(listed, download):
            return _KeptStream(self, export_id, download, listed)
        return _SavedStream(self, export_id, download)

    def left_of(self, partial: Partial, export_id: str, download: Download) -> Note | None:
        """Return what an earlier run has left of a file, if it can be gone on from."""
        note = partial.found() if isinstance(self._source, ResumableSource) else None
        if note is None or note.export_id != export_id or not _describes(note.file, download):
            return None
        partial.go_on(note)
        return note

    def fetch(self, export_id: str, download: Download, left: Note | None) -> ByteStream:
        """Return the bytes that come from the other source: all, or those after what is left of an earlier run."""
        if left is not None and isinstance(self._source, ResumableSource):
            return self._source.stream_from(export_id, download, left.size_bytes, left.mark)
        return self._source.stream(export_id, download)

    async def is_unchanged(self, export_id: str, download: Download, listed: ListedFile) -> bool:
        """Tell whether a kept file still is what the other source has, as far as that can be told."""
        if listed.version is None:
            return True
        try:
            return await is_unchanged(self._source.stream(export_id, download), listed.version)
        except TransferError:
            return False  # what is wrong shows when it is fetched; the file is left until there is another

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
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0)
            descriptor = os.open(path, flags, 0o600)
            with open(descriptor, "ab") as notes:
                notes.write(line)
        except OSError as error:
            problem = "it is a link, which is not followed; remove it" if path.is_symlink() else error.strerror
            raise OutputError(path, problem or type(error).__name__) from error

    def finish(self) -> None:
        """Write `export.json` if every download of the export is in place; else leave the folder marked unfinished."""
        if self._export is None or any(download.id not in self._kept for download in self._export.downloads):
            return
        files = tuple(self._kept[download.id] for download in self._export.downloads)
        if isinstance(self._source, ManifestSource):
            with NewFile(self.directory / MANIFEST, named=False) as file:
                file.write(self._source.kept_manifest({listed.id: listed.file for listed in files}))
                file.commit()
        write_listing(self.directory, FolderListing(self._export.id, files))
        path = self.directory / UNFINISHED
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise OutputError(path, error.strerror or type(error).__name__) from error
        sweep(self.directory, self._names.values())

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
                lines = notes_file.read(MAX_LISTING_BYTES).split(b"\n")
        except OSError as error:
            raise FolderError(path, f"cannot be read: {error.strerror}") from error
        try:
            notes = [msgspec.json.decode(line, type=_Note) for line in lines[:-1]]  # the last was cut off by a crash
        except ValueError as error:
            raise FolderError(path, f"is not of this program ({error}); remove it to fetch everything anew") from error
        if not notes:
            return None
        return FolderListing(notes[-1].export_id, tuple({note.file.id: note.file for note in notes}.values()))


class _Note(msgspec.Struct, frozen=True):
    export_id: str
    file: ListedFile


class _SavedStream:
    """A stream whose bytes are written to a file as they pass; it goes on from what an earlier run has left of that."""

    def __init__(self, saving: Saving, export_id: str, download: Download) -> None:
        self._saving = saving
        self._export_id = export_id
        self._download = download
        self._partial = Partial(saving.path_of(download), every_s=saving.note_every_s)
        self._left = saving.left_of(self._partial, export_id, download)  # and not read again yet
        self._version: str | None = None if self._left is None else self._left.mark.version
        self._broken_off = False
        self._fetched = saving.fetch(export_id, download, self._left)

    def receive_into(self, room: Room) -> None:
        offer(self._fetched, room)

    async def pieces(self) -> AsyncGenerator[Piece]:
        while True:
            try:
                async with aclosing(self._fetched.pieces()) as pieces:
                    async for piece in pieces:
                        match piece:
                            case bytes() | memoryview():
                                # A copy: if this is cancelled, the thread goes on, and the view is somebody else's.
                                await asyncio.to_thread(self._partial.write, bytes(piece))
                            case StartOver():
                                self._begin(None)
                            case Opened(mark, version):
                                self._begin(mark)
                                self._version = version
                            case Resumed():
                                async with aclosing(self._reread()) as kept:
                                    async for left in kept:
                                        yield left
                        yield piece
                async with aclosing(self._reread()) as kept:  # nothing was missing
                    async for left in kept:
                        yield left
            except Torn as torn:
                restart = self.start_over(torn.problem)
            except TransferError:
                self._broken_off = True
                raise
            else:
                return
            yield restart

    async def _reread(self) -> AsyncGenerator[Piece]:
        """Yield what an earlier run has left, once: not before the server has said that it goes on from there."""
        left, self._left = self._left, None
        if left is None:
            return
        yield Kept(left.size_bytes)
        while piece := await asyncio.to_thread(self._partial.read):
            yield piece

    def _begin(self, mark: Mark | None) -> None:
        about = None
        if mark is not None and mark.total is not None:
            file = _listed(self._download, self._partial.path.name, 0, "0" * 64)
            about = Note(self._export_id, file, mark)
        self._left = self._version = None
        self._partial.begin(about)

    def start_over(self, problem: str) -> StartOver:
        self._begin(None)
        return self._fetched.start_over(problem)

    async def close(self, verdict: Verdict | None) -> None:
        try:
            if verdict is not None and verdict.counts:
                size, sha256 = await asyncio.to_thread(self._partial.flush)
                # Not awaited: if this were cancelled, the file would be there and nobody would know of it. Noted first:
                # between the two, a file that is not there yet costs less than one that is not known.
                name = self._partial.path.name
                self._saving.keep(_listed(self._download, name, size, sha256, verdict, self._version))
                self._partial.commit()
        finally:
            if verdict is not None and not verdict.counts and not self._broken_off:
                self._partial.discard()  # it came to its end, and was not what was promised
            else:
                self._partial.leave()
            await self._fetched.close(verdict)


class _KeptStream:
    """A stream from a file that an earlier run has kept; should that not do, from where it came from."""

    def __init__(self, saving: Saving, export_id: str, download: Download, listed: ListedFile) -> None:
        self._saving = saving
        self._export_id = export_id
        self._download = download
        self._listed = listed
        self._file = FileStream(saving.directory / listed.file, download, listed)
        self._saved = _SavedStream(saving, export_id, download)
        self._use_file = True

    def receive_into(self, room: Room) -> None:
        for stream in (self._file, self._saved):
            offer(stream, room)

    async def pieces(self) -> AsyncGenerator[Piece]:
        if self._use_file and not await self._saving.is_unchanged(self._export_id, self._download, self._listed):
            yield self.start_over("its content has changed since")
        if self._use_file:
            yield Kept(self._listed.size_bytes, finished=True)
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


def _describes(listed: ListedFile, download: Download) -> bool:
    """Whether a kept file's metadata still is what the source announces."""
    try:
        kept = listed.to_download()
    except ValueError:
        return False
    return all(
        getattr(kept, name) == getattr(download, name)
        for name in ("id", "rows", "event_types", "patients", "start_us", "end_us")
    )


def _listed(
    download: Download,
    file: str,
    size: int,
    sha256: str,
    verdict: Verdict | None = None,
    version: str | None = None,
) -> ListedFile:
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
        verdict=None if verdict is None or verdict.kind is VerdictKind.VERIFIED else verdict.kind,
        version=version,
    )
