"""An export server that is not ours: raw asyncio, chunked encoding in odd pieces, no Range, ETag or Content-Length.

It speaks the contract and nothing beyond it, and can be told to misbehave per request, by path.
"""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

__all__ = ["ForeignServer", "foreign_server"]

# What to send for a request of a path, by how often the path was asked for (from 1); None for what is normal.
Answer = Callable[[int], bytes | None]


@dataclass
class ForeignServer:
    """Its exports as {export id: {download id: (metadata, body)}}, and what to answer out of turn."""

    exports: dict[str, dict[str, tuple[dict[str, Any], bytes]]]
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: Counter[str] = field(default_factory=Counter)
    heads: list[str] = field(default_factory=list)
    piece: int = 997
    url: str = ""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                text = head.decode()
                path = text.split(" ", 2)[1]
                self.asked[path] += 1
                self.heads.append(text)
                answer = self.answers.get(path)
                out_of_turn = None if answer is None else answer(self.asked[path])
                if out_of_turn is not None:
                    writer.write(out_of_turn)
                    await writer.drain()
                    break
                await self._answer(path, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, path: str, writer: asyncio.StreamWriter) -> None:
        match path.split("/")[1:]:
            case ["api", "export"]:
                self._json(writer, {"data": {"export_ids": list(self.exports), "more": 1}})
            case ["api", "export", export_id] if export_id in self.exports:
                ids = list(reversed(self.exports[export_id]))
                self._json(writer, {"data": {"id": export_id, "download_ids": [*ids, *ids[:1]]}, "version": "9"})
            case ["api", "export", export_id, download_id]:
                self._json(writer, {"data": self.exports[export_id][download_id][0] | {"colour": ["red"]}})
            case ["api", "export", export_id, download_id, "data"]:
                body = self.exports[export_id][download_id][1]
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/csv\r\nTransfer-Encoding: chunked\r\n\r\n")
                for start in range(0, len(body), self.piece):
                    piece = body[start : start + self.piece]
                    writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
                    await writer.drain()
                writer.write(b"0\r\n\r\n")
            case _:
                self._json(writer, {"detail": "Export not found"}, status="404 Not Found")

    def _json(self, writer: asyncio.StreamWriter, data: object, *, status: str = "200 OK") -> None:
        body = json.dumps(data).encode()
        writer.write(b"HTTP/1.1 %s\r\nTransfer-Encoding: chunked\r\n\r\n" % status.encode())
        writer.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))


@asynccontextmanager
async def foreign_server(server: ForeignServer) -> AsyncIterator[ForeignServer]:
    """Serve on a free local port until the end of the block."""
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
