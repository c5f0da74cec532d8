"""The API over real sockets: replies, errors and parts, generated and from files alike."""

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from yarl import URL

from mockexport.server.app import create_app
from mockexport.server.exports import downloads_of
from mockexport.server.folder import generate
from mockexport.server.generation import rows_of

Client = TestClient[web.Request, web.Application]

FIRST = "f725622a-22ea-4acc-aab8-810ec8b5e2c6"
DATA = f"/api/export/demo/{FIRST}/data"
BODY = b"".join(rows_of(downloads_of("demo")[0]))


@pytest.fixture(params=["generated", "stored"])
async def client(
    request: pytest.FixtureRequest, tmp_path: Path, aiohttp_client: Callable[..., Awaitable[Client]]
) -> Client:
    if request.param == "generated":
        return await aiohttp_client(create_app())
    generate("demo", tmp_path / "demo")
    return await aiohttp_client(create_app(data=tmp_path))


async def get_json(client: Client, path: str, status: int = 200) -> Any:
    async with client.get(URL(path, encoded=True)) as reply:
        assert reply.status == status
        assert reply.content_type == "application/json"
        return await reply.json()


async def test_the_exports_are_listed(aiohttp_client: Callable[..., Awaitable[Client]]) -> None:
    client = await aiohttp_client(create_app())
    assert await get_json(client, "/api/export") == {"data": {"export_ids": ["demo", "small", "large"]}}


async def test_an_exports_downloads_are_listed(client: Client) -> None:
    assert await get_json(client, "/api/export/demo") == {
        "data": {"id": "demo", "download_ids": [FIRST, "591ef21e-8a64-413a-b506-37a41cb6b896"]}
    }


@pytest.mark.parametrize("download_id", [FIRST, FIRST.upper(), FIRST.replace("-", "")])
async def test_a_download_is_described(client: Client, download_id: str) -> None:
    assert await get_json(client, f"/api/export/demo/{download_id}") == {
        "data": {
            "id": FIRST,
            "rows": 9014,
            "event_types": ["bp_sys", "bp_dia"],
            "patients": ["P001", "P004", "P003"],
            "start_time": "2025-08-26T00:00:00",
            "end_time": "2025-08-26T17:31:38",
        }
    }


UNKNOWN = "00000000-0000-4000-8000-000000000000"


@pytest.mark.parametrize(
    ("path", "status", "detail"),
    [
        ("/api/export/nope", 404, "Export not found"),
        (f"/api/export/nope/{FIRST}", 404, "Export not found"),
        (f"/api/export/nope/{FIRST}/data", 404, "Export not found"),
        (f"/api/export/demo/{UNKNOWN}", 404, "Download not found"),
        (f"/api/export/demo/{UNKNOWN}/data", 404, "Download not found"),
        ("/api/export/demo/7", 422, "download_id is not a valid UUID"),
        ("/api/export/demo/7/data", 422, "download_id is not a valid UUID"),
        ("/api/export/nope/7/data", 422, "download_id is not a valid UUID"),
        ("/api/export/demo/%00", 422, "download_id is not a valid UUID"),
        ("/api/export/demo/%ff", 422, "download_id is not a valid UUID"),
        ("/api/export/demo/..%2f..%2fetc%2fpasswd/data", 422, "download_id is not a valid UUID"),
        ("/api/export/%2e%2e", 404, "Export not found"),
        ("/api/export/%00", 404, "Export not found"),
        ("/api/export/" + "x" * 4000, 404, "Export not found"),
        ("/api/export/%7Bnope%7D", 404, "Export not found"),
        ("/api/export/demo/{7}", 422, "download_id is not a valid UUID"),
        ("/api", 404, "Not Found"),
        ("/api/export/", 404, "Not Found"),
        ("/api/export/demo/", 404, "Not Found"),
        (f"/api/export/demo/{FIRST}/data/more", 404, "Not Found"),
        ("/api/export/../../etc/passwd", 404, "Not Found"),
        ("/%", 404, "Not Found"),
        ("/%zz", 404, "Not Found"),
    ],
    ids=lambda value: str(value)[:40],
)
async def test_a_bad_path_is_told_in_json(client: Client, path: str, status: int, detail: str) -> None:
    assert await get_json(client, path, status) == {"detail": detail}


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
async def test_a_wrong_method_is_told_in_json(client: Client, method: str) -> None:
    async with client.request(method, "/api/export") as reply:
        assert (reply.status, await reply.json()) == (405, {"detail": "Method Not Allowed"})
        assert reply.headers["Allow"] == "GET,HEAD"


async def test_the_data_is_the_csv_with_all_that_a_client_may_build_on(client: Client) -> None:
    async with client.get(DATA) as reply:
        assert reply.status == 200
        assert await reply.read() == BODY
        assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"
        assert reply.headers["Content-Length"] == str(len(BODY))
        assert reply.headers["Accept-Ranges"] == "bytes"
        assert reply.headers["ETag"] == f'"{hashlib.sha256(BODY).hexdigest()}"'


