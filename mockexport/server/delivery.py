"""The sending of a download's bytes: generated on the way, or straight from a file, at the speed of the client.

Rules: no download is held in memory, and the event loop never waits for one: rows are made in worker threads, piece
by piece, files go out by `sendfile`. Every wait for the client has a deadline. Once a client is gone nothing more is
made for it: the handler is cancelled, and a thread then at work ends with the piece it has in hand.
"""

import asyncio
import os
import stat
from collections.abc import Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import BinaryIO

from aiohttp import web

from mockexport.server.catalogue import Offer, StoredFile
from mockexport.server.exports import GeneratedDownload
from mockexport.server.generation import rows_of
from mockexport.server.recording import RecordedRequest

__all__ = ["FileChanged", "Sending", "finish", "next_piece", "open_file", "send_file", "send_rows"]

# A file goes out in slices so that a deadline can tell a slow client from one that has stopped: at the default
# deadline a client must take some 17 KB/s.
SLICE_BYTES = 2**20

# A pipe put in a file's place would otherwise hold up the whole server while it is opened.
OPEN_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


class FileChanged(Exception):  # noqa: N818 - a state of the world, named as one
    """A file is no longer the one found when the server started; its length and tag would be lies."""


class Sending:
    """The downloads on their way: how many, and when there are none."""

    __slots__ = ("_none", "count")

    def __init__(self) -> None:
        self.count: int = 0
        self._none = asyncio.Event()
        self._none.set()

    @contextmanager
    def one(self) -> Iterator[None]:
        """Count one more until the end of the `with`."""
        self.count += 1
        self._none.clear()
        try:
            yield
        finally:
            self.count -= 1
            if not self.count:
                self._none.set()

    async def none(self) -> None:
        """Wait until there are none."""
        await self._none.wait()

    def __repr__(self) -> str:
        return f"<Sending {self.count}>"


async def send_rows(
    request: web.Request,
    record: RecordedRequest,
    response: web.StreamResponse,
    download: GeneratedDownload,
    *,
    first: int,
    count: int,
    workers: Executor,
    stall_s: float,
) -> None:
    """Generate and send the bytes [first, first + count) of `download`; `response` is prepared."""
    loop = asyncio.get_running_loop()
    pieces = rows_of(download, start=first)
    while count:
        piece = await loop.run_in_executor(workers, next_piece, pieces)
        if not piece:
            continue
        piece = piece[:count]
        record.sent_bytes += len(piece)
        async with asyncio.timeout(stall_s):
            await response.write(piece)
            await request.writer.drain()
        count -= len(piece)


def next_piece(pieces: Iterator[bytes]) -> bytes:
    """Return the next of the pieces; it is for a worker thread."""
    try:
        return next(pieces)
    except StopIteration:
        # It must not travel through a Future, and means that the table of lengths is not the generator's.
        raise RuntimeError("the download ended before its announced length") from None


async def send_file(
    request: web.Request, record: RecordedRequest, file: BinaryIO, *, first: int, count: int, stall_s: float
) -> None:
    """Send the bytes [first, first + count) of `file`; the response's head is out already."""
    loop = asyncio.get_running_loop()
    end = first + count
    while first < end:
        if request.transport is None:
            raise ConnectionResetError("the client is gone")
        size = min(SLICE_BYTES, end - first)
        record.sent_bytes += size  # before: the client may have them before we hear of it
        async with asyncio.timeout(stall_s):
            try:
                sent = await loop.sendfile(request.transport, file, first, size)
            except NotImplementedError:  # other event loops have none
                piece = await asyncio.to_thread(_read_at, file, first, size)
                request.transport.write(piece)
                await request.writer.drain()
                sent = len(piece)
        record.sent_bytes -= size - sent
        if not sent:
            # Cut short behind our back: the client sees fewer bytes than announced, which is the truth.
            raise ConnectionResetError("the file ended before its announced length")
        first += sent


async def finish(request: web.Request, response: web.StreamResponse, *, stall_s: float) -> None:
    """Send what is left of `response` and wait until the client's machine has room for all of it."""
    async with asyncio.timeout(stall_s):
        await response.prepare(request)
        await response.write_eof()
        await request.writer.drain()


def _read_at(file: BinaryIO, first: int, size: int) -> bytes:
    file.seek(first)
    return file.read(size)


@contextmanager
def open_file(offer: Offer, stored: StoredFile) -> Iterator[BinaryIO]:
    """Open a stored download, sure to be the file that was found at the start.

    Raises:
        FileChanged: it is not.
    """
    try:
        file = open(os.open(stored.path, OPEN_FLAGS), "rb")  # noqa: SIM115 - opening and reading fail differently
    except OSError as error:
        raise FileChanged from error
    with file:
        found = os.fstat(file.fileno())
        if not stat.S_ISREG(found.st_mode) or (found.st_size, found.st_mtime_ns) != (offer.length, stored.mtime_ns):
            raise FileChanged
        yield file
