"""The export API over what is stored: metadata and bytes agree while devices write, and across compactions."""

import asyncio
import csv
import io
import re
import uuid
from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import pytest

from mockexport.ingest import bridge
from mockexport.ingest.bridge import SnapshotId, cut
from mockexport.ingest.errors import NothingThere
from mockexport.ingest.readings import DAY_US, Reading
from mockexport.ingest.snapshots import Wanted
from tests.ingest.serving import Client, reading, serving
from tests.ingest.stored import DAY, NOON_US, some

MIDNIGHT = DAY * DAY_US


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path) as made:
        yield made


async def _ids(client: Client) -> list[str]:
    status, answer = await client.ask("GET", "/api/export/heart-rate")
    assert (status, answer["data"]["id"]) == (200, "heart-rate")
    return list(answer["data"]["download_ids"])


async def _metadata(client: Client, download: str) -> dict[str, object]:
    status, answer = await client.ask("GET", f"/api/export/heart-rate/{download}")
    assert status == 200
    return dict(answer["data"])


async def _csv(client: Client, download: str) -> bytes:
    async with client.session.get(f"{client.url}/api/export/heart-rate/{download}/data") as reply:
        assert (reply.status, reply.headers["content-type"]) == (200, "text/csv; charset=utf-8")
        return await reply.read()


async def test_it_speaks_the_export_api(client: Client) -> None:
    assert await client.ask("GET", "/api/export") == (200, {"data": {"export_ids": ["heart-rate"]}})
    assert await _ids(client) == []
    await client.post(reading())
    await client.post(reading(timestamp="2024-01-15T10:00:00.250000Z", heart_rate=80, device_id="device_b"))
    await client.post(reading(timestamp="2024-01-16T00:00:00Z", user_id="b"))
    first, second = await _ids(client)
    assert str(uuid.UUID(first)) == first
    assert uuid.UUID(first).version == 8
    assert await _metadata(client, first) == {
        "id": first,
        "rows": 2,
        "event_types": ["heart_rate"],
        "patients": ["user_123"],
        "start_time": "2024-01-15T00:00:00",
        "end_time": "2024-01-16T00:00:00",
    }
    assert await _csv(client, first) == (
        b"patient_id,event_time,event_type,value\n"
        b"user_123,2024-01-15T10:00:00Z,heart_rate,75\n"
        b"user_123,2024-01-15T10:00:00.250000Z,heart_rate,80\n"
    )
    assert (await _metadata(client, second))["patients"] == ["b"]


async def test_what_is_not_there_is_told_as_the_export_api_has_it(client: Client) -> None:
    await client.post(reading())
    (known,) = await _ids(client)
    for path, status, detail in (
        ("other", 404, "Export not found"),
        (f"other/{known}", 404, "Export not found"),
        (f"heart-rate/{uuid.uuid4()}", 404, "Download not found"),
        (f"heart-rate/{uuid.uuid4()}/data", 404, "Download not found"),
        # Of the right form: a day without readings, no day, a number that was not given yet, none.
        (f"heart-rate/{SnapshotId(DAY + 1, 1)}", 404, "Download not found"),
        ("heart-rate/20240230-0000-8000-8000-000000000001", 404, "Download not found"),
        (f"heart-rate/{SnapshotId(DAY, 2)}", 404, "Download not found"),
        (f"heart-rate/{SnapshotId(DAY, 0)}", 404, "Download not found"),
        ("heart-rate/20240115", 422, "download_id: must be a valid UUID"),
        ("heart-rate/..%2f..%2fetc", 404, None),
    ):
        found, answer = await client.ask("GET", f"/api/export/{path}")
        assert found == status, path
        assert detail is None or answer == {"detail": detail}


async def test_ids_are_quoted_where_csv_needs_it_and_never_executed(client: Client) -> None:
    names = ["a,b", 'say "hi"', "=1+1", "<script>", "ü", "'"]
    await client.batch([reading(user_id=name, timestamp=f"2024-01-15T10:00:0{i}Z") for i, name in enumerate(names)])
    (download,) = await _ids(client)
    rows = list(csv.reader(io.StringIO((await _csv(client, download)).decode())))
    assert [row[0] for row in rows[1:]] == names
    assert (await _metadata(client, download))["patients"] == sorted(names)


async def test_a_snapshot_is_the_same_while_devices_write_and_across_compactions(client: Client) -> None:
    store = client.app.store
    kept: dict[str, tuple[dict[str, object], bytes]] = {}
    for turn in range(4):
        # New ones, late ones, repeated ones, and ones that contradict the first turn's.
        batch = [
            *some(50, start_us=NOON_US + turn * 60_000_000),
            *some(20, user="late", start_us=MIDNIGHT + turn),
            *some(20),
            *[Reading(*each[:3], 200 - turn) for each in some(10)],
        ]
        await store.journal.write(batch)
        for download in await _ids(client):
            if download not in kept:
                kept[download] = (await _metadata(client, download), await _csv(client, download))
        if turn % 2:
            await asyncio.to_thread(store.compactor.compact)
    assert len(kept) >= 3
    for download, (metadata, data) in kept.items():
        assert await _csv(client, download) == data
        rows = list(csv.DictReader(io.StringIO(data.decode())))
        assert metadata["rows"] == len(rows)
        assert metadata["patients"] == sorted({row["patient_id"] for row in rows})
        times = [re.sub(r"(:\d\d)Z", r"\1.000000Z", row["event_time"]) for row in rows]
        assert times == sorted(times)
        assert await _metadata(client, download) == metadata
        fresh = await asyncio.to_thread(bridge._describe, store.queries, SnapshotId.parse(download))  # noqa: SLF001
        assert fresh == metadata


async def test_a_large_day_is_cut_and_streams_the_same_bytes(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    await client.app.store.journal.write(some(3_000, step_us=7_000_000, start_us=MIDNIGHT))
    (download,) = await _ids(client)
    whole = await _csv(client, download)
    monkeypatch.setattr(bridge, "_ROWS_AT_ONCE", 170)
    pieces = cut(SnapshotId.parse(download).wanted, 3_000, 170)
    assert len(pieces) == 18
    assert await _csv(client, download) == whole
    assert whole.count(b"\n") == 3_001


def test_pieces_cover_a_span_without_gap_or_overlap() -> None:
    for rows in (0, 1, 10, 11, 1_000):
        pieces = cut(Wanted(100, 299), rows, 10)
        assert (pieces[0].first_us, pieces[-1].last_us) == (100, 299)
        assert all(before.last_us + 1 == after.first_us for before, after in pairwise(pieces))
    assert SnapshotId.parse("20240115-0000-8000-8000-0000000000FF") == SnapshotId(DAY, 255)
    with pytest.raises(NothingThere):
        SnapshotId.parse("20240115-0000-8000-9000-0000000000ff")


async def test_a_damaged_day_is_503_before_a_byte_is_sent(client: Client, tmp_path: Path) -> None:
    await client.app.store.journal.write([*some(5), *some(5, start_us=NOON_US + DAY_US)])
    client.app.store.compactor.compact()
    first, second = await _ids(client)
    (path,) = tmp_path.glob("data/readings/day=2024-01-15/*")  # noqa: ASYNC240 - nothing else runs
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    for suffix in ("", "/data"):
        status, answer = await client.ask("GET", f"/api/export/heart-rate/{first}{suffix}")
        assert status == 503
        assert "2024-01-15" in answer["detail"]
    assert (await _metadata(client, second))["rows"] == 5
    status, answer = await client.ask("GET", "/health")
    assert (status, answer["status"], answer["damaged_days"]) == (200, "degraded", ["2024-01-15"])
