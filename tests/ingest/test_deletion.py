"""Deletions: gone from every answer at once, from the files at the next compaction, from the snapshots of the bridge;
nothing else goes with them, and nothing comes back. And days that are too old.
"""

import asyncio
import csv
import io
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import polars as pl
import pytest

from mockexport.ingest import passes as passes_room
from mockexport.ingest.database import DATABASE_NAME
from mockexport.ingest.deletions import pending_deletions
from mockexport.ingest.disk import RealDisk
from mockexport.ingest.errors import Damaged, NothingThere
from mockexport.ingest.passes import Passes
from mockexport.ingest.readings import DAY_US, END_US, Reading
from mockexport.ingest.settings import Settings
from mockexport.ingest.snapshots import Wanted
from mockexport.ingest.store import Store
from tests.ingest.serving import Client, reading, serving
from tests.ingest.stored import DAY, NOON_US, all_rows, answer, opened, rates_of, some, write

ALL = (0, END_US - 1)


def delete(store: Store, user: str, first_us: int = ALL[0], last_us: int = ALL[1]) -> int:
    return asyncio.run(store.delete(Wanted(first_us, last_us, user)))


def users_in_files(folder: Path) -> set[str]:
    paths = list(folder.glob("readings/*/*.parquet"))
    return {user for path in paths for user in pl.read_parquet(path, hive_partitioning=False)["user_id"]}


def pending(folder: Path) -> int:
    with sqlite3.connect(folder / DATABASE_NAME) as outside:
        found = len(pending_deletions(outside))
    outside.close()
    return found


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path) as made:
        yield made


async def _delete(client: Client, **query: str) -> tuple[int, object]:
    return await client.ask("DELETE", "/metrics/heart-rate", params=query)


async def test_a_user_is_gone_at_once_and_may_come_back(client: Client) -> None:
    for minute in range(3):
        await client.post(reading(timestamp=f"2024-01-15T10:0{minute}:00Z"))
        await client.post(reading(timestamp=f"2024-01-15T10:0{minute}:00Z", user_id="other"))
    assert await _delete(client, user_id="user_123") == (202, {"status": "accepted", "deleted": 3})
    assert (await client.day())[0] == 404
    assert (await client.day("other"))[1]["count"] == 3
    assert await _delete(client, user_id="user_123") == (202, {"status": "accepted", "deleted": 0})
    # The very same reading, sent again, is a new one.
    await client.post(reading())
    assert (await client.day())[1]["count"] == 1


async def test_a_span_is_gone_both_ends_inclusive(client: Client) -> None:
    for minute in range(10):
        await client.post(reading(timestamp=f"2024-01-15T10:0{minute}:00Z"))
    span = {"start": "2024-01-15T10:02:00Z", "end": "2024-01-15T10:05:00Z"}
    assert await _delete(client, user_id="user_123", **span) == (202, {"status": "accepted", "deleted": 4})
    _, found = await client.day()
    assert [entry["timestamp"][14:16] for entry in found["data"]] == ["00", "01", "06", "07", "08", "09"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({}, "user_id"),
        ({"user_id": ""}, "user_id"),
        ({"user_id": "user_123", "start": "2024-01-15T10:00:00Z"}, "end"),
        ({"user_id": "user_123", "end": "2024-01-15T10:00:00Z"}, "start"),
        ({"user_id": "user_123", "start": "2024-01-16T10:00:00Z", "end": "2024-01-15T10:00:00Z"}, "start"),
        ({"user_id": "user_123", "start": "then", "end": "2024-01-15T10:00:00Z"}, "start"),
        ({"user_id": "user_123", "device_id": "device_a"}, "device_id"),
    ],
)
async def test_what_cannot_be_meant_deletes_nothing(client: Client, query: dict[str, str], field: str) -> None:
    await client.post(reading())
    status, found = await _delete(client, **query)
    assert status == 400
    assert isinstance(found, dict)
    assert found["detail"].startswith(f"{field}: ")
    assert (await client.day())[1]["count"] == 1


def test_the_next_compaction_takes_it_out_of_the_files(tmp_path: Path) -> None:
    others = [*some(20, user="other"), *some(5, user="other", start_us=NOON_US + 3 * DAY_US)]
    with opened(tmp_path) as store:
        write(store, [*some(20), *some(20, start_us=NOON_US + DAY_US), *others])
        store.compactor.compact()
        # Some in the journal, one of them contradicting a stored one: a reading is counted once.
        write(store, [Reading("user", "device_a", NOON_US, 99), *some(5, start_us=NOON_US + 2 * DAY_US)])
        assert delete(store, "user") == 45
        assert all_rows(store) == rates_of(others)
        assert users_in_files(tmp_path) == {"user", "other"}
        assert pending(tmp_path) == 1
        assert store.journal.depth == 0
        assert store.journal.oldest_age_s() == 0
    with opened(tmp_path) as store:
        assert all_rows(store) == rates_of(others), "also after a restart"
        store.compactor.compact()
        assert users_in_files(tmp_path) == {"other"}
        assert pending(tmp_path) == 0
        assert all_rows(store) == rates_of(others)
        assert sorted(store.queries.days().highest) == [DAY, DAY + 3]
    database = (tmp_path / DATABASE_NAME).read_bytes()
    assert b"user" + b"device_a" not in database, "the name is gone from the pages"


