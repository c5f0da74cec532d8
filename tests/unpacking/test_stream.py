"""Streams that may be compressed: which of them can be gone on with in the middle, and that no byte is lost."""

import asyncio
import gc
import gzip
import threading
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from typing import Any

import pytest

from mockexport.model import Verdict
from mockexport.pipeline.streams import Mark, Opened, Piece, Resumed, Retry, StartOver
from mockexport.unpacking.compression import BadCompression
from mockexport.unpacking.stream import GATHERED_BYTES, IN_LINE_BYTES, UnpackedStream, decoded

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


class Damaged:
    """A decoder of whose piece the first part is good."""

    def __init__(self) -> None:
        self.reached = threading.Event()

    def feed(self, piece: bytes) -> Iterator[bytes]:
        yield piece * (GATHERED_BYTES // len(piece) + 1)
        self.reached.set()
        raise BadCompression("damaged", passing=True)

    def finish(self) -> None:
        pass


LONG = bytes(IN_LINE_BYTES + 1)


async def test_the_next_part_is_decoded_while_the_last_is_used_and_its_damage_told_in_its_turn() -> None:
    decoder = Damaged()
    async with aclosing(decoded(decoder, LONG)) as made:
        assert await anext(made)
        assert await asyncio.to_thread(decoder.reached.wait, 10)
        with pytest.raises(BadCompression):
            await anext(made)


async def test_damage_that_nobody_comes_to_is_not_complained_of() -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    # With one thread, what is asked of it next comes after the damage, which the loop has heard of by then.
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(1))
    decoder = Damaged()
    async with aclosing(decoded(decoder, LONG)) as made:
        await anext(made)
        assert await asyncio.to_thread(decoder.reached.wait, 10)
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []
