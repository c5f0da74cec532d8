"""Does to a request what `faults` has decided, with bytes of its own: aiohttp is too well-behaved to lie.

Rules: what is sent is written straight to the connection, which then ends, cleanly or not as the fault wants. Rows are
made and files are read in worker threads, as without faults. No fault outlives its client.
"""

import asyncio
import socket
import struct
import time
import zlib
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from email.utils import formatdate
from http import HTTPStatus
from typing import NoReturn

from aiohttp import hdrs, web

from mockexport.server.catalogue import Offer, StoredFile
from mockexport.server.delivery import FileChanged, next_piece, open_file
from mockexport.server.editing import edited
from mockexport.server.faults import Faults
from mockexport.server.generation import rows_of
from mockexport.server.kinds import EDITS, Fault
from mockexport.server.recording import RecordedRequest

__all__ = ["RightReply", "misbehave"]

PIECE_BYTES = 64 * 1024
# A stalled connection ends with its client, or at last like this.
HOLD_S = 3600.0
_LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Please log in.</body></html>\n"


@dataclass(frozen=True, slots=True)
class RightReply:
    """What a request would get: a status, the head's fields but the framing, the bytes [first, first + count)."""

    status: int
    fields: Mapping[str, str]
    body: Offer | bytes
    first: int
    count: int

    @property
    def length(self) -> int:
        """The bytes of the whole body."""
        return len(self.body) if isinstance(self.body, bytes) else self.body.length


class _Connection:
    """A client's connection, written to without anybody's help."""

    def __init__(self, request: web.Request, record: RecordedRequest) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        self._request = request
        self._record = record
        self._transport = request.transport

    async def head(self, status: int, fields: Mapping[str, str], *, drip_s: float = 0.0, step: int = 1) -> None:
        self._record.status = status
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in {*HTTPStatus} else 'Unusual'}",
            *(f"{name}: {text}" for name, text in fields.items()),
        ]
        data = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        step = step if drip_s else len(data)
        for at in range(0, len(data), step):
            await self._put(data[at : at + step])
            await asyncio.sleep(drip_s)

    async def write(self, data: bytes, *, chunked: bool = False) -> None:
        """Send bytes of the body, as a chunk if so said."""
        self._record.sent_bytes += len(data)
        await self._put(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)

    async def end_chunks(self) -> None:
        await self._put(b"0\r\n\r\n")

    async def _put(self, data: bytes) -> None:
        if self._transport.is_closing():
            raise ConnectionResetError("the client is gone")
        self._transport.write(data)
        await self._request.writer.drain()

    def end(self) -> NoReturn:
        """End the connection as if that were all."""
        self._transport.close()
        raise ConnectionResetError("the reply was all there was to be")

    def reset(self) -> NoReturn:
        """Break the connection."""
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            # Without lingering, close() sends RST instead of FIN.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()
        raise ConnectionResetError("a fault was asked for")


async def misbehave(
    request: web.Request,
    record: RecordedRequest,
    reply: RightReply,
    fault: Fault,
    faults: Faults,
    workers: Executor,
) -> NoReturn:
    """Send what the fault makes of the right reply.

    Raises:
        ConnectionResetError: always, but for:
        FileChanged: the file is not the one found at the start; the head may be out.
    """
    connection = _Connection(request, record)
    body, first, count, status = reply.body, reply.first, reply.count, reply.status
    last = first + count
    end = first + fault.byte(count, first)
    unframed: dict[str, str] = dict(reply.fields)
    fields = {**unframed, hdrs.CONTENT_LENGTH: str(count)}
    kind = "reset" if fault.prepares else fault.kind
    if kind == "cut-gzip" and "gzip" not in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
        kind = "cut"
    match kind:
        case "refuse":
            connection.reset()
        case "status":
            await _refuse(connection, fault)
        case "html":
            await connection.head(200, {hdrs.CONTENT_TYPE: "text/html", hdrs.CONTENT_LENGTH: str(len(_LOGIN_PAGE))})
            await connection.write(_LOGIN_PAGE)
        case "no-range":
            unframed.pop(hdrs.CONTENT_RANGE, None)
            await connection.head(200, {**unframed, hdrs.CONTENT_LENGTH: str(reply.length)})
            await _send(connection, body, 0, reply.length, workers)
        case "wrong-206":
            await connection.head(206, _wrong(fields, fault.variant, first, count, reply.length))
            await _send(connection, body, first, last, workers)
        case "cut-gzip":
            whole = b"".join([piece async for piece in _pieces(body, 0, reply.length, workers)])
            packed = await asyncio.get_running_loop().run_in_executor(workers, _cut_gzip, whole, fault)
            encoded: dict[str, str] = {
                hdrs.CONTENT_TYPE: fields[hdrs.CONTENT_TYPE],
                hdrs.CONTENT_ENCODING: "gzip",
                hdrs.CONTENT_LENGTH: str(len(packed)),
            }
            await connection.head(200, encoded)
            await connection.write(packed)
        case "cut-chunked" | "cut-close":
            chunked = kind == "cut-chunked"
            await connection.head(status, {**unframed, hdrs.TRANSFER_ENCODING: "chunked"} if chunked else unframed)
            await _send(connection, body, first, end, workers, chunked=chunked)
        case "slow-headers":
            drip_s = faults.drip_s if fault.seconds is None else fault.seconds
            await connection.head(status, fields, drip_s=drip_s, step=fault.step)
            await _send(connection, body, first, last, workers)
        case "short-length":
            await connection.head(status, {**unframed, hdrs.CONTENT_LENGTH: str(end - first)})
            await _send(connection, body, first, last, workers)
        case _ if kind in EDITS:
            # Other content, so no tag: nothing of it may be joined to the right one.
            await connection.head(
                200, {hdrs.CONTENT_TYPE: fields[hdrs.CONTENT_TYPE], hdrs.TRANSFER_ENCODING: "chunked"}
            )
            pieces = _pieces(body, 0, reply.length, workers)
            async for piece in edited(pieces, kind, fault.byte(reply.length)):
                await connection.write(piece, chunked=True)
            await connection.end_chunks()
        case _:  # reset, cut, stall, trickle, etag
            await connection.head(status, fields)
            await _send(connection, body, first, end, workers)
            if kind == "stall":
                await asyncio.sleep(HOLD_S if fault.seconds is None else fault.seconds)
                await _send(connection, body, end, last, workers)
            elif kind == "trickle":
                pause_s = faults.pause_s if fault.seconds is None else fault.seconds
                await _trickle(connection, body, end, last, workers, pause_s, fault.step)
            elif kind == "etag":
                faults.changes[record.download_id or ""] += 1
            if kind in ("reset", "etag"):
                connection.reset()
    connection.end()


