"""The service on a real socket inside the test's own event loop, so that a test sees both sides."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import uvicorn

from mockexport.ingest.accepting import PromptServer
from mockexport.ingest.application import Service, create_app
from mockexport.ingest.settings import Settings
from mockexport.ingest.wire import DeadlineProtocol

__all__ = ["POST", "POST_BATCH", "Client", "reading", "serving"]

# How the head of a raw request begins that may come in: what frames its body follows.
_HEAD = b"HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
POST: bytes = b"POST /metrics/heart-rate " + _HEAD
POST_BATCH: bytes = b"POST /metrics/heart-rate/batch " + _HEAD


class Client:
    """The endpoints by name; every method returns (status, document)."""

    def __init__(self, session: aiohttp.ClientSession, url: str, app: Service) -> None:
        self.session, self.url, self.app = session, url, app

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    async def ask(self, method: str, path: str, **arguments: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, **arguments) as reply:
            assert reply.content_type == "application/json", await reply.text()
            return reply.status, await reply.json()

    async def post(self, document: object) -> tuple[int, Any]:
        return await self.ask("POST", "/metrics/heart-rate", json=document)

    async def post_raw(self, body: bytes | str, path: str = "/metrics/heart-rate") -> tuple[int, Any]:
        data = io.BytesIO(body if isinstance(body, bytes) else body.encode())
        return await self.ask("POST", path, data=data, headers={"content-type": "application/json"})

    async def batch(self, documents: list[Any]) -> tuple[int, Any]:
        return await self.post_raw(json.dumps({"readings": documents}), "/metrics/heart-rate/batch")

    async def get(self, **query: str) -> tuple[int, Any]:
        return await self.ask("GET", "/metrics/heart-rate", params=query)

    async def day(self, user: str = "user_123", **query: str) -> tuple[int, Any]:
        span = {"start": "2024-01-15T00:00:00Z", "end": "2024-01-15T23:59:59.999999Z"}
        return await self.get(user_id=user, **span, **query)


def reading(**changes: object) -> dict[str, object]:
    """Return the contract's example, changed; None takes a field away."""
    document = {
        "device_id": "device_a",
        "user_id": "user_123",
        "timestamp": "2024-01-15T10:00:00Z",
        "heart_rate": 75,
    } | changes
    return {name: value for name, value in document.items() if value is not ...}


@asynccontextmanager
async def serving(
    folder: Path, *, protocol: type[DeadlineProtocol] = DeadlineProtocol, app: Service | None = None, **settings: Any
) -> AsyncIterator[Client]:
    """Serve a data folder on a free port until the block ends."""
    app = create_app(Settings(data=folder / "data", **settings)) if app is None else app
    config = uvicorn.Config(
        app,
        port=0,
        http=protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        timeout_graceful_shutdown=5,
    )
    server = PromptServer(config)
    # The test's own signal handling stays.
    server.capture_signals = _nothing  # type: ignore[method-assign]
    task = asyncio.create_task(server.serve())
    while not server.started:
        if task.done():
            task.result()
            raise RuntimeError("the server did not start")
        await asyncio.sleep(0.001)
    port = server.servers[0].sockets[0].getsockname()[1]
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
        try:
            yield Client(session, f"http://127.0.0.1:{port}", app)
        finally:
            await session.close()
            server.should_exit = True
            await task


def _nothing():  # type: ignore[no-untyped-def]
    from contextlib import nullcontext

    return nullcontext()
