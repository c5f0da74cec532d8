"""Connections that are slow, silent, endless or many: closed by a deadline, while others are served at their pace."""

import asyncio
import time
from pathlib import Path

import pytest

from mockexport.ingest import sweep, wire
from mockexport.ingest.bodies import BodyRoom
from mockexport.ingest.wire import DeadlineProtocol
from tests.ingest.running import RunningService
from tests.ingest.serving import POST, Client, reading, serving


class Hasty(DeadlineProtocol):
    """The same, with a test's patience."""

    head_timeout_s = 0.3
    body_timeout_s = 0.4
    write_timeout_s = 0.4


async def _open(client: Client) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection("127.0.0.1", client.port)


async def _ends(reader: asyncio.StreamReader) -> bytes:
    """Return what comes until the other side closes; it must."""
    try:
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionResetError:
        return b""


HALVES = {
    "nothing at all": b"",
    "half a request line": b"POST /metr",
    "half a head": b"POST /metrics/heart-rate HTTP/1.1\r\nhost: localhost\r\ncontent-le",
    "a head without its body": POST + b"content-length: 100\r\n\r\n",
    "half a body": POST + b"content-length: 100\r\n\r\n{",
    "half a chunk": POST + b"transfer-encoding: chunked\r\n\r\n5\r\n{",
}


@pytest.mark.parametrize("half", HALVES)
async def test_half_a_request_is_closed_by_a_deadline_while_others_are_served(tmp_path: Path, half: str) -> None:
    async with serving(tmp_path, protocol=Hasty) as client:
        reader, writer = await _open(client)
        writer.write(HALVES[half])
        ended = asyncio.create_task(_ends(reader))
        while not ended.done():
            assert (await client.post(reading()))[0] == 202
        assert await ended in (b"",) or (await ended).startswith(b"HTTP/1.1 408")
        writer.close()


async def test_a_trickle_does_not_move_the_deadline(tmp_path: Path) -> None:
    async with serving(tmp_path, protocol=Hasty) as client:
        reader, writer = await _open(client)
        began = time.monotonic()

        async def trickle() -> None:
            for byte in b"POST /metrics/heart-rate HTTP/1.1\r\nx-long: " + b"x" * 10_000:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.02)

        feeding = asyncio.create_task(trickle())
        assert await _ends(reader) == b""
        assert time.monotonic() - began < 5
        feeding.cancel()
        writer.close()


class Patient(DeadlineProtocol):
    """Hasty with heads alone."""

    head_timeout_s = 0.1


async def test_a_body_has_a_deadline_of_its_own(tmp_path: Path) -> None:
    async with serving(tmp_path, protocol=Patient) as client:
        body = b'{"device_id":"device_a","user_id":"user_123","timestamp":"2024-01-15T10:00:00Z","heart_rate":75}'
        reader, writer = await _open(client)
        writer.write(POST + f"content-length: {len(body)}\r\n\r\n".encode())
        other, silent = await _open(client)
        # The silent one, which came later, is closed by the head's deadline; the body may still come.
        assert await _ends(other) == b""
        writer.write(body)
        assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 202 ")
        writer.close()
        silent.close()


