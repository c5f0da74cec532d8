"""Power cuts while files are published, also without what was deleted: no acknowledged reading is lost, whatever is.

kill -9 does not show this: the kernel keeps what a dead process wrote. Here the steps are written down as they are
done; after every one of them the power goes, and every combination of the steps that no sync has made durable is lost.
SQLite's commit is durable when it returns (synchronous=FULL), so the list of files is as of the last commit.
"""

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from mockexport.ingest.catalogue import READINGS_FOLDER, StoredFile, listed
from mockexport.ingest.checksums import file_sha256
from mockexport.ingest.database import connect
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.snapshots import Wanted
from tests.ingest.scripted_disk import Operation, PowerCutDisk, after_power_cut, pending
from tests.ingest.stored import NOON_US, opened, some, write


class _CommitNoted(sqlite3.Connection):
    """A connection that writes down its commits beside the disk's steps, with the list of files they left."""

    noted: Callable[[sqlite3.Connection], None] = staticmethod(lambda connection: None)

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        found = super().execute(sql, parameters)  # type: ignore[arg-type]
        if sql == "COMMIT":
            type(self).noted(self)
        return found


def _record(folder: Path, skip: Callable[[Operation], bool]) -> tuple[PowerCutDisk, dict[int, list[StoredFile]]]:
    """Publish files, merge them with others, delete from one; return the steps, and what was listed after which."""
    disk = PowerCutDisk(skip)
    lists: dict[int, list[StoredFile]] = {0: []}

    class Noted(_CommitNoted):
        noted = staticmethod(lambda connection: lists.__setitem__(len(disk.operations), listed(connection, 0, 1 << 40)))

    def connector(path: Path, writing: bool) -> sqlite3.Connection:
        if not writing:
            return connect(path, writing)
        made = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=Noted)
        made.execute("PRAGMA journal_mode = WAL")
        return made

    with opened(folder / "data", disk, connector=connector) as store:
        write(store, some(20))
        store.compactor.compact()
        write(store, [*some(25, device="device_b"), *some(5, start_us=NOON_US + DAY_US)])
        store.compactor.compact()
        # What is deleted is rewritten: by the same steps.
        assert asyncio.run(store.delete(Wanted(NOON_US, NOON_US + 4 * 10**6, "user"))) == 10
        store.compactor.compact()
    return disk, lists


def _losses(folder: Path, skip: Callable[[Operation], bool] = lambda operation: False) -> list[str]:
    """Cut the power after every step, lose every combination of doubtful ones; return what was lost that was listed."""
    disk, lists = _record(folder, skip)
    assert len(lists) > 2
    problems = []
    for cut in range(len(disk.operations) + 1):
        done = disk.operations[:cut]
        # The last commit before the cut; a commit comes after the steps that were noted before it.
        files = lists[max(position for position in lists if position <= cut)]
        _, doubtful = pending(done)
        for size in range(len(doubtful) + 1):
            for lost in itertools.combinations(doubtful, size):
                found = after_power_cut(folder, done, lost)
                for file in files:
                    data = found.get(folder / "data" / READINGS_FOLDER / file.name)
                    if data is None or len(data) != file.size_bytes:
                        problems.append(
                            f"after step {cut}: {file.name} is {'missing' if data is None else 'not whole'}"
                        )
    return problems


def test_a_power_cut_at_any_step_loses_no_listed_file(tmp_path: Path) -> None:
    assert _losses(tmp_path) == []


def _syncs(folder: Path) -> list[Operation]:
    disk, _ = _record(folder, lambda operation: False)
    return [each for each in disk.operations if each.kind.startswith("sync")]


def test_the_steps_are_synced_where_the_model_says(tmp_path: Path) -> None:
    # Four files in two folders, and the data folder itself at the start.
    kinds = [each.kind for each in _syncs(tmp_path)]
    assert kinds.count("sync") == 4
    assert kinds.count("sync_folder") >= 6


@pytest.mark.parametrize(
    "left_out",
    [
        pytest.param(lambda each: each.kind == "sync", id="of the file"),
        pytest.param(lambda each: each.kind == "sync_folder" and "day=" in each.path.name, id="of the day's folder"),
        pytest.param(lambda each: each.kind == "sync_folder" and each.path.name == READINGS_FOLDER, id="of its parent"),
        pytest.param(lambda each: each.kind == "sync_folder" and each.path.name == "data", id="of the data folder"),
        pytest.param(
            lambda each: each.kind == "sync_folder" and each.path.name.startswith("test_"), id="of its parent too"
        ),
    ],
)
def test_leaving_out_any_one_sync_loses_a_listed_file(tmp_path: Path, left_out: Callable[[Operation], bool]) -> None:
    assert _losses(tmp_path, left_out) != []


def test_the_temporary_name_is_never_listed(tmp_path: Path) -> None:
    disk, lists = _record(tmp_path, lambda operation: False)
    names = {file.name for files in lists.values() for file in files}
    assert names
    assert all(name.endswith(".parquet") for name in names)
    renamed = {each.target for each in disk.operations if each.kind == "rename"}
    assert {tmp_path / "data" / READINGS_FOLDER / name for name in names} <= renamed
    left = [path for path in (tmp_path / "data" / READINGS_FOLDER).glob("*/*") if path.suffix != ".parquet"]
    assert left == []
    kept = lists[max(lists)]
    assert all(file_sha256(tmp_path / "data" / READINGS_FOLDER / file.name) == file.sha256 for file in kept)
