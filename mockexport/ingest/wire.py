"""Connections against clients that are slow, silent, endless or many. uvicorn alone waits for half a request for ever.

A subclass of uvicorn's httptools protocol keeps one deadline per connection, moved by what happens on it; one sweep a
second, shared by all connections of a loop, aborts those that are past theirs. No timer per request, so the fast path
pays an addition.

    connected, or the next request begun      its head must be whole within HEAD_TIMEOUT_S, and within HEAD_BYTES
    head whole                                its body within BODY_TIMEOUT_S
    request whole                             no deadline: the application is at work
    the client does not take the reply        it must take something within WRITE_TIMEOUT_S
    reply sent                                uvicorn's own timeout for idle connections
"""

import asyncio
import os
import socket
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import Server, ServerState

__all__ = ["DeadlineProtocol", "PromptServer", "install"]

HEAD_TIMEOUT_S = 10.0
# Longer than the application's own limit (see `bodies`), which answers 408; this one only ends what is left.
BODY_TIMEOUT_S = 20.0
WRITE_TIMEOUT_S = 30.0
# Method, URL and headers together; the longest sensible URL here has two ids and two times.
HEAD_BYTES = 64 << 10
# More connections than this get 503 at once. A connection costs some 10 KiB and a file descriptor.
MAX_CONNECTIONS = 4_000
_SWEEP_S = 1.0
# Connections that one turn of the event loop takes up. libuv, under uvloop, takes one per listening handle and turn:
# with turns of forty milliseconds the last of some hundred clients would wait for seconds without having been heard.
ACCEPTED_IN_A_TURN = 32


def _last_words(status: str, detail: str) -> bytes:
    """Return a whole reply after which the connection is closed: said where no application is involved."""
    body = f'{{"detail":"{detail}"}}'
    return (
        f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n"
        f"retry-after: 1\r\nconnection: close\r\n\r\n{body}"
    ).encode("ascii")


_REFUSAL = _last_words("503 Service Unavailable", "overloaded: too many connections")
_STOPPING = _last_words("503 Service Unavailable", "the service is stopping; try again later")
_TOO_LONG = _last_words("431 Request Header Fields Too Large", "the head of the request is too long")


class _Sweep:
    """Aborts what is past its deadline; runs only while there are connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[DeadlineProtocol] = set()
        self._running = False

    def __len__(self) -> int:
        return len(self._watched)

    def add(self, connection: "DeadlineProtocol") -> None:
        self._watched.add(connection)
        if not self._running:
            self._running = True
            self._loop.call_later(_SWEEP_S, self._sweep)

    def discard(self, connection: "DeadlineProtocol") -> None:
        self._watched.discard(connection)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in [each for each in self._watched if each.deadline < now]:
            connection.transport.abort()
        self._running = bool(self._watched)
        if self._running:
            self._loop.call_later(_SWEEP_S, self._sweep)


_sweeps: "WeakKeyDictionary[asyncio.AbstractEventLoop, _Sweep]" = WeakKeyDictionary()
_NEVER = float("inf")


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines, a bound on heads and connections, and no access log (URLs hold user ids)."""

    head_timeout_s = HEAD_TIMEOUT_S
    body_timeout_s = BODY_TIMEOUT_S
    write_timeout_s = WRITE_TIMEOUT_S

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        self.deadline: float = _NEVER
        self.access_log = False
        self.ws_protocol_class: None = None
        self._head_bytes = 0
        self._in_head = True
        self._resting = _NEVER
        sweep = _sweeps.get(self.loop)
        if sweep is None:
            sweep = _sweeps[self.loop] = _Sweep(self.loop)
        self._sweep = sweep

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if len(self._sweep) >= MAX_CONNECTIONS:
            transport.write(_REFUSAL)
            transport.close()
            return
        self.deadline = self.loop.time() + self.head_timeout_s
        self._sweep.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweep.discard(self)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._head_bytes == 0:
                self.deadline = self.loop.time() + self.head_timeout_s
            self._head_bytes += len(data)
        super().data_received(data)
        # Judged after parsing: a body that came along with its head is no part of it.
        if self._in_head and self._head_bytes > HEAD_BYTES and not self.transport.is_closing():
            self.transport.write(_TOO_LONG)
            self.transport.close()

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._head_bytes = 0
        self.deadline = self.loop.time() + self.body_timeout_s
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._in_head = True
        self.deadline = _NEVER
        super().on_message_complete()

    def shutdown(self) -> None:
        if self._half_request() and not self.transport.is_closing():
            # The rest of it is not waited for.
            self.transport.write(_STOPPING)
            self.transport.close()
        else:
            super().shutdown()

    def _half_request(self) -> bool:
        """Tell whether the next thing to say is an answer to a request that is not whole."""
        cycle = self.cycle
        if self._in_head:
            return self._head_bytes > 0 and (cycle is None or cycle.response_complete)
        return not cycle.response_started and not self.pipeline

    def pause_writing(self) -> None:
        self._resting, self.deadline = self.deadline, self.loop.time() + self.write_timeout_s
        super().pause_writing()

    def resume_writing(self) -> None:
        self.deadline = self._resting
        super().resume_writing()


class PromptServer(Server):
    """uvicorn's server, with many handles on each listening socket: a busy loop keeps no client waiting outside."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and then listen with more handles."""
        await super().startup(sockets)
        loop = asyncio.get_running_loop()

        def connection(_loop: asyncio.AbstractEventLoop | None = None) -> asyncio.Protocol:
            return self.config.http_protocol_class(  # type: ignore[call-arg]
                config=self.config, server_state=self.server_state, app_state=self.lifespan.state, _loop=_loop
            )

        for listener in [listener for server in self.servers for listener in server.sockets]:
            for _ in range(ACCEPTED_IN_A_TURN - 1):
                handle = socket.socket(fileno=os.dup(listener.fileno()))
                self.servers.append(await loop.create_server(connection, sock=handle, backlog=self.config.backlog))


def install(receive: object) -> bool:
    """Put the deadlines into a uvicorn that was started without them, as `uvicorn mockexport.ingest:app` is.

    The protocol's class belongs to the server's configuration and is looked up for every new connection; an application
    meets its server once before the first of them, in the lifespan, whose `receive` is a method of the server's.

    Returns:
        Whether they are in place now; False under any other server.
    """
    config = getattr(getattr(receive, "__self__", None), "config", None)
    if not isinstance(config, Config):
        return False
    if not issubclass(config.http_protocol_class, DeadlineProtocol):
        config.http_protocol_class = DeadlineProtocol
    return True
