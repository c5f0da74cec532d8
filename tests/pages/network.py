"""Whom a page's reader meets: a mock server, one that speaks TLS under the house's own certificate, and a proxy.

All are real and listen on free local ports; `names` maps the addresses that the pages speak of to them.
"""

import asyncio
import ssl
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import mockexport

__all__ = ["network"]

# For `localhost` alone, and of no use anywhere else; made with `openssl req -x509 -newkey ec -pkeyopt
# ec_paramgen_curve:P-256 -nodes -days 36500 -subj /CN=localhost -addext subjectAltName=DNS:localhost`
CERTIFICATE = Path(__file__).parent / "localhost.pem"

LOCAL = "127.0.0.1:8000"
HOSPITAL = "exports.hospital.example"
PROXY = "proxy.hospital.example:3128"


@contextmanager
def network() -> Iterator[dict[str, str]]:
    """Run the servers in a thread until the end of the block, and give the names."""
    names: dict[str, str] = {}
    ready, over = threading.Event(), threading.Event()

    async def run() -> None:
        async with mockexport.MockServer() as server:
            address = urlsplit(server.url).netloc
            host, port = address.split(":")
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERTIFICATE)
            secure = await asyncio.start_server(_to(host, int(port)), "127.0.0.1", 0, ssl=context)
            proxy = await asyncio.start_server(_proxy, "127.0.0.1", 0)
            names.update(
                {
                    LOCAL: address,
                    HOSPITAL: f"localhost:{secure.sockets[0].getsockname()[1]}",
                    PROXY: f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}",
                }
            )
            ready.set()
            await asyncio.to_thread(over.wait)
            for listening in (secure, proxy):
                listening.close()

    thread = threading.Thread(target=asyncio.run, args=(run(),))
    thread.start()
    try:
        assert ready.wait(20)
        yield names
    finally:
        over.set()
        thread.join()


def _to(host: str, port: int) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]:
    async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await _join(reader, writer, host, port)

    return forward


async def _proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer CONNECT (RFC 9110, section 9.3.6), which is how https goes through a proxy."""
    head = (await reader.readuntil(b"\r\n\r\n")).decode()
    method, target, _ = head.split(" ", 2)
    assert method == "CONNECT", head
    host, _, port = target.rpartition(":")
    writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
    await _join(reader, writer, host, int(port))


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int) -> None:
    there, back = await asyncio.open_connection(host, port)
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(_pump(reader, back))
        tasks.create_task(_pump(there, writer))


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.close()
