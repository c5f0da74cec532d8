"""Streams that may be compressed: which of them can be gone on with in the middle, and that no byte is lost."""

import asyncio
import gzip
from collections.abc import AsyncGenerator

import pytest

from mockexport.model import Verdict
from mockexport.pipeline.streams import Mark, Opened, Piece, Resumed, Retry, StartOver
from mockexport.unpacking.stream import UnpackedStream

MARK = Mark('"a"', 90, "http://h:1")
OPENED, VOID = Opened(MARK, '"a"'), Opened(None, '"a"')
RETRY, OVER, RESUMED = Retry(1, 0.0, "cut", 2), StartOver(1, 0.0, "changed"), Resumed(2)
PACKED = gzip.compress(b"rows\n")


class Played:
    """A stream of these pieces."""

    def __init__(self, pieces: list[Piece]) -> None:
        self._pieces = pieces

    async def pieces(self) -> AsyncGenerator[Piece]:
        for piece in self._pieces:
            yield piece

    def start_over(self, problem: str) -> StartOver:
        raise AssertionError(problem)

    async def close(self, verdict: Verdict | None) -> None:
        pass


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ([OPENED, b"plain ", b"rows"], [OPENED, b"plain ", b"rows"]),
        ([OPENED, b"p", b"lain"], [OPENED, b"plain"]),
        ([OPENED], [OPENED]),
        ([OPENED, b"p"], [OPENED, b"p"]),
        ([OPENED, PACKED], [VOID, b"rows\n"]),
        ([OPENED, *(bytes([byte]) for byte in PACKED)], [VOID, *(bytes([byte]) for byte in b"rows\n")]),
        # In the middle: what was resumed is not looked at for how it begins.
        ([RESUMED, PACKED], [RESUMED, PACKED]),
        ([OPENED, PACKED[:9], RETRY, RESUMED, PACKED[9:]], [VOID, RETRY, RESUMED, b"rows\n"]),
        ([OPENED, b"p", RETRY, RESUMED, b"lain"], [VOID, RETRY, RESUMED, b"plain"]),
        ([OPENED, PACKED[:1], RETRY, RESUMED, PACKED[1:]], [VOID, RETRY, RESUMED, b"rows\n"]),
        # Content that has become another is looked at anew.
        ([RESUMED, b"plain", OVER, OPENED, PACKED], [RESUMED, b"plain", OVER, VOID, b"rows\n"]),
        ([OPENED, PACKED[:9], OVER, OPENED, b"plain"], [VOID, OVER, OPENED, b"plain"]),
        ([OPENED, b"p", OVER, OPENED, b"rows"], [VOID, OVER, OPENED, b"rows"]),
    ],
)
def test_a_plain_body_can_be_gone_on_with_and_a_compressed_one_cannot(given: list[Piece], passed: list[Piece]) -> None:
    async def unpacked() -> list[Piece]:
        return [piece async for piece in UnpackedStream(Played(given), "d", "here").pieces()]

    assert asyncio.run(unpacked()) == passed
