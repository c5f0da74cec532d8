"""What a server offers: exports, their downloads in time order, and where each download's bytes come from.

Rules: settled once, when the server starts; nothing is served that was not listed then. Nothing here sends anything.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from mockexport.errors import FolderError
from mockexport.server.bodies import body_of
from mockexport.server.exports import EXPORTS, GeneratedDownload, downloads_of
from mockexport.sources.listing import LISTING, FolderListing, read_folder
from mockexport.sources.metadata import DownloadMetadata

__all__ = ["Catalogue", "Offer", "StoredFile", "folder_catalogue", "generated_catalogue", "stored_offers"]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file as it was found at the start; `mtime_ns` tells whether it still is that file."""

    path: Path
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class Offer:
    """One download on offer. `etag` is strong: it stands for exactly these bytes, which have this SHA-256."""

    metadata: DownloadMetadata
    length: int
    sha256: str
    content: GeneratedDownload | StoredFile

    @property
    def etag(self) -> str:
        """The entity tag, quotes included: the same for the same bytes, generated or stored."""
        return f'"{self.sha256}"'


# By export id, then by download id; both keep their order.
Catalogue = Mapping[str, Mapping[str, Offer]]


def generated_catalogue() -> Catalogue:
    """Return the three built-in exports, to be generated while they are sent."""
    return MappingProxyType({export_id: _by_id(_generated(export_id)) for export_id in EXPORTS})


def folder_catalogue(directory: Path) -> Catalogue:
    """Return the export that `directory` holds, or those that its subfolders hold.

    Raises:
        FolderError: there is none, one is not as its `export.json` says, or two have one id.
    """
    exports: dict[str, Mapping[str, Offer]] = {}
    for folder in _export_folders(directory):
        listing = read_folder(folder)
        if listing.id in exports:
            raise FolderError(folder, f"is a second folder of export {listing.id!r}; keep one of them")
        exports[listing.id] = _by_id(stored_offers(folder, listing))
    return MappingProxyType(exports)


def _generated(export_id: str) -> Iterable[Offer]:
    for download in downloads_of(export_id):
        body = body_of(str(download.id))
        yield Offer(download.metadata(), body.length, body.sha256, download)


def stored_offers(folder: Path, listing: FolderListing) -> Iterable[Offer]:
    """Yield the downloads that a folder holds, as its `export.json` has them.

    Raises:
        FolderError: one cannot be read.
    """
    for listed in listing.downloads:
        path = folder / listed.file
        try:
            mtime_ns = path.stat().st_mtime_ns
        except OSError as error:
            raise FolderError(path, f"cannot be read: {error.strerror}") from error
        metadata = DownloadMetadata(
            id=listed.id,
            rows=listed.rows,
            event_types=listed.event_types,
            patients=listed.patients,
            start_time=listed.start_time,
            end_time=listed.end_time,
        )
        yield Offer(metadata, listed.size_bytes, listed.sha256, StoredFile(path, mtime_ns))


def _by_id(offers: Iterable[Offer]) -> Mapping[str, Offer]:
    return MappingProxyType({offer.metadata.id: offer for offer in offers})


def _export_folders(directory: Path) -> list[Path]:
    try:
        if (directory / LISTING).exists():
            return [directory]
        folders = sorted(entry for entry in directory.iterdir() if (entry / LISTING).exists())
    except OSError as error:
        raise FolderError(directory, f"cannot be read: {error.strerror}") from error
    if not folders:
        raise FolderError(directory, f"neither it nor a folder in it holds an {LISTING}")
    return folders
