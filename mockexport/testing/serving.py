"""The mock server beside a test: in a thread and an event loop of its own, so that any test can ask it."""

import asyncio
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from mockexport.server.faults import Faults
from mockexport.server.run import MockServer

__all__ = ["RunningServer", "mock_server"]


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A mock server that runs: its address, without a slash at the end, and its faults, whose `served` is their log."""

    url: str
    faults: Faults


@contextmanager
def mock_server(
    *,
    data: str | Path | None = None,
    faults: Faults | Mapping[str, float] | str | None = None,
    seed: int = 0,
    token: str | None = None,
) -> Iterator[RunningServer]:
    """Run the mock server on a free port of this machine for as long as the block lasts.

    Args:
        data: a folder of files to serve instead of the generated exports `demo`, `small` and `large`.
        faults: what goes wrong with data requests, such as `reset=0.2,cut=0.1` (see docs/reference/mock-server.md).
        seed: of the faults; the same seed brings the same ones.
        token: the bearer token that every request must bring; None lets all in.

    Raises:
        FolderError: `data` is no folder of exports.
        OptionError: `faults` mean none, or `token` is none.
    """
    server = MockServer(data=None if data is None else Path(data), faults=faults, seed=seed, token=token)
    started: Future[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = Future()

    async def serve() -> None:
        stop = asyncio.Event()
        async with server:
            started.set_result((server.url, asyncio.get_running_loop(), stop))
            await stop.wait()

    def run() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    thread = threading.Thread(target=run, name="mockexport-server", daemon=True)
    thread.start()
    url, loop, stop = started.result()
    try:
        yield RunningServer(url, server.faults)
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