def test_what_comes_after_a_deletion_stays_whatever_merges(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, some(10))
        store.compactor.compact()
        assert delete(store, "user") == 10
        # The same readings again, merged with the stored ones while those are still there.
        write(store, some(6))
        assert all_rows(store) == rates_of(some(6))
        store.compactor.compact()
        assert all_rows(store) == rates_of(some(6))
        assert pending(tmp_path) == 0
        assert delete(store, "user", NOON_US, NOON_US + 10**6) == 2
        assert all_rows(store) == rates_of(some(6)[2:])
    with opened(tmp_path) as store:
        store.compactor.compact()
        assert all_rows(store) == rates_of(some(6)[2:])


class _InThePass(RealDisk):
    """Does something while a pass publishes its first file."""

    def __init__(self) -> None:
        self.due: Callable[[], None] = lambda: None

    def rename(self, old: Path, new: Path) -> None:
        super().rename(old, new)
        due = self.due
        self.due = lambda: None
        due()


def test_a_deletion_during_a_pass_that_has_read_its_readings_is_not_undone(tmp_path: Path) -> None:
    disk = _InThePass()
    with opened(tmp_path, disk) as store:
        write(store, [*some(10), *some(4, user="other")])
        counted: list[int] = []
        disk.due = lambda: counted.append(delete(store, "user"))
        store.compactor.compact()
        assert counted == [10]
        assert users_in_files(tmp_path) == {"user", "other"}
        assert all_rows(store) == rates_of(some(4, user="other"))
        store.compactor.compact()
        assert users_in_files(tmp_path) == {"other"}
        assert pending(tmp_path) == 0
        assert all_rows(store) == rates_of(some(4, user="other"))


def test_a_deletion_after_a_pass_has_read_and_before_it_looks_at_deletions_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        write(store, [*some(10), *some(4, user="other")])
        real, counted = Passes._arrived, list[int]()  # noqa: SLF001 - the moment between two reads

        def arrived(passes: Passes) -> tuple[pl.DataFrame, int]:
            found = real(passes)
            counted.append(delete(store, "user"))
            return found

        monkeypatch.setattr(Passes, "_arrived", arrived)
        store.compactor.compact()
        monkeypatch.undo()
        assert counted == [10]
        assert all_rows(store) == rates_of(some(4, user="other"))
        store.compactor.compact()
        assert users_in_files(tmp_path) == {"other"}
        assert all_rows(store) == rates_of(some(4, user="other"))


def test_rows_that_are_in_files_and_still_in_the_journal_count_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as store:
        write(store, [*some(10), *some(4, user="other")])
        write(store, some(4, user="other"))
        # As a crash leaves them before the journal's rows are deleted.
        monkeypatch.setattr(Passes, "_delete_from_journal", lambda passes, up_to_seq: 0)
        store.compactor.compact()
        monkeypatch.undo()
        assert users_in_files(tmp_path) == {"user", "other"}
        assert store.journal.depth == 14
        assert all_rows(store) == rates_of([*some(10), *some(4, user="other")])
    with opened(tmp_path) as store:
        assert delete(store, "user") == 10
        assert all_rows(store) == rates_of(some(4, user="other"))
        store.compactor.compact()
        assert users_in_files(tmp_path) == {"other"}
        assert (store.journal.depth, all_rows(store)) == (0, rates_of(some(4, user="other")))


def test_the_journals_rows_are_deleted_in_small_steps_and_all_of_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(passes_room, "_DELETED_AT_ONCE", 4)
    for count in (3, 4, 10):
        with opened(tmp_path / str(count)) as store:
            write(store, some(count))
            commits = store.journal.counts.commits
            assert store.compactor.compact() == count
            assert store.journal.counts.commits == commits, "of readings"
            assert (store.journal.depth, store.journal.oldest_age_s()) == (0, 0)


