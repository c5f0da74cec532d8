"""Bodies received straight into slabs: over real sockets, cut anywhere, slowly, called off, and with aiohttp's pool."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from unittest.mock import Mock

import aiohttp
import pytest

from mockexport import Download, ExportApi, RetryPolicy, TimeLimits, analyze
from mockexport.errors import TransferError
from mockexport.pipeline.streams import Marker, Opened, Retry, offer
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.sources.receiving import LEAST_BYTES, Receiver
from mockexport.unpacking.stream import OwnRoom
from tests.rows import HEADER

ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"
BODY = HEADER + ROW * (12 * LEAST_BYTES // len(ROW))
# What aiohttp may have read with the head, at the most.
READING_BYTES = 256 * 1024
IMPATIENT = RetryPolicy(attempts=3, base_wait_s=0)

Send = Callable[[asyncio.StreamWriter, str], Awaitable[None]]


class Server:
    """Sends bodies as told, keeps connections alive, and counts them."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.connections = 0
        self.requests: list[str] = []
        self.url = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                path = head.split(" ", 2)[1]
                if not path.endswith("/data"):
                    data = {"id": "x", "download_ids": ["a", "b"]} if path.endswith("/x") else {"id": path[-1]}
                    body = json.dumps({"data": data}).encode()
                    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                    continue
                self.requests.append(head)
                await self._send(writer, head)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def serving(send: Send) -> AsyncIterator[Server]:
    server = Server(send)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield server


def head(body: bytes = BODY, first: int = 0, *fields: str) -> bytes:
    status, extra = "200 OK", ['ETag: "a"', *fields]
    if first:
        status = "206 Partial Content"
        extra.append(f"Content-Range: bytes {first}-{len(body) - 1}/{len(body)}")
    return "\r\n".join([f"HTTP/1.1 {status}", f"Content-Length: {len(body) - first}", *extra, "", ""]).encode()


def first_of(request: str) -> int:
    """The byte from which on a request asks."""
    ranges = [line.split("=")[1].rstrip("-") for line in request.split("\r\n") if line.startswith("Range:")]
    return int(ranges[0]) if ranges else 0


async def whole(writer: asyncio.StreamWriter, request: str) -> None:
    writer.write(head() + BODY)
    await writer.drain()


async def received(server: Server, *, limits: TimeLimits | None = None) -> tuple[bytes, list[Marker]]:
    """Fetch one download into memory that is used again and again; return its bytes, and the markers."""
    found, room = bytearray(), OwnRoom()
    markers: list[Marker] = []
    async with ExportApi(server.url, retry=IMPATIENT, limits=limits) as api:
        stream = api.stream("x", Download("a"))
        offer(stream, room)
        views = 0
        async for piece in stream.pieces():
            if isinstance(piece, bytes | memoryview):
                found += piece
                views += isinstance(piece, memoryview)
            else:
                markers.append(piece)
        await stream.close(None)
    assert views or len(found) <= LEAST_BYTES + READING_BYTES
    return bytes(found), markers


@pytest.mark.parametrize("first_piece", [0, 1, LEAST_BYTES, len(BODY) - 1, len(BODY)])
async def test_a_body_is_received_whole_however_much_of_it_comes_with_the_head(first_piece: int) -> None:
    async def send(writer: asyncio.StreamWriter, request: str) -> None:
        writer.write(head() + BODY[:first_piece])
        await asyncio.sleep(0.01)
        writer.write(BODY[first_piece:])

    async with serving(send) as server:
        found, markers = await received(server)
    assert found == BODY
    assert [type(marker) for marker in markers] == [Opened]


async def test_a_connection_that_brought_all_is_used_again() -> None:
    async with serving(whole) as server:
        report = await analyze("x", url=server.url, concurrency=1, chunk_bytes=10_000)
        assert report.totals["heart_rate"].count == 2 * BODY.count(ROW)
        assert len(server.requests) == 2
        assert server.connections == 1


