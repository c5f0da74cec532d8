"""Days, months and years: sparse days share a file, dense ones have their own, and no reading is lost on the way."""

import random
import sqlite3
from datetime import date, timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from mockexport.ingest import periods
from mockexport.ingest.catalogue import listed
from mockexport.ingest.checksums import text_checksum
from mockexport.ingest.database import DATABASE_NAME
from mockexport.ingest.errors import Damaged
from mockexport.ingest.holders import ANYBODY, holders_of, may_hold
from mockexport.ingest.periods import MANY_PARTS, Period, sparse_periods, spread, targets
from mockexport.ingest.readings import DAY_US, Reading
from mockexport.ingest.store import Store
from tests.ingest.stored import DAY, NOON_US, all_rows, answer, expected_minutes, opened, rates_of, some, write

YEAR = Period(19_723, 20_088)  # 2024
JANUARY = Period(19_723, 19_753)


def _folders(folder: Path) -> list[str]:
    return sorted({path.parent.name for path in folder.glob("readings/*/*.parquet")})


def _a_day_each(days: range, **given: str) -> list[Reading]:
    return [reading for day in days for reading in some(2, start_us=day * DAY_US + 7, **given)]  # type: ignore[arg-type]


def test_folders_are_named_by_the_calendar() -> None:
    assert Period(DAY, DAY).folder == "day=2024-01-15"
    assert JANUARY.folder == "month=2024-01"
    assert YEAR.folder == "year=2024"


def test_a_few_days_stay_days_and_many_sparse_ones_are_a_year() -> None:
    few = targets({}, dict.fromkeys(range(DAY, DAY + MANY_PARTS), 10), lambda parts: True)
    assert set(few.values()) == {Period(day, day) for day in range(DAY, DAY + MANY_PARTS)}
    many = targets({}, dict.fromkeys(range(DAY, DAY + MANY_PARTS + 1), 10), lambda parts: True)
    assert set(many.values()) == {YEAR}
    held = {Period(day, day): 10 for day in range(DAY, DAY + MANY_PARTS)}
    assert targets(held, {DAY + 60: 1}, lambda parts: True) == {DAY + 60: YEAR}
    assert targets(held, {DAY + 60: 1}, lambda parts: False) == {DAY + 60: Period(DAY + 60, DAY + 60)}
    assert sparse_periods(held) == []
    assert sparse_periods({**held, Period(DAY + 60, DAY + 60): 10}) == [YEAR]


