"""Every write, sync and rename failing once, by its place; a full disk. Nothing acknowledged is lost, nothing refused
is half there, what is stored stays readable, and after a failed sync nothing is promised until a restart.

Three layers: the steps of publishing (a scripted disk), SQLite's statements (a scripted connection), and, through a
preloaded library, the system calls themselves in a real process.
"""

import asyncio
import errno
import sqlite3
from pathlib import Path

import pytest

from mockexport.ingest.database import connect
from mockexport.ingest.errors import DiskFull, FolderUnusable, StorageFailed, Unavailable
from mockexport.ingest.readings import DAY_US, Reading
from mockexport.ingest.store import Store
from mockexport.ingest.writing import JournalState
from tests.ingest.scripted_disk import FailingDisk
from tests.ingest.stored import NOON_US, Rates, all_rows, opened, rates_of, some, write

FIRST = some(20)
LATER = [*some(15, device="device_b"), *some(5, start_us=NOON_US + DAY_US), *some(5, start_us=NOON_US - DAY_US)]


def _story(store: Store, acknowledged: Rates) -> list[Unavailable]:
    """Write and compact, twice; note what was acknowledged, and return what failed."""
    failures: list[Unavailable] = []
    for readings in (FIRST, LATER):
        try:
            write(store, readings)
            acknowledged.update(rates_of(readings))
        except Unavailable as error:
            failures.append(error)
        try:
            store.compactor.compact()
        except Unavailable as error:
            failures.append(error)
    return failures


def _steps(folder: Path) -> int:
    disk = FailingDisk(-1)
    with opened(folder / "counted", disk) as store:
        start = disk.count
        assert _story(store, {}) == []
    assert disk.count - start > 20
    return disk.count


@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC], ids=["EIO", "ENOSPC"])
def test_each_step_of_publishing_fails_once_and_nothing_is_lost(tmp_path: Path, error: int) -> None:
    seen: set[str] = set()
    for place in range(_steps(tmp_path)):
        folder = tmp_path / str(place)
        disk = FailingDisk(place, error)
        acknowledged: Rates = {}
        try:
            with opened(folder, disk) as store:
                failures = _story(store, acknowledged)
                assert all_rows(store) == acknowledged, "what is stored stays readable"
                if disk.failed in ("sync", "sync_folder"):
                    assert store.journal.state is JournalState.FAILED
                    with pytest.raises(StorageFailed):
                        write(store, some(1))
                    assert store.health().status == "unavailable"
                elif failures and error == errno.ENOSPC:
                    assert all(isinstance(failure, DiskFull) for failure in failures)
                    # There is room again: everything goes on without a restart.
                    write(store, FIRST)
                    acknowledged.update(rates_of(FIRST))
                    store.compactor.compact()
                    assert all_rows(store) == acknowledged
        except FolderUnusable:
            # While the folder was being opened: refused, and nothing was acknowledged yet.
            assert not acknowledged
        seen.add(disk.failed or "")
        with opened(folder) as store:
            assert all_rows(store) == acknowledged, f"after a failed {disk.failed}"
            write(store, some(3, user="another"))
            store.compactor.compact()
            assert all_rows(store) == acknowledged | rates_of(some(3, user="another"))
            listed = {file.name for file in store.catalogue.folder.glob("*/*")}
            assert not [name for name in listed if name.endswith(".tmp")]
    assert seen == {"folder", "write", "sync", "rename", "sync_folder", "unlink"}


class _Failing(sqlite3.Connection):
    """Fails its n-th statement (from 0) once, before or after SQLite has done it."""

    count = 0
    fails_at = -1
    after = False
    code = "SQLITE_IOERR_FSYNC"
    failed: str | None = None

    def execute(self, sql: str, parameters: object = (), /) -> sqlite3.Cursor:
        kind = type(self)
        due = kind.count == kind.fails_at
        kind.count += 1
        if due and not kind.after:
            kind.failed = sql
            raise self._error()
        found = super().execute(sql, parameters)  # type: ignore[arg-type]
        if due:
            kind.failed = sql
            raise self._error()
        return found

    def _error(self) -> sqlite3.OperationalError:
        error = sqlite3.OperationalError("disk I/O error" if "IOERR" in self.code else "database or disk is full")
        error.sqlite_errorname = self.code
        return error


