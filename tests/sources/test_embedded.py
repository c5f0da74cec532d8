"""The embedded server: a real child process that never outlives its parent."""

import asyncio
import os
import signal
import sys
from urllib.parse import urlsplit

import aiohttp
import pytest

from mockexport.errors import SourceError
from mockexport.sources.embedded import embedded

# A parent that starts the embedded server, tells its address, and works on through Ctrl-C.
PARENT = """
import asyncio, signal
from mockexport.sources.embedded import embedded

signal.signal(signal.SIGINT, lambda number, frame: print("still here", flush=True))

async def main():
    async with embedded() as url:
        print(url, flush=True)
        while True:
            await asyncio.sleep(0.1)

asyncio.run(main())
"""


async def get(url: str) -> int:
    async with aiohttp.ClientSession() as session, session.get(url + "/api/export") as reply:
        return reply.status


async def test_it_serves_until_the_end_of_the_block() -> None:
    async with embedded() as url:
        assert await get(url) == 200
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(url)


async def test_it_ends_when_the_block_is_cancelled() -> None:
    ready: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def use() -> None:
        async with embedded() as url:
            ready.set_result(url)
            await asyncio.Event().wait()

    using = asyncio.create_task(use())
    url = await ready
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(url)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
async def test_it_ends_with_a_parent_that_is_killed(end: signal.Signals) -> None:
    parent = await asyncio.create_subprocess_exec(sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE)
    assert parent.stdout is not None
    address = urlsplit((await parent.stdout.readline()).decode().strip())
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    parent.send_signal(end)
    # A connection that is quiet ends when the child does, and long before its own deadline.
    async with asyncio.timeout(10):
        assert await reader.read() == b""
    writer.close()
    await parent.communicate()
    with pytest.raises(OSError, match=r"."):
        await asyncio.open_connection(address.hostname, address.port)


async def test_ctrl_c_reaches_the_parent_alone() -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, stdout=asyncio.subprocess.PIPE, start_new_session=True
    )
    assert parent.stdout is not None
    url = (await parent.stdout.readline()).decode().strip()
    os.killpg(parent.pid, signal.SIGINT)  # what a terminal does
    assert await parent.stdout.readline() == b"still here\n"
    assert await get(url) == 200
    parent.kill()
    await parent.communicate()


@pytest.mark.parametrize(
    ("code", "problem"),
    [
        ("", "ended, or said something else"),
        ("print('Traceback')", "ended, or said something else"),
        ("import sys; sys.stdin.read()", "within 0.5 s"),
        ("import sys; print('x' * 200_000); sys.stdin.read()", "within 0.5 s"),
    ],
)
async def test_a_child_that_tells_no_address_is_an_error_and_is_gone(code: str, problem: str) -> None:
    with pytest.raises(SourceError, match=problem):
        async with embedded(_command=[sys.executable, "-c", code], _start_s=0.5):
            pytest.fail("there is no server")


async def test_a_child_that_hangs_is_stopped_all_the_same() -> None:
    code = "import time; print('http://127.0.0.1:9', flush=True); time.sleep(1000)"
    async with asyncio.timeout(5):
        async with embedded(_command=[sys.executable, "-c", code]) as url:
            assert url == "http://127.0.0.1:9"


async def test_a_child_that_cannot_be_started_is_an_error() -> None:
    with pytest.raises(SourceError, match="cannot be started: No such file"):
        async with embedded(_command=["/nowhere/python"]):
            pytest.fail("there is no server")
