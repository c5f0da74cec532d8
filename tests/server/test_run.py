"""Starting and stopping the server."""

import asyncio
import gc
import logging
import socket
import sys
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest

from mockexport.errors import FolderError, MockExportError, OptionError, ServerNotRunning
from mockexport.server.exports import downloads_of
from mockexport.server.run import MockServer, serve

LARGE = f"/api/export/large/{downloads_of('large')[0].id}/data"


async def get(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url + "/api/export") as reply:
        return reply.status


async def test_a_mock_server_serves_at_a_port_of_its_own_until_it_ends() -> None:
    async with MockServer() as one, MockServer() as two:
        assert one.url != two.url
        assert one.url.startswith("http://127.0.0.1:")
        assert (await get(one.url), await get(two.url)) == (200, 200)
        url = one.url
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(url)
    assert "not running" in repr(one)
    with pytest.raises(ServerNotRunning, match="use it inside `async with`"):
        _ = one.url


async def test_a_mock_server_can_be_started_again() -> None:
    server = MockServer()
    for _ in range(2):
        async with server:
            assert await get(server.url) == 200


async def test_the_end_does_not_wait_for_downloads_under_way() -> None:
    before = asyncio.all_tasks()
    async with aiohttp.ClientSession() as session:
        async with asyncio.timeout(5):
            async with MockServer() as server:
                replies = [await session.get(server.url + LARGE) for _ in range(3)]
                assert server.connections == 3
        for reply in replies:
            with pytest.raises(aiohttp.ClientError):
                await reply.read()
    # The client's own connections may take a turn of the loop to go.
    left = [task for task in asyncio.all_tasks() - before if "mockexport" in repr(task.get_coro())]
    assert left == []


@pytest.mark.parametrize("turns", range(5))
async def test_a_client_that_comes_at_the_very_end_is_closed_too(turns: int, caplog: pytest.LogCaptureFixture) -> None:
    async with MockServer() as server:
        port = int(server.url.rpartition(":")[2])
        client = socket.create_connection(("127.0.0.1", port))
        for _ in range(turns):  # of the event loop, from the connection in its queue to one with a transport
            await asyncio.sleep(0)
    with client:
        client.settimeout(10)
        with suppress(ConnectionResetError):
            assert await asyncio.to_thread(client.recv, 1) == b""
    gc.collect()  # a socket that is left behind is a warning, which is an error
    assert not caplog.records


async def test_serving_ends_with_what_it_waits_for() -> None:
    ended = asyncio.Event()
    urls: list[str] = []
    async with asyncio.TaskGroup() as group:

        def ready(server: MockServer) -> None:
            urls.append(server.url)
            group.create_task(look(server.url))

        async def look(url: str) -> None:
            assert await get(url) == 200
            ended.set()

        group.create_task(serve(MockServer(), on_ready=ready, until=ended.wait()))
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(urls[0])


async def test_serving_ends_when_cancelled() -> None:
    ready: asyncio.Future[MockServer] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(MockServer(), on_ready=ready.set_result))
    url = (await ready).url
    assert await get(url) == 200
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(url)


async def test_a_port_in_use_is_told_with_host_and_port() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OptionError, match=f"cannot listen at 127.0.0.1, port {port}: .*in use"):
            await serve(MockServer(port=port))


@pytest.mark.parametrize(("host", "port"), [("127.0.0.1", 70_000), ("127.0.0.1", -1), ("no host", 0), ("x" * 300, 0)])
async def test_an_address_that_cannot_be_is_told(host: str, port: int) -> None:
    with pytest.raises(MockExportError, match="choose another"):
        await serve(MockServer(host, port))


async def test_a_folder_that_is_no_export_is_told_before_anything_listens(tmp_path: Path) -> None:
    with pytest.raises(FolderError):
        await serve(MockServer(data=tmp_path), on_ready=lambda server: pytest.fail("it listens"))


async def test_listening_to_other_machines_is_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        async with MockServer() as server:
            pass
        assert caplog.messages == []
        async with MockServer("0.0.0.0") as server:  # noqa: S104 - that is what is warned of
            assert server.url.startswith("http://127.0.0.1:")
            assert await get(server.url) == 200
    assert caplog.messages == ["listening at 0.0.0.0: other machines can read the exports"]


async def run_until_stdin_closes(stdin: int) -> tuple[asyncio.subprocess.Process, bytes]:
    code = "import asyncio; from mockexport.server.run import stdin_closed; print('up', flush=True)"
    code += "; asyncio.run(stdin_closed())"
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", code, stdin=stdin, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    return process, await process.stdout.readline()


async def test_stdin_closed_waits_for_the_end_and_passes_over_what_comes_before() -> None:
    process, line = await run_until_stdin_closes(asyncio.subprocess.PIPE)
    assert line == b"up\n"
    assert process.stdin is not None
    process.stdin.write(b"x" * 100_000)
    await process.stdin.drain()
    assert process.returncode is None
    process.stdin.close()
    await process.communicate()
    assert process.returncode == 0


async def test_stdin_closed_does_not_wait_where_there_is_no_stdin() -> None:
    process, _ = await run_until_stdin_closes(asyncio.subprocess.DEVNULL)
    await process.communicate()
    assert process.returncode == 0
