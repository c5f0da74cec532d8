"""Cuts a byte stream, arriving in pieces that end where they like, into chunks of whole rows.

It looks for line ends and nothing else: what a row says is the decoder's business. A row may not hold a line break, so
every `\\n` ends one. Chunks do not depend on the pieces.

A span owns the rows whose first byte lies in it. One that does not begin with the download is read from the byte before
it: the row that this byte belongs to is another span's. It ends with the first row end at or after its own last byte.

Bytes are received into a buffer, and its chunk is a view of it: nothing is copied but the beginning of the row that the
buffer's end cuts, which is where the next buffer begins.
"""

from collections.abc import Iterator
from dataclasses import replace

from mockexport.model import Chunk, Span

__all__ = ["MAX_ROW_BYTES", "Cutter"]

# A longer row is a bad row; of one that is longer than a buffer, too, no more than this (and a little) is ever held.
MAX_ROW_BYTES = 64 * 1024
# Beyond that, so much of an overlong row is passed on that the decoder sees that it is one, a final "\r" taken off.
_KEPT_BEYOND = 2
_NOWHERE = memoryview(b"")


class Cutter:
    """Cuts the bytes of one span, by way of buffers of any size; a row that is longer than one is a chunk of its own.

    Give it a buffer with `fill`, receive bytes into `room`, and say with `took` how many. A chunk whose data is a view
    takes the buffer with it: `buffer` is None then, and the next one is to be given before more is received.

    Args:
        span: what of the download it is.
        chunk_bytes: the size of the buffers that `feed` makes; others may have any.
        offset, line: where the stream begins: 0 and 1, or wherever a saved state ends; the byte before the span
            (Span.read_from), where rows are still to be found.
        max_row_bytes: how long a row may be; of a longer one little more than that is passed on.
    """

    def __init__(
        self,
        span: Span,
        chunk_bytes: int = MAX_ROW_BYTES,
        *,
        offset: int = 0,
        line: int = 1,
        max_row_bytes: int = MAX_ROW_BYTES,
    ) -> None:
        self._span = span
        self._chunk_bytes = chunk_bytes
        self._kept_of_overlong = max_row_bytes + _KEPT_BEYOND
        self.received: int = 0  # bytes so far
        self.done: bool = span.end is not None and offset >= span.end  # nothing more of the stream belongs to the span
        self.end: int | None = span.end
        self.at: int = offset  # the download's byte that follows those received
        self.begin: int = span.start  # of the span's first row, as far as it is known
        self.offset: int = offset  # the download's byte that follows the chunks so far
        self.line: int = line  # the number of the line that follows the chunks of `feed` so far
        self.buffer: bytearray | None = None
        self._view = _NOWHERE
        self._start = self._stop = 0  # what has been received into the buffer and is in no chunk
        self._seeking = offset < span.start  # the line end before the span's first row
        self._carried = b""  # the beginning of the row that the last buffer cut
        self._is_long = False  # the row at hand is longer than a buffer
        self._long = bytearray()  # what has been kept of it before this buffer
        self._dropped = 0  # its bytes, after those, that are gone

    @property
    def room(self) -> memoryview:
        """Where the next bytes are to be put; empty without a buffer."""
        return self._view[self._stop :]

    def fill(self, buffer: bytearray) -> None:
        """Go on in this buffer, which is at least as long as the last one."""
        size = len(self._carried)
        self.buffer, self._view = buffer, memoryview(buffer)
        self._view[:size] = self._carried
        self._start, self._stop, self._carried = 0, size, b""

    def let_go(self) -> None:
        """Forget the buffer, and what it holds."""
        self.buffer, self._view = None, _NOWHERE
        self._start = self._stop = 0

    def end_at(self, end: int) -> None:
        """Let the span end here, of which nothing has been received."""
        if end <= self.at:
            raise ValueError("the bytes up to there are in chunks already")
        self.end = end

    def took(self, size: int) -> list[Chunk]:
        """Take note that `size` bytes came into `room`; return the chunks that are whole, without a line number."""
        buffer = self.buffer
        assert buffer is not None  # noqa: S101 - there was room in it
        self.received += size
        if self.end is not None or self._seeking:
            size = self._within(buffer, size)
        before, self._stop = self._stop, self._stop + size
        self.at += size
        chunks = []
        if self._is_long and (found := buffer.find(b"\n", before, self._stop)) >= 0:
            self._lengthen(found)
            self._long += b"\n"
            self._start = found + 1
            chunks.append(self._long_row())
        if self._stop == len(buffer):
            end = buffer.rfind(b"\n", self._start) + 1
            if end:
                self._carried = bytes(self._view[end:])
                chunks.append(self._cut(end))
            elif self._start < self._stop or self._is_long:
                self._lengthen(self._stop)
                self._is_long = True
                self._start = self._stop = 0
            else:
                self._start = self._stop = 0
        return chunks

    def rest(self) -> list[Chunk]:
        """Return the chunk that is left when the stream has ended; its last row needs no line end."""
        if self._is_long:
            self._lengthen(self._stop)
            self._start = self._stop
            return [self._long_row()]
        if self._start < self._stop:
            return [self._cut(self._stop)]
        if self._carried:
            carried, self._carried = self._carried, b""
            return [self._chunk(carried, len(carried))]
        return []

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """Take the stream's next bytes, for those who have no buffers: chunks have bytes and line numbers of their own.

        Exhaust it before feeding again, and `finish` at the end.
        """
        at, size = 0, len(piece)
        while at < size and not self.done:
            if self.buffer is None:
                self.fill(bytearray(self._chunk_bytes))
            taken = min(len(self._view) - self._stop, size - at)
            self._view[self._stop : self._stop + taken] = piece[at : at + taken]
            at += taken
            if chunks := self.took(taken):
                yield from self._numbered(chunks)
        self.received += size - at

    def finish(self) -> Iterator[Chunk]:
        """Yield the chunk that is left of what was fed."""
        yield from self._numbered(self.rest())

    def _numbered(self, chunks: list[Chunk]) -> Iterator[Chunk]:
        for chunk in chunks:
            data = bytes(chunk.data)
            yield replace(chunk, data=data, line=self.line)
            self.line += data.count(b"\n")

    def _within(self, buffer: bytearray, size: int) -> int:
        """Return how many of the next bytes belong to the span's rows, or are passed over before those."""
        if self.done:
            return 0
        begin, stop = self._stop, self._stop + size
        if self.end is not None and (found := buffer.find(b"\n", begin + max(0, self.end - 1 - self.at), stop)) >= 0:
            stop = found + 1
            self.done = True
        if self._seeking:
            found = buffer.find(b"\n", begin, stop) + 1
            self._seeking = not found
            self._start = found or stop
            self.begin = self.offset = self.at + self._start - begin
            if self.end is not None and self.begin >= self.end:
                # One row, or what is left of it, fills the span: it is another's, and nothing is this one's own.
                self.done, stop = True, self._start
        return stop - begin

    def _lengthen(self, stop: int) -> None:
        """Add what the buffer holds up to there to the overlong row, as far as that is of use."""
        kept = min(stop - self._start, self._kept_of_overlong - len(self._long))
        self._long += self._view[self._start : self._start + kept]
        self._dropped += stop - self._start - kept

    def _long_row(self) -> Chunk:
        row, dropped = bytes(self._long), self._dropped
        self._is_long, self._long, self._dropped = False, bytearray(), 0
        return self._chunk(row, len(row) + dropped)

    def _cut(self, end: int) -> Chunk:
        data = self._view[self._start : end]
        self.let_go()
        return self._chunk(data, len(data))

    def _chunk(self, data: bytes | memoryview, size: int) -> Chunk:
        chunk = Chunk(self._span, data, self.offset, self.offset + size, 0)
        self.offset = chunk.end
        return chunk
