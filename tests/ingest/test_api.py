"""The endpoints over a real socket: what the contract promises, and every line of bad input it names."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mockexport.ingest.bodies import MAX_BATCH_BYTES, MAX_READING_BYTES
from mockexport.ingest.errors import StorageFailed
from tests.ingest.serving import POST, Client, reading, serving


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path) as made:
        yield made


async def test_a_reading_is_accepted_and_seen_by_the_next_get(client: Client) -> None:
    assert await client.post(reading()) == (202, {"status": "accepted"})
    assert await client.get(user_id="user_123", start="2024-01-15T10:00:00Z", end="2024-01-15T10:00:00Z") == (
        200,
        {
            "user_id": "user_123",
            "data": [{"timestamp": "2024-01-15T10:00:00Z", "heart_rate": 75, "device_id": "device_a"}],
            "count": 1,
        },
    )


async def test_a_batch_stores_the_good_and_lists_the_bad(client: Client) -> None:
    documents = [reading(timestamp=f"2024-01-15T{index // 60:02d}:{index % 60:02d}:00Z") for index in range(500)]
    documents[17] |= {"heart_rate": 221}
    documents[99] = "no object"  # type: ignore[call-overload]
    status, answer = await client.batch(documents)
    assert status == 202
    assert answer == {
        "status": "accepted",
        "accepted": 498,
        "rejected": 2,
        "errors": [
            {"index": 17, "field": "heart_rate", "message": "must be between 30 and 220"},
            {"index": 99, "field": "reading", "message": "must be an object"},
        ],
    }
    status, answer = await client.day()
    assert answer["count"] == 498


async def test_the_higher_priority_measures_the_whole_minute(client: Client) -> None:
    await client.post(reading(heart_rate=75, device_id="device_a"))
    await client.post(reading(heart_rate=80, device_id="device_b", timestamp="2024-01-15T10:00:30Z"))
    await client.post(reading(heart_rate=90, device_id="watch", timestamp="2024-01-15T10:01:30Z"))
    await client.post(reading(heart_rate=91, device_id="band", timestamp="2024-01-15T10:01:40Z"))
    _, answer = await client.day()
    assert [(entry["heart_rate"], entry["device_id"]) for entry in answer["data"]] == [(75, "device_a"), (91, "band")]
    _, answer = await client.day(device_id="device_b")
    assert [(entry["heart_rate"], entry["device_id"]) for entry in answer["data"]] == [(80, "device_b")]


async def test_means_are_rounded_half_to_even_and_printed_whole_when_whole(client: Client) -> None:
    # 8 readings with sums 561 and 563: 70.125 and 70.375 lie exactly between two hundredths.
    for minute, extra in enumerate((1, 3, 8)):
        for second in range(8):
            rate = 70 + (extra if second == 0 else 0)
            await client.post(reading(timestamp=f"2024-01-15T10:{minute:02d}:{second:02d}Z", heart_rate=rate))
    async with client.session.get(
        f"{client.url}/metrics/heart-rate",
        params={"user_id": "user_123", "start": "2024-01-15T00:00:00Z", "end": "2024-01-16T00:00:00Z"},
    ) as reply:
        text = await reply.text()
    assert '"heart_rate":70.12,' in text
    assert '"heart_rate":70.38,' in text
    assert '"heart_rate":71,' in text


async def test_both_ends_are_inclusive_and_edge_minutes_partial(client: Client) -> None:
    for second, rate in ((0, 60), (20, 70), (40, 80)):
        await client.post(reading(timestamp=f"2024-01-15T10:00:{second:02d}Z", heart_rate=rate))
    for start, end, expected in (("00", "40", 70), ("00", "20", 65), ("20", "40", 75), ("20", "20", 70)):
        _, answer = await client.get(
            user_id="user_123", start=f"2024-01-15T10:00:{start}Z", end=f"2024-01-15T10:00:{end}Z"
        )
        assert [entry["heart_rate"] for entry in answer["data"]] == [expected]


async def test_an_offset_is_converted_and_none_means_utc(client: Client) -> None:
    await client.post(reading(timestamp="2024-01-15T01:30:00+02:00", heart_rate=61))
    await client.post(reading(timestamp="2024-01-15 10:00", heart_rate=62))
    status, answer = await client.get(user_id="user_123", start="2024-01-14T23:30:00Z", end="2024-01-14T23:30:00Z")
    assert (status, answer["data"][0]["heart_rate"]) == (200, 61)
    status, answer = await client.get(
        user_id="user_123", start="2024-01-15T12:00:00+02:00", end="2024-01-15T12:00+02:00"
    )
    assert (status, answer["data"][0]["heart_rate"]) == (200, 62)


BAD_READINGS: list[tuple[str, Any]] = [
    *[("heart_rate", value) for value in ("70", True, None, 29, 221, 72.5, [1], {"a": 1}, -1, 10**30)],
    *[("device_id", value) for value in (1, None, "", "x" * 129, "a\nb", "a\u202eb", "a\x00b", "e\u0301")],
    *[("user_id", value) for value in (1, None, "", "x" * 129, "\x00", "\x1b[31m", "A\u030a")],
    *[
        ("timestamp", value)
        for value in (
            "",
            "yesterday",
            1_705_312_800,
            None,
            "2024-02-30T10:00:00Z",
            "2024-01-15",
            "2024-01-15T24:00:00Z",
            "2024-01-15T10:00:60Z",
            "20240115T100000Z",
            "2024-01-15T10:00:00+25:00",
            "2024-W03-1T10:00:00Z",
            "1900-01-01T00:00:00Z",
            "2200-01-01T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2024-01-15T10:00:00.1234567890Z",
            "٢٠٢٤-01-15T10:00:00Z",
        )
    ],
    *[(field, ...) for field in ("device_id", "user_id", "timestamp", "heart_rate")],
]


async def test_a_bad_reading_gets_400_that_names_the_field_and_never_the_value(client: Client) -> None:
    for field, value in BAD_READINGS:
        status, answer = await client.post(reading(**{field: value}))
        assert status == 400, (field, value)
        assert list(answer) == ["detail"]
        assert answer["detail"].startswith(f"{field}: "), (field, value, answer)
        if isinstance(value, str) and value:
            assert value not in answer["detail"]
        status, answer = await client.batch([reading(), reading(**{field: value})])
        assert (status, answer["accepted"], answer["rejected"]) == (202, 1, 1)
        assert (answer["errors"][0]["index"], answer["errors"][0]["field"]) == (1, field)
    assert (await client.day())[1]["count"] == 1


BAD_BODIES = [
    b"",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"text"',
    b"\xff\xfe",
    b"\xef\xbb\xbf{}",
    b"[" * 100_000,
    b'{"a":' * 2_000,
    json.dumps(reading()).encode() + b"x",
    json.dumps(reading()).encode()[:-1] + b', "more": NaN}',
    json.dumps(reading(heart_rate="VALUE")).replace('"VALUE"', "NaN").encode(),
    json.dumps(reading(heart_rate="VALUE")).replace('"VALUE"', "-Infinity").encode(),
    json.dumps(reading(heart_rate="VALUE")).replace('"VALUE"', "1e400").encode(),
    json.dumps(reading(heart_rate="VALUE")).replace('"VALUE"', "0075").encode(),
    json.dumps(reading(heart_rate="VALUE")).replace('"VALUE"', "9" * 5_000).encode(),
    json.dumps(reading(user_id="VALUE")).replace("VALUE", "\\ud800").encode(),
    json.dumps(reading(more="VALUE")).replace("VALUE", "\\udc00").encode(),
    json.dumps(reading()).replace("user_123", "\x01").encode(),
]


@pytest.mark.parametrize("path", ["/metrics/heart-rate", "/metrics/heart-rate/batch"])
async def test_a_body_that_is_no_json_gets_400_without_an_echo(client: Client, path: str) -> None:
    for body in BAD_BODIES:
        if len(body) > MAX_READING_BYTES and not path.endswith("batch"):
            body = body[:MAX_READING_BYTES]
        status, answer = await client.post_raw(body, path)
        assert status == 400, body[:80]
        assert len(answer["detail"]) < 120
    assert (await client.day())[0] == 404


async def test_whole_numbers_may_be_spelled_as_json_allows(client: Client) -> None:
    for spelling in ("72", "72.0", "7.2e1"):
        body = json.dumps(reading(heart_rate="VALUE")).replace('"VALUE"', spelling)
        assert (await client.post_raw(body))[0] == 202
    assert (await client.post(reading(more={"keys": ["are", "ignored"]})))[0] == 202


@pytest.mark.parametrize("name", ["../..", "a/b", "CON", "é", "日本語", "a b", "=1+1", "<script>", "%2e%2e", "x" * 128])
async def test_any_printable_id_is_data_and_never_a_path(client: Client, tmp_path: Path, name: str) -> None:
    assert (await client.post(reading(user_id=name, device_id=name)))[0] == 202
    client.app.store.compactor.compact()
    status, answer = await client.day(name, device_id=name)
    assert status == 200
    assert (answer["user_id"], answer["data"][0]["device_id"]) == (name, name)
    paths = {path.relative_to(tmp_path / "data").parts[0] for path in (tmp_path / "data").rglob("*")}
    assert paths == {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm", "lock", "readings"}


BAD_QUERIES = [
    ({"start": "2024-01-15T00:00:00Z", "end": "2024-01-16T00:00:00Z"}, "user_id"),
    ({"user_id": "u", "end": "2024-01-16T00:00:00Z"}, "start"),
    ({"user_id": "u", "start": "2024-01-16T00:00:00Z"}, "end"),
    ({"user_id": "", "start": "2024-01-15T00:00:00Z", "end": "2024-01-16T00:00:00Z"}, "user_id"),
    ({"user_id": "\x00", "start": "2024-01-15T00:00:00Z", "end": "2024-01-16T00:00:00Z"}, "user_id"),
    ({"user_id": "x" * 129, "start": "2024-01-15T00:00:00Z", "end": "2024-01-16T00:00:00Z"}, "user_id"),
    ({"user_id": "u", "start": "now", "end": "2024-01-16T00:00:00Z"}, "start"),
    ({"user_id": "u", "start": "2024-01-15T00:00:00Z", "end": "2024-02-30T00:00:00Z"}, "end"),
    ({"user_id": "u", "start": "2024-01-17T00:00:00Z", "end": "2024-01-16T00:00:00Z"}, "start"),
    ({"user_id": "u", "start": "2024-01-15T00:00:00 02:00", "end": "2024-01-16T00:00:00Z"}, "start"),
    ({"user_id": "u", "device_id": "", "start": "2024-01-15T00:00:00Z", "end": "2024-01-16T00:00:00Z"}, "device_id"),
]


async def test_a_bad_query_gets_400_that_names_the_parameter(client: Client) -> None:
    for query, field in BAD_QUERIES:
        status, answer = await client.get(**query)
        assert (status, answer["detail"].partition(":")[0]) == (400, field), query
    twice = "/metrics/heart-rate?user_id=a&user_id=b&start=2024-01-15T00:00:00Z&end=2024-01-16T00:00:00Z"
    status, answer = await client.ask("GET", twice)
    assert (status, answer) == (400, {"detail": "user_id: is given more than once"})


async def test_no_match_is_404_also_over_all_of_time(client: Client) -> None:
    query = {"start": "0001-01-01T00:00:00Z", "end": "9999-12-31T23:59:59Z"}
    assert await client.get(user_id="nobody", **query) == (404, {"detail": "no readings match"})
    await client.post(reading())
    assert (await client.get(user_id="nobody", **query))[0] == 404
    assert (await client.get(user_id="user_123", device_id="other", **query))[0] == 404
    assert (await client.get(user_id="user_123", **query))[1]["count"] == 1


async def test_the_same_reading_from_a_hundred_connections_is_stored_once(client: Client) -> None:
    answers = await asyncio.gather(*(client.post(reading()) for _ in range(100)))
    assert answers == [(202, {"status": "accepted"})] * 100
    assert client.app.store.journal.depth == 1
    numbers = await _numbers(client)
    assert numbers["heart_rate_accepted_total"] == 100
    assert numbers["heart_rate_duplicate_total"] == 99
    client.app.store.compactor.compact()
    await client.post(reading())
    client.app.store.compactor.compact()
    numbers = await _numbers(client)
    assert numbers["heart_rate_duplicate_total"] == 100
    assert numbers["heart_rate_conflicting_total"] == 0
    assert numbers["heart_rate_journal_rows"] == 0


async def test_the_latest_of_conflicting_readings_wins_and_is_counted(client: Client) -> None:
    await client.post(reading(heart_rate=70))
    await client.post(reading(heart_rate=71))
    client.app.store.compactor.compact()
    assert (await client.day())[1]["data"][0]["heart_rate"] == 71
    await client.batch([reading(heart_rate=72), reading(heart_rate=73)])
    assert (await client.day())[1]["data"][0]["heart_rate"] == 73
    client.app.store.compactor.compact()
    assert (await client.day())[1]["data"][0]["heart_rate"] == 73
    assert (await _numbers(client))["heart_rate_conflicting_total"] == 3


async def _numbers(client: Client) -> dict[str, float]:
    async with client.session.get(f"{client.url}/metrics") as reply:
        assert reply.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
        text = await reply.text()
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples)
    return {sample.name: sample.value for sample in samples}


async def test_the_metrics_are_what_prometheus_reads(client: Client) -> None:
    await client.post(reading())
    await client.post(reading(heart_rate=0))
    await client.batch([reading(user_id="other"), reading(user_id="")])
    await client.day()
    numbers = await _numbers(client)
    assert numbers["heart_rate_accepted_total"] == 2
    assert numbers["heart_rate_rejected_total"] == 2
    assert numbers["heart_rate_journal_rows"] == 2
    assert numbers["heart_rate_commit_seconds_count"] == 2
    assert numbers["heart_rate_query_seconds_count"] == 1
    assert "heart_rate_compactions_total" in numbers  # a slow machine may have seen one


async def test_health_tells_the_journal_and_503_when_nothing_is_accepted(client: Client) -> None:
    status, answer = await client.ask("GET", "/health")
    assert (status, answer["status"], answer["journal_readings"], answer["oldest_uncompacted_seconds"]) == (
        200,
        "ok",
        0,
        0,
    )
    await client.post(reading())
    status, answer = await client.ask("GET", "/health")
    assert (status, answer["journal_readings"]) == (200, 1)
    assert answer["oldest_uncompacted_seconds"] >= 0
    store = client.app.store
    await asyncio.to_thread(store.compactor._stop_accepting, StorageFailed("test"))  # noqa: SLF001 - as a failed fsync does
    status, answer = await client.ask("GET", "/health")
    assert (status, answer["status"], answer["journal"]) == (503, "unavailable", "failed")
    async with client.session.post(f"{client.url}/metrics/heart-rate", json=reading(user_id="late")) as reply:
        assert (reply.status, reply.headers["retry-after"]) == (503, "60")
        assert "until the service is restarted" in (await reply.json())["detail"]
    assert (await client.day())[0] == 200, "what is stored stays readable"
    assert (await client.day("late"))[0] == 404


async def test_a_body_beyond_the_cap_gets_413_before_it_is_read_whole(client: Client) -> None:
    declared = b"x" * (MAX_READING_BYTES + 1)
    status, answer = await client.post_raw(declared)
    assert (status, answer) == (413, {"detail": f"the body is larger than {MAX_READING_BYTES} bytes"})
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1_000):
            sent += 1 << 16
            yield b" " * (1 << 16)

    url, kind = f"{client.url}/metrics/heart-rate/batch", {"content-type": "application/json"}
    async with client.session.post(url, data=endless(), headers=kind) as reply:
        assert reply.status == 413
    assert MAX_BATCH_BYTES <= sent < 1_000 << 16
    assert client.app.reading_bodies.held_bytes == client.app.batch_bodies.held_bytes == 0


async def test_an_announced_giant_is_refused_before_a_byte_of_it_is_sent(client: Client) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    writer.write(POST + b"content-length: 10000000000\r\nexpect: 100-continue\r\n\r\n")
    assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 413 ")
    writer.close()
    await writer.wait_closed()


async def test_a_batch_has_a_bound(client: Client) -> None:
    small = [reading(timestamp="2024-01-15T10:00:00Z")] * 10_001
    status, answer = await client.batch(small)
    assert (status, answer) == (400, {"detail": "readings: must hold at most 10000 readings"})
    assert (await client.batch(small[:10_000]))[1]["accepted"] == 10_000
    assert await client.batch([]) == (202, {"status": "accepted", "accepted": 0, "rejected": 0, "errors": []})
    for body, field in ((b"{}", "readings"), (b'{"readings": 1}', "readings"), (b"[]", "body")):
        status, answer = await client.post_raw(body, "/metrics/heart-rate/batch")
        assert (status, answer["detail"].partition(":")[0]) == (400, field)


async def test_unknown_paths_and_methods_are_told_as_json(client: Client) -> None:
    assert (await client.ask("GET", "/nothing"))[0] == 404
    assert (await client.ask("PUT", "/metrics/heart-rate"))[0] == 405
    assert (await client.ask("GET", "/metrics/heart-rate/"))[0] == 404


@pytest.mark.parametrize("batch", [False, True])
async def test_an_error_that_nobody_expected_is_500_and_says_nothing(client: Client, *, batch: bool) -> None:
    client.app.reading_bodies = client.app.batch_bodies = None  # type: ignore[assignment]
    path = "/metrics/heart-rate/batch" if batch else "/metrics/heart-rate"
    # In chunks, so that it is not a plain request.
    posted = await client.ask("POST", path, json=reading(), chunked=True)
    assert posted == (500, {"detail": "internal error"})
