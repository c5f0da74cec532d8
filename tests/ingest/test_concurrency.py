"""Readers during compaction, writers beside each other, files and their last readers: each reading exactly once."""

import asyncio
import threading
from pathlib import Path

import pytest

from mockexport.ingest import journal as journal_room
from mockexport.ingest.disk import RealDisk
from mockexport.ingest.errors import Overloaded
from mockexport.ingest.insertion import collapse
from mockexport.ingest.leases import Leases
from mockexport.ingest.readings import DAY_US, Reading
from mockexport.ingest.rewriting import MAX_FILE_ROWS, to_merge
from mockexport.ingest.store import Store
from tests.ingest.stored import DAY, NOON_US, all_rows, answer, opened, rates_of, some, write


def test_readers_during_compactions_see_each_reading_exactly_once(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        stored = some(400, step_us=1_000)
        write(store, stored)
        expected = answer(store, "user", NOON_US, NOON_US + DAY_US - 1)
        done = threading.Event()
        answers = []

        def read() -> None:
            while not done.is_set():
                answers.append(answer(store, "user", NOON_US, NOON_US + DAY_US - 1))

        readers = [threading.Thread(target=read) for _ in range(3)]
        for reader in readers:
            reader.start()
        for turn in range(12):
            # Another user's readings of the same day: every pass replaces the day's file.
            write(store, some(300, user=f"other{turn}", step_us=1_000))
            store.compactor.compact()
        done.set()
        for reader in readers:
            reader.join()
        assert len(answers) > 12
        assert all(each == expected for each in answers)
        files = list(tmp_path.glob("readings/*/*"))
        assert len(files) == len(store.queries.files(DAY, DAY)), "files in no list are gone when their readers are"
        assert store.leases.statistics() == (0, 0)


def test_a_replaced_file_goes_when_its_last_reader_is_done() -> None:
    removed: list[Path] = []
    leases = Leases(removed.append)
    first, second = leases.reading(), leases.reading()
    first.__enter__()
    leases.retire([Path("old")])
    second.__enter__()
    assert removed == []
    assert leases.statistics() == (2, 1)
    first.__exit__(None, None, None)
    assert removed == [Path("old")], "the second reader came after the file had left the list"
    second.__exit__(None, None, None)
    leases.retire([Path("older")])
    assert removed == [Path("old"), Path("older")]


def test_writers_beside_each_other_are_committed_in_groups(tmp_path: Path) -> None:
    async def many(count: int) -> None:
        await asyncio.gather(*(store.journal.write([each]) for each in some(count)))

    with opened(tmp_path) as store:
        asyncio.run(many(500))
        assert all_rows(store) == rates_of(some(500))
        assert store.journal.counts.commits < 500


def test_what_waits_is_bounded_and_the_rest_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, go = threading.Event(), threading.Event()

    def hold(connection: object) -> None:
        held.set()
        go.wait()

    async def overload() -> list[object]:
        blocker = asyncio.get_running_loop().run_in_executor(None, store.journal.run, hold)
        await asyncio.to_thread(held.wait)
        monkeypatch.setattr(journal_room, "MAX_WAITING_REQUESTS", 20)
        writes = [asyncio.ensure_future(store.journal.write([each])) for each in some(50)]
        await asyncio.sleep(0)  # each of them has now begun, and those that are refused have ended
        assert sum(write.done() for write in writes) == 30
        assert store.journal.waiting == 20
        go.set()
        await blocker
        return await asyncio.gather(*writes, return_exceptions=True)

    with opened(tmp_path) as store:
        outcomes = asyncio.run(overload())
        refused = [outcome for outcome in outcomes if outcome is not None]
        assert len(refused) == 30
        assert all(isinstance(outcome, Overloaded) for outcome in refused)
        assert len(all_rows(store)) == 20
        assert store.journal.waiting == 0


def test_a_group_keeps_the_last_of_each_key_and_counts_the_others() -> None:
    one, two = Reading("u", "d", 1, 70), Reading("u", "d", 1, 71)
    found = collapse([one, one, two, one, Reading("u", "d", 2, 70)])
    assert found.rates == {("u", "d", 1): 70, ("u", "d", 2): 70}
    assert (found.duplicates, found.conflicts) == (1, 2)


def test_a_day_has_few_files_and_each_row_is_rewritten_a_few_times() -> None:
    files: list[int] = []
    written = total = 0
    for turn in range(2_000):
        arrived = 10_000 if turn % 7 else 500
        total += arrived
        count = to_merge(files, arrived)
        merged = arrived + sum(files[len(files) - count :])
        files[len(files) - count :] = [merged]
        written += merged
        assert merged <= max(MAX_FILE_ROWS, arrived)
    assert total > 16_000_000
    assert len(files) <= total // (MAX_FILE_ROWS // 4) + 6
    assert written < 40 * total


def test_late_data_for_a_compacted_day_is_visible_at_once_and_merged_next(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, some(30))
        store.compactor.compact()
        late = some(30, start_us=NOON_US - 3_600 * 10**6)
        write(store, reversed(late))
        assert all_rows(store) == rates_of([*some(30), *late])
        store.compactor.compact()
        assert all_rows(store) == rates_of([*some(30), *late])
        assert len(store.queries.files(DAY, DAY)) == 1


def test_a_number_never_returns_also_after_its_rows_are_gone(tmp_path: Path) -> None:
    seen = 0
    for turn in range(3):
        with opened(tmp_path) as store:
            write(store, some(5, start_us=NOON_US + turn * 10**7))
            store.compactor.compact()
            highest = max(store.queries.days().highest.values())
            assert highest == seen + 5
            seen = highest


def test_a_commit_returns_when_the_log_is_on_the_disk(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        modes = store.journal.run(
            lambda connection: [
                connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")
            ]
        )
        assert modes == ["wal", 2], "FULL"


def test_files_in_no_list_are_removed_at_the_start(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, some(5))
        store.compactor.compact()
        (listed,) = tmp_path.glob("readings/*/*")
    for name in ("000000000009-0a0b0c0d.parquet", "000000000009-0a0b0c0d.tmp"):
        (listed.parent / name).write_bytes(listed.read_bytes())
    with opened(tmp_path) as store:
        assert list(tmp_path.glob("readings/*/*")) == [listed]
        assert all_rows(store) == rates_of(some(5))


class _StopAtTheFirstFile(RealDisk):
    """Asks compaction to end while it writes its first file."""

    def __init__(self) -> None:
        self.renamed = 0
        self.store: Store | None = None

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        self.renamed += 1
        if self.store is not None:
            self.store.compactor.stop()


def test_a_pass_that_is_asked_to_end_stops_between_days_and_loses_nothing(tmp_path: Path) -> None:
    readings = some(6, step_us=DAY_US, start_us=NOON_US)
    disk = _StopAtTheFirstFile()
    with opened(tmp_path, disk) as store:
        write(store, readings)
        disk.store = store
        assert store.compactor.compact() == 0
        assert disk.renamed == 1
        assert not list(tmp_path.glob("readings/*/*")), "in no list, so of no use"
        assert (store.compactor.counts.passes, store.compactor.counts.failures) == (0, 0)
        assert all_rows(store) == rates_of(readings)
    with opened(tmp_path) as store:
        assert store.compactor.compact() == 6
        assert all_rows(store) == rates_of(readings)
