"""A folder of files as a source: what `generate` and `download` left, or any folder of CSV files."""

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path

import aiofiles

from mockexport.errors import ExportNotFound, FolderError, TransferError
from mockexport.folder import LISTING, ListedFile, check_file, read_listing, refuse_unfinished
from mockexport.model import Download, Export, Verdict
from mockexport.streams import Piece, StartOver

__all__ = ["Folder"]

# Read at once: as much as a chunk of the default size.
PIECE_BYTES = 256 * 1024


class Folder:
    """A Source over the files of one export.

    With an `export.json` its metadata is what the rows are verified against, and every file must have the SHA-256 that
    is noted there. Without one, every `*.csv` is a download, in the order of names, and nothing can be verified.

    Args:
        path: the folder, or one whose subfolders are exports' folders by the exports' ids.
    """

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        if not self._path.is_dir():
            raise FolderError(path, "is not a folder" if self._path.exists() else "there is no such folder")
        self._directory = self._path  # of the export discovered
        self._listed: dict[str, ListedFile] = {}

    @property
    def name(self) -> str:
        """The folder's path."""
        return str(self._path)

    async def export_ids(self) -> list[str]:
        """Return the id of the folder's export, or the ids of its subfolders' exports."""
        if (self._path / LISTING).is_file():
            return [read_listing(self._path).id]
        nested = sorted(path.parent for path in self._path.glob(f"*/{LISTING}"))
        return [read_listing(path).id for path in nested] or [self._path.resolve().name]

    async def discover(self, export_id: str) -> Export:
        """Return the export with its downloads (see streams.Source.discover)."""
        for directory in (self._path, self._path / export_id):
            refuse_unfinished(directory)
            if (directory / LISTING).is_file() and (listing := read_listing(directory)).id == export_id:
                self._directory = directory
                self._listed = {listed.id: listed for listed in listing.downloads}
                return Export.of(export_id, [listed.to_listed_download() for listed in listing.downloads])
        ids = await self.export_ids()
        if (self._path / LISTING).is_file() or export_id not in ids:
            raise ExportNotFound(export_id, self.name, ids)
        files = sorted(path for path in self._path.glob("*.csv") if path.is_file())
        return Export(export_id, tuple(Download(path.name, size_bytes=path.stat().st_size) for path in files))

    def stream(self, export_id: str, download: Download) -> "FileStream":
        """Return the file's bytes (see streams.Source.stream)."""
        return FileStream(self._directory, download, self._listed.get(download.id))


class FileStream:
    """The bytes of one file (streams.ByteStream). A file does not get better: nothing is tried twice."""

    def __init__(self, directory: Path, download: Download, listed: ListedFile | None) -> None:
        self._directory = directory
        self._download = download
        self._listed = listed
        self._path = directory / (download.id if listed is None else listed.file)
        self._received = 0

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the file's bytes; at its end, hold them against the SHA-256 that is noted, if there is one."""
        digest = hashlib.sha256()
        try:
            if self._listed is not None:
                check_file(self._directory, self._listed)
            async with aiofiles.open(self._path, "rb") as file:
                while piece := await file.read(PIECE_BYTES):
                    self._received += len(piece)
                    if self._listed is not None:
                        digest.update(piece)
                    yield piece
        except FolderError as error:
            raise self._fault(str(error)) from error
        except OSError as error:
            raise self._fault(f"cannot be read: {error.strerror}") from error
        if self._listed is not None and digest.hexdigest() != self._listed.sha256:
            raise self._fault(f"its SHA-256 is not the one in {LISTING}: it was changed; download or generate it again")

    def start_over(self, problem: str) -> StartOver:
        """Refuse, with the problem: the file would be the same."""
        raise self._fault(problem)

    def _fault(self, problem: str) -> TransferError:
        return TransferError(self._download.id, str(self._path), problem, offset=self._received)

    async def close(self, verdict: Verdict | None) -> None:
        """Nothing is left to do: the file closes with the iteration."""
