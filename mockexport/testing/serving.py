"""The mock server beside a test: in a thread and an event loop of its own, so that any test can ask it."""

import asyncio
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from typing import Unpack

from mockexport.server.run import MockServer, ServerOptions

__all__ = ["mock_server"]


def _new_loop() -> asyncio.AbstractEventLoop:
    if sys.platform == "win32":
        return asyncio.ProactorEventLoop()
    return asyncio.SelectorEventLoop()


@contextmanager
def mock_server(**options: Unpack[ServerOptions]) -> Iterator[MockServer]:
    """Run the mock server for as long as the block lasts, by default on a free port of this machine.

    What it yields is the running `MockServer`: its `url`, its `ca_file` with TLS, the `requests` that have come.

    Args:
        options: what `MockServer` takes, by name.

    Raises:
        FolderError, OptionError, OutputError: as `MockServer` does at its start.
    """
    server = MockServer(**options)
    started: Future[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with server:
            started.set_result((asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            # Of our own choice: the test's event loop policy is about the test's loops.
            with asyncio.Runner(loop_factory=_new_loop) as runner:
                runner.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="mockexport-server", daemon=True)
    thread.start()
    loop, stop = started.result()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
