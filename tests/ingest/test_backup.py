"""Backups: whole or not there, also while the service compacts and when the power goes; and the check that says so."""

import itertools
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from mockexport.cli import main
from mockexport.ingest.backup import Backup, back_up, check
from mockexport.ingest.database import DATABASE_NAME
from mockexport.ingest.disk import RealDisk
from mockexport.ingest.errors import FolderUnusable
from mockexport.ingest.readings import DAY_US
from tests.ingest.scripted_disk import Operation, PowerCutDisk, after_power_cut, pending
from tests.ingest.stored import DAY, NOON_US, all_rows, opened, rates_of, some, write

READINGS = [*some(20), *some(5, start_us=NOON_US + DAY_US)]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    with opened(tmp_path / "data") as store:
        write(store, READINGS)
        store.compactor.compact()
        write(store, some(7, user="journal"))
    return tmp_path / "data"


def _holds(folder: Path, readings: list[object]) -> bool:
    with opened(folder) as store:
        return all_rows(store) == rates_of(readings)  # type: ignore[arg-type]


def test_a_backup_is_a_data_folder_of_its_own(data: Path, tmp_path: Path) -> None:
    assert back_up(data, tmp_path / "to" / "backup") == Backup(2, 25, copied=False)
    backup = tmp_path / "to" / "backup"
    assert [path.name for path in sorted((tmp_path / "to").iterdir())] == ["backup"]
    assert sorted(path.name for path in backup.iterdir()) == [DATABASE_NAME, "readings"]
    assert {path.stat().st_mode & 0o777 for path in backup.rglob("*") if path.is_file()} == {0o600}
    found = check(backup)
    assert (found.files, found.readings, found.journal_rows, found.problems) == (2, 25, 7, [])
    # What happens to the folder later is nothing to the backup.
    with opened(data) as store:
        write(store, some(30, user="later"))
        store.compactor.compact()
    assert check(backup).problems == []
    shutil.rmtree(data)
    assert _holds(backup, [*READINGS, *some(7, user="journal")])


def test_a_backup_while_the_service_compacts_is_of_one_moment(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as store:
        done = threading.Event()
        kept: list[Path] = []

        def keep() -> None:
            while not done.is_set() and len(kept) < 8:
                target = tmp_path / f"backup{len(kept)}"
                back_up(tmp_path / "data", target)
                kept.append(target)

        write(store, some(1))
        keeper = threading.Thread(target=keep)
        keeper.start()
        # Each turn replaces the day's file; a backup holds the turns up to one of them, whole.
        for turn in range(1, 40):
            write(store, some(10, start_us=NOON_US + turn * 10**8))
            store.compactor.compact()
            if len(kept) == 8:
                break
        done.set()
        keeper.join()
    assert kept
    for target in kept:
        assert check(target).problems == []
        with opened(target) as store:
            assert len(all_rows(store)) % 10 == 1


def test_a_file_that_goes_away_meanwhile_means_to_begin_again(data: Path, tmp_path: Path) -> None:
    class Replaced(RealDisk):
        times = 0

        def link(self, old: Path, new: Path) -> None:
            self.times += 1
            if self.times == 2:
                raise FileNotFoundError
            super().link(old, new)

    disk = Replaced()
    assert back_up(data, tmp_path / "backup", disk).files == 2
    assert disk.times == 4
    assert check(tmp_path / "backup").problems == []


def test_another_disk_gets_copies(data: Path, tmp_path: Path) -> None:
    class AnotherDisk(RealDisk):
        def link(self, old: Path, new: Path) -> None:
            raise OSError(18, "Invalid cross-device link")

    assert back_up(data, tmp_path / "backup", AnotherDisk()).copied
    (path, *_) = tmp_path.glob("backup/readings/*/*")
    assert path.stat().st_nlink == 1
    assert check(tmp_path / "backup").problems == []


def test_what_cannot_be_backed_up_is_said_and_leaves_nothing(data: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FolderUnusable, match="there already"):
        back_up(data, tmp_path / "there")
    for folder in ("nothing", "there"):
        with pytest.raises(FolderUnusable, match="no data folder"):
            back_up(tmp_path / folder, tmp_path / "backup")
        with pytest.raises(FolderUnusable, match="no data folder"):
            check(tmp_path / folder)
    (tmp_path / "file").touch()
    with pytest.raises(FolderUnusable, match="file"):
        back_up(data, tmp_path / "file" / "backup")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "file", "there"]