@pytest.mark.parametrize("cut", [LEAST_BYTES, 3 * LEAST_BYTES, len(BODY) - 1])
@pytest.mark.parametrize("reset", [False, True])
async def test_a_body_that_breaks_off_is_gone_on_with_where_it_broke(cut: int, reset: bool) -> None:
    async def send(writer: asyncio.StreamWriter, request: str) -> None:
        first = first_of(request)
        if first:
            writer.write(head(BODY, first) + BODY[first:])
            return
        writer.write(head() + BODY[:cut])
        await writer.drain()
        await asyncio.sleep(0.02)
        if reset:
            writer.transport.abort()
        raise ConnectionError

    async with serving(send) as server:
        found, markers = await received(server)
        assert found == BODY
        (retry,) = [marker for marker in markers if isinstance(marker, Retry)]
        assert (retry.reason, retry.offset) == ("the body broke off before its end", cut)
        assert server.connections == 2


async def test_a_body_that_stalls_is_noticed_and_one_that_trickles_is_handed_on() -> None:
    stalled = asyncio.Event()

    async def send(writer: asyncio.StreamWriter, request: str) -> None:
        writer.write(head() + BODY[: 2 * LEAST_BYTES])
        for at in range(2 * LEAST_BYTES, 2 * LEAST_BYTES + 50):
            await asyncio.sleep(0.01)
            writer.write(BODY[at : at + 1])
        await stalled.wait()

    async with (
        serving(send) as server,
        ExportApi(server.url, retry=RetryPolicy(attempts=1), limits=TimeLimits(stall_s=0.5, min_rate=1)) as api,
    ):
        stream, found = api.stream("x", Download("a")), []
        offer(stream, OwnRoom())

        async def read() -> None:
            async for piece in stream.pieces():
                if isinstance(piece, bytes | memoryview):
                    found.append(bytes(piece))  # noqa: PERF401 - those before it breaks off count

        with pytest.raises(TransferError, match="the body stalled"):
            await read()
        stalled.set()
    assert b"".join(found) == BODY[: 2 * LEAST_BYTES + 50]
    assert len(found) > 2


async def test_a_reader_that_takes_nothing_makes_the_sender_wait() -> None:
    sent = 0
    body = BODY * 200

    async def send(writer: asyncio.StreamWriter, request: str) -> None:
        nonlocal sent
        writer.write(head(body))
        for at in range(0, len(body), 65_536):
            writer.write(body[at : at + 65_536])
            await writer.drain()
            sent = at

    async with serving(send) as server, ExportApi(server.url) as api:
        stream, room = api.stream("x", Download("a")), OwnRoom()
        offer(stream, room)
        pieces = stream.pieces()
        for _ in range(3):
            await anext(pieces)
        before = -1
        while before != sent:  # until the buffers on the way are full
            before = sent
            await asyncio.sleep(0.1)
        assert sent < len(body) - 65_536
        await pieces.aclose()


async def test_bytes_that_come_while_nobody_waits_are_the_first_of_those_who_do() -> None:
    transport, response = Mock(spec=asyncio.Transport), Mock(spec=aiohttp.ClientResponse)
    transport.get_extra_info.return_value = None
    receiver = Receiver(response, transport, 300)

    def come(data: bytes) -> None:
        view = receiver.get_buffer(-1)
        view[: len(data)] = data
        receiver.buffer_updated(len(data))

    come(b"a" * 100)
    transport.pause_reading.assert_called()
    into = memoryview(bytearray(80))
    assert await receiver.receive(into) == 80
    waiting = asyncio.create_task(receiver.receive(into))
    await asyncio.sleep(0)
    assert receiver.flush() == 20
    assert await waiting == 20
    come(b"b" * 10)
    come(b"c" * 190)
    found = b""
    while size := await receiver.receive(into):
        found += into[:size]
    assert found == b"b" * 10 + b"c" * 190
    response.content.feed_eof.assert_called_once_with()
    response.close.assert_not_called()


@asynccontextmanager
async def receiving(left: int) -> AsyncIterator[tuple[socket.socket, Receiver, Mock, Mock]]:
    """Yield a sender's socket, who receives so many bytes from it, their response, and the transport between them."""
    ours, theirs = socket.socketpair()
    response = Mock(spec=aiohttp.ClientResponse)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    watched = Mock(wraps=transport)
    try:
        yield theirs, Receiver(response, watched, left), response, watched
    finally:
        transport.abort()
        theirs.close()
        await asyncio.sleep(0)


