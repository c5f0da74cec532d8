"""Flipped bits, in Parquet and in the database: the damage is named, other days are served, no answer is wrong."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from mockexport.ingest.checksums import PRIME, row_checksum
from mockexport.ingest.database import DATABASE_NAME
from mockexport.ingest.errors import Damaged, FolderUnusable
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.store import Store
from tests.ingest.stored import DAY, NOON_US, all_rows, answer, opened, rates_of, some, write

TODAY = some(8)
TOMORROW = some(6, start_us=NOON_US + DAY_US)


def _ask(store: Store, day: int) -> list[dict[str, object]]:
    return answer(store, "user", day * DAY_US, (day + 1) * DAY_US - 1)


def test_each_bit_of_a_parquet_file_flipped_is_found_and_named(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, [*TODAY, *TOMORROW])
        store.compactor.compact()
        right = _ask(store, DAY)
        (path,) = tmp_path.glob("readings/day=2024-01-15/*.parquet")
        whole = path.read_bytes()
        assert len(whole) < 4_000
        (listed,) = store.queries.files(DAY, DAY)
        # Changed a moment ago, it may change again within the same tick of the kernel's clock: not to be remembered.
        assert store.catalogue.is_sound(listed)
        assert not store.catalogue.is_known(listed)
        with path.open("r+b", buffering=0) as file:
            for position in range(len(whole)):
                for bit in range(8):
                    file.seek(position)
                    file.write(bytes([whole[position] ^ (1 << bit)]))
                    # Every bit by the check that stands before every query; a whole query for some of them.
                    with pytest.raises(Damaged, match="2024-01-15"):
                        store.catalogue.verified([listed])
                    if (8 * position + bit) % 61 == 0:
                        with pytest.raises(Damaged, match="2024-01-15"):
                            _ask(store, DAY)
                file.seek(position)
                file.write(whole[position : position + 1])
            assert store.health().status == "degraded"
            assert store.health().damaged_days == (DAY,)
            assert _ask(store, DAY + 1), "other days are served"
        assert _ask(store, DAY) == right
        assert store.health().status == "ok"


@pytest.mark.parametrize("damage", ["gone", "empty", "cut", "longer"])
def test_a_file_that_is_not_whole_is_found_and_left_out_of_merges(tmp_path: Path, damage: str) -> None:
    with opened(tmp_path) as store:
        write(store, TODAY)
        store.compactor.compact()
        (path,) = tmp_path.glob("readings/*/*.parquet")
        whole = path.read_bytes()
        if damage == "gone":
            path.unlink()
        else:
            path.write_bytes({"empty": b"", "cut": whole[:-1], "longer": whole + b"\0"}[damage])
        write(store, [*TOMORROW, *some(3, device="device_b")])
        store.compactor.compact()
        with pytest.raises(Damaged, match="2024-01-15"):
            _ask(store, DAY)
        assert _ask(store, DAY + 1)
        # Put back, it is as if nothing had been: the merge has not touched it.
        path.write_bytes(whole)
        assert all_rows(store) == rates_of([*TODAY, *TOMORROW, *some(3, device="device_b")])


COLUMNS = {"time_us": 52, "heart_rate": 9, "checksum": 31, "stream": 12}


@pytest.mark.parametrize("column", COLUMNS)
def test_each_bit_of_a_journal_row_flipped_is_found_and_named(tmp_path: Path, column: str) -> None:
    with opened(tmp_path / "whole") as store:
        write(store, [*TODAY, *TOMORROW])
    for bit in range(0, COLUMNS[column], 1 if COLUMNS[column] < 40 else 3):
        folder = tmp_path / str(bit)
        shutil.copytree(tmp_path / "whole", folder)
        with sqlite3.connect(folder / DATABASE_NAME) as outside:
            outside.execute(
                f"UPDATE journal SET {column} = ({column} | ?1) - ({column} & ?1) WHERE seq = 3", (1 << bit,)
            )
        outside.close()
        with opened(folder) as store:
            with pytest.raises(Damaged, match="2024-01-15"):
                _ask(store, DAY)
            health = store.health()
            assert health.status == "degraded"
            assert health.accepting
            if column != "time_us":
                assert health.damaged_days == (DAY,)
                assert _ask(store, DAY + 1), "other days are served"
                # Compaction leaves the row where it is, and with it the knowledge of the damage.
                store.compactor.compact()
                assert store.journal.depth == 1
                with pytest.raises(Damaged, match="2024-01-15"):
                    _ask(store, DAY)
                assert _ask(store, DAY + 1)


def test_a_row_damaged_while_the_service_runs_is_found_by_the_query_that_reads_it(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, [*TODAY, *TOMORROW])
        with sqlite3.connect(tmp_path / DATABASE_NAME) as outside:
            outside.execute("UPDATE journal SET heart_rate = heart_rate + 1 WHERE seq = 3")
        outside.close()
        with pytest.raises(Damaged, match="2024-01-15"):
            _ask(store, DAY)
        assert _ask(store, DAY + 1)
        store.compactor.compact()
        assert store.health().status == "degraded"


@pytest.mark.parametrize("table", ["streams", "files"])
def test_a_damaged_name_or_list_answers_nobody_wrongly(tmp_path: Path, table: str) -> None:
    with opened(tmp_path) as store:
        write(store, TODAY)
        store.compactor.compact()
        write(store, TOMORROW)
    with sqlite3.connect(tmp_path / DATABASE_NAME) as outside:
        change = {"streams": "user_id = 'usfr'", "files": f"last_day = {DAY + 1}"}[table]
        outside.execute(f"UPDATE {table} SET {change}")
    outside.close()
    with opened(tmp_path) as store:
        assert store.health().status == "degraded"
        for day in (DAY, DAY + 1):
            with pytest.raises(Damaged):
                _ask(store, day)


def test_no_flipped_bit_of_the_database_file_gives_a_wrong_answer(tmp_path: Path) -> None:
    draw = random.Random(11)
    with opened(tmp_path / "whole") as store:
        write(store, TODAY)
        store.compactor.compact()
        write(store, TOMORROW)
        right = all_rows(store)
    whole = (tmp_path / "whole" / DATABASE_NAME).read_bytes()
    # The rows and names lie where the pages are not zero; free space cannot be damaged.
    places = [position for position, byte in enumerate(whole) if byte]
    outcomes = {"right": 0, "named": 0, "refused": 0}
    for number in range(120):
        folder = tmp_path / str(number)
        shutil.copytree(tmp_path / "whole", folder)
        position, bit = draw.choice(places), draw.randrange(8)
        damaged = bytearray(whole)
        damaged[position] ^= 1 << bit
        (folder / DATABASE_NAME).write_bytes(damaged)
        try:
            with opened(folder) as store:
                try:
                    found = all_rows(store)
                except Damaged:
                    outcomes["named"] += 1
                    assert store.health().status == "degraded"
                else:
                    assert found == right, (position, bit)
                    outcomes["right"] += 1
        except FolderUnusable:
            outcomes["refused"] += 1
    assert outcomes["named"] > 0
    assert outcomes["refused"] > 0


def test_the_checksum_finds_every_single_flipped_bit() -> None:
    row = (12_345_678, 4_321, NOON_US + 123_456, 147)
    right = row_checksum(*row)
    assert 0 <= right < PRIME
    for column, value in enumerate(row):
        for bit in range(62):
            changed = list(row)
            changed[column] = value ^ (1 << bit)
            assert row_checksum(*changed) != right, (column, bit)