def test_a_check_finds_what_is_damaged_and_names_it(data: Path) -> None:
    first, second = sorted(data.glob("readings/*/*.parquet"))
    whole = first.read_bytes()
    first.write_bytes(whole[:-1] + b"x")
    second.unlink()
    with sqlite3.connect(data / DATABASE_NAME) as outside:
        outside.execute("UPDATE journal SET heart_rate = heart_rate + 1 WHERE seq = (SELECT max(seq) FROM journal)")
    outside.close()
    problems = check(data).problems
    assert len(problems) == 3
    assert problems[0] == "journal: a row of 2024-01-15 is damaged"
    assert problems[1].endswith(f"{first.name} (2024-01-15): is not what was written")
    assert problems[2].endswith(f"{second.name} (2024-01-16): is missing")
    with sqlite3.connect(data / DATABASE_NAME) as outside:
        outside.execute(f"UPDATE files SET last_day = {DAY + 9}")
    outside.close()
    assert any("every day" in problem for problem in check(data).problems)


def _losses(data: Path, folder: Path, skip: Callable[[Operation], bool] = lambda operation: False) -> list[str]:
    """Make a backup, cut the power when it is reported done, lose what is doubtful in any combination; say what."""
    disk = PowerCutDisk(skip)
    target = folder / "backups" / "backup"
    back_up(data, target, disk)
    expected = {path.relative_to(target): path.read_bytes() for path in target.rglob("*") if path.is_file()}
    _, doubtful = pending(disk.operations)
    problems = []
    for size in range(min(len(doubtful), 3) + 1):
        for lost in itertools.combinations(doubtful, size):
            found = after_power_cut(folder, disk.operations, lost)
            problems += [
                f"{name} is not whole after {lost}"
                for name, content in expected.items()
                if found.get(target / name) != content
            ]
    return problems


def test_a_backup_that_was_reported_survives_a_power_cut(data: Path, tmp_path: Path) -> None:
    assert _losses(data, tmp_path) == []


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(lambda each: each.kind == "sync", id="of the database"),
        pytest.param(lambda each: each.kind == "sync_folder" and "day=" in each.path.name, id="of a period"),
        pytest.param(lambda each: each.kind == "sync_folder" and each.path.name == "readings", id="of their folder"),
        pytest.param(lambda each: each.kind == "sync_folder" and "partial" in each.path.name, id="of the backup"),
        pytest.param(lambda each: each.kind == "sync_folder" and each.path.name == "backups", id="of its folder"),
        pytest.param(
            lambda each: each.kind == "sync_folder" and each.path.name.startswith("test_"), id="of the folder above"
        ),
    ],
)
def test_leaving_out_any_one_sync_loses_some_of_a_backup(
    data: Path, tmp_path: Path, left_out: Callable[[Operation], bool]
) -> None:
    assert _losses(data, tmp_path, left_out) != []


def test_the_commands_say_what_they_did_and_what_is_wrong(
    data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def _command(*arguments: object) -> tuple[int, str]:
        code = main(["ingest", *map(str, arguments)])
        said = capsys.readouterr()
        assert said.out == ""
        return code, said.err

    target = tmp_path / "backup"
    assert _command("backup", target, "--data", data) == (
        0,
        f"mockexport: {target}: 25 readings in 2 files (links), and the journal\n",
    )
    assert _command("check", target) == (
        0,
        f"mockexport: {target}: 25 readings in 2 files and 7 in the journal: all as written\n",
    )
    (path, *_) = target.glob("readings/*/*")
    path.unlink()
    code, said = _command("check", target)
    assert code == 1
    assert "is missing\n" in said
    assert said.endswith("7 in the journal: 1 problem\n")
    code, said = _command("--data", data, "backup", target)
    assert code == 1
    assert "there already" in said
