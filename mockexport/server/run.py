"""The running of the server: sockets, deadlines, start and stop; for the command line, for tests, for users' tests.

Rules: whatever is started here is stopped here, also when cancelled: sockets are closed, rows in the making dropped.
A server binds the local machine's own address unless told otherwise, and then says so.
"""

import asyncio
import errno
import ipaddress
import logging
import os
import sys
import threading
from collections.abc import Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypedDict

from aiohttp import web

from mockexport.access import own_names
from mockexport.errors import OptionError, ServerNotRunning
from mockexport.formats.schema import Schema
from mockexport.server.app import FHIR_JOBS, STALL_S, create_app
from mockexport.server.connection import HEAD_LIMIT_BYTES, IDLE_S, LINGER_S, Connection
from mockexport.server.faults import Faults, FaultsLike
from mockexport.server.recording import RecordedRequest
from mockexport.server.replying import SENDING
from mockexport.server.tables import Tables, table_exports
from mockexport.server.tls import ServerTls, Tls, server_tls

__all__ = ["MockServer", "ServerOptions", "serve", "stdin_closed"]

logger: logging.Logger = logging.getLogger("mockexport.server")

# How long aiohttp may wait for handlers at the end. They are cancelled before, so it is not needed; zero would mean
# for ever.
SHUTDOWN_S = 10.0
# The turns of the event loop from an accepted socket to a connection with a transport: its task, then the call.
ACCEPT_TURNS = 3
# How often to say that no more connections can be taken.
TELL_EVERY_S = 60.0


class ServerOptions(TypedDict, total=False):
    """What `MockServer` takes, by name, for those who pass it on."""

    host: str
    port: int
    data: str | Path | None
    exports: Tables | None
    schema: Schema | None
    idle_s: float
    stall_s: float
    faults: FaultsLike
    seed: int
    host_names: Iterable[str]
    token: str | None
    tls: Tls
    fhir_client: tuple[str, dict[str, Any]] | None
    record: bool


class MockServer:
    """An export server inside the running event loop, from `async with` to its end.

        async with MockServer() as server:
            ...  # ask server.url + "/api/export"

    Args:
        host: the address to listen at; others than the machine's own are logged as a warning.
        port: 0 takes a free one, which `url` then tells.
        data: a folder of files to serve (see `create_app`) instead of the generated exports.
        exports: tables of your own to serve, by the names of exports: for each a folder, or a file, or several. What
            the API announces of them is found by reading them at the start.
        schema: how the tables of `exports` are described, where they are not as the API has them.
        idle_s: seconds in which a connection must bring a request's whole head.
        stall_s: seconds after which a client that takes no more bytes is dropped.
        faults: what goes wrong (see docs/reference/mock-server.md): a kind and its probability each for data requests,
            as a mapping or as text like `reset=0.2,cut=0.1`; a script, as its entries, such as
            `[{"download": 2, "kind": "cut", "at": 4096}]`, or as the path of a TOML file.
        seed: of the probabilities; the same seed brings the same faults.
        host_names: what clients may call the server in `Host`, beside `localhost`, `host`, loopback addresses and the
            address that they have connected to; all else is refused, as pages from other origins are.
        token: the bearer token that every request must bring; None lets all in.
        tls: True for https, with keys made for the run (`ca_file` is what a client is to trust); a folder, made if need
            be, to keep them in; or an `ssl.SSLContext` of your own. What makes keys is the extra mockexport[tls], or
            the machine's openssl.
        fhir_client: who may use /fhir (see `create_app`).
        record: keep what was asked for in `requests`, in the order in which it came.

    Raises (at the start):
        FolderError: `data` is no folder of exports, or one of `exports` no tables.
        OptionError: the host or port cannot be listened at, `token` is none, `faults` mean none, or nothing makes keys.
    """

    def __init__(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        data: str | Path | None = None,
        exports: Tables | None = None,
        schema: Schema | None = None,
        idle_s: float = IDLE_S,
        stall_s: float = STALL_S,
        faults: FaultsLike = None,
        seed: int = 0,
        host_names: Iterable[str] = (),
        token: str | None = None,
        tls: Tls = False,
        fhir_client: tuple[str, dict[str, Any]] | None = None,
        record: bool = True,
    ) -> None:
        self.host = host
        self.port = port
        self._data = None if data is None else Path(data)
        self._exports = exports
        self._schema = schema
        self._token = token
        self._tls_wanted = tls
        self._tls: ServerTls | None = None
        self._fhir_client = fhir_client
        self._record = record
        self._names: frozenset[str] = own_names(host, host_names)
        self._idle_s = idle_s
        self._stall_s = stall_s
        self.faults: Faults = Faults.of(faults, seed=seed)
        self.requests: list[RecordedRequest] = []
        self._runner: web.AppRunner | None = None
        self._listener: asyncio.Server | None = None
        self._ending = AsyncExitStack()

    @property
    def url(self) -> str:
        """The server's address, without a slash at the end: `http://127.0.0.1:8000`.

        Raises:
            ServerNotRunning: before its start or after its end.
        """
        if self._listener is None:
            raise ServerNotRunning
        address, port = self._listener.sockets[0].getsockname()[:2]
        ip = ipaddress.ip_address(address.partition("%")[0])
        if ip.is_unspecified:
            # All addresses are none that one could connect to everywhere; this is one of them.
            ip = ipaddress.ip_address("127.0.0.1" if ip.version == 4 else "::1")
        scheme = "http" if self._tls is None else "https"
        return f"{scheme}://[{ip}]:{port}" if ip.version == 6 else f"{scheme}://{ip}:{port}"

    @property
    def ca_file(self) -> Path | None:
        """The certificate of the authority that a client is to trust; None without TLS, or with keys of your own."""
        return None if self._tls is None else self._tls.ca_file

    @property
    def connections(self) -> int:
        """The number of clients connected now."""
        server = self._runner.server if self._runner else None
        return len(server.connections) if server else 0

    @property
    def fhir_jobs(self) -> int:
        """The number of jobs at /fhir that were begun and not ended by their clients."""
        return len(self._runner.app[FHIR_JOBS]) if self._runner else 0

    async def idle(self) -> None:
        """Wait until no download is being sent; what was asked for a moment ago may not have begun."""
        if self._runner is not None:
            await self._runner.app[SENDING].none()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            self._tls = stack.enter_context(server_tls(self._tls_wanted, self._names))
            app = create_app(
                data=self._data,
                tables=await table_exports(self._exports, self._schema) if self._exports else None,
                stall_s=self._stall_s,
                faults=self.faults if self.faults else None,
                names=self._names,
                token=self._token,
                fhir_client=self._fhir_client,
                requests=self.requests if self._record else None,
            )
            self._runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S)
            stack.push_async_callback(self._runner.cleanup)
            await self._runner.setup()
            self._listener = await self._listen(self._runner)
            self._ending = stack.pop_all()
        for socket in self._listener.sockets:
            if not ipaddress.ip_address(socket.getsockname()[0].partition("%")[0]).is_loopback:
                logger.warning("listening at %s: other machines can read the exports", socket.getsockname()[0])
        return self

    async def _listen(self, runner: web.AppRunner) -> asyncio.Server:
        loop = asyncio.get_running_loop()

        def connection() -> Connection:
            if runner.server is None:
                raise ServerNotRunning
            return Connection(
                runner.server,
                loop=loop,
                access_log=None,  # type: ignore[arg-type]  # aiohttp's own way to have none
                logger=logger,
                keepalive_timeout=self._idle_s,
                lingering_time=LINGER_S,
                max_line_size=HEAD_LIMIT_BYTES,
                max_field_size=HEAD_LIMIT_BYTES,
            )

        try:
            if self._tls is None:
                return await loop.create_server(connection, self.host, self.port)
            return await loop.create_server(
                connection,
                self.host,
                self.port,
                ssl=self._tls.context,
                ssl_handshake_timeout=self._idle_s,
                ssl_shutdown_timeout=LINGER_S,
            )
        except (OSError, OverflowError, UnicodeError) as error:
            # asyncio names address and reason in the text, the system's word for it is in strerror.
            reason = getattr(error, "strerror", None) or str(error)
            raise OptionError(
                "host and port", f"cannot listen at {self.host}, port {self.port}: {reason}; choose another"
            ) from error

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            await _take_no_more(self._listener)
            self._listener.close()
        if self._runner is not None:
            server = self._runner.server
            for connection in server.connections if server else []:
                # A client in the middle of gigabytes is not waited for: its handler is cancelled when this is noticed.
                if connection.transport is not None:
                    connection.transport.abort()
        self._listener = self._runner = self._tls = None
        await self._ending.aclose()

    def __repr__(self) -> str:
        return f"<MockServer {self.url if self._listener else 'not running'}>"


