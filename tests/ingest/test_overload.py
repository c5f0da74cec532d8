"""Overload: refused early and cheaply, with Retry-After; single readings do not queue behind batches."""

import asyncio
import json
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop
from uvicorn import Config

from mockexport.ingest import accepting as accepting_room
from mockexport.ingest import application as application_room
from mockexport.ingest import lanes as lanes_room
from mockexport.ingest import refusals as refusals_room
from mockexport.ingest import store as store_room
from mockexport.ingest import wire as wire_room
from mockexport.ingest.accepting import PromptServer
from mockexport.ingest.admission import Admission
from mockexport.ingest.application import create_app
from mockexport.ingest.readings import BatchOutcome, decode_batch
from mockexport.ingest.settings import Settings
from mockexport.ingest.wire import DeadlineProtocol
from tests.ingest.serving import POST, POST_BATCH, reading, serving
from tests.ingest.stored import NOON_US, all_rows, opened, some


async def _ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: bytes) -> tuple[int, bytes]:
    """Send raw bytes and return one reply's status and head."""
    writer.write(request)
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 20)
    await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0]))
    return int(head[9:12]), head


_BODY = json.dumps(reading()).encode()
_POST = POST + f"content-length: {len(_BODY)}\r\n\r\n".encode() + _BODY
_UNUSUAL = POST + b"transfer-encoding: chunked\r\n\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(_BODY), _BODY)
_HEALTH = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"


def _full(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Admission, "full", property(lambda admission: True))


async def test_while_it_is_full_posts_are_refused_and_all_else_is_served_on_kept_connections(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as client:
        connection = await asyncio.open_connection("127.0.0.1", client.port)
        assert (await _ask(*connection, _POST))[0] == 202
        _full(monkeypatch)
        for request in (_POST, _UNUSUAL, _POST):
            status, head = await _ask(*connection, request)
            assert status == 503
            assert b"\r\nretry-after: 1\r\n" in head
            assert (await _ask(*connection, _HEALTH))[0] == 200
        assert client.app.entrance.readings.refused + client.app.entrance.batches.refused == 3
        # The head and the body by turns, as some clients send them.
        connection[1].write(_POST[: -len(_BODY)])
        assert (await _ask(*connection, _BODY))[0] == 503
        monkeypatch.undo()
        for request in (_POST, _UNUSUAL):
            assert (await _ask(*connection, request))[0] == 202
        connection[1].close()


@pytest.mark.parametrize("calm", [True, False])
async def test_while_it_is_full_new_connections_are_refused_by_their_first_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, calm: bool
) -> None:
    async with serving(tmp_path) as client:
        _full(monkeypatch)
        monkeypatch.setattr(Admission, "calm", calm)
        for pieces in ([_POST], [_POST[:20], _POST[20:]], [b"", _POST], [b"", b"", b"", b"", _POST]):
            reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
            for piece in pieces[:-1]:
                writer.write(piece)
                assert (await client.ask("GET", "/health"))[0] == 200, "time goes by"
            status, head = await _ask(reader, writer, pieces[-1])
            assert status == 503
            assert b"\r\nretry-after: 1\r\n" in head
            writer.close()
        fresh = await asyncio.open_connection("127.0.0.1", client.port)
        assert (await _ask(*fresh, _HEALTH))[0] == 200
        fresh[1].close()


