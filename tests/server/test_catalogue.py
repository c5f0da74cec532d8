"""What a server offers from folders."""

from pathlib import Path

import pytest

from mockexport.errors import FolderError
from mockexport.server.catalogue import folder_catalogue, generated_catalogue
from mockexport.sources.listing import LISTING, FolderListing, ListedFile, write_listing


def make(directory: Path, export_id: str, *download_ids: str) -> None:
    directory.mkdir(exist_ok=True)
    files = []
    for number, download_id in enumerate(download_ids):
        name = f"{number:02d}-{download_id}.csv"
        (directory / name).write_bytes(b"x" * number)
        files.append(ListedFile(id=download_id, file=name, size_bytes=number, sha256=f"{number:064x}"))
    write_listing(directory, FolderListing(export_id, tuple(files)))


def test_a_folder_with_a_listing_is_one_export(tmp_path: Path) -> None:
    make(tmp_path, "mine", "b", "a")
    make(tmp_path / "sub", "not-asked-for")
    catalogue = folder_catalogue(tmp_path)
    assert list(catalogue) == ["mine"]
    assert list(catalogue["mine"]) == ["b", "a"]
    assert catalogue["mine"]["a"].length == 1
    assert catalogue["mine"]["a"].etag == f'"{1:064x}"'


def test_a_folder_of_folders_is_their_exports_by_name(tmp_path: Path) -> None:
    make(tmp_path / "2", "two")
    make(tmp_path / "1", "one", "d")
    (tmp_path / "0").mkdir()
    (tmp_path / "file").touch()
    assert list(folder_catalogue(tmp_path)) == ["one", "two"]


def test_two_folders_of_one_export_are_refused(tmp_path: Path) -> None:
    make(tmp_path / "1", "one")
    make(tmp_path / "2", "one")
    with pytest.raises(FolderError, match="second folder of export 'one'"):
        folder_catalogue(tmp_path)


@pytest.mark.parametrize("name", ["", "missing", "file"])
def test_a_folder_with_no_export_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError):
        folder_catalogue(tmp_path / name)


def test_one_broken_export_among_others_is_refused_by_name(tmp_path: Path) -> None:
    make(tmp_path / "1", "one", "d", "e")
    (tmp_path / "1" / "01-e.csv").write_bytes(b"")
    make(tmp_path / "2", "two")
    with pytest.raises(FolderError, match=r"01-e\.csv"):
        folder_catalogue(tmp_path)


def test_generated_downloads_have_tags_of_their_own() -> None:
    etags = [offer.etag for offers in generated_catalogue().values() for offer in offers.values()]
    assert len(set(etags)) == len(etags) == 32
    assert LISTING == "export.json"
