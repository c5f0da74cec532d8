"""Cuts a byte stream, arriving in pieces that end where they like, into chunks of whole rows.

It looks for line ends and nothing else: what a row says is the decoder's business. A row may not hold a line break, so
every `\\n` ends one.
"""

from collections.abc import Callable, Iterator

from mockexport.model import Chunk, Span

__all__ = ["MAX_ROW_BYTES", "Cutter"]

# A longer row is a bad row; of its bytes no more than this (and a little) is ever held.
MAX_ROW_BYTES = 64 * 1024
# Of an overlong row so much is passed on that the decoder sees that it is one, a final "\r" taken off.
_KEPT_OF_OVERLONG = MAX_ROW_BYTES + 2


class Cutter:
    """Turns the pieces of one span into chunks of about `chunk_bytes`, and of one row at the least.

    `offset` and `line` say where the stream begins: 0 and 1, or wherever a saved state ends. `count_lines` returns the
    number of line ends in bytes: an engine may know a quicker way than ours.
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
        self.received = 0  # bytes so far
        self._held = bytearray()
        self._offset = offset  # of the first byte held
        self._line = line  # that begins there
        self._searched = 0  # up to here, nothing held is a line end
        self._skipping = False  # until the line end of an overlong row
        self._dropped = 0  # its bytes, after those held, that are gone

    @property
    def line(self) -> int:
        """The number of the line that follows the chunks so far."""
        return self._line

    def feed(self, piece: bytes) -> Iterator[Chunk]:
        """Take the stream's next bytes; yield the chunks that are full. Exhaust it before feeding again."""
        self.received += len(piece)
        if self._skipping:
            piece = self._skip(piece)
        self._held += piece
        while len(self._held) >= self._chunk_bytes:
            end = self._held.rfind(b"\n", 0, self._chunk_bytes) + 1
            if not end:  # one row fills the chunk: it ends with that row, wherever that is
                end = self._held.find(b"\n", max(self._searched, self._chunk_bytes)) + 1
            if not end:
                self._let_go()
                return
            yield self._cut(end)

    def finish(self) -> Iterator[Chunk]:
        """Yield the chunk that is left when the stream has ended; its last row needs no line end."""
        if self._held:
            yield self._cut(len(self._held))

    def _let_go(self) -> None:
        """Keep of the unfinished row that is all that is held no more than an overlong row is worth."""
        excess = len(self._held) - _KEPT_OF_OVERLONG
        if excess > 0 and not self._skipping:
            del self._held[_KEPT_OF_OVERLONG:]
            self._dropped = excess
            self._skipping = True
        self._searched = len(self._held)

    def _skip(self, piece: bytes) -> bytes:
        """Drop what belongs to the overlong row; return the rest, from its line end on."""
        end = piece.find(b"\n")
        self._skipping = end < 0
        if self._skipping:
            end = len(piece)
        self._dropped += end
        return piece[end:]

    def _cut(self, end: int) -> Chunk:
        data = bytes(memoryview(self._held)[:end])
        del self._held[:end]
        chunk = Chunk(self._span, data, self._offset, self._offset + end + self._dropped, self._line)
        self._offset = chunk.end
        self._line += self._count_lines(data)
        self._searched = 0
        self._dropped = 0
        return chunk


def _count_lines(data: bytes) -> int:
    return data.count(b"\n")