def test_a_dense_year_is_months_and_a_dense_month_days(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(periods, "SPARSE_ROWS", 300)
    dense = dict.fromkeys(range(JANUARY.first_day, JANUARY.last_day + 1), 100)
    sparse = dict.fromkeys(range(YEAR.last_day - 30, YEAR.last_day + 1), 5)
    parts = spread(YEAR, dense | sparse)
    assert parts == [*(Period(day, day) for day in dense), Period(YEAR.last_day - 30, YEAR.last_day)]
    assert set(targets({}, dense | sparse, lambda files: True).values()) == set(parts)


def test_the_periods_that_have_files_never_overlap(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Small bounds, so that readings of some hundred days are joined and split by turns.
    monkeypatch.setattr(periods, "SPARSE_ROWS", 60)
    monkeypatch.setattr("mockexport.ingest.rewriting.SPLIT_ROWS", 120)
    draw = random.Random(8)
    kinds: set[str] = set()
    written = []
    with opened(tmp_path) as store:
        for turn in range(14):
            arrived = [
                Reading(draw.choice("ab"), "device_a", day * DAY_US + draw.randrange(50), 60 + turn)
                for day in draw.sample(range(DAY - 20, DAY + 400), draw.choice((1, 3, 25)))
                for _ in range(1 if turn < 3 else draw.choice((1, 1, 1, 40)))
            ]
            written += arrived
            write(store, arrived)
            store.compactor.compact()
            files = store.queries.files(0, 1 << 30)
            kinds |= {file.period.folder.partition("=")[0] for file in files}
            held = sorted({file.period for file in files})
            assert all(before.last_day < after.first_day for before, after in pairwise(held))
        assert kinds == {"day", "month", "year"}
        assert all_rows(store, DAY - 40, DAY + 500) == rates_of(written)
        assert sorted(store.queries.days().highest) == sorted({reading.time_us // DAY_US for reading in written})
        first, last = (DAY - 20) * DAY_US, (DAY + 400) * DAY_US
        assert answer(store, "a", first, last) == expected_minutes(rates_of(written), "a", first, last)


def test_days_of_a_reading_each_are_a_file_a_year(tmp_path: Path) -> None:
    days = range(DAY - 4_000, DAY - 20, 3)
    readings = _a_day_each(days)
    with opened(tmp_path) as store:
        write(store, readings)
        store.compactor.compact()
        assert len(store.queries.files(0, 1 << 30)) == 11
        assert all(name.startswith("year=") for name in _folders(tmp_path))
        assert all_rows(store, DAY - 4_001, DAY) == rates_of(readings)
        assert list(store.queries.days().highest) == list(days)


def test_a_damaged_file_of_a_year_costs_its_own_days_alone(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, _a_day_each(range(DAY, DAY + 20)))
        store.compactor.compact()
        (path,) = tmp_path.glob("readings/year=2024/*.parquet")
        whole = path.read_bytes()
        path.write_bytes(whole[:-1])
        write(store, some(3, start_us=NOON_US + 30 * DAY_US))
        store.compactor.compact()
        with pytest.raises(Damaged, match="2024-01-16"):
            answer(store, "user", (DAY + 1) * DAY_US, (DAY + 2) * DAY_US - 1)
        assert store.health().damaged_days == tuple(range(DAY, DAY + 20))
        # The file was left alone; what came later lies beside it, and a day that it does not hold is served.
        assert len(answer(store, "user", (DAY + 30) * DAY_US, (DAY + 31) * DAY_US - 1)) == 1
        assert answer(store, "nobody", DAY * DAY_US, (DAY + 2) * DAY_US - 1) == []
        path.write_bytes(whole)
        assert len(all_rows(store)) == 43


def test_a_repeat_beyond_a_damaged_file_is_no_repeat_of_what_lies_before_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        # Three files of one day, the second of which contradicts the first: 70, 80, and 70 again.
        write(store, [Reading("user", "device_a", NOON_US, 70)])
        store.compactor.compact()
        filler = some(9, user="other")
        write(store, [Reading("user", "device_a", NOON_US, 80)])
        monkey = pytest.MonkeyPatch()
        monkey.setattr("mockexport.ingest.rewriting.to_merge", lambda rows, arrived: 0)
        store.compactor.compact()
        monkey.undo()
        _, second = store.queries.files(DAY, DAY)
        path = store.catalogue.path(second)
        whole = path.read_bytes()
        path.write_bytes(b"")
        write(store, [Reading("user", "device_a", NOON_US, 70), *filler])
        store.compactor.compact()
        path.write_bytes(whole)
        assert all_rows(store)["user", "device_a", NOON_US] == 70


def _make_first_format(folder: Path) -> None:
    """Turn a folder whose files hold a day each into one of the first format."""
    with sqlite3.connect(folder / DATABASE_NAME) as outside:
        files = listed(outside)
        outside.executescript(
            "DROP TABLE files; DROP TABLE deletions; DROP TABLE erased;"
            "CREATE TABLE files (name TEXT PRIMARY KEY, day INTEGER NOT NULL, rows INTEGER NOT NULL,"
            " first_us INTEGER NOT NULL, last_us INTEGER NOT NULL, highest_seq INTEGER NOT NULL,"
            " size_bytes INTEGER NOT NULL, sha256 TEXT NOT NULL, checksum INTEGER NOT NULL) STRICT;"
            "PRAGMA user_version = 1;"
        )
        for each in files:
            facts = (each.name, each.first_day, each.rows, each.first_us, each.last_us, each.highest_seq)
            facts = (*facts, each.size_bytes, each.sha256)  # type: ignore[assignment]
            outside.execute("INSERT INTO files VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", (*facts, text_checksum(*facts)))
    outside.close()


def _settle(store: Store) -> None:
    """Do what the compactor does when it is idle, until nothing is left to do."""
    before: list[str] = []
    while before != (before := [file.name for file in store.queries.files(0, 1 << 30)]):
        store.compactor.tidy_up()


def test_a_folder_of_the_first_format_is_taken_over_and_its_days_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = _a_day_each(range(DAY, DAY + 40))
    monkeypatch.setattr("mockexport.ingest.periods.MANY_PARTS", 1_000)
    with opened(tmp_path) as store:
        write(store, readings)
        store.compactor.compact()
        days = store.queries.days().highest
    assert len(_folders(tmp_path)) == 40
    monkeypatch.undo()
    _make_first_format(tmp_path)
    with opened(tmp_path) as store:
        assert all_rows(store) == rates_of(readings)
        assert store.queries.days().highest == days
        _settle(store)
        assert _folders(tmp_path) == ["year=2024"]
        assert all_rows(store) == rates_of(readings)
        assert store.queries.days().highest == days
    with opened(tmp_path) as store:
        assert [path.name for path in (tmp_path / "readings").iterdir()] == ["year=2024"], "empty folders are gone"
        assert all_rows(store) == rates_of(readings)


def test_a_damaged_entry_of_the_first_format_stays_damaged(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, some(3))
        store.compactor.compact()
    _make_first_format(tmp_path)
    with sqlite3.connect(tmp_path / DATABASE_NAME) as outside:
        outside.execute("UPDATE files SET rows = rows + 1")
    outside.close()
    with opened(tmp_path) as store:
        assert store.health().status == "degraded"
        with pytest.raises(Damaged):
            all_rows(store)


def test_a_filter_knows_every_user_it_was_made_of_and_few_others() -> None:
    users = [f"user_{number}" for number in range(400)]
    for count in (1, 3, 50, 400):
        holders = holders_of(users[:count])
        assert len(holders) <= 1024
        assert all(may_hold(holders, user) for user in users[:count])
        strangers = sum(may_hold(holders, f"stranger_{number}") for number in range(2_000))
        assert strangers < 40
    assert holders_of([f"user_{number}" for number in range(5_000)]) == ANYBODY
    assert may_hold(ANYBODY, "whoever it is")


def test_a_year_begins_and_ends_where_the_calendar_says() -> None:
    for year in (1970, 2000, 2024, 2099):
        first = (date(year, 1, 1) - date(1970, 1, 1)).days
        days = [first + offset for offset in range((date(year + 1, 1, 1) - date(year, 1, 1)).days)]
        found = set(targets({}, dict.fromkeys(days, 1), lambda parts: True).values())
        assert found == {Period(days[0], days[-1])}
        months = {Period(*edges) for edges in _months(year)}
        rows = dict.fromkeys(days[::2], periods.SPARSE_ROWS // 20)
        assert set(spread(Period(days[0], days[-1]), rows)) == months


def _months(year: int) -> list[tuple[int, int]]:
    edges = [(date(year + month // 12, month % 12 + 1, 1) - date(1970, 1, 1)) for month in range(13)]
    return [(a // timedelta(days=1), b // timedelta(days=1) - 1) for a, b in pairwise(edges)]
