"""A small export, served as CSV and as FHIR, and the report that is right for it."""

import hashlib
import uuid
from pathlib import Path
from typing import Any

import pytest

from mockexport import Report, run
from mockexport.server.exports import EventType, GeneratedDownload
from mockexport.server.fhir.observations import KINDS
from mockexport.server.generation import rows_of
from mockexport.sources.listing import FolderListing, ListedFile, write_listing

TYPES = tuple(EventType(name, 80, 20, 30, 200) for name in KINDS)


@pytest.fixture(scope="session")
def ward(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the export `ward`: three downloads of 60 rows each."""
    folder = tmp_path_factory.mktemp("ward")
    files = []
    for number in range(3):
        download = GeneratedDownload(uuid.UUID(int=number + 1), 60, ("P1", "P2"), TYPES, number * 10**9, 10**6)
        body = b"".join(rows_of(download))
        name = f"0{number}-{download.id}.csv"
        (folder / name).write_bytes(body)
        files.append(
            ListedFile(
                id=str(download.id),
                rows=60,
                file=name,
                size_bytes=len(body),
                sha256=hashlib.sha256(body).hexdigest(),
            )
        )
    write_listing(folder, FolderListing("ward", tuple(files)))
    return folder


@pytest.fixture(scope="session")
def right(ward: Path) -> Report[Any]:
    """What the rows come to."""
    return run(folder=ward)
