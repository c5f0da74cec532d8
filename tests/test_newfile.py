"""A new file appears whole or not at all."""

import os
import resource
from pathlib import Path

import pytest

from mockexport.errors import OutputError
from mockexport.newfile import NewFile


def test_a_committed_file_holds_all_and_is_its_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    with NewFile(path) as file:
        file.write(b"one ")
        file.write(b"two")
        file.commit()
    assert path.read_bytes() == b"one two"
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(tmp_path.iterdir()) == [path]


def test_the_old_file_stays_until_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    with NewFile(path) as file:
        file.write(b"half")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_the_caller_raises_passes_through_and_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(TimeoutError), NewFile(tmp_path / "a.csv"):
        raise TimeoutError
    assert list(tmp_path.iterdir()) == []


def test_a_link_left_under_the_temporary_name_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    (tmp_path / "a.csv.partial").symlink_to(victim)
    with NewFile(tmp_path / "a.csv") as file:
        file.write(b"new")
        file.commit()
    assert victim.read_bytes() == b"precious"


def test_a_folder_that_is_not_there_is_an_output_error_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "nowhere" / "a.csv"
    with pytest.raises(OutputError, match=r"a\.csv") as caught:
        NewFile(path)
    assert caught.value.path == str(path)


def test_a_disk_without_room_is_an_output_error_with_the_path(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"old")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    with NewFile(path) as file:
        resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, before[1]))  # the next best thing to a full disk
        try:
            with pytest.raises(OutputError, match=r"a\.csv: File too large"):
                file.write(b"x" * 20_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_what_is_no_file_is_written_to_and_stays_what_it_is() -> None:
    mine, theirs = os.openpty()
    try:
        path = Path(os.ttyname(theirs))
        with NewFile(path) as file:
            file.write(b"told")
            file.commit()
        assert os.read(mine, 100) == b"told"
        assert path.is_char_device()
    finally:
        os.close(mine)
        os.close(theirs)


def test_a_link_stays_and_the_file_that_it_leads_to_is_new(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("target")
    for content in (b"first", b"second"):
        with NewFile(tmp_path / "link") as file:
            file.write(content)
            file.commit()
        assert (tmp_path / "target").read_bytes() == content
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "target"]
