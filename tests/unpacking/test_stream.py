"""Streams that may be compressed: which of them can be gone on with in the middle, and that no byte is lost."""

import asyncio
import gzip
import random
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import aclosing
from io import FileIO

import pytest

from mockexport.model import Verdict
from mockexport.pipeline.streams import Mark, Opened, Piece, Resumed, Retry, Room, StartOver, offer
from mockexport.unpacking.compression import BadCompression
from mockexport.unpacking.stream import IN_LINE_BYTES, UnpackedStream, decoded

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


class SmallRoom:
    """A reader's memory, less than a step of decoding needs; it notes in which threads it is filled."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(1000))
        self.threads: set[int] = set()

    async def free(self) -> memoryview:
        return self.memory

    async def read(self, file: FileIO, offset: int) -> memoryview:
        raise AssertionError(file)

    async def fill(self, pour: Callable[[memoryview], int]) -> memoryview:
        def poured(into: memoryview) -> int:
            self.threads.add(threading.get_ident())
            return pour(into)

        return self.memory[: await asyncio.to_thread(poured, self.memory)]


@pytest.mark.parametrize("size", [0, 1, 999, 1000, 1001, 300_000])
@pytest.mark.parametrize("cut", [IN_LINE_BYTES, IN_LINE_BYTES + 1])
async def test_a_compressed_body_comes_into_the_readers_memory_whole_and_in_order(size: int, cut: int) -> None:
    body = random.Random(size).randbytes(size)  # seeded: hardly compressed at all, so of many pieces
    packed = gzip.compress(body)
    stream = UnpackedStream(Played([packed[at : at + cut] for at in range(0, len(packed), cut)]), "d", "here")
    room = SmallRoom()
    offer(stream, room)
    found = bytearray()
    async with aclosing(stream.pieces()) as pieces:
        async for piece in pieces:
            assert isinstance(piece, memoryview)
            assert piece.obj is room.memory.obj
            found += piece
    assert found == body
    assert threading.get_ident() not in room.threads
    assert bool(room.threads) is (min(cut, len(packed)) > IN_LINE_BYTES)


async def test_what_is_compressed_may_come_where_what_is_in_it_goes() -> None:
    body = random.Random(1).randbytes(900)
    room = SmallRoom()

    class Received(Played):
        """The stream of a body that is received into the reader's memory."""

        def receive_into(self, given: Room) -> None:
            self._given = given

        async def pieces(self) -> AsyncGenerator[Piece]:
            for piece in self._pieces:
                assert isinstance(piece, bytes)
                free = await self._given.free()
                free[: len(piece)] = piece
                yield free[: len(piece)]

    packed = gzip.compress(body)
    stream = UnpackedStream(Received([packed[:500], packed[500:]]), "d", "here")
    offer(stream, room)
    assert b"".join([bytes(piece) async for piece in stream.pieces() if isinstance(piece, memoryview)]) == body


class Damaged:
    """A decoder of whose piece the first part is good."""

    def feed(self, piece: bytes | memoryview) -> Iterator[bytes]:
        yield bytes(1500)
        raise BadCompression("damaged", passing=True)

    def finish(self) -> None:
        pass


@pytest.mark.parametrize("size", [IN_LINE_BYTES, IN_LINE_BYTES + 1])
async def test_damage_is_told_after_the_memory_that_was_filled_before_it(size: int) -> None:
    async with aclosing(decoded(Damaged(), bytes(size), SmallRoom())) as made:
        assert len(await anext(made)) == 1000
        with pytest.raises(BadCompression):
            await anext(made)
