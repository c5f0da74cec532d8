"""Request bodies: room is for bytes that came, a peer has a part of it, and the slowest goes first."""

import asyncio
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message

from mockexport.ingest.bodies import MAX_BATCH_BYTES, BodyRoom, Pace
from mockexport.ingest.errors import BodySentAway, BodyTooLarge, ClientGone
from tests.ingest.serving import POST_BATCH, Client, reading, serving


async def _half(client: Client, path: str, announced: int, body: bytes) -> asyncio.StreamWriter:
    _, writer = await asyncio.open_connection("127.0.0.1", client.port)
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: {announced}"
    writer.write(f"{head}\r\n\r\n".encode() + body)
    return writer


async def test_half_sent_bodies_keep_nobody_out(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        single, batch = "/metrics/heart-rate", "/metrics/heart-rate/batch"
        halves = [await _half(client, single, 16_384, b'{"dev') for _ in range(512)]
        halves += [await _half(client, batch, MAX_BATCH_BYTES, b"") for _ in range(2)]
        async with asyncio.timeout(20):
            while (client.app.reading_bodies.arriving, client.app.batch_bodies.arriving) != (512, 2):  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert client.app.reading_bodies.held_bytes == 512 * 5
        assert client.app.batch_bodies.held_bytes == 0
        assert (await client.post(reading()))[0] == 202
        assert (await client.batch([reading()] * 10_000))[0] == 202
        for writer in halves:
            writer.transport.abort()
        async with asyncio.timeout(20):
            while client.app.reading_bodies.arriving or client.app.batch_bodies.arriving:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        assert client.app.reading_bodies.held_bytes == client.app.batch_bodies.held_bytes == 0


async def test_the_one_sent_away_is_told_503_and_when_to_come_again(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        client.app.batch_bodies = BodyRoom(1_000, 1_000)
        reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
        writer.write(POST_BATCH + b"content-length: 900\r\n\r\n" + b" " * 400)
        async with asyncio.timeout(20):
            while client.app.batch_bodies.held_bytes < 400:  # noqa: ASYNC110 - the server's doing
                await asyncio.sleep(0.001)
            assert (await client.batch([reading()]))[0] == 202
            head, _, detail = (await reader.read()).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1" in head
        assert b"connection: close" in head
        assert (
            detail == b'{"detail":"overloaded: too many bodies at once, and this one is the slowest; try again later"}'
        )
        writer.close()


class _Sender:
    """One peer's request, whose body comes piece by piece."""

    def __init__(self, room: BodyRoom, peer: str) -> None:
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        headers = [(b"transfer-encoding", b"chunked")]
        self._request = Request({"type": "http", "headers": headers, "client": (peer, 1)}, self._messages.get)
        self._room = room
        self.task = asyncio.create_task(self._read())
        self.done = asyncio.Event()

    async def _read(self) -> bytes:
        async with self._room.read(self._request) as body:
            await self.done.wait()
            return body

    async def send(self, size: int, *, more: bool = True) -> None:
        self._messages.put_nowait({"type": "http.request", "body": b"x" * size, "more_body": more})
        for _ in range(5):
            await asyncio.sleep(0)

    async def leave(self) -> None:
        self._messages.put_nowait({"type": "http.disconnect"})
        with pytest.raises(ClientGone):
            await self.task

    async def finish(self) -> int:
        await self.send(0, more=False)
        self.done.set()
        return len(await self.task)


async def test_the_slowest_goes_first_whatever_it_has_brought() -> None:
    room = BodyRoom(800, 1_000)
    slow, fast, last = _Sender(room, "a"), _Sender(room, "b"), _Sender(room, "c")
    await slow.send(200)
    await fast.send(500)
    assert room.held_bytes == 700
    await last.send(350)
    assert room.held_bytes == 850
    with pytest.raises(BodySentAway):
        await slow.task
    assert (await fast.finish(), await last.finish()) == (500, 350)
    assert room.held_bytes == room.arriving == 0


async def test_a_peer_has_half_of_the_room_and_makes_room_among_its_own() -> None:
    room = BodyRoom(800, 1_000)
    other = _Sender(room, "other")
    await other.send(100)
    greedy = [_Sender(room, "greedy") for _ in range(3)]
    for sender in greedy:
        await sender.send(200)
    assert room.held_bytes == 500
    with pytest.raises(BodySentAway):
        await greedy[0].task
    alone = _Sender(room, "alone")
    await alone.send(501)
    with pytest.raises(BodySentAway):
        await alone.task
    assert await other.finish() == 100
    await greedy[1].leave()
    assert await greedy[2].finish() == 200
    assert room.held_bytes == room.arriving == 0


async def test_what_is_whole_stays_and_a_body_has_its_limit() -> None:
    room = BodyRoom(400, 1_000)
    whole = [_Sender(room, peer) for peer in "abc"]
    for sender in whole:
        await sender.send(300, more=False)
    late = _Sender(room, "d")
    await late.send(101)
    with pytest.raises(BodySentAway):
        await late.task
    large = _Sender(room, "e")
    await large.send(401)
    with pytest.raises(BodyTooLarge):
        await large.task
    for sender in whole:
        sender.done.set()
        assert len(await sender.task) == 300
    assert room.held_bytes == room.arriving == 0


def test_a_pace_is_of_what_came_lately() -> None:
    stopped, steady = Pace(0), Pace(0)
    stopped.add(4 << 20, 0)
    for second in range(10):
        steady.add(10_000, second)
        assert (stopped.at(second) < steady.at(second)) == (second > 5)
    fresh = Pace(10)
    assert stopped.at(10) < steady.at(10) < fresh.at(10), "a new one has had no time yet"