@pytest.mark.parametrize("path", ["/api/export", "/api/export/demo", f"/api/export/demo/{FIRST}", DATA])
async def test_head_has_the_headers_of_get_and_no_body(client: Client, path: str) -> None:
    async with client.get(path) as got, client.head(path) as head:
        await got.read()
        assert head.status == 200
        assert await head.read() == b""
        for name in ("Content-Type", "Content-Length", "ETag", "Accept-Ranges"):
            assert head.headers.get(name) == got.headers.get(name)


async def test_head_knows_no_ranges(client: Client) -> None:
    async with client.head(DATA, headers={"Range": "bytes=1-2"}) as reply:
        assert (reply.status, reply.headers["Content-Length"]) == (200, str(len(BODY)))


@pytest.mark.parametrize(
    ("header", "first", "last"),
    [
        ("bytes=0-0", 0, 0),
        ("bytes=38-39", 38, 39),
        ("bytes=100000-299999", 100_000, 299_999),
        (f"bytes={len(BODY) - 1}-", len(BODY) - 1, len(BODY) - 1),
        ("bytes=0-", 0, len(BODY) - 1),
        ("bytes=-70000", len(BODY) - 70_000, len(BODY) - 1),
    ],
)
async def test_a_part_is_that_part(client: Client, header: str, first: int, last: int) -> None:
    async with client.get(DATA, headers={"Range": header}) as reply:
        assert reply.status == 206
        assert await reply.read() == BODY[first : last + 1]
        assert reply.headers["Content-Range"] == f"bytes {first}-{last}/{len(BODY)}"
        assert reply.headers["Content-Length"] == str(last + 1 - first)
        assert reply.headers["Content-Type"] == "text/csv; charset=utf-8"


async def test_a_part_beyond_the_end_is_refused_with_the_length(client: Client) -> None:
    async with client.get(DATA, headers={"Range": f"bytes={len(BODY)}-"}) as reply:
        assert (reply.status, await reply.json()) == (416, {"detail": "Range Not Satisfiable"})
        assert reply.headers["Content-Range"] == f"bytes */{len(BODY)}"


async def test_a_resumed_download_joins_if_the_tag_is_the_same(client: Client) -> None:
    async with client.head(DATA) as reply:
        etag = reply.headers["ETag"]
    async with client.get(DATA, headers={"Range": "bytes=1000-", "If-Range": etag}) as reply:
        assert (reply.status, reply.headers["ETag"]) == (206, etag)
        assert await reply.read() == BODY[1000:]
    async with client.get(DATA, headers={"Range": "bytes=1000-", "If-Range": "W/" + etag}) as reply:
        assert reply.status == 200
        assert await reply.read() == BODY


async def test_what_a_client_has_is_not_sent_again(client: Client) -> None:
    async with client.head(DATA) as reply:
        etag = reply.headers["ETag"]
    async with client.get(DATA, headers={"If-None-Match": etag}) as reply:
        assert (reply.status, reply.headers["ETag"], await reply.read()) == (304, etag, b"")
    async with client.get(DATA, headers={"If-Match": '"other"'}) as reply:
        assert (reply.status, await reply.json()) == (412, {"detail": "Precondition Failed"})


async def test_several_range_headers_are_several_ranges(client: Client) -> None:
    async with client.get(DATA, headers=[("Range", "bytes=1-2"), ("Range", "bytes=3-4")]) as reply:
        assert (reply.status, await reply.read()) == (200, BODY)


async def test_a_generated_download_and_its_file_have_one_tag(
    tmp_path: Path, aiohttp_client: Callable[..., Awaitable[Client]]
) -> None:
    generate("demo", tmp_path)
    etags = set()
    for app in (create_app(), create_app(data=tmp_path)):
        client = await aiohttp_client(app)
        async with client.head(DATA) as reply:
            etags.add(reply.headers["ETag"])
    assert len(etags) == 1


@pytest.mark.parametrize("path", ["/api/export", DATA, "/nowhere"])
async def test_a_reply_counts_as_sent_when_nothing_of_it_is_left_in_our_buffers(
    aiohttp_client: Callable[..., Awaitable[Client]], path: str
) -> None:
    # What was left there when a client stops reading would keep its connection for ever: closing waits for it.
    client = await aiohttp_client(create_app())
    async with client.get(path) as reply:
        await reply.read()
    runner = client.server.runner
    assert runner is not None
    assert runner.server is not None
    [connection] = runner.server.connections
    assert connection.transport is not None
    assert connection.transport.get_write_buffer_limits() == (0, 0)


def touch(path: Path) -> None:
    os.utime(path, ns=(0, 0))


def cut(path: Path) -> None:
    path.write_bytes(BODY[:-1])


def put_a_pipe_in_its_place(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


@pytest.mark.parametrize("change", [touch, cut, Path.unlink, put_a_pipe_in_its_place])
async def test_a_file_that_changed_since_the_start_is_an_error_not_other_bytes(
    tmp_path: Path, aiohttp_client: Callable[..., Awaitable[Client]], change: Callable[[Path], None]
) -> None:
    listing = generate("demo", tmp_path)
    client = await aiohttp_client(create_app(data=tmp_path))
    change(tmp_path / listing.downloads[0].file)
    async with client.get(DATA) as reply:
        assert (reply.status, await reply.json()) == (500, {"detail": "The file has changed since the server started"})
    assert await get_json(client, "/api/export") == {"data": {"export_ids": ["demo"]}}