async def _take_no_more(listener: asyncio.Server) -> None:
    """Let clients that were accepted a moment ago become connections: what is closed under them is never closed."""
    with suppress(NotImplementedError):  # Windows accepts in another way
        for socket in listener.sockets:
            asyncio.get_running_loop().remove_reader(socket.fileno())
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)


async def serve(
    server: MockServer,
    *,
    on_ready: Callable[[MockServer], object] | None = None,
    until: Awaitable[object] | None = None,
) -> None:
    """Run a server until cancelled, or until `until` is done.

    Args:
        server: it is started here.
        on_ready: called with the server once it listens.
        until: awaited while the server runs; its end is the server's.

    Raises:
        FolderError, OptionError: as `MockServer` at its start.
    """
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(_TellingOfLimits())
    try:
        async with server:
            if on_ready is not None:
                on_ready(server)
            await (until if until is not None else asyncio.Event().wait())
    finally:
        if before is not None:  # else ours stays: what waited for a descriptor may come back until the loop is closed
            loop.set_exception_handler(before)


class _TellingOfLimits:
    """An event loop's handler of what nobody awaits: a line where no connection can be taken, not a traceback each."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def __call__(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get("exception")
        # What waited a second for a descriptor finds the listening socket closed by now.
        if "_start_serving" in str(context.get("message")):
            return
        if not isinstance(error, OSError) or error.errno not in (errno.EMFILE, errno.ENFILE):
            loop.default_exception_handler(context)
        elif loop.time() >= self._next_s:
            self._next_s = loop.time() + TELL_EVERY_S
            logger.warning(
                "this machine lets the process open no more files and connections: clients wait; raise the limit"
                " (ulimit -n)"
            )


async def stdin_closed() -> None:
    """Wait until standard input is at its end, as it is when the process at its other end has gone.

    What comes before the end is read and dropped. If cancelled, a thread is left that reads on: it holds up nothing.
    """
    loop = asyncio.get_running_loop()
    closed = asyncio.Event()

    def watch() -> None:
        # A thread works for pipes, terminals, files and on every system, where an event loop's readers do not; it must
        # be a daemon's, as the interpreter waits for all others.
        # No standard input at all is a closed one, too.
        with suppress(OSError, ValueError):
            while sys.__stdin__ is not None and os.read(sys.__stdin__.fileno(), 4096):
                pass
        # The loop may be gone by now, and who waited with it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(closed.set)

    threading.Thread(target=watch, name="mockexport-stdin", daemon=True).start()
    await closed.wait()
