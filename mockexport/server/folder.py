"""The generated exports written to a folder of files, to be served or analysed from there.

Rules: synchronous, one download after another; what is there already and right is not made again; what appears in the
folder is whole, and `export.json` comes last.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

from mockexport.errors import ExportNotFound, FolderError, OutputError, SourceError
from mockexport.newfile import NewFile, make_folder
from mockexport.server.bodies import Body, body_of
from mockexport.server.exports import EXPORTS, GeneratedDownload, downloads_of
from mockexport.server.generation import rows_of
from mockexport.sources.listing import (
    LISTING,
    UNFINISHED,
    FolderListing,
    ListedFile,
    file_name,
    read_listing,
    write_listing,
)

__all__ = ["Progress", "generate"]

# Called with a file's name, its bytes done, and its bytes in all.
Progress = Callable[[str, int, int], object]


def generate(export_id: str, directory: Path, *, progress: Progress | None = None) -> FolderListing:
    """Write a built-in export as files to `directory`, which is made if need be.

    Args:
        export_id: `demo`, `small` or `large`.
        directory: empty, or holding (a part of) this export already: files that are right are kept.
        progress: called as (name, bytes done, bytes in all) after every piece, and once for a file that is kept.

    Returns:
        What the folder's `export.json` now says.

    Raises:
        ExportNotFound: there is no such built-in export.
        FolderError: the folder holds another export.
        OutputError: a file cannot be written; the message names it.
    """
    if export_id not in EXPORTS:
        raise ExportNotFound(export_id, "the mock server", tuple(EXPORTS))
    make_folder(directory)
    try:
        written_before = (directory / LISTING).exists()
    except OSError as error:
        raise OutputError(directory, error.strerror or type(error).__name__) from error
    if written_before and (there := read_listing(directory)).id != export_id:
        raise FolderError(directory, f"holds the export {there.id!r}; choose another folder, or empty this one")

    report = progress or (lambda name, done, length: None)
    files = []
    for index, download in enumerate(downloads_of(export_id)):
        path = directory / file_name(index, str(download.id))
        body = body_of(str(download.id))
        if _is_there(path, body):
            report(path.name, body.length, body.length)
        else:
            _write(path, download, body, report)
        metadata = download.metadata()
        listed = ListedFile(
            id=metadata.id,
            rows=metadata.rows,
            event_types=metadata.event_types,
            patients=metadata.patients,
            start_time=metadata.start_time,
            end_time=metadata.end_time,
            file=path.name,
            size_bytes=body.length,
            sha256=body.sha256,
        )
        files.append(listed)
    listing = FolderListing(export_id, tuple(files))
    write_listing(directory, listing)
    try:
        # What a download broken off had begun is complete now.
        (directory / UNFINISHED).unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(directory / UNFINISHED, error.strerror or type(error).__name__) from error
    return listing


def _is_there(path: Path, body: Body) -> bool:
    """Tell whether `path` holds these very bytes; a file that cannot be read does not."""
    try:
        if path.is_symlink() or path.stat().st_size != body.length:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == body.sha256
    except OSError:
        return False


def _write(path: Path, download: GeneratedDownload, body: Body, report: Progress) -> None:
    done, digest = 0, hashlib.sha256()
    with NewFile(path, named=False) as file:
        for piece in rows_of(download):
            file.write(piece)
            digest.update(piece)
            done += len(piece)
            report(path.name, done, body.length)
        if Body(done, digest.hexdigest()) != body:
            raise SourceError(f"download {download.id}: this Python draws other random numbers than CPython does")
        file.commit()
