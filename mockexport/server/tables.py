"""Tables of one's own as exports: what the API is to announce of them is found by reading each once, at the start.

Rules: what is served are the files' own bytes. Nothing outside the folder that was named is: links that lead out of it
are refused, and names of exports are names and no paths. The reading gives way to the event loop after each piece.
"""

import asyncio
import hashlib
import logging
import os
import re
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType

from mockexport.engine.choosing import choose_engine
from mockexport.errors import FolderError, FormatError, OptionError
from mockexport.formats.schema import Schema
from mockexport.formats.tally import Tally
from mockexport.model import SizeLimits, Span
from mockexport.reducers import Summary
from mockexport.server.catalogue import Catalogue, Offer, StoredFile, stored_offers
from mockexport.sources.listing import LISTING, inside, read_folder, readable, refuse_unfinished
from mockexport.sources.metadata import DownloadMetadata, format_api_time

__all__ = ["Tables", "table_exports"]

# By an export's name, where its tables are: a folder or file, or several.
Tables = Mapping[str, "str | Path | Sequence[str | Path]"]

PIECE_BYTES = 1 << 18
# The reading of what is longer takes a second or more.
TOLD_BYTES = 1 << 28
SUFFIX = ".csv"
# 9999-12-31T23:59:59.999999Z.
LAST_US = 253_402_300_799_999_999
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._\-]{0,127}")
_OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)

logger: logging.Logger = logging.getLogger("mockexport.server")


async def table_exports(tables: Tables, schema: Schema | None = None) -> Catalogue:
    """Return folders and files of tables as exports, read as `schema` describes them (by default as the API has them).

    A folder with an `export.json` is as that says; in others every `*.csv` is a download, in the order of their names.

    Raises:
        OptionError: a name cannot be an export's.
        FolderError: a path has no tables, or one that cannot be read; it leads out of its folder; a table comes twice.
    """
    exports: dict[str, Mapping[str, Offer]] = {}
    for name, said in tables.items():
        if not _NAME.fullmatch(name):
            raise OptionError("export", f"{name[:200]!a} is no name of letters, digits and . _ -; say NAME=FOLDER")
        paths = [said] if isinstance(said, str | Path) else said
        offers: dict[str, Offer] = {}
        async for offer in _offers(name, map(Path, paths), schema or Schema()):
            if offer.metadata.id in offers:
                path = offer.content.path if isinstance(offer.content, StoredFile) else name
                raise FolderError(path, f"comes twice in export {name}, or another table of its name does")
            offers[offer.metadata.id] = offer
        if not offers:
            raise OptionError("export", f"{name} has no tables; say NAME=FOLDER")
        _note_overlaps(name, [offer.metadata for offer in offers.values()])
        exports[name] = MappingProxyType(offers)
    return MappingProxyType(exports)


async def _offers(name: str, paths: Iterable[Path], schema: Schema) -> AsyncIterator[Offer]:
    for path in paths:
        try:
            is_folder = path.is_dir()
        except ValueError as error:  # a NUL in it
            raise FolderError(path, "is no path") from error
        if is_folder and (path / LISTING).exists():
            for offer in stored_offers(path, read_folder(path)):
                yield offer
            continue
        for file in _tables_in(path) if is_folder else [path]:
            yield await _read(name, file, path if is_folder else path.parent, schema)


def _tables_in(folder: Path) -> list[Path]:
    refuse_unfinished(folder)
    try:
        entries = sorted(folder.iterdir(), key=lambda path: path.name)
    except OSError as error:
        raise FolderError(folder, f"cannot be read: {error.strerror}") from error
    seen = [path for path in entries if not path.name.startswith(".")]
    files = [path for path in seen if path.name.lower().endswith(SUFFIX)]
    if not files:
        raise FolderError(folder, f"holds no file whose name ends in {SUFFIX}, and no {LISTING}")
    if len(files) < len(seen):
        logger.info("%s: %d other entries are passed over: tables end in %s", folder, len(seen) - len(files), SUFFIX)
    return files


async def _read(name: str, path: Path, folder: Path, schema: Schema) -> Offer:
    """Return a table as a download; its id follows from the names of the export and of the file."""
    inside(folder, path)
    limit = SizeLimits().announced
    try:
        with open(os.open(path, _OPEN_FLAGS), "rb", buffering=0) as file:  # noqa: ASYNC230 - a piece at a time
            found = os.fstat(file.fileno())
            if found.st_size > TOLD_BYTES:
                logger.info("%s: is read for what is to be announced of it", path)
            digest, span = hashlib.sha256(), Span(readable(path.name))
            fold, cutter = choose_engine(Summary(), schema).new_fold(span), schema.cutter(span)
            size = 0
            while data := file.read(PIECE_BYTES):
                size += len(data)
                digest.update(data)
                for chunk in cutter.feed(data):
                    fold.feed(chunk)
                if sum(fold.known) > limit:
                    raise FolderError(path, f"names more than {limit:,} patients and event types")
                await asyncio.sleep(0)
            for chunk in cutter.rest():
                fold.feed(chunk)
            fold.finish()
            after = os.fstat(file.fileno())
    except OSError as error:
        raise FolderError(path, f"cannot be read: {error.strerror}") from error
    except FormatError as error:
        raise FolderError(path, f"is no table as it is described (--like, schema): {error}") from error
    if (size, after.st_mtime_ns) != (found.st_size, found.st_mtime_ns):
        raise FolderError(path, "changes while it is read")
    tally = fold.tally
    if tally.last_us == LAST_US:
        raise FolderError(
            path, "has a time in the last microsecond of year 9999, after which no end_time can be announced"
        )
    if tally.bad_rows:
        logger.warning("%s: %d of its %d rows are bad; they are served as they are", path, tally.bad_rows, tally.rows)
    digest_of_name = hashlib.sha256(f"{name}_{readable(path.name)}".encode()).digest()
    download_id = str(uuid.UUID(bytes=digest_of_name[:16], version=4))
    return Offer(_metadata(download_id, tally), size, digest.hexdigest(), StoredFile(path, found.st_mtime_ns))


def _metadata(download_id: str, tally: Tally) -> DownloadMetadata:
    return DownloadMetadata(
        id=download_id,
        rows=tally.rows,
        event_types=tuple(sorted(tally.event_types)),
        patients=tuple(sorted(tally.patients)),
        start_time=None if tally.first_us is None else format_api_time(tally.first_us),
        # The end is exclusive.
        end_time=None if tally.last_us is None else format_api_time(tally.last_us + 1),
    )


def _note_overlaps(name: str, announced: Iterable[DownloadMetadata]) -> None:
    downloads = [metadata.to_download() for metadata in announced]
    spans = sorted((d.start_us, d.end_us) for d in downloads if d.start_us is not None and d.end_us is not None)
    if any(second[0] < first[1] for first, second in pairwise(spans)):
        logger.warning("export %s: its downloads overlap in time, which the API rules out; a client may say so", name)
