"""A folder of files as a source: what `generate` and `download` left, or any folder of tables."""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from mockexport.errors import ExportNotFound, FolderError
from mockexport.model import Download, Export, SizeLimits
from mockexport.newfile import read_file
from mockexport.pipeline.streams import ByteStream
from mockexport.sources.files import FileStream, are_plain, as_of, downloads_of, is_ndjson, rows_of, tables_in
from mockexport.sources.listing import LISTING, MANIFEST, ListedFile, read_listing, readable, refuse_unfinished

__all__ = ["Folder"]

_log = logging.getLogger("mockexport")


class Folder:
    """A Source over the files of one export.

    With an `export.json` its metadata is what the rows are verified against, and every file must have the SHA-256 that
    is noted there. Without one, every table (files.SUFFIXES) is a download, in the order of names, and nothing can be
    verified, but for files of resources beside the `manifest.json` of a FHIR Bulk Data job: that has their counts.

    Args:
        path: the folder, or one whose subfolders are exports' folders by the exports' ids.
        size_limits: how long an `export.json` may be, and how much memory zstd may ask for.

    Raises:
        FolderError: if it is no folder, holds no table, or is one that a download has not finished.
    """

    def __init__(self, path: str | Path, *, size_limits: SizeLimits | None = None) -> None:
        self._limits = size_limits or SizeLimits()
        self._path = Path(path)
        if not self._path.is_dir():
            raise FolderError(path, "is not a folder" if self._path.exists() else "there is no such folder")
        self._directory = self._path  # of the export discovered
        self._listed: dict[str, ListedFile] = {}
        self._paths: dict[str, Path] = {}  # where nothing is listed

    @property
    def name(self) -> str:
        """The folder's path."""
        return readable(self._path)

    @property
    def is_plain(self) -> bool:
        """Whether no file is compressed (see streams.PlainSource)."""
        try:
            return are_plain(os.listdir(self._path))
        except OSError:
            return False  # `discover` says why

    async def export_ids(self) -> list[str]:
        """Return the id of the folder's export, or the ids of its subfolders' exports."""
        if (self._path / LISTING).is_file():
            return [read_listing(self._path, self._limits).id]
        nested = sorted(path.parent for path in self._path.glob(f"*/{LISTING}"))
        return [read_listing(path, self._limits).id for path in nested] or [readable(self._path.resolve().name)]

    async def discover(self, export_id: str) -> Export:
        """Return the export with its downloads (see streams.Source.discover)."""
        for directory in (self._path, self._path / export_id):
            refuse_unfinished(directory)
            if (directory / LISTING).is_file() and (listing := read_listing(directory, self._limits)).id == export_id:
                self._directory = directory
                self._listed = {listed.id: listed for listed in listing.downloads}
                return Export.of(export_id, [listed.to_listed_download() for listed in listing.downloads])
        ids = await self.export_ids()
        if (self._path / LISTING).is_file() or export_id not in ids:
            raise ExportNotFound(export_id, self.name, ids)
        self._paths = tables_in(self._path)
        counts = _counts(self._path, self._paths, self._limits)
        return Export(export_id, downloads_of(self._paths, counts))

    def as_of(self) -> str:
        """Return sizes and dates of files of which nothing is listed (see streams.DatedSource)."""
        return as_of(self._paths.values())

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the file's bytes (see streams.Source.stream)."""
        listed = self._listed.get(download.id)
        if listed is None:
            return rows_of(self._paths[download.id], download, self._limits)
        return FileStream(self._directory / listed.file, download, listed)


def _counts(directory: Path, paths: Mapping[str, Path], limits: SizeLimits) -> dict[str, int]:
    """Return how many resources there are in files, by their names, as far as a manifest beside them says.

    Raises:
        FolderError: some of the files that it names are not there, or it cannot be read.
    """
    path = directory / MANIFEST
    if not path.is_file() or not all(map(is_ndjson, paths.values())):
        return {}
    from mockexport.sources.fhir.manifest import read_page  # no sooner: most folders are of tables

    try:
        body = read_file(path, limits.list_bytes)
        page = read_page(body, "http://folder.invalid/")  # only the names at the ends of addresses matter
    except OSError as error:
        raise FolderError(path, f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        _log.warning("%s is not taken for the manifest of these files, and no counts are checked: %s", path, error)
        return {}
    named = {
        unquote(urlsplit(file.url).path).rpartition("/")[2]: file
        for file in page.output
        if file.type in (None, "Observation")
    }
    lacking = sorted(named.keys() - paths.keys())
    if len(lacking) == len(named):
        _log.warning("%s names its files otherwise than they are here, so no counts are checked", path)
        return {}
    if lacking:
        problem = f"names {len(lacking):,} of {len(named):,} files that are not here, such as {lacking[0]}"
        raise FolderError(path, f"{problem}; to read those that are, name them: '{directory}/*.ndjson'")
    return {name: file.count for name, file in named.items() if file.count is not None}