def test_a_damaged_file_deletes_nothing_and_one_damaged_later_is_caught_up_with(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, [*some(10), *some(10, user="other")])
        store.compactor.compact()
        (path,) = tmp_path.glob("readings/*/*.parquet")
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        with pytest.raises(Damaged, match="2024-01-15"):
            delete(store, "user")
        path.write_bytes(whole)
        assert len(all_rows(store)) == 20
        assert delete(store, "user") == 10
        path.write_bytes(whole[:-1])
        store.compactor.compact()
        assert pending(tmp_path) == 1, "the deletion waits for the file"
        path.write_bytes(whole)
        assert all_rows(store) == rates_of(some(10, user="other"))
        store.compactor.compact()
        assert pending(tmp_path) == 0
        assert users_in_files(tmp_path) == {"other"}


async def _csv(client: Client, download: str) -> tuple[int, list[str]]:
    async with client.session.get(f"{client.url}/api/export/heart-rate/{download}/data") as reply:
        rows = list(csv.DictReader(io.StringIO(await reply.text()))) if reply.status == 200 else []
        return reply.status, sorted({row["patient_id"] for row in rows})


async def test_snapshots_that_held_it_are_gone_and_others_stay_what_they_were(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = client.app.store
    # Files are rewritten when this test says so.
    monkeypatch.setattr(store.compactor, "notice_deletion", lambda: None)
    tomorrow = NOON_US + DAY_US
    await store.journal.write([*some(5), *some(5, user="other"), *some(5, user="other", start_us=tomorrow)])
    await store.journal.write(some(3, user="alone", start_us=NOON_US + 2 * DAY_US))

    async def ids() -> list[str]:
        return list((await client.ask("GET", "/api/export/heart-rate"))[1]["data"]["download_ids"])

    async def metadata(download: str) -> tuple[int, dict[str, object]]:
        status, found = await client.ask("GET", f"/api/export/heart-rate/{download}")
        return status, found.get("data", found)

    async def check() -> None:
        assert (await metadata(first))[0] == 404
        assert (await _csv(client, first))[0] == 404
        assert (await metadata(second))[1]["patients"] == ["other"]
        assert await _csv(client, second) == (200, ["other"])
        assert (await metadata(third))[0] == 404
        new = await ids()
        assert first not in new
        assert await _csv(client, new[0]) == (200, ["other"])
        assert (await metadata(new[0]))[1]["patients"] == ["other"]

    for compacted in (False, True):
        if compacted:
            await asyncio.to_thread(store.compactor.compact)
            await store.journal.write([*some(5), *some(3, user="alone", start_us=NOON_US + 2 * DAY_US)])
            await asyncio.to_thread(store.compactor.compact)
        first, second, third = await ids()
        for download in (first, second, third):
            assert (await metadata(download))[0] == 200
        assert (await _delete(client, user_id="user"))[1] == {"status": "accepted", "deleted": 5}
        assert (await _delete(client, user_id="alone"))[1] == {"status": "accepted", "deleted": 3}
        await check()
        if compacted:
            # Its day is empty, and listed until the next compaction.
            empty = (await ids())[2]
            assert (await metadata(empty))[1]["rows"] == 0
            assert await _csv(client, empty) == (200, [])
        await asyncio.to_thread(store.compactor.compact)
        assert len(await ids()) == 2
        await check()


def test_old_days_go_at_the_next_compaction_from_files_and_journal(tmp_path: Path) -> None:
    today = int(time.time()) // 86_400
    old = [reading for day in range(today - 30, today - 3) for reading in some(2, start_us=day * DAY_US)]
    kept = [reading for day in range(today - 3, today + 1) for reading in some(2, start_us=day * DAY_US)]
    with opened(tmp_path) as store:
        write(store, [*old, *kept])
        store.compactor.compact()
        names = store.queries.days().highest
    store = Store(Settings(data=tmp_path, keep_days=3))
    try:
        write(store, some(1, user="late", start_us=(today - 40) * DAY_US))
        assert len(all_rows(store, today - 50, today + 1)) == len(old) + len(kept) + 1
        store.compactor.compact()
        assert all_rows(store, today - 50, today + 1) == rates_of(kept)
        assert sorted(store.queries.days().highest) == [today - 3, today - 2, today - 1, today]
        assert store.journal.depth == 0
        # What comes in for an old day goes with the next compaction, and its old snapshot does not come back.
        write(store, some(1, start_us=(today - 10) * DAY_US))
        with pytest.raises(NothingThere):
            store.queries.rows(Wanted((today - 10) * DAY_US, (today - 9) * DAY_US - 1, up_to_seq=names[today - 10]))
        assert len(answer(store, "user", (today - 10) * DAY_US, (today - 9) * DAY_US)) == 1
        store.compactor.compact()
        assert all_rows(store, today - 50, today + 1) == rates_of(kept)
    finally:
        store.close()