@pytest.mark.parametrize(
    ("code", "after"),
    [
        ("SQLITE_IOERR_FSYNC", False),
        ("SQLITE_IOERR_FSYNC", True),
        ("SQLITE_IOERR_WRITE", False),
        ("SQLITE_FULL", False),
    ],
)
def test_each_statement_of_the_writer_fails_once_and_nothing_is_lost(tmp_path: Path, code: str, after: bool) -> None:
    class Counting(_Failing):
        pass

    with _scripted(tmp_path / "counted", Counting) as store:
        Counting.count = 0
        assert _story(store, {}) == []
        total = Counting.count
    assert total > 15
    for place in range(total):

        class Once(_Failing):
            pass

        Once.after, Once.code = after, code
        folder = tmp_path / str(place)
        acknowledged: Rates = {}
        tried = rates_of([*FIRST, *LATER])
        with _scripted(folder, Once) as store:
            Once.count, Once.fails_at = 0, place
            failures = _story(store, acknowledged)
            assert Once.failed is not None
            assert failures, "a failed statement was reported as success"
            if code == "SQLITE_FULL":
                assert isinstance(failures[0], DiskFull), Once.failed
                # What the writer does by itself once a second: try something small.
                store.journal.run(lambda connection: None)
                write(store, FIRST)
                acknowledged.update(rates_of(FIRST))
            else:
                assert store.journal.state is JournalState.FAILED
                with pytest.raises(StorageFailed):
                    write(store, some(1))
            rows = all_rows(store)
            # A commit that reported failure may have happened: whole or not at all.
            assert rows.items() >= acknowledged.items()
            assert rows.items() <= tried.items()
        with opened(folder) as store:
            rows = all_rows(store)
            assert acknowledged.items() <= rows.items() <= tried.items()
            later = rates_of(LATER).items()
            assert rows.items() >= later or not rows.items() & later, "half of a request"
            write(store, [*FIRST, *LATER])
            assert all_rows(store) == tried


def _scripted(folder: Path, kind: type[_Failing]):  # type: ignore[no-untyped-def]
    def connector(path: Path, writing: bool) -> sqlite3.Connection:
        if not writing:
            return connect(path, writing)
        made = sqlite3.connect(path, isolation_level=None, check_same_thread=False, factory=kind)
        made.execute("PRAGMA journal_mode = WAL")
        made.execute("PRAGMA synchronous = FULL")
        made.execute("PRAGMA wal_autocheckpoint = 0")
        return made

    return opened(folder, connector=connector)


def test_a_full_database_refuses_and_takes_up_again_by_itself_when_there_is_room(tmp_path: Path) -> None:
    with opened(tmp_path / "data") as store:
        write(store, FIRST)
        # SQLite's own bound: the database cannot grow, as on a full disk.
        store.journal.run(_bound_pages)
        many = some(20_000, user="many")
        with pytest.raises(DiskFull):
            write(store, many)
        assert store.health().status == "unavailable"
        assert all_rows(store) == rates_of(FIRST)
        asyncio.run(_until_open(store))
        assert store.health().accepting, "the writer's own probe finds that small things fit"
        store.journal.run(_unbound_pages)
        write(store, many)
        assert all_rows(store) == rates_of([*FIRST, *many])


def _bound_pages(connection: sqlite3.Connection) -> None:
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    connection.execute(f"PRAGMA max_page_count = {pages + 2}")


def _unbound_pages(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA max_page_count = 1073741823")


async def _until_open(store: Store) -> None:
    async with asyncio.timeout(10):
        while store.journal.state is not JournalState.OPEN:  # noqa: ASYNC110 - set by a thread
            await asyncio.sleep(0.01)


def test_waiting_requests_hear_of_the_failure_too(tmp_path: Path) -> None:
    class Once(_Failing):
        pass

    with _scripted(tmp_path, Once) as store:
        Once.count, Once.fails_at = 0, 1

        async def many() -> list[object]:
            writes = (store.journal.write([Reading("user", "device", NOON_US + index, 70)]) for index in range(50))
            return list(await asyncio.gather(*writes, return_exceptions=True))

        outcomes = asyncio.run(many())
        assert all(isinstance(outcome, StorageFailed) for outcome in outcomes), outcomes
        assert all_rows(store) == {}
