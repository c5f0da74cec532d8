"""Decodes a zstd body as it arrives, in bounded steps, and does not let a cut or a bomb pass (RFC 8878).

Rules: synchronous, no I/O; what is held is one piece of input, one step of output and the frame's window. A body is
whole only when the end of its last frame was seen; frames follow each other, skippable ones included. From Python 3.14
on the decoder is the standard library's, before that it comes with the extra `mockexport[zstd]`.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mockexport.model import SizeLimits
from mockexport.unpacking.compression import BadCompression

__all__ = ["Unzstd", "ZstdLimits"]

# Output made at once (see gunzip.STEP_BYTES): it bounds memory whatever the input claims to hold.
STEP_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class ZstdLimits:
    """What a compressed body may come to.

    The window is memory that the decoder needs; 2²⁷ bytes is what the `zstd` program, too, accepts unasked. CSV shrinks
    some tenfold to hundredfold; a block of one repeated byte, 32,768-fold. The ratio counts from `free_bytes` of output
    on, as little says nothing. Frames of less than `least_frame_bytes` on average, once there are `free_frames`, keep a
    processor busy with nothing.
    """

    max_bytes: int = 2**40
    max_ratio: int = 3000
    free_bytes: int = 2**20
    free_frames: int = 1000
    least_frame_bytes: int = 512
    window_log: int = 27

    @classmethod
    def of(cls, limits: SizeLimits) -> "ZstdLimits":
        """Return the limits whose window is the one allowed, or the power of two below it that zstd knows."""
        return cls(window_log=min(31, max(10, limits.window_bytes.bit_length() - 1)))


def _library() -> Any:
    try:
        if sys.version_info >= (3, 14):
            from compression import zstd  # type: ignore[import-not-found,unused-ignore]
        else:
            from backports import zstd
    except ImportError:
        problem = "it is zstd, which needs one more package: pip install 'mockexport[zstd]'"
        raise BadCompression(problem, passing=False) from None
    return zstd


class Unzstd:
    """Takes a zstd body piece by piece (compression.Decoder). Call `finish` at its end.

    Raises:
        BadCompression: the decoder is not installed.
    """

    def __init__(self, limits: ZstdLimits | None = None) -> None:
        self._limits = limits or ZstdLimits()
        self._zstd = _library()
        self._options = {self._zstd.DecompressionParameter.window_log_max: self._limits.window_log}
        self._frame: Any = None
        self._fed = False  # whether the frame at hand has been given a byte
        self.taken: int = 0
        self.made: int = 0
        self.frames: int = 0

    def feed(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Yield what `piece` holds, in steps (see Decoder.feed)."""
        self.taken += len(piece)
        rest = piece
        while rest:
            if self._frame is None:
                self._frame = self._zstd.ZstdDecompressor(options=self._options)
                self.frames += 1
            made = self._step(rest)
            while made or not (self._frame.eof or self._frame.needs_input):
                self.made += len(made)
                self._check()
                if made:
                    yield made
                if self._frame.eof:
                    break
                made = self._step(b"")
            self._check()
            rest = self._frame.unused_data if self._frame.eof else b""
            if self._frame.eof:
                self._frame = None

    def _step(self, rest: bytes | memoryview) -> bytes:
        try:
            made: bytes = self._frame.decompress(rest, STEP_BYTES)
        except self._zstd.ZstdError as error:
            if "memory" in str(error).lower() or "window" in str(error).lower():
                window = 2**self._limits.window_log
                problem = (
                    f"its window is larger than {window:,} bytes, which is the limit (SizeLimits.window_bytes);"
                    " raise it, or compress without --ultra and --long"
                )
                raise BadCompression(problem, passing=False) from error
            if "dictionary" in str(error).lower():
                raise BadCompression("it was made with a dictionary; compress it without one", passing=False) from error
            what = "the compressed body is damaged"
            if self.frames > 1 and not self._fed:
                what = "something else follows the end of the compressed data"
            raise BadCompression(what, passing=True) from error
        self._fed = not self._frame.eof
        return made

    def _check(self) -> None:
        limits = self._limits
        if self.made > limits.max_bytes:
            raise BadCompression(f"the body decodes to more than {limits.max_bytes:,} bytes", passing=False)
        if self.made > limits.free_bytes and self.made > limits.max_ratio * self.taken:
            raise BadCompression(
                f"a zstd bomb: {self.taken:,} bytes decode to more than {self.made:,},"
                f" over {limits.max_ratio} times as many",
                passing=False,
            )
        if self.frames > limits.free_frames and self.made < limits.least_frame_bytes * self.frames:
            raise BadCompression(
                f"a zstd bomb: {self.frames:,} frames in {self.taken:,} bytes hold no more than {self.made:,} bytes",
                passing=False,
            )

    def finish(self) -> None:
        """Make sure that the body is whole (see Decoder.finish)."""
        if self._frame is not None or not self.frames:
            raise BadCompression("the compressed body was cut off before its end", passing=True)
