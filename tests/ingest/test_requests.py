"""Requests have ids, in the reply and in the log, and are counted by route and status."""

import json
import logging
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from mockexport.ingest.logs import JsonLines
from tests.ingest.serving import Client, reading, serving


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path) as made:
        yield made


async def _id(client: Client, given: str | None = None, path: str = "/health") -> str:
    headers = {} if given is None else {"x-request-id": given}
    async with client.session.get(client.url + path, headers=headers) as reply:
        (found,) = reply.headers.getall("x-request-id")
        return found


async def test_each_request_has_an_id_of_its_own_or_the_callers(client: Client) -> None:
    first, second = await _id(client), await _id(client)
    assert first != second
    assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]+", first)
    assert await _id(client, "my-Request_1.a") == "my-Request_1.a"
    assert await _id(client, "elsewhere", "/nowhere") == "elsewhere"
    for odd in ("a b", "x" * 65, 'quote"', "ü", ""):
        assert await _id(client, odd) not in (odd, "")


class _Kept(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self.lines: list[dict[str, object]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


async def test_the_log_tells_the_id_route_and_status_and_no_more(client: Client) -> None:
    kept = _Kept()
    log = logging.getLogger("mockexport.ingest")
    log.addHandler(kept)
    level = log.level
    log.setLevel(logging.INFO)
    try:
        await client.post(reading())
        query = "/metrics/heart-rate?user_id=user_123&start=2024-01-15T00:00:00Z&end=2024-01-16T00:00:00Z"
        assert await _id(client, "get-1", query) == "get-1"
        await client.ask("DELETE", "/metrics/heart-rate?user_id=user_123", headers={"x-request-id": "delete-1"})
        await _id(client, "lost-1", "/secret/path?user_id=user_123")
    finally:
        log.removeHandler(kept)
        log.setLevel(level)
    told = [(line["event"], line["request_id"], line.get("route"), line.get("status")) for line in kept.lines]
    assert told == [
        ("request", "get-1", "/metrics/heart-rate", 200),
        ("readings deleted", "delete-1", None, None),
        ("request", "delete-1", "/metrics/heart-rate", 202),
        ("request", "lost-1", "other", 404),
    ]
    assert not re.search("user_123|secret|2024-01-15T", json.dumps(kept.lines))


async def test_requests_are_counted_by_route_and_status(client: Client) -> None:
    await client.post(reading())
    await client.post(reading(heart_rate=0))
    await client.day()
    await client.day("nobody")
    await client.ask("GET", "/api/export/heart-rate")
    await client.ask("GET", "/nowhere")
    async with client.session.get(f"{client.url}/metrics") as reply:
        families = {family.name: family for family in text_string_to_metric_families(await reply.text())}
    counts = {
        (sample.labels["method"], sample.labels["route"], sample.labels["status"]): sample.value
        for sample in families["heart_rate_requests"].samples
    }
    assert counts == {
        ("POST", "/metrics/heart-rate", "202"): 1,
        ("POST", "/metrics/heart-rate", "400"): 1,
        ("GET", "/metrics/heart-rate", "200"): 1,
        ("GET", "/metrics/heart-rate", "404"): 1,
        ("GET", "/api/export/{export_id}", "200"): 1,
        ("GET", "other", "404"): 1,
    }
    seconds = [
        sample.value
        for sample in families["heart_rate_request_seconds"].samples
        if sample.name.endswith("_count") and sample.labels["route"] == "/metrics/heart-rate"
    ]
    assert seconds == [4]
