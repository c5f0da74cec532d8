"""Cuts a byte stream, arriving in pieces that end where they like, into chunks of whole rows.

It looks for line ends and nothing else: what a row says is the decoder's business. A row may not hold a line break, so
every `\\n` ends one. Chunks do not depend on the pieces.

A span owns the rows whose first byte lies in it. One that does not begin with the download is read from the byte before
it: the row that this byte belongs to is another span's. It ends with the first row end at or after its own last byte.

Every byte is copied once, when its chunk is put together: pieces are kept as they came until then.
"""

from collections import deque
from collections.abc import Callable, Iterator

from mockexport.model import Chunk, Span

__all__ = ["MAX_ROW_BYTES", "Cutter"]

# A longer row is a bad row; of its bytes no more than this (and a little) is ever held.
MAX_ROW_BYTES = 64 * 1024
# Of an overlong row so much is passed on that the decoder sees that it is one, a final "\r" taken off.
_KEPT_OF_OVERLONG = MAX_ROW_BYTES + 2
# Shorter pieces are gathered as they come: an object for each would take more memory than its bytes.
_SMALL_PIECE_BYTES = 16 * 1024


class Cutter:
    """Turns the pieces of one span into chunks of about `chunk_bytes`, and of one row at the least.

    `offset` and `line` say where the stream begins: 0 and 1, or wherever a saved state ends; the byte before the span
    (Span.read_from), where rows are still to be found. `count_lines` returns the number of line ends in bytes: an
    engine may know a quicker way than ours.
    """

    def __init__(
        self,
        span: Span,
        chunk_bytes: int,
        *,
        offset: int = 0,
        line: int = 1,
        count_lines: Callable[[bytes], int] | None = None,
    ) -> None:
        self._span = span
        self._chunk_bytes = chunk_bytes
        self._count_lines = count_lines or _count_lines
        self.received: int = 0  # bytes so far
        self.done: bool = span.end is not None and offset >= span.end  # nothing more of the stream belongs to the span
        self.end: int | None = span.end
        self._at = offset  # of the next byte
        self._seeking = offset < span.start  # the line end before the span's first row
        self._held: deque[bytes | bytearray] = deque()
        self._begin = 0  # where in the first of them those held begin
        self._size = 0  # of all that is held
        self.begin: int = span.start  # of the span's first row, as far as it is known
        self._offset = offset  # of the first byte held
        self._line = line  # that begins there
        self._searched = 0  # up to here, nothing held is a line end
        self._skipping = False  # until the line end of an overlong row
        self._dropped = 0  # its bytes, after those held, that are gone

    @property
    def line(self) -> int:
        """The number of the line that follows the chunks so far."""
        return self._line

    @property
    def offset(self) -> int:
        """The download's byte that follows the chunks so far."""
        return self._offset

    @property
    def at(self) -> int:
        """The download's byte that follows those received."""
        return self._at

    def end_at(self, end: int) -> None:
        """Let the span end here, of which nothing has been received."""
        if end <= self._at:
            raise ValueError("the bytes up to there are in chunks already")
        self.end = end

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """Take the stream's next bytes; yield the chunks that are full. Exhaust it before feeding again."""
        self.received += len(piece)
        if self.end is not None or self._seeking:
            piece = self._within(piece)
        self._at += len(piece)
        if self._skipping:
            piece = self._skip(piece)
        self._hold(piece)
        while self._size >= self._chunk_bytes:
            end = self._last_line_end(self._chunk_bytes)
            if not end:  # one row fills the chunk: it ends with that row, wherever that is
                end = self._next_line_end(max(self._searched, self._chunk_bytes))
            if not end:
                self._let_go()
                return
            yield self._cut(end)

    def finish(self) -> Iterator[Chunk]:
        """Yield the chunk that is left when the stream has ended; its last row needs no line end."""
        if self._size:
            yield self._cut(self._size)

    def _within(self, piece: bytes) -> bytes:
        """Return what of the stream's next bytes belongs to the span's rows."""
        if self.done:
            return b""
        if self.end is not None and (found := piece.find(b"\n", max(0, self.end - 1 - self._at))) >= 0:
            piece = piece[: found + 1]
            self.done = True
        if self._seeking:
            begin = piece.find(b"\n") + 1
            self._seeking = not begin
            dropped = begin or len(piece)
            self._at += dropped
            self.begin = self._offset = self._at
            piece = piece[dropped:]
            if self.end is not None and self._at >= self.end:
                # One row, or what is left of it, fills the span: it is another's, and nothing is this one's own.
                self.done, piece = True, b""
        return piece

    def _hold(self, piece: bytes) -> None:
        if not piece:
            return
        self._size += len(piece)
        if len(piece) >= _SMALL_PIECE_BYTES:
            self._held.append(piece)
        elif self._held and isinstance(self._held[-1], bytearray):
            self._held[-1].extend(piece)
        else:
            self._held.append(bytearray(piece))

    def _last_line_end(self, before: int) -> int:
        """Return the position after the last line end among the first `before` bytes held, 0 if there is none."""
        end = self._size
        for piece in reversed(self._held):
            start = end - len(piece)  # of the piece, as a position among those held; the first may begin before 0
            if start < before:
                found = piece.rfind(b"\n", max(0, -start), before - start)
                if found >= 0:
                    return start + found + 1
            end = start
        return 0

    def _next_line_end(self, after: int) -> int:
        """Return the position after the first line end from position `after` on, 0 if there is none."""
        start = -self._begin
        for piece in self._held:
            if start + len(piece) > after:
                found = piece.find(b"\n", max(0, after - start))
                if found >= 0:
                    return start + found + 1
            start += len(piece)
        return 0

    def _let_go(self) -> None:
        """Keep of the unfinished row that is all that is held no more than an overlong row is worth."""
        excess = self._size - _KEPT_OF_OVERLONG
        if excess > 0 and not self._skipping:
            kept = self._take(_KEPT_OF_OVERLONG)
            self._held.clear()
            self._begin = self._size = 0
            self._hold(kept)
            self._dropped = excess
            self._skipping = True
        self._searched = self._size

    def _skip(self, piece: bytes) -> bytes:
        """Drop what belongs to the overlong row; return the rest, from its line end on."""
        end = piece.find(b"\n")
        self._skipping = end < 0
        if self._skipping:
            end = len(piece)
        self._dropped += end
        return piece[end:]

    def _take(self, end: int) -> bytes:
        """Take the first `end` bytes held out, as one."""
        self._size -= end
        parts = []
        while end:
            first, begin = self._held[0], self._begin
            size = min(end, len(first) - begin)
            parts.append(memoryview(first)[begin : begin + size])
            end -= size
            self._begin += size
            if self._begin == len(first):
                self._held.popleft()
                self._begin = 0
        return b"".join(parts)

    def _cut(self, end: int) -> Chunk:
        data = self._take(end)
        chunk = Chunk(self._span, data, self._offset, self._offset + end + self._dropped, self._line)
        self._offset = chunk.end
        self._line += self._count_lines(data)
        self._searched = 0
        self._dropped = 0
        return chunk


def _count_lines(data: bytes) -> int:
    return data.count(b"\n")
