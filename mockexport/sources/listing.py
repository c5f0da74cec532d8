"""The layout of an export kept as files: a folder of CSV files and `export.json`, which describes them.

Rules: how a folder is named, written and read lives here, for those who make folders and those who serve or analyse
them. A listing that was read is safe to use: every file is a regular one inside the folder, and as long as announced.
What the files hold is not looked at: their SHA-256 is for those who read them to the end.
"""

import os
import re
import stat
from pathlib import Path
from typing import Annotated

import msgspec

from mockexport.errors import FolderError
from mockexport.model import Download, SizeLimits
from mockexport.newfile import NewFile, read_file
from mockexport.sources.metadata import DownloadMetadata, decode_json

__all__ = [
    "LISTING",
    "MANIFEST",
    "PARQUET_LISTING",
    "UNFINISHED",
    "FolderListing",
    "ListedFile",
    "check_file",
    "file_name",
    "inside",
    "read_folder",
    "read_listing",
    "readable",
    "refuse_unfinished",
    "write_listing",
]

# The file that makes a folder an export.
LISTING = "export.json"
# In its place while an export is still being downloaded: a line per file that is in place.
UNFINISHED = "unfinished.ndjson"
# Beside it, or in its place where another program has left the files: the manifest of a FHIR Bulk Data job.
MANIFEST = "manifest.json"
# In its place in a folder of Parquet files, which are for other tools (sources/parquet.py).
PARQUET_LISTING = "parquet.json"

# Some 100,000 downloads; a longer file is hardly a listing, and would be held in memory.
MAX_LISTING_BYTES = 64 * 2**20


class ListedFile(DownloadMetadata, frozen=True, kw_only=True, omit_defaults=True):
    """A download's metadata as the API gives it, and the file that holds its bytes.

    `verdict` is there only if the rows were not verified when the file was made: then it says what they were. `version`
    is the entity tag that the file came with, or else its date and length (see streams.Opened).
    """

    file: str
    size_bytes: Annotated[int, msgspec.Meta(ge=0)] = msgspec.field(name="bytes")
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
    verdict: str | None = None
    version: str | None = None

    def to_listed_download(self) -> Download:
        """Return the model's value for this download, its length included; raises like `to_download`."""
        return self.to_download(size_bytes=self.size_bytes)


class FolderListing(msgspec.Struct, frozen=True):
    """What `export.json` says: the export's id and its downloads, in the order of their names' numbers."""

    id: Annotated[str, msgspec.Meta(min_length=1)]
    downloads: tuple[ListedFile, ...]


def file_name(index: int, download_id: str, suffix: str = ".csv") -> str:
    """Return the name of the file of the download at place `index` in time order: `00-<id>.csv`.

    An id may come from a foreign server: what could be more than a name in a path becomes `_`. The number in front
    keeps the names of such ids apart. An id that is a file's name loses the suffixes that say how that one was kept.
    """
    plain = re.sub(r"\.(csv|tsv|ndjson|jsonl)(\.(gz|zst))?\Z", "", download_id)
    return f"{index:02d}-{re.sub(r'[^A-Za-z0-9._-]', '_', plain)[:128]}{suffix}"


def readable(name: str | Path) -> str:
    """Return a name of this machine as text that can be written anywhere: bytes that are no UTF-8 as `\\xff`."""
    return str(name).encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def write_listing(directory: Path, listing: FolderListing) -> None:
    """Write `listing` as the `export.json` of `directory`, at once and whole.

    Raises:
        OutputError: it cannot be written; an older listing is still there then.
    """
    with NewFile(directory / LISTING, named=False) as file:
        file.write(msgspec.json.format(msgspec.json.encode(listing), indent=1) + b"\n")
        file.commit()


def read_folder(directory: Path) -> FolderListing:
    """Return what the `export.json` of `directory` says, once its files are seen to be as it says.

    Raises:
        FolderError: as `refuse_unfinished`, `read_listing` and `check_file`.
    """
    refuse_unfinished(directory)
    listing = read_listing(directory)
    for listed in listing.downloads:
        check_file(directory, listed)
    return listing


def refuse_unfinished(directory: Path) -> None:
    """See that no download into `directory` was broken off: files may have been replaced since its `export.json`.

    Raises:
        FolderError: one was.
    """
    if (directory / UNFINISHED).exists():
        raise FolderError(directory, "is the folder of a download that is not finished; download it again")


def read_listing(directory: Path, limits: SizeLimits | None = None) -> FolderListing:
    """Return what the `export.json` of `directory` says, within the limits; its files are not looked at.

    Raises:
        FolderError: there is no `export.json`, or it cannot be read or used.
    """
    path, limits = directory / LISTING, limits or SizeLimits()
    try:
        body = read_file(path, limits.list_bytes)
    except FileNotFoundError as error:
        raise FolderError(directory, f"holds no {LISTING}; is it the folder of an export?") from error
    except OSError as error:
        raise FolderError(path, f"cannot be read: {error.strerror}") from error
    if len(body) > limits.list_bytes:
        raise FolderError(path, f"is longer than {limits.told('list_bytes')}")
    try:
        listing = decode_json(body, FolderListing)
    except ValueError as error:
        raise FolderError(path, f"is not the description of an export: {error}") from error

    for what, names in (
        ("download", [listed.id for listed in listing.downloads]),
        ("file", [listed.file for listed in listing.downloads]),
    ):
        if len(set(names)) < len(names):
            raise FolderError(path, f"lists a {what} twice")
    for listed in listing.downloads:
        try:
            listed.to_download()
        except ValueError as error:
            raise FolderError(path, f"download {listed.id}: {error}") from error
    return listing


def check_file(directory: Path, listed: ListedFile) -> None:
    """See that a listed file is where and as long as the listing says.

    Raises:
        FolderError: it is missing, elsewhere, no regular file, or of another length.
    """
    name = listed.file
    # The file's name comes from outside: it must not lead out of the folder, by itself or by a link.
    if name in ("", ".", "..") or set(name) & set("/\\\0") or name != os.path.basename(name):
        raise FolderError(directory / LISTING, f"download {listed.id}: {name!r} is not the plain name of a file")
    path = directory / name
    found = inside(directory, path)
    if found.st_size != listed.size_bytes:
        raise FolderError(
            path,
            f"has {found.st_size} bytes where {LISTING} says {listed.size_bytes}; download or generate it again",
        )


def inside(directory: Path, path: Path) -> os.stat_result:
    """Return what the system knows of a file of a folder, once it is seen to be a regular one in there.

    Raises:
        FolderError: it is missing, elsewhere, or no regular file.
    """
    try:
        target = path.resolve(strict=True)
        found = target.stat()
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, before Python 3.13; what is no path
        problem = getattr(error, "strerror", None) or "its name or link cannot be followed"
        raise FolderError(path, f"cannot be read: {problem}") from error
    if not target.is_relative_to(directory.resolve()):
        raise FolderError(path, "is a link that leads out of the folder")
    if not stat.S_ISREG(found.st_mode):
        raise FolderError(path, "is not a regular file")
    return found
