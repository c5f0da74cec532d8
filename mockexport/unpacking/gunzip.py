"""Decodes a gzip body as it arrives, in bounded steps, and does not let a cut or a bomb pass (RFC 1952).

Rules: synchronous, no I/O; what is held is one piece of input and one step of output. A body is whole only when the end
of its last member and that member's checksum were seen: common clients take a cut-off body for a whole one where the
length announced is that of the cut.
"""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

from mockexport.unpacking.compression import BadCompression

__all__ = ["INFLATES", "Gunzip", "GzipLimits", "fastest_inflate"]

# Modules that inflate as zlib does, the quickest first; all but the last come with an extra.
INFLATES = ("isal.isal_zlib", "zlib_ng.zlib_ng", "zlib")

# Output made at once, whatever the input claims to hold: more than the processor's caches like is slower, and so is
# memory that the C library gives back and takes anew each time.
STEP_BYTES = 64 * 1024
# Input looked at at once. What follows the end of a member is copied by zlib, so with many tiny members the cost is
# quadratic in this.
BITE_BYTES = 64 * 1024
_MAGIC = b"\x1f\x8b"
# Flags that must be zero (section 2.3.1.2), which not every inflate looks at.
_FLAGS_AT, _RESERVED_FLAGS = 3, 0xE0
# wbits for a gzip member with its header and checksum.
_GZIP = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class GzipLimits:
    """What a compressed body may come to.

    CSV shrinks some tenfold, hardly more than hundredfold; deflate itself ends at 1,032. The ratio counts from
    `free_bytes` of output on, as little says nothing. Members of less than `least_member_bytes` on average, once there
    are `free_members`, keep a processor busy with nothing; real ones, of files in blocks, hold 64 KiB.
    """

    max_bytes: int = 2**40
    max_ratio: int = 300
    free_bytes: int = 2**20
    free_members: int = 1000
    least_member_bytes: int = 512


@cache
def fastest_inflate() -> Any:
    """Return the first of INFLATES that is installed."""
    for name in INFLATES:
        try:
            return import_module(name)
        except ImportError:
            continue
    return zlib


class Gunzip:
    """Takes a gzip body piece by piece. Call `finish` at its end.

    `inflate` is one of INFLATES; by default it is the first that is installed.
    """

    def __init__(self, limits: GzipLimits | None = None, *, inflate: str | None = None) -> None:
        self._limits = limits or GzipLimits()
        self._inflate: Any = import_module(inflate) if inflate else fastest_inflate()
        self._member: Any = None
        self._start = b""  # of a member, too short to tell whether it is one
        self.taken: int = 0
        self.made: int = 0
        self.members: int = 0

    def feed(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Yield what `piece` holds, in steps. Exhaust it before feeding again.

        Raises:
            BadCompression: it is no gzip, or more than the limits allow.
        """
        view = memoryview(piece)
        for at in range(0, len(view), BITE_BYTES):
            yield from self._decode(self._start + bytes(view[at : at + BITE_BYTES]))

    def _decode(self, rest: bytes) -> Iterator[bytes]:
        self._start = b""
        while rest:
            if self._member is None:
                if len(rest) <= _FLAGS_AT and _MAGIC.startswith(rest[: len(_MAGIC)]):
                    self._start = rest
                    return
                self._begin(rest)
            made = self._step(rest)
            left = self._member.unused_data if self._member.eof else self._member.unconsumed_tail
            self.taken += len(rest) - len(left)
            self.made += len(made)
            self._check()
            rest = left
            if self._member.eof:
                self._member = None
            if made:
                yield made
        # Output may be held back that needs no further input.
        while self._member is not None and not self._member.eof:
            made = self._step(b"")
            if not made:
                return
            self.made += len(made)
            self._check()
            yield made

    def _step(self, rest: bytes) -> bytes:
        try:
            made: bytes = self._member.decompress(rest, STEP_BYTES)
        except self._inflate.error as error:
            raise BadCompression("the compressed body is damaged", passing=True) from error
        return made

    def _begin(self, rest: bytes) -> None:
        if not rest.startswith(_MAGIC):
            where = "follows the end of the compressed data" if self.members else "came instead of compressed data"
            raise BadCompression(f"something else {where}", passing=True)
        if rest[_FLAGS_AT] & _RESERVED_FLAGS:
            raise BadCompression("the compressed body is damaged", passing=True)
        self.members += 1
        self._member = self._inflate.decompressobj(_GZIP)

    def _check(self) -> None:
        limits = self._limits
        if self.made > limits.max_bytes:
            raise BadCompression(f"the body decodes to more than {limits.max_bytes:,} bytes", passing=False)
        if self.made > limits.free_bytes and self.made > limits.max_ratio * self.taken:
            raise BadCompression(
                f"a gzip bomb: {self.taken:,} bytes decode to more than {self.made:,},"
                f" over {limits.max_ratio} times as many",
                passing=False,
            )
        if self.members > limits.free_members and self.made < limits.least_member_bytes * self.members:
            raise BadCompression(
                f"a gzip bomb: {self.members:,} members in {self.taken:,} bytes hold no more than {self.made:,} bytes",
                passing=False,
            )

    def finish(self) -> None:
        """Make sure that the body is whole.

        Raises:
            BadCompression: it is not.
        """
        if self._member is not None or self._start or not self.members:
            raise BadCompression("the compressed body was cut off before its end", passing=True)
