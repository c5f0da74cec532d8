"""The generated exports as files."""

import hashlib
from pathlib import Path

import pytest

from mockexport.errors import ExportNotFound, FolderError, OutputError
from mockexport.server.catalogue import folder_catalogue
from mockexport.server.exports import downloads_of
from mockexport.server.folder import generate
from mockexport.sources.listing import LISTING, UNFINISHED, FolderListing, read_folder, write_listing


def test_demo_is_written_as_named_checked_files(tmp_path: Path) -> None:
    told: list[tuple[str, int, int]] = []
    listing = generate("demo", tmp_path / "a" / "demo", progress=lambda *news: told.append(news))

    assert read_folder(tmp_path / "a" / "demo") == listing
    assert [listed.file for listed in listing.downloads] == [
        "00-f725622a-22ea-4acc-aab8-810ec8b5e2c6.csv",
        "01-591ef21e-8a64-413a-b506-37a41cb6b896.csv",
    ]
    for listed, download in zip(listing.downloads, downloads_of("demo"), strict=True):
        path = tmp_path / "a" / "demo" / listed.file
        assert hashlib.sha256(path.read_bytes()).hexdigest() == listed.sha256
        assert path.stat().st_mode & 0o777 == 0o600
        assert listed.to_download() == download.metadata().to_download()
        assert (listed.file, listed.size_bytes, listed.size_bytes) in told
    assert sorted(path.name for path in (tmp_path / "a" / "demo").iterdir()) == [
        *(listed.file for listed in listing.downloads),
        LISTING,
    ]


def test_what_is_there_and_right_is_kept(tmp_path: Path) -> None:
    listing = generate("demo", tmp_path)
    kept, broken = (tmp_path / listed.file for listed in listing.downloads)
    inode = kept.stat().st_ino
    body = broken.read_bytes()
    broken.write_bytes(b"X" + body[1:])  # as long as it should be
    (tmp_path / LISTING).unlink()  # as after a run that was broken off

    told: list[tuple[str, int, int]] = []
    assert generate("demo", tmp_path, progress=lambda *news: told.append(news)) == listing
    assert kept.stat().st_ino == inode
    assert [news for news in told if news[0] == kept.name] == [
        (kept.name, len(kept.read_bytes()), len(kept.read_bytes()))
    ]
    assert broken.read_bytes() == body


def test_a_folder_of_another_export_is_refused_with_advice(tmp_path: Path) -> None:
    write_listing(tmp_path, FolderListing("mine", ()))
    before = (tmp_path / LISTING).read_bytes()
    with pytest.raises(FolderError, match="holds the export 'mine'; choose another folder"):
        generate("demo", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [LISTING]
    assert (tmp_path / LISTING).read_bytes() == before


def test_a_folder_with_an_unreadable_listing_is_refused(tmp_path: Path) -> None:
    (tmp_path / LISTING).write_bytes(b"not mine")
    with pytest.raises(FolderError, match=LISTING):
        generate("demo", tmp_path)


def test_an_unknown_export_is_refused_and_the_known_are_named(tmp_path: Path) -> None:
    with pytest.raises(ExportNotFound, match="demo, small, large"):
        generate("huge", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_a_folder_that_cannot_be_made_is_an_output_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="file"):
        generate("demo", tmp_path / "file")
    with pytest.raises(OutputError, match="file"):
        generate("demo", tmp_path / "file" / "demo")


def test_a_run_broken_off_leaves_no_listing_and_no_half_file(tmp_path: Path) -> None:
    def stop(name: str, done: int, length: int) -> None:
        if name.startswith("01") and done > length / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate("demo", tmp_path, progress=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["00-f725622a-22ea-4acc-aab8-810ec8b5e2c6.csv"]


def test_a_download_that_was_broken_off_is_completed(tmp_path: Path) -> None:
    generate("demo", tmp_path)
    (tmp_path / UNFINISHED).write_text("\n")
    with pytest.raises(FolderError, match="not finished"):
        folder_catalogue(tmp_path)
    generate("demo", tmp_path)
    assert list(folder_catalogue(tmp_path)) == ["demo"]
    assert not (tmp_path / UNFINISHED).exists()