async def test_of_connections_that_come_together_no_more_are_let_in_than_may_be_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[DeadlineProtocol] = []

    class Counted(DeadlineProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
            super().connection_made(transport)
            made.append(self)

    async with serving(tmp_path, protocol=Counted) as client:
        # Never calm, so every connection's request is looked at before it is taken up.
        monkeypatch.setattr(Admission, "calm", False)
        client.app.entrance.readings.limit = 5
        with ExitStack() as stack:
            opened = [stack.enter_context(socket.create_connection(("127.0.0.1", client.port))) for _ in range(20)]
            for each in opened:
                each.sendall(_POST)
                each.setblocking(False)
            loop = asyncio.get_running_loop()
            answers = [await asyncio.wait_for(loop.sock_recv(each, 1 << 16), 20) for each in opened]
        # All of them had come before the loop turned.
        assert sorted(answer[9:12] for answer in answers) == [b"202"] * 5 + [b"503"] * 15
        assert (len(made), client.app.entrance.readings.refused) == (0, 15)
        assert client.app.entrance.readings.under_way == 0


async def test_a_batch_is_refused_by_its_head_and_what_else_comes_of_it_is_dropped(tmp_path: Path) -> None:
    body = b'{"readings":[%b]}' % b",".join([_BODY] * 1_000)
    batch = POST_BATCH + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    async with serving(tmp_path) as client:
        kept = await asyncio.open_connection("127.0.0.1", client.port)
        assert (await _ask(*kept, _HEALTH))[0] == 200
        client.app.entrance.batches.limit = 0
        for pieces in ([batch], [batch[:500], batch[500:]], [batch[:50_000], batch[50_000:-1], batch[-1:]]):
            assert (await _ask(*kept, pieces[0]))[0] == 503
            for piece in pieces[1:]:
                kept[1].write(piece)
                assert (await client.ask("GET", "/health"))[0] == 200, "time goes by"
            # What is dropped ends where the batch does; and single readings have places of their own.
            assert (await _ask(*kept, _POST))[0] == 202
            kept[1].write(pieces[0])
            assert (await _ask(*kept, b""))[0] == 503
            for piece in pieces[1:]:
                kept[1].write(piece)
            assert (await _ask(*kept, _POST + _HEALTH))[0] == 202
            assert (await _ask(*kept, b""))[0] == 200
        client.app.entrance.batches.limit = 1
        assert (await _ask(*kept, batch))[0] == 202
        kept[1].close()


async def test_batches_that_become_whole_together_are_not_all_let_in(tmp_path: Path) -> None:
    body = b'{"readings":[%b]}' % b",".join([_BODY] * 1_000)
    batch = POST_BATCH + b"content-length: %d\r\n\r\n%b" % (len(body), body)
    async with serving(tmp_path) as client:
        client.app.entrance.batches.limit = 1
        with ExitStack() as stack:
            opened = [stack.enter_context(socket.create_connection(("127.0.0.1", client.port))) for _ in range(5)]
            for each in opened:
                each.sendall(batch[:500])
            assert (await client.day())[0] == 404, "time goes by"
            for each in opened:
                each.sendall(batch[500:])
                each.setblocking(False)
            loop = asyncio.get_running_loop()
            answers = [await asyncio.wait_for(loop.sock_recv(each, 1 << 16), 20) for each in opened]
        assert {answer[9:12] for answer in answers} == {b"202", b"503"}
        assert client.app.entrance.batches.under_way == 0


async def test_who_stays_after_a_first_reading_becomes_one_of_the_loops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = 0

    class Counted(DeadlineProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
            nonlocal made
            made += 1
            super().connection_made(transport)

    # Never calm, so its request is waited for before it is taken up.
    monkeypatch.setattr(Admission, "calm", False)
    monkeypatch.setattr(accepting_room, "_LOOKS", 10_000)
    monkeypatch.setattr(accepting_room, "_LOOKS_AFTER", 10_000)
    async with serving(tmp_path, protocol=Counted) as client:
        connection = await asyncio.open_connection("127.0.0.1", client.port)
        for known in (0, 1, 1):
            assert (await _ask(*connection, _POST))[0] == 202
            assert made == known
        connection[1].close()


async def test_who_stays_after_a_first_reading_is_served_on(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        connections = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(3)]
        for turn in range(5):
            for connection in connections:
                assert (await _ask(*connection, _POST if turn % 2 else _HEALTH))[0] == (202 if turn % 2 else 200)
        for connection in connections:
            connection[1].close()


async def test_between_two_batches_that_came_together_the_loop_turns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turn, turns = 0, list[int]()

    def noted(body: bytes) -> BatchOutcome:
        turns.append(turn)
        return decode_batch(body)

    async def count() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    monkeypatch.setattr(application_room, "decode_batch", noted)
    body = b'{"readings":[%b]}' % _BODY
    async with serving(tmp_path) as client:
        counting = asyncio.create_task(count())
        with ExitStack() as stack:
            opened = [stack.enter_context(socket.create_connection(("127.0.0.1", client.port))) for _ in range(8)]
            for each in opened:
                each.sendall(POST_BATCH + b"content-length: %d\r\n\r\n%b" % (len(body), body))
                each.setblocking(False)
            loop = asyncio.get_running_loop()
            answers = [await asyncio.wait_for(loop.sock_recv(each, 1 << 16), 20) for each in opened]
        counting.cancel()
    assert all(answer.startswith(b"HTTP/1.1 202 ") for answer in answers)
    assert len(set(turns)) == len(turns) == 8


async def test_refusals_that_wait_for_their_turn_are_said_once_each_and_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as client:
        monkeypatch.setattr(refusals_room, "REFUSALS_PER_S", 100)
        monkeypatch.setattr(refusals_room, "_BURST", 1)
        connections = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(10)]
        for connection in connections:
            assert (await _ask(*connection, _HEALTH))[0] == 200
        _full(monkeypatch)
        for _ in range(3):
            for _, writer in connections:
                writer.write(_POST)
            for reader, _ in connections:
                assert (await reader.readuntil(b"\r\n")).startswith(b"HTTP/1.1 503 ")
                await reader.readuntil(b"}")
        assert client.app.entrance.refusals.waiting == 0
        # The next request overtakes no refusal, and takes none away.
        reader, writer = connections[0]
        writer.write(_POST + _POST)
        writer.write(_HEALTH)
        replies = [await _ask(reader, writer, b"") for _ in range(3)]
        assert [status for status, _ in replies] == [503, 503, 200]
        for _, writer in connections:
            writer.close()


async def test_whoever_heeds_retry_after_is_refused_at_once_and_whoever_does_not_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as client:
        monkeypatch.setattr(refusals_room, "REFUSALS_PER_S", 0)
        monkeypatch.setattr(refusals_room, "_BURST", 0)
        _full(monkeypatch)
        refusals = client.app.entrance.refusals
        refusals.flush(0.0)
        connections = [await asyncio.open_connection("127.0.0.1", client.port) for _ in range(2)]
        for connection in connections:
            assert (await _ask(*connection, _HEALTH))[0] == 200
            assert (await _ask(*connection, _POST))[0] == 503, "nobody has told it to wait"
        connections[0][1].write(_POST)
        while not refusals.waiting:  # noqa: ASYNC110 - the server's doing
            await asyncio.sleep(0.001)
        monkeypatch.setattr(wire_room, "RETRY_AFTER_S", 0)
        assert (await _ask(*connections[1], _POST))[0] == 503, "a second is over"
        assert refusals.waiting == 1
        monkeypatch.setattr(refusals_room, "_BURST", 10)
        monkeypatch.setattr(refusals_room, "REFUSALS_PER_S", 10_000)
        assert (await _ask(*connections[0], b""))[0] == 503
        for _, writer in connections:
            writer.close()


async def test_what_is_under_way_is_counted_once_and_given_back(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        admission = client.app.entrance.readings
        fresh = await asyncio.open_connection("127.0.0.1", client.port)
        assert (await _ask(*fresh, _POST + _UNUSUAL + _POST))[0] == 202
        for _ in range(2):
            assert (await _ask(*fresh, b""))[0] == 202
        assert (await client.post(reading(heart_rate=1)))[0] == 400
        assert (await client.batch([reading()]))[0] == 202
        fresh[1].write(_POST)
        fresh[1].transport.abort()
        half = await asyncio.open_connection("127.0.0.1", client.port)
        half[1].write(_POST[:-1])
        assert (await client.day())[0] == 200
        assert admission.under_way == 0, "half a request is not under way"
        half[1].close()


async def test_a_full_journal_refuses_and_too_many_queries_do_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as client:
        await client.post(reading())
        monkeypatch.setattr(store_room, "MAX_JOURNAL_ROWS", 1)
        assert (await client.post(reading()))[0] == 503
        assert (await client.batch([reading()]))[0] == 503
        assert (await client.ask("GET", "/health"))[0] == 503
        assert (await client.day())[0] == 200
        monkeypatch.setattr(lanes_room, "MAX_WAITING", 0)
        assert (await client.day())[0] == 503


def test_connections_that_wait_outside_are_taken_up_in_a_few_turns_of_the_loop(tmp_path: Path) -> None:
    async def story() -> int:
        app = create_app(Settings(data=tmp_path))
        server = PromptServer(Config(app, port=0, http=DeadlineProtocol, lifespan="on", log_config=None))
        running = asyncio.create_task(server.serve())
        while not server.started:  # noqa: ASYNC110 - the server's doing
            await asyncio.sleep(0.001)
        address = server.servers[0].sockets[0].getsockname()
        with ExitStack() as stack:
            # All at once, as far as the loop can see: it does not turn meanwhile.
            for _ in range(100):
                stack.enter_context(socket.create_connection(address))
            turns = 0
            while len(server.server_state.connections) < 100 and turns < 1000:
                await asyncio.sleep(0)
                turns += 1
        server.should_exit = True
        await running
        return turns

    assert uvloop.run(story()) <= 6


def test_single_readings_are_committed_before_batches_that_came_first(tmp_path: Path) -> None:
    held, go = threading.Event(), threading.Event()
    order: list[str] = []

    def hold(connection: object) -> None:
        held.set()
        go.wait()

    async def story() -> None:
        loop = asyncio.get_running_loop()
        blocker = loop.run_in_executor(None, store.journal.run, hold)
        await asyncio.to_thread(held.wait)

        async def write(name: str, count: int, start_us: int) -> None:
            await store.journal.write(some(count, user=name, start_us=start_us))
            order.append(name)

        batches = [asyncio.ensure_future(write(f"batch{number}", 6_000, NOON_US)) for number in range(4)]
        await asyncio.sleep(0)
        single = asyncio.ensure_future(write("single", 1, NOON_US))
        await asyncio.sleep(0)
        go.set()
        await asyncio.gather(blocker, single, *batches)

    with opened(tmp_path) as store:
        asyncio.run(story())
        assert order.index("single") <= 1, order
        assert order[-1] == "batch3"
        assert len(all_rows(store)) == 24_001
