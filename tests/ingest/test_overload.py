"""Overload: refused early and cheaply, with Retry-After; single readings do not queue behind batches."""

import asyncio
import socket
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest
import uvloop
from uvicorn import Config

from mockexport.ingest import application as app_room
from mockexport.ingest import queries as queries_room
from mockexport.ingest import store as store_room
from mockexport.ingest.application import create_app
from mockexport.ingest.settings import Settings
from mockexport.ingest.wire import ACCEPTED_IN_A_TURN, DeadlineProtocol, PromptServer
from tests.ingest.serving import reading, serving
from tests.ingest.stored import NOON_US, all_rows, opened, some


async def test_more_than_a_turns_worth_is_refused_with_retry_after_and_the_rest_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with serving(tmp_path) as client:
        monkeypatch.setattr(app_room, "_BEGUN_IN_A_TURN", 3)

        async def post(second: int) -> tuple[int, str | None]:
            document = reading(timestamp=f"2024-01-15T10:00:{second:02d}Z")
            async with client.session.post(f"{client.url}/metrics/heart-rate", json=document) as reply:
                await reply.read()
                return reply.status, reply.headers.get("retry-after")

        answers: list[tuple[int, str | None]] = []
        async with asyncio.timeout(20):
            while {status for status, _ in answers} != {202, 503}:
                answers = await asyncio.gather(*(post(second) for second in range(50)))
        assert set(answers) == {(202, None), (503, "1")}
        # Refused was refused: what is stored is what was accepted, and sending again is all there is to do.
        monkeypatch.undo()
        assert {await post(second) for second in range(50)} == {(202, None)}


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
        monkeypatch.setattr(queries_room, "MAX_WAITING", 0)
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
            for _ in range(2 * ACCEPTED_IN_A_TURN):
                stack.enter_context(socket.create_connection(address))
            turns = 0
            while len(server.server_state.connections) < 2 * ACCEPTED_IN_A_TURN and turns < 1000:
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