async def _refuse(connection: _Connection, fault: Fault) -> None:
    retry_after = formatdate(time.time() + 1, usegmt=True) if fault.retry_after == "date" else fault.retry_after
    fields: dict[str, str] = {hdrs.CONTENT_LENGTH: "0"}
    if retry_after is not None:
        fields[hdrs.RETRY_AFTER] = retry_after
    await connection.head(fault.status, fields)


def _cut_gzip(whole: bytes, fault: Fault) -> bytes:
    """Return a gzip body that is cut: at a share of its own bytes, or after the download's byte that is named."""
    if fault.at_byte is None:
        packed = zlib.compress(whole, 1, wbits=31)
        return packed[: fault.byte(len(packed))]
    packer = zlib.compressobj(1, wbits=31)
    return packer.compress(whole[: fault.at_byte]) + packer.flush(zlib.Z_SYNC_FLUSH)


def _wrong(fields: Mapping[str, str], variant: str, first: int, count: int, length: int) -> dict[str, str]:
    """Return the fields of a part with one thing wrong about them."""
    wrong = {**fields}
    last = first + count - 1
    match variant:
        case "other-first":
            wrong[hdrs.CONTENT_RANGE] = f"bytes {first + 1}-{last + 1}/{length + 1}"
        case "other-total":
            wrong[hdrs.CONTENT_RANGE] = f"bytes {first}-{last}/{length + 1}"
        case "other-etag":
            wrong[hdrs.ETAG] = '"another"'
        case "no-content-range":
            del wrong[hdrs.CONTENT_RANGE]
        case "any-total":
            wrong[hdrs.CONTENT_RANGE] = f"bytes {first}-{last}/*"
        case "any-range":
            wrong[hdrs.CONTENT_RANGE] = f"bytes */{length}"
        case _:
            wrong[hdrs.CONTENT_TYPE] = "multipart/byteranges; boundary=x"
    return wrong


async def _send(
    connection: _Connection, body: Offer | bytes, first: int, end: int, workers: Executor, *, chunked: bool = False
) -> None:
    async for piece in _pieces(body, first, end - first, workers):
        await connection.write(piece, chunked=chunked)


async def _trickle(
    connection: _Connection,
    body: Offer | bytes,
    first: int,
    end: int,
    workers: Executor,
    pause_s: float,
    step: int,
) -> None:
    async for piece in _pieces(body, first, end - first, workers):
        for at in range(0, len(piece), step):
            await asyncio.sleep(pause_s)
            await connection.write(piece[at : at + step])


async def _pieces(body: Offer | bytes, first: int, count: int, workers: Executor) -> AsyncIterator[bytes]:
    """Yield the bytes [first, first + count) of a body."""
    if isinstance(body, bytes):
        yield body[first : first + count]
        return
    loop = asyncio.get_running_loop()
    if isinstance(body.content, StoredFile):
        with open_file(body, body.content) as file:
            file.seek(first)
            while count:
                piece = await loop.run_in_executor(workers, file.read, min(PIECE_BYTES, count))
                if not piece:
                    raise FileChanged
                count -= len(piece)
                yield piece
        return
    pieces = rows_of(body.content, start=first)
    while count:
        piece = (await loop.run_in_executor(workers, next_piece, pieces))[:count]
        count -= len(piece)
        if piece:
            yield piece
