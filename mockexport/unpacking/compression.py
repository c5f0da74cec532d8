"""Which compression bytes are in, told by how they begin, and what every decoder of one promises.

Names are not asked: `export.csv` may hold gzip and `export.csv.gz` text, by mistake or because something on the way has
unpacked it. No CSV begins as these formats do, so the first bytes decide.
"""

from collections.abc import Iterator
from enum import StrEnum
from typing import Protocol

__all__ = ["START_BYTES", "BadCompression", "Compression", "Decoder", "compression_of", "refuse_others"]

# So many bytes tell.
START_BYTES = 4

_GZIP = b"\x1f\x8b"
_XML = b"<?xm"
# The mark, in either order of bytes. Four bytes more than it are a mark of UTF-32.
_UTF16 = (b"\xff\xfe", b"\xfe\xff")
# A frame; and the upper bytes of the sixteen numbers that skippable frames begin with (RFC 8878, section 3.1).
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"


# What else a file may turn out to be, that no CSV in UTF-8 begins with, and what to do then.
_OTHERS = {
    b"PK\x03\x04": "it is a zip archive, to be unpacked first, or a workbook, to be saved as CSV",
    b"\xd0\xcf\x11\xe0": "it is a workbook; save it as CSV",
    b"BZh9": "it is bzip2, which is not read; pack it with gzip or zstd",
    b"\xfd7zX": "it is xz, which is not read; pack it with gzip or zstd",
    b"\xff\xfe\0\0": "it is UTF-32; save it as UTF-8",
}


class Compression(StrEnum):
    """The formats that are known."""

    GZIP = "gzip"
    ZSTD = "zstd"
    # What is turned into a table in UTF-8 in the same way.
    UTF16 = "utf-16"
    XML = "xml"


class BadCompression(Exception):  # noqa: N818 - a state of the bytes, named as one
    """The bytes are no whole compressed body. `passing` if they may be another time; a bomb stays one."""

    def __init__(self, problem: str, *, passing: bool) -> None:
        self.problem = problem
        self.passing = passing
        super().__init__(problem)


class Decoder(Protocol):
    """Takes a compressed body piece by piece, in bounded memory."""

    def feed(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Yield what `piece` holds, in steps. Exhaust it before feeding again.

        Raises:
            BadCompression: it is damaged, or more than the limits allow.
        """

    def finish(self) -> None:
        """Make sure that the body is whole.

        Raises:
            BadCompression: it is not.
        """


def compression_of(start: bytes) -> Compression | None:
    """Return how a body is compressed that begins so; None if not, or not in a way that is known."""
    if start.startswith(_GZIP):
        return Compression.GZIP
    if start.startswith(_UTF16) and start[2:4] != b"\0\0":
        return Compression.UTF16
    if start == _XML:
        return Compression.XML
    if start.startswith(_ZSTD) or (len(start) >= START_BYTES and start[0] >> 4 == 5 and start[1:4] == _ZSTD_SKIPPABLE):
        return Compression.ZSTD
    return None


def refuse_others(start: bytes) -> None:
    """Refuse a body that begins like something known that is not read.

    Raises:
        BadCompression: with what it is.
    """
    for magic, problem in _OTHERS.items():
        if start.startswith(magic):
            raise BadCompression(problem, passing=False)
