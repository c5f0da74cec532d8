"""Connections that do not behave: told in JSON, closed by a deadline, and nobody else notices."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import pytest

from mockexport.server.exports import downloads_of
from mockexport.server.run import MockServer
from mockexport.sources.listing import FolderListing, ListedFile, write_listing

LARGE = f"/api/export/large/{downloads_of('large')[0].id}/data"

# More than the buffers of two kernels' sockets take.
STORED_BYTES = 64 * 2**20

Connected = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def connect(server: MockServer) -> AsyncIterator[Connected]:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield reader, writer
    finally:
        writer.transport.abort()


async def ask(server: MockServer) -> int:
    async with aiohttp.ClientSession() as session, session.get(server.url + "/api/export") as reply:
        return reply.status


async def read_to_the_end(reader: asyncio.StreamReader) -> int:
    """Return the bytes until the connection is closed or reset."""
    total = 0
    try:
        while piece := await reader.read(2**20):
            total += len(piece)
    except ConnectionResetError:
        pass
    return total


def store_one_file(directory: Path) -> str:
    """Make an export of one sparse file and return the path of its data."""
    with (directory / "00-d.csv").open("wb") as file:
        file.truncate(STORED_BYTES)
    listed = ListedFile(id="d", file="00-d.csv", size_bytes=STORED_BYTES, sha256="0" * 64)
    write_listing(directory, FolderListing("stored", (listed,)))
    return "/api/export/stored/d/data"


@pytest.mark.parametrize(
    "junk",
    [
        b"BREW /api/export HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        b"GET /api/export HTTP/9.9\r\n\r\n",
        b"GET http://[::1/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /api/export HTTP/1.1\r\n" + b"X: x\r\n" * 1000 + b"\r\n",
        b"GET /api/export HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"GET /api/export HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"GET /api/export HTTP/1.1\r\nHost: localhost\r\nA\x00: b\r\n\r\n",
    ],
    ids=lambda value: repr(value[:30]),
)
async def test_junk_gets_a_400_in_json_and_no_traceback(junk: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with MockServer() as server:
        with caplog.at_level(logging.INFO):
            async with connect(server) as (reader, writer):
                writer.write(junk)
                reply = await reader.read()
        assert await ask(server) == 200
    head, _, body = reply.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.0 400 ", b"HTTP/1.1 400 ")), reply
    assert b"Content-Type: application/json" in head
    assert json.loads(body) == {"detail": "Bad Request"}
    assert [record.exc_info for record in caplog.records] == [None]
    assert "xxxx" not in caplog.text


@pytest.mark.parametrize(
    ("path", "status"),
    [(b"//api/export", 404), (b"/api//export", 404), (b"http://localhost/x", 404), (b"/\xff\xfe", 400), (b"*", 400)],
)
async def test_a_path_that_clients_do_not_send_is_told_in_json(path: bytes, status: int) -> None:
    async with MockServer() as server, connect(server) as (reader, writer):
        writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        reply = await reader.read()
    assert int(reply.split(b" ")[1]) == status
    assert json.loads(reply.partition(b"\r\n\r\n")[2]) == {"detail": {404: "Not Found", 400: "Bad Request"}[status]}


@pytest.mark.parametrize("half", [b"", b"G", b"GET /api/export HTTP/1.1\r\nHost: localhost\r\nX-More: "])
async def test_a_half_sent_request_is_closed_by_a_deadline_while_others_are_served(half: bytes) -> None:
    async with MockServer(idle_s=0.2) as server, connect(server) as (reader, writer):
        writer.write(half)
        assert await ask(server) == 200
        async with asyncio.timeout(10):
            assert await reader.read() == b""


async def test_sending_a_head_byte_by_byte_does_not_move_the_deadline() -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"GET /api/export HTTP/1.1\r\nX: ")
        while True:
            writer.write(b"x")
            await asyncio.sleep(0.01)

    async with MockServer(idle_s=0.2) as server, connect(server) as (reader, writer):
        dripping = asyncio.create_task(drip(writer))
        async with asyncio.timeout(10):
            assert await read_to_the_end(reader) == 0
        dripping.cancel()


async def test_a_second_request_sent_by_half_is_closed_by_the_deadline() -> None:
    async with MockServer(idle_s=0.2) as server, connect(server) as (reader, writer):
        writer.write(b"GET /api/export HTTP/1.1\r\nHost: localhost\r\n\r\nGET /api/exp")
        async with asyncio.timeout(10):
            reply = await reader.read()
    assert reply.count(b"HTTP/1.1 200 ") == 1


async def test_a_connection_left_idle_after_a_reply_is_closed() -> None:
    async with MockServer(idle_s=0.2) as server, connect(server) as (reader, writer):
        writer.write(b"GET /api/export HTTP/1.1\r\nHost: localhost\r\n\r\n")
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


async def test_a_body_is_not_waited_for_and_does_not_keep_the_connection() -> None:
    async with MockServer() as server, connect(server) as (reader, writer):
        writer.write(b"GET /api/export HTTP/1.1\r\nHost: localhost\r\n")
        writer.write(b"Content-Type: application/json\r\nContent-Length: 1000000000\r\n\r\nhalf")
        async with asyncio.timeout(10):
            assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


async def test_a_client_that_takes_no_generated_rows_is_dropped_while_others_are_served() -> None:
    async with MockServer(stall_s=0.3) as server, connect(server) as (reader, writer):
        writer.write(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")  # and from here on the client takes nothing
        assert await ask(server) == 200
        async with asyncio.timeout(20):
            await server.idle()
        assert await read_to_the_end(reader) < STORED_BYTES


async def test_a_client_that_takes_no_file_is_dropped_while_others_are_served(tmp_path: Path) -> None:
    path = store_one_file(tmp_path)
    async with MockServer(data=tmp_path, stall_s=0.3) as server, connect(server) as (reader, writer):
        writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        assert await ask(server) == 200
        async with asyncio.timeout(20):
            await server.idle()
        assert await read_to_the_end(reader) < STORED_BYTES


async def test_a_client_that_asks_on_and_on_and_reads_nothing_is_dropped() -> None:
    async def pester(writer: asyncio.StreamWriter) -> None:
        while True:
            writer.write(b"GET /api/export/large HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)
            await writer.drain()

    async with MockServer(stall_s=0.3) as server, connect(server) as (_, writer):
        with pytest.raises(ConnectionError):
            async with asyncio.timeout(20):
                await pester(writer)


async def test_a_file_is_sent_whole_to_a_client_that_reads(tmp_path: Path) -> None:
    path = store_one_file(tmp_path)
    async with MockServer(data=tmp_path) as server, aiohttp.ClientSession() as session:
        async with session.get(server.url + path) as reply:
            total = 0
            async for piece in reply.content.iter_any():
                total += len(piece)
        assert total == STORED_BYTES
        assert await ask(server) == 200


async def test_making_rows_stops_when_the_client_leaves() -> None:
    async with MockServer() as server:
        async with connect(server) as (reader, writer):
            writer.write(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            await reader.readexactly(100_000)
        async with asyncio.timeout(2):
            await server.idle()


async def test_the_way_to_a_late_range_stops_when_the_client_leaves() -> None:
    # Some 400 MB must be made and dropped to get there: many seconds.
    async with MockServer() as server:
        async with connect(server) as (reader, writer):
            writer.write(f"GET {LARGE} HTTP/1.1\r\nHost: localhost\r\nRange: bytes=400000000-\r\n\r\n".encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 206 ")
            assert await ask(server) == 200
        async with asyncio.timeout(2):
            await server.idle()


async def test_a_client_that_leaves_is_no_failure_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    path = LARGE.removesuffix("/data")
    with caplog.at_level(logging.INFO, "mockexport.server"):
        async with MockServer() as server:
            async with connect(server) as (_, writer):
                # With its side closed, what we write finds a closing transport.
                writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
                writer.write_eof()
                await asyncio.sleep(0)
            await ask(server)
    assert not caplog.records


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"GET /api/export HTTP/1.1\r\nHost: localhost\r\nOrigin: http://rebound.example", 403),
        (b"GET /api/export HTTP/1.1\r\nHost: rebound.example", 421),
        (b"GET / HTTP/1.1\r\nHost: rebound.example", 421),
        (b"GET /nowhere HTTP/1.1\r\nHost: rebound.example", 421),
        (b"GET http://rebound.example/api/export HTTP/1.1\r\nHost: localhost", 421),
        (b"GET /api/export HTTP/1.1", 400),
        (b"GET /api/export HTTP/1.0", 400),
        (b"POST /api/export HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\nContent-Length: 2", 415),
        (b"POST /api/export HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 2", 405),
    ],
)
async def test_a_request_for_another_or_from_elsewhere_is_refused(lines: bytes, status: int) -> None:
    async with MockServer() as server, connect(server) as (reader, writer):
        writer.write(lines + b"\r\nConnection: close\r\n\r\n" + (b"{}" if b"Content-Length" in lines else b""))
        reply = await reader.read()
    assert int(reply.split(b" ")[1]) == status
    assert b"application/json" in reply


async def test_a_name_that_the_server_is_given_is_its_own() -> None:
    async with MockServer(host_names=["Ward7.Example"]) as server, connect(server) as (reader, writer):
        writer.write(b"GET /api/export HTTP/1.1\r\nHost: ward7.example:80\r\nConnection: close\r\n\r\n")
        assert (await reader.read()).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "lines", [b"GET /" + b"x" * 20_000, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 20_000]
)
async def test_a_line_that_is_too_long_is_told_431(lines: bytes, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        async with MockServer() as server, connect(server) as (reader, writer):
            writer.write(lines + b"\r\n\r\n")
            head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.split(b" ")[1] == b"431"
    assert json.loads(body) == {"detail": "Request Header Fields Too Large"}
    assert "xxxx" not in caplog.text
