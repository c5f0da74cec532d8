"""Turns text in UTF-16, which its mark shows, into UTF-8 as it arrives."""

import codecs
from collections.abc import Iterator

from mockexport.unpacking.compression import BadCompression, Compression, Decoder, compression_of

__all__ = ["InsideUtf16", "Utf16"]

_MARK_BYTES = 4  # of UTF-16's mark, and what tells it from UTF-32's
_MARKS = (b"\xff\xfe", b"\xfe\xff")


class Utf16:
    """Takes UTF-16 with its mark piece by piece (compression.Decoder); what is no text comes out as no UTF-8."""

    def __init__(self) -> None:
        # Halves of pairs pass, and are no UTF-8: so the row that holds them is a bad one, and no other.
        self._decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")

    def feed(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Yield what `piece` holds."""
        if made := self._decoder.decode(piece).encode("utf-8", "surrogatepass"):
            yield made

    def finish(self) -> None:
        """Make sure that the text ends with a whole character.

        Raises:
            BadCompression: it does not.
        """
        if self._decoder.getstate()[0]:
            raise BadCompression("the text in UTF-16 was cut off inside a character", passing=True)


class InsideUtf16:
    """Takes a compressed body (compression.Decoder); what is in it may be UTF-16, which its mark shows."""

    def __init__(self, outer: Decoder) -> None:
        self._outer = outer
        self._start: bytes | None = b""  # as long as it may be a mark; None once that is known
        self._inner: Utf16 | None = None

    def feed(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Yield what `piece` holds."""
        for made in self._outer.feed(piece):
            data = made
            if self._start is not None:
                self._start = data = self._start + made
                if len(data) < _MARK_BYTES and any(mark.startswith(data[:2]) for mark in _MARKS):
                    continue
                self._start = None
                self._inner = Utf16() if compression_of(data[:_MARK_BYTES]) is Compression.UTF16 else None
            if self._inner is None:
                yield data
            else:
                yield from self._inner.feed(data)

    def finish(self) -> None:
        """Make sure that the body is whole, and so is its text.

        Raises:
            BadCompression: it is not.
        """
        self._outer.finish()
        if self._start:
            raise BadCompression("what is in it is no text", passing=False)
        if self._inner is not None:
            self._inner.finish()
