"""A folder of files: what is written can be read, and what cannot be trusted is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mockexport.errors import FolderError, OutputError
from mockexport.model import Download
from mockexport.sources.listing import (
    LISTING,
    FolderListing,
    ListedFile,
    file_name,
    read_folder,
    read_listing,
    write_listing,
)

CSV = b"patient_id,event_time,event_type,value\n"


def listed(file: str = "00-d.csv", download_id: str = "d", size_bytes: int = len(CSV)) -> ListedFile:
    return ListedFile(
        id=download_id,
        rows=0,
        event_types=("spo2", "bp_sys"),
        patients=("P2", "P1"),
        start_time="2025-08-26T00:00:00",
        end_time="2025-08-26T00:00:01",
        file=file,
        size_bytes=size_bytes,
        sha256="0" * 64,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one download, in a folder of its own so that a test can put something outside of it."""
    directory = tmp_path / "export"
    directory.mkdir()
    (directory / "00-d.csv").write_bytes(CSV)
    write_listing(directory, FolderListing("demo", (listed(),)))
    return directory


def test_what_is_written_is_read_again(folder: Path) -> None:
    assert read_folder(folder) == FolderListing("demo", (listed(),))
    assert (folder / LISTING).stat().st_mode & 0o777 == 0o600


def test_a_listing_reads_as_the_contract_says(folder: Path) -> None:
    assert json.loads((folder / LISTING).read_bytes()) == {
        "id": "demo",
        "downloads": [
            {
                "id": "d",
                "rows": 0,
                "event_types": ["spo2", "bp_sys"],
                "patients": ["P2", "P1"],
                "start_time": "2025-08-26T00:00:00",
                "end_time": "2025-08-26T00:00:01",
                "file": "00-d.csv",
                "bytes": len(CSV),
                "sha256": "0" * 64,
            }
        ],
    }


def test_a_listed_download_knows_its_length(folder: Path) -> None:
    download = read_folder(folder).downloads[0].to_listed_download()
    assert isinstance(download, Download)
    assert download.size_bytes == len(CSV)


def test_a_file_is_named_by_place_and_id() -> None:
    assert file_name(3, "f725622a-22ea-4acc-aab8-810ec8b5e2c6") == "03-f725622a-22ea-4acc-aab8-810ec8b5e2c6.csv"


@pytest.mark.parametrize("download_id", ["a", "a.csv", "a.tsv", "a.csv.gz", "a.csv.zst"])
def test_an_id_that_is_a_files_name_is_not_suffixed_twice(download_id: str) -> None:
    assert file_name(0, download_id) == "00-a.csv"


@pytest.mark.parametrize("download_id", ["../../etc/passwd", "a/b", "a\\b", "C:x", "a\0b", "é\n", "x" * 10_000])
def test_no_id_makes_a_name_that_leads_elsewhere(tmp_path: Path, download_id: str) -> None:
    name = file_name(0, download_id)
    assert (tmp_path / name).parent == tmp_path
    (tmp_path / name).touch()
    write_listing(tmp_path, FolderListing("e", (listed(name, download_id, 0),)))
    assert read_folder(tmp_path).downloads[0].id == download_id


def outside(folder: Path) -> None:
    (folder.parent / "secret.csv").write_bytes(CSV)


def link(folder: Path) -> None:
    outside(folder)
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")


def link_to_itself(folder: Path) -> None:
    (folder / "link.csv").symlink_to(folder / "link.csv")


def subfolder(folder: Path) -> None:
    (folder / "link.csv").mkdir()


def nothing(_: Path) -> None:
    pass


@pytest.mark.parametrize(
    ("name", "prepare"),
    [
        ("../secret.csv", outside),
        ("..", nothing),
        (".", nothing),
        ("", nothing),
        ("/etc/passwd", nothing),
        ("sub/../00-d.csv", nothing),
        ("sub\\00-d.csv", nothing),
        ("a\0b", nothing),
        ("\ud800", nothing),
        ("x" * 5000, nothing),
        ("missing.csv", nothing),
        ("link.csv", link),
        ("link.csv", link_to_itself),
        ("link.csv", subfolder),
    ],
)
def test_a_listed_file_that_is_not_a_file_of_the_folder_is_refused(
    folder: Path, name: str, prepare: Callable[[Path], None]
) -> None:
    prepare(folder)
    edit(folder, lambda listing: listing["downloads"][0].update(file=name))
    with pytest.raises(FolderError):
        read_folder(folder)


def test_a_link_within_the_folder_is_fine(folder: Path) -> None:
    (folder / "link.csv").symlink_to("00-d.csv")
    edit(folder, lambda listing: listing["downloads"][0].update(file="link.csv"))
    assert read_folder(folder).downloads[0].file == "link.csv"


def test_a_file_of_another_length_is_refused_with_both_lengths(folder: Path) -> None:
    (folder / "00-d.csv").write_bytes(CSV + b"x")
    with pytest.raises(FolderError, match=rf"00-d\.csv: has {len(CSV) + 1} bytes .* says {len(CSV)}"):
        read_folder(folder)
    assert read_listing(folder).id == "demo"


@pytest.mark.parametrize(
    "change",
    [
        lambda listing: listing.pop("id"),
        lambda listing: listing.update(downloads=None),
        lambda listing: listing["downloads"].append(listing["downloads"][0]),
        lambda listing: listing["downloads"].append({**listing["downloads"][0], "id": "other"}),
        lambda listing: listing["downloads"].append({**listing["downloads"][0], "file": "other"}),
        lambda listing: listing["downloads"][0].update(bytes=-1),
        lambda listing: listing["downloads"][0].update(sha256="0" * 63),
        lambda listing: listing["downloads"][0].update(sha256="0" * 64 + "\n"),
        lambda listing: listing["downloads"][0].update(start_time="yesterday"),
        lambda listing: listing["downloads"][0].update(end_time="2025-08-25T00:00:00"),
    ],
)
def test_a_listing_that_makes_no_sense_is_refused(folder: Path, change: Callable[[Any], object]) -> None:
    edit(folder, change)
    with pytest.raises(FolderError, match=LISTING):
        read_folder(folder)


def test_a_listing_that_is_no_json_is_refused(folder: Path) -> None:
    (folder / LISTING).write_bytes(b'{"more": ' + b"[" * 100_000)
    with pytest.raises(FolderError, match=r"export\.json: .* nested too deeply"):
        read_folder(folder)


def test_a_folder_without_a_listing_is_no_export(tmp_path: Path) -> None:
    with pytest.raises(FolderError, match=f"holds no {LISTING}"):
        read_folder(tmp_path)


def test_a_listing_that_cannot_be_written_is_an_output_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=LISTING):
        write_listing(tmp_path / "nowhere", FolderListing("e", ()))


def edit(folder: Path, change: Callable[[Any], object]) -> None:
    path = folder / LISTING
    listing = json.loads(path.read_bytes())
    change(listing)
    path.write_text(json.dumps(listing))
