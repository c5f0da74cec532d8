"""Turns text in UTF-16, which its mark shows, into UTF-8 as it arrives."""

import codecs
from collections.abc import Iterator

from mockexport.unpacking.compression import BadCompression

__all__ = ["Utf16"]


class Utf16:
    """Takes UTF-16 with its mark piece by piece (compression.Decoder); what is no text comes out as no UTF-8."""

    def __init__(self) -> None:
        # Halves of pairs pass, and are no UTF-8: so the row that holds them is a bad one, and no other.
        self._decoder = codecs.getincrementaldecoder("utf-16")("surrogatepass")

    def feed(self, piece: bytes) -> Iterator[bytes]:
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