async def test_what_has_come_is_taken_without_watching_for_it_and_what_has_not_is_waited_for() -> None:
    async with receiving(250) as (sender, receiver, response, transport):
        into = memoryview(bytearray(100))
        sender.sendall(b"a" * 150)
        assert await receiver.receive(into) == 100
        assert bytes(into) == b"a" * 100
        transport.resume_reading.assert_not_called()
        waiting = asyncio.create_task(receiver.receive(into))
        await asyncio.sleep(0.01)
        transport.resume_reading.assert_called_once_with()
        sender.sendall(b"b" * 100)
        assert await waiting == 100
        assert bytes(into) == b"a" * 50 + b"b" * 50
        assert await receiver.receive(into) == 50
        response.content.feed_eof.assert_called_once_with()


async def test_others_have_their_turn_between_bytes_that_have_come() -> None:
    async with receiving(200) as (sender, receiver, *_):
        sender.sendall(b"a" * 200)
        turns: list[str] = []

        async def other() -> None:
            turns.append("other")

        task = asyncio.create_task(other())
        await receiver.receive(memoryview(bytearray(100)))
        assert turns == ["other"]
        await task


async def test_called_off_after_the_bytes_have_come_the_connection_is_closed() -> None:
    async with receiving(200) as (sender, receiver, response, _):
        sender.sendall(b"a" * 200)
        reader = asyncio.create_task(receiver.receive(memoryview(bytearray(200))))
        asyncio.get_running_loop().call_soon(reader.cancel)
        with pytest.raises(asyncio.CancelledError):
            await reader
        receiver.close()
        response.close.assert_called_once_with()
        response.content.feed_eof.assert_not_called()


async def test_of_a_connection_that_is_being_closed_nothing_is_taken() -> None:
    async with receiving(200) as (sender, receiver, _, transport):
        sender.sendall(b"a" * 150)
        transport.abort()
        with pytest.raises(ExchangeFailed, match="broke off"):
            await receiver.receive(memoryview(bytearray(100)))


async def test_a_connection_that_ends_with_bytes_still_there_has_those_taken_first() -> None:
    async with receiving(200) as (sender, receiver, *_):
        sender.sendall(b"a" * 150)
        sender.close()
        into = memoryview(bytearray(100))
        assert await receiver.receive(into) == 100
        assert await receiver.receive(into) == 50
        with pytest.raises(ExchangeFailed, match="broke off"):
            await receiver.receive(into)


async def test_whoever_is_called_off_finds_his_memory_left_alone_and_the_connection_closed() -> None:
    go_on = asyncio.Event()

    async def send(writer: asyncio.StreamWriter, request: str) -> None:
        writer.write(head() + BODY[: 2 * LEAST_BYTES])
        await go_on.wait()
        writer.write(BODY[2 * LEAST_BYTES :])
        await writer.drain()

    async with serving(send) as server, aiohttp.ClientSession() as session:  # noqa: SIM117 - the session outlives it
        async with ExportApi(server.url, session=session) as api:
            stream, room, begun = api.stream("x", Download("a")), OwnRoom(), asyncio.Event()
            offer(stream, room)

            async def read() -> None:
                async for _ in stream.pieces():
                    begun.set()

            reader = asyncio.create_task(read())
            await begun.wait()
            await asyncio.sleep(0.05)
            memory = bytes(await room.free())
            reader.cancel()
            await asyncio.wait([reader])
            go_on.set()
            await asyncio.sleep(0.05)
            assert bytes(await room.free()) == memory
            # The next download has a connection of its own.
            report = await analyze("x", url=server.url, session=session, concurrency=1)
            assert report.totals["heart_rate"].count == 2 * BODY.count(ROW)
    assert server.connections >= 2


async def test_any_event_loop_step_may_be_the_last() -> None:
    """Cancelled after every number of steps: no task, no transport and no warning is left."""
    async with serving(whole) as server:
        for steps in range(0, 60, 3):
            async with ExportApi(server.url) as api:
                stream = api.stream("x", Download("a"))
                offer(stream, OwnRoom())

                async def read() -> None:
                    async for _ in stream.pieces():  # noqa: B023 - awaited in this turn
                        pass

                reader = asyncio.create_task(read())
                for _ in range(steps):
                    await asyncio.sleep(0)
                reader.cancel()
                await asyncio.wait([reader])
