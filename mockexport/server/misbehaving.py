"""Does to a data request what `faults` has drawn, with bytes of its own: aiohttp is too well-behaved to lie.

Rules: what is sent is written straight to the connection, which then ends, cleanly or not as the fault wants. Rows are
made and files are read in worker threads, as without faults. No fault outlives its client.
"""

import asyncio
import gzip
import random
import socket
import struct
import time
from collections.abc import AsyncIterator, Mapping
from concurrent.futures import Executor
from email.utils import formatdate
from http import HTTPStatus
from typing import NoReturn

from aiohttp import hdrs, web

from mockexport.server.catalogue import Offer, StoredFile
from mockexport.server.delivery import next_piece, open_file
from mockexport.server.faults import Fault, Faults
from mockexport.server.generation import rows_of

__all__ = ["misbehave"]

PIECE_BYTES = 64 * 1024
# A piece with more lines than these has rows enough to change one.
EDIT_LINES = 3
# A stalled connection ends with its client, or at last like this.
HOLD_S = 3600.0
_LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Please log in.</body></html>\n"
_EDITS = frozenset({"few-rows", "bad-row", "duplicate-row", "unordered-rows"})


class _Connection:
    """A client's connection, written to without anybody's help."""

    def __init__(self, request: web.Request) -> None:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        self._request = request
        self._transport = request.transport

    async def head(self, status: int, fields: Mapping[str, str], *, drip_s: float = 0.0) -> None:
        lines = [
            f"HTTP/1.1 {status} {HTTPStatus(status).phrase}",
            *(f"{name}: {text}" for name, text in fields.items()),
        ]
        data = "\r\n".join([*lines, "Connection: close", "", ""]).encode()
        step = 1 if drip_s else len(data)
        for at in range(0, len(data), step):
            await self.write(data[at : at + step])
            await asyncio.sleep(drip_s)

    async def write(self, data: bytes) -> None:
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
    offer: Offer,
    fault: Fault,
    faults: Faults,
    *,
    status: int,
    fields: Mapping[str, str],
    first: int,
    count: int,
    workers: Executor,
) -> NoReturn:
    """Send what the fault makes of the right reply: `status`, `fields`, the bytes [first, first + count).

    Raises:
        ConnectionResetError: always: the connection is at its end.
    """
    connection = _Connection(request)
    end = first + fault.byte(count)
    unframed: dict[str, str] = dict(fields)
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
            await connection.head(200, {**unframed, hdrs.CONTENT_LENGTH: str(offer.length)})
            await _send(connection, offer, 0, offer.length, workers)
        case "wrong-206":
            await connection.head(206, _wrong(fields, fault.variant, first, count, offer.length))
            await _send(connection, offer, first, first + count, workers)
        case "cut-gzip":
            whole = b"".join([piece async for piece in _pieces(offer, 0, offer.length, workers)])
            packed = await asyncio.get_running_loop().run_in_executor(workers, gzip.compress, whole, 1)
            packed = packed[: fault.byte(len(packed))]
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
            await _send(connection, offer, first, end, workers, chunked=chunked)
        case "slow-headers":
            await connection.head(status, fields, drip_s=faults.drip_s)
            await _send(connection, offer, first, first + count, workers)
        case _ if kind in _EDITS:
            # Other content, so no tag: nothing of it may be joined to the right one.
            await connection.head(
                200, {hdrs.CONTENT_TYPE: fields[hdrs.CONTENT_TYPE], hdrs.TRANSFER_ENCODING: "chunked"}
            )
            await _send(connection, offer, 0, offer.length, workers, chunked=True, edit=fault)
            await connection.write(b"0\r\n\r\n")
        case _:  # reset, cut, stall, trickle, etag
            await connection.head(status, fields)
            await _send(connection, offer, first, end, workers)
            if kind == "stall":
                await asyncio.sleep(HOLD_S)
            elif kind == "trickle":
                await _trickle(connection, offer, end, first + count, workers, faults.pause_s)
            elif kind == "etag":
                faults.changes[str(offer.metadata.id)] += 1
            if kind in ("reset", "etag"):
                connection.reset()
    connection.end()


async def _refuse(connection: _Connection, fault: Fault) -> None:
    retry_after = formatdate(time.time() + 1, usegmt=True) if fault.retry_after == "date" else fault.retry_after
    fields: dict[str, str] = {hdrs.CONTENT_LENGTH: "0"}
    if retry_after is not None:
        fields[hdrs.RETRY_AFTER] = retry_after
    await connection.head(fault.status, fields)


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
    connection: _Connection,
    offer: Offer,
    first: int,
    end: int,
    workers: Executor,
    *,
    chunked: bool = False,
    edit: Fault | None = None,
) -> None:
    async for piece in _pieces(offer, first, end - first, workers):
        if edit is not None and piece.count(b"\n") > EDIT_LINES:
            piece, edit = _edited(piece, edit), None  # one piece alone
        await connection.write(b"%x\r\n%s\r\n" % (len(piece), piece) if chunked else piece)


async def _trickle(
    connection: _Connection, offer: Offer, first: int, end: int, workers: Executor, pause_s: float
) -> None:
    async for piece in _pieces(offer, first, end - first, workers):
        for byte in piece:
            await asyncio.sleep(pause_s)
            await connection.write(bytes([byte]))


def _edited(piece: bytes, fault: Fault) -> bytes:
    """Return a piece of a body with some of its rows not as they were; its first line, maybe the header, stays."""
    header, *rows, rest = piece.split(b"\n")
    if len(rows) > 1:
        at = min(round(fault.at * len(rows)), len(rows) - 2)
        match fault.kind:
            case "few-rows":
                del rows[at]
            case "bad-row":
                rows[at] = rows[at].rpartition(b",")[0] + b",oops"
            case "duplicate-row":
                rows.insert(at, rows[at])
            case _:
                random.Random(fault.at).shuffle(rows)  # noqa: S311 - to be replayed
    return b"\n".join([header, *rows, rest])


async def _pieces(offer: Offer, first: int, count: int, workers: Executor) -> AsyncIterator[bytes]:
    """Yield the bytes [first, first + count) of a download."""
    loop = asyncio.get_running_loop()
    if isinstance(offer.content, StoredFile):
        with open_file(offer, offer.content) as file:
            file.seek(first)
            while count and (piece := await loop.run_in_executor(workers, file.read, min(PIECE_BYTES, count))):
                count -= len(piece)
                yield piece
        return
    pieces = rows_of(offer.content, start=first)
    while count:
        piece = (await loop.run_in_executor(workers, next_piece, pieces))[:count]
        count -= len(piece)
        if piece:
            yield piece
