"""Slabs and workers: where bytes are received, who folds them, and what is left when somebody is called off."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from mockexport import Download, Schema, Summary, analyze
from mockexport.engine.choosing import Engine, choose_engine, kernel_problem
from mockexport.formats import MAX_ROW_BYTES, Cutter
from mockexport.model import Chunk, Span
from mockexport.pipeline.slabs import Room, SlabPool
from mockexport.pipeline.workers import FEW_LEFT_BYTES, FEW_ROWS, MOST_JOBS, Workers
from mockexport.sources.scripted import Scripted
from tests.rows import HEADER

SPAN = Span("d")
ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"
ODD_ROW = b'"P""1",2025-08-26T00:00:04Z,heart_rate,72\n'

needs_kernel = pytest.mark.skipif(kernel_problem() is not None, reason="there is no kernel here")


def no_crew(threads: int) -> Any:
    raise OSError("no threads are to be had")


def socket_pair(threads: int) -> Any:
    from mockexport._kernel import Crew

    return Crew(threads, eventfd=False)


def kernel(new_crew: Callable[[int], Any] | None = None) -> Engine[Any]:
    engine = choose_engine(Summary(), Schema(), wanted="kernel")
    return engine if new_crew is None else replace(engine, new_crew=new_crew)


ENGINES = [
    pytest.param(partial(choose_engine, Summary(), Schema(), wanted="python"), id="python"),
    pytest.param(kernel, marks=needs_kernel, id="kernel"),
    pytest.param(partial(kernel, socket_pair), marks=needs_kernel, id="kernel without eventfd"),
    pytest.param(partial(kernel, no_crew), marks=needs_kernel, id="kernel without a crew"),
]


@pytest.mark.parametrize("new_engine", ENGINES)
@pytest.mark.parametrize("number", [1, 3])
async def test_workers_fold_chunks_and_read_files_whoever_they_are(
    new_engine: Callable[[], Engine[Any]], number: int, tmp_path: Path
) -> None:
    engine = new_engine()
    # So many rows for the reference that they are judged in a thread.
    data = HEADER + ROW * 5 + ODD_ROW * (FEW_ROWS + 1) + ROW
    (tmp_path / "file").write_bytes(data)
    fold, expected = engine.new_fold(SPAN), choose_engine(Summary(), Schema(), wanted="python").new_fold(SPAN)
    expected.feed(Chunk(SPAN, data, 0, len(data), 1))
    buffer = bytearray(len(data) + 10)
    with Workers(engine, number) as workers, (tmp_path / "file").open("rb", buffering=0) as file:
        assert await workers.read(file, memoryview(buffer)[10:], 0) == len(data)
        assert await workers.read(file, memoryview(buffer)[:10], len(data)) == 0
        await workers.feed(fold, Chunk(SPAN, memoryview(buffer)[10:], 0, len(data), 1))
    assert engine.reducer.dump(fold.state) == Summary().dump(expected.state)
    assert fold.tally.to_bytes() == expected.tally.to_bytes()
    assert (fold.offset, fold.line) == (len(data), expected.line)


@needs_kernel
@pytest.mark.parametrize("rows", [1, FEW_ROWS + 1])
async def test_a_chunk_whose_waiter_is_called_off_is_taken_in_whole_before_the_workers_end(rows: int) -> None:
    engine = kernel()
    fold = engine.new_fold(SPAN)
    data = HEADER + ROW * 10_000 + ODD_ROW * rows
    with Workers(engine, 1) as workers:
        waiter = asyncio.ensure_future(workers.feed(fold, Chunk(SPAN, data, 0, len(data), 1)))
        await asyncio.sleep(0)  # it has begun
        waiter.cancel()
        await asyncio.wait([waiter])
    assert (fold.offset, fold.rows) == (len(data), 10_000 + rows)
    assert not fold.state.is_busy


@needs_kernel
async def test_what_a_crew_has_no_room_for_is_done_by_other_threads(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * (2 * FEW_LEFT_BYTES))
    with Workers(kernel(), 2) as workers, path.open("rb", buffering=0) as file:
        rooms = [memoryview(bytearray(10)) for _ in range(MOST_JOBS + 20)]
        assert await asyncio.gather(*(workers.read(file, room, 0) for room in rooms)) == [10] * len(rooms)
    assert all(room == b"x" * 10 for room in rooms)


@needs_kernel
async def test_a_slab_that_may_still_be_written_to_is_not_used_again(tmp_path: Path) -> None:
    size = FEW_LEFT_BYTES + 1  # less is read at once, by no worker
    (tmp_path / "file").write_bytes(b"x" * size)
    pool = SlabPool(size, 1)
    with Workers(kernel(), 1) as workers, (tmp_path / "file").open("rb", buffering=0) as file:
        room = Room(pool, workers, Cutter(SPAN))
        reader = asyncio.ensure_future(room.read(file, 0))
        await asyncio.sleep(0)
        written = room.buffer
        reader.cancel()
        await asyncio.wait([reader])
        room.close()
        assert await pool.take() is not written


async def test_a_slab_that_a_thread_still_fills_is_not_used_again() -> None:
    pool, begun, go_on = SlabPool(100, 1), threading.Event(), threading.Event()

    def pour(into: memoryview) -> int:
        begun.set()
        go_on.wait(10)
        into[:3] = b"abc"
        return 3

    with Workers(choose_engine(Summary(), Schema(), wanted="python"), 1) as workers:
        room = Room(pool, workers, Cutter(SPAN))
        filling = asyncio.ensure_future(room.fill(pour))
        assert await asyncio.to_thread(begun.wait, 10)
        written = room.buffer
        filling.cancel()
        await asyncio.wait([filling])
        room.close()
        assert await pool.take() is not written
        go_on.set()
        again = Room(pool, workers, Cutter(SPAN))
        pool.give_back(None)
        assert bytes(await again.fill(pour)) == b"abc"
        free = await again.free()
        again.close()
        assert await pool.take() is free.obj


@needs_kernel
async def test_no_slab_is_there_before_one_is_given_back() -> None:
    pool = SlabPool(100, 1)
    with Workers(kernel(), 1) as workers:
        room, other = Room(pool, workers, Cutter(SPAN)), Room(pool, workers, Cutter(SPAN))
        free = await room.free()
        assert len(free) == 100
        waiter = asyncio.ensure_future(other.free())
        await asyncio.sleep(0)
        assert not waiter.done()
        room.close()
        assert (await waiter).obj is free.obj
        other.close()


@pytest.mark.parametrize("engine", ["python", pytest.param("kernel", marks=needs_kernel)])
@pytest.mark.parametrize("chunk_bytes", [1000, MAX_ROW_BYTES, 300_000])
async def test_rows_may_be_longer_than_a_slab(engine: Literal["python", "kernel"], chunk_bytes: int) -> None:
    """One producer, one place in the queue, one consumer; rows of up to 64 KiB, and one that is a byte too long."""
    names = HEADER[:-1] + b",note\n"
    filling = MAX_ROW_BYTES - len(ROW)  # the line end goes, a comma comes
    lengths = [0, filling, 3, filling + 1, filling, 0, 70_000, 1]
    body = names + b"".join(ROW[:-1] + b"," + b"x" * length + b"\n" for length in lengths)
    source = Scripted("x", {Download("d"): [[body]]})
    report = await analyze(
        "x", source=source, engine=engine, chunk_bytes=chunk_bytes, concurrency=1, queue_size=1, max_bad=2
    )  # fmt: skip
    (account,) = report.account.downloads
    assert report.totals["heart_rate"].count == 6
    assert [(bad.line, str(bad.reason)) for bad in account.first_bad_rows] == [(5, "row too long"), (8, "row too long")]


@needs_kernel
@pytest.mark.parametrize(
    ("consumers", "concurrency", "most"),
    [(1, 1, 1398101), (2, 4, 2**20), (8, 4, 419430), (2, 16, 2**18), (99, 4, 2**18)],
)
async def test_slabs_share_a_budget_however_many_they_are(consumers: int, concurrency: int, most: int) -> None:
    found = []

    class Looking(Scripted):
        """A source that looks how large the slabs are that it is to receive into."""

        def stream(self, export_id: str, download: Download) -> Any:
            stream = super().stream(export_id, download)
            pieces = stream.pieces

            async def looked() -> AsyncIterator[Any]:
                found.append(len(await rooms[-1].free()))
                async for piece in pieces():
                    yield piece

            rooms: list[Room] = []
            return SimpleNamespace(
                receive_into=rooms.append, pieces=looked, start_over=stream.start_over, close=stream.close
            )

    source = Looking("x", {Download("d"): [[HEADER + ROW]]})
    await analyze("x", source=source, engine="kernel", consumers=consumers, concurrency=concurrency)
    assert found == [most]


async def test_chunks_are_views_of_the_buffers_that_bytes_came_into() -> None:
    cutter, body = Cutter(SPAN), HEADER + ROW * 100
    buffers, found, at = [bytearray(256) for _ in range(40)], b"", 0
    unused = list(buffers)
    while at < len(body):
        if cutter.buffer is None:
            cutter.fill(unused.pop(0))
        size = min(len(cutter.room), len(body) - at, 50)
        cutter.room[:size] = body[at : at + size]
        for chunk in cutter.took(size):
            assert isinstance(chunk.data, memoryview)
            assert any(chunk.data.obj is buffer for buffer in buffers)
            assert chunk.offset == len(found)
            found += chunk.data
        at += size
    assert found + b"".join(chunk.data for chunk in cutter.rest()) == body


async def test_bytes_of_a_leg_that_has_begun_anew_are_in_no_chunk() -> None:
    pool, (first, second) = SlabPool(1024, 1), (Cutter(SPAN), Cutter(SPAN))
    with Workers(choose_engine(Summary(), Schema(), wanted="python"), 1) as workers:
        room = Room(pool, workers, first)
        (await room.free())[: len(ROW)] = ROW
        assert first.took(len(ROW)) == []
        room.turn_to(second)
        assert first.rest() == []
        (await room.free())[: len(HEADER)] = HEADER
        assert second.took(len(HEADER)) == []
        (chunk,) = second.rest()
        assert bytes(chunk.data) == HEADER
        room.close()
