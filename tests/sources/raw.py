"""A server that sends, byte for byte, what a test says, and keeps what it was asked."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

__all__ = ["RESET", "RawServer", "raw_server"]

# At the end of an answer: break the connection instead of closing it.
RESET = b"\0reset\0"


@dataclass
class RawServer:
    """`answer` is given the request's path, its head, and how often the path was asked for, from 1."""

    answer: Callable[[str, str, int], bytes]
    heads: list[str] = field(default_factory=list)
    asked: dict[str, int] = field(default_factory=dict)
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ", 2)[1]
            self.heads.append(head)
            self.asked[path] = self.asked.get(path, 0) + 1
            data = self.answer(path, head, self.asked[path])
            writer.write(data.removesuffix(RESET))
            await writer.drain()
            if data.endswith(RESET):
                raw = writer.get_extra_info("socket")
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def raw_server(answer: Callable[[str, str, int], bytes]) -> AsyncIterator[RawServer]:
    """Serve on a free local port until the end of the block."""
    server = RawServer(answer)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        yield server