async def test_a_body_that_comes_too_slowly_is_told_408(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        client.app.reading_bodies = BodyRoom(1_000, 1_000, timeout_s=0.1)
        reader, writer = await _open(client)
        writer.write(HALVES["half a body"])
        assert (await _ends(reader)).startswith(b"HTTP/1.1 408 ")
        assert client.app.reading_bodies.held_bytes == client.app.batch_bodies.held_bytes == 0
        writer.close()


async def test_a_client_that_does_not_take_its_reply_is_let_go(tmp_path: Path) -> None:
    async with serving(tmp_path, protocol=Hasty) as client:
        for start in range(0, 100_000, 10_000):
            documents = [
                reading(user_id="x" * 60, timestamp=f"2024-01-15T10:00:00.{index:06d}Z")
                for index in range(start, start + 10_000)
            ]
            assert (await client.batch(documents))[0] == 202
        _, listed = await client.ask("GET", "/api/export/heart-rate")
        path = f"/api/export/heart-rate/{listed['data']['download_ids'][0]}/data"
        _, writer = await asyncio.open_connection("127.0.0.1", client.port, limit=1024)
        writer.write(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        # Not a byte is read until the server has given up: ten megabytes do not fit into the kernel's buffers.
        watched = sweep.sweep_of(asyncio.get_running_loop())
        async with asyncio.timeout(20):
            while watched.next_deadline == sweep.NEVER:  # noqa: ASYNC110 - the server's doing
                await asyncio.sleep(0.01)
            while len(watched) > 1:  # noqa: ASYNC110 - the kernel's doing
                await asyncio.sleep(0.01)
        assert (await client.post(reading()))[0] == 202
        writer.close()


async def test_a_head_without_end_is_cut_off(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        reader, writer = await _open(client)
        writer.write(b"GET / HTTP/1.1\r\n" + b"x-more: " + b"y" * (wire.HEAD_BYTES + 10))
        assert (await _ends(reader)).startswith(b"HTTP/1.1 431 ")
        writer.close()


async def test_a_client_that_leaves_early_leaves_nothing_half(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        body = b'{"device_id":"device_a","user_id":"user_123","timestamp":"2024-01-15T10:00:00Z","heart_rate":75}'
        head = POST + f"content-length: {len(body)}\r\n\r\n".encode()
        for cut in range(0, len(body) + 1, 7):
            _, writer = await _open(client)
            writer.write(head + body[:cut])
            writer.transport.abort()
        status, answer = await client.day()
        assert status == 404 or answer["count"] == 1
        assert await client.post(reading()) == (202, {"status": "accepted"})
        assert (await client.day())[1]["data"][0]["heart_rate"] == 75
        assert client.app.reading_bodies.held_bytes == client.app.batch_bodies.held_bytes == 0


async def test_more_connections_than_allowed_get_503(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with serving(tmp_path) as client:
        assert (await client.post(reading()))[0] == 202
        monkeypatch.setattr(sweep, "MAX_CONNECTIONS", 5)
        opened = [await _open(client) for _ in range(4)]
        reader, writer = await _open(client)
        answer = await _ends(reader)
        assert answer.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in answer
        assert (await client.post(reading()))[0] == 202, "those who are in are served"
        for _, each in [*opened, (reader, writer)]:
            each.close()


async def test_where_connections_are_scarce_those_that_only_hold_a_place_give_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "MAX_CONNECTIONS", 5)
    # Until all of them hold a place; a sweep in between would find some that have, and then no scarcity.
    monkeypatch.setattr(sweep, "CROWDED_S", 60)
    monkeypatch.setattr(sweep, "_SWEEP_S", 0.05)
    async with serving(tmp_path) as client:
        assert (await client.post(reading()))[0] == 202
        opened = [await _open(client) for _ in range(4)]
        opened[0][1].write(HALVES["half a head"])
        opened[1][1].write(HALVES["half a body"])
        assert (await client.post(reading()))[0] == 202
        monkeypatch.setattr(sweep, "CROWDED_S", 0)
        answers = [await _ends(reader) for reader, _ in opened]
        assert [answer[:13] for answer in answers] == [b"HTTP/1.1 503 ", b"HTTP/1.1 503 ", b"", b""]
        assert (await client.post(reading()))[0] == 202
        for _, writer in opened:
            writer.close()


async def test_hundreds_of_silent_connections_do_not_hold_up_the_others(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        idle = [await _open(client) for _ in range(300)]
        for _, writer in idle:
            writer.write(POST + b"content-length: 100\r\n\r\n{")
        slowest = 0.0
        for second in range(50):
            began = time.perf_counter()
            assert (await client.post(reading(timestamp=f"2024-01-15T10:00:{second:02d}Z")))[0] == 202
            slowest = max(slowest, time.perf_counter() - began)
        assert slowest < 5, "a busy machine is slow, a deadline would be ten seconds"
        for _, writer in idle:
            writer.transport.abort()


def test_uvicorns_own_command_gets_the_deadlines_too_and_logs_no_query(tmp_path: Path) -> None:
    import socket
    import sys
    import urllib.error
    import urllib.request

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    # A deadline of the class's own, so that the test need not wait for the real one.
    code = (
        "import mockexport.ingest.wire as w; w.DeadlineProtocol.head_timeout_s = 0.3;"
        "import sys; from uvicorn.main import main;"
        f"sys.argv = ['uvicorn', 'mockexport.ingest:app', '--port', '{port}']; main()"
    )
    with RunningService(tmp_path, command=[sys.executable, "-c", code]) as service:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as half:
            half.sendall(b"POST /metrics")
            assert half.recv(100) == b""
        url = f"http://127.0.0.1:{port}/metrics/heart-rate?user_id=user_secret&start=2024-01-15T00:00:00Z&end=2024-01-16T00:00:00Z"
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(url)
        refused.value.close()
        assert refused.value.code == 404
        assert service.stop() in (0, -15)
        assert "secret" not in service.log.read_text()
