"""What a format gives the pipeline: how a span's bytes are cut into whole rows, and how those are decoded.

A `Schema` is one (CSV). What describes a format is a value that can be pickled and sent to workers; what works
by it, a cutter or a decoder, is made for one span.
"""

from typing import Protocol

from mockexport.formats.batch import Decoded
from mockexport.formats.cutting import Cutter
from mockexport.model import Chunk, Span

__all__ = ["Decoder", "Format"]


class Decoder(Protocol):
    """Decodes the chunks of one span, in order."""

    @property
    def header(self) -> str | None:
        """What a decoder of a later span is to be given; None while it has not come. A format without one has ""."""

    @property
    def pending(self) -> bytes:
        """The beginning of a row that may go on in the next chunk; a format without such rows has none, ever."""

    def decode(self, chunk: Chunk) -> Decoded:
        """Return what the chunk's rows come to.

        Raises:
            HeaderError: the download is not of this format at all.
        """

    def finish(self, line: int) -> Decoded:
        """Return what the pending bytes come to: the download has ended, and line number `line` would follow."""


class Format(Protocol):
    """How a download's bytes become rows."""

    @property
    def fingerprint(self) -> str:
        """A line that differs once the same bytes would be read otherwise: states of two such are never merged."""

    @property
    def versioned(self) -> bool:
        """Whether rows are of resources that may come again, in a later version (see batch.Identified)."""

    def cutter(self, span: Span, *, offset: int = 0) -> Cutter:
        """Return what cuts the bytes of a span, which begin at `offset`, into chunks of whole rows."""

    def decoder(self, header: str | None = None, *, pending: bytes = b"", download_id: str = "") -> Decoder:
        """Return what decodes the chunks of a span; one that does not begin with the header is given that.

        `pending` is the beginning of a row, before the span, that has not ended.

        Raises:
            HeaderError: it is none.
        """
