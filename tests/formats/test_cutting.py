"""Law 5's ground: chunks are whole rows, in order, with true offsets and line numbers, however the bytes arrive."""

import tracemalloc
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from mockexport.formats import MAX_ROW_BYTES, Cutter
from mockexport.model import Chunk, Span

SPAN = Span("d")

texts = st.lists(st.sampled_from([b"a", b"bb", b"\n", b"\r\n", b"cccccccccc"]), max_size=40).map(b"".join)


def cut(data: bytes, pieces: list[int], chunk_bytes: int) -> list[Chunk]:
    """Cut `data` after it was split at the positions `pieces`."""
    cutter = Cutter(SPAN, chunk_bytes)
    edges = [0, *sorted(min(piece, len(data)) for piece in pieces), len(data)]
    chunks = [c for start, end in pairwise(edges) for c in cutter.feed(data[start:end])]
    return chunks + list(cutter.finish())


@given(texts, st.lists(st.integers(0, 80), max_size=6), st.integers(1, 30))
def test_chunks_are_the_stream_in_whole_rows(data: bytes, pieces: list[int], chunk_bytes: int) -> None:
    chunks = cut(data, pieces, chunk_bytes)
    assert b"".join(chunk.data for chunk in chunks) == data
    assert all(chunk.data[-1:] == b"\n" for chunk in chunks[:-1])
    for chunk in chunks:
        assert chunk.data == data[chunk.offset : chunk.end]
        assert chunk.line == 1 + data[: chunk.offset].count(b"\n")


@given(texts, st.integers(1, 30))
def test_a_chunk_is_no_larger_than_asked_unless_one_row_is(data: bytes, chunk_bytes: int) -> None:
    for chunk in cut(data, [], chunk_bytes):
        assert len(chunk.data) <= chunk_bytes or b"\n" not in bytes(chunk.data)[:-1]


@given(texts, st.integers(1, 30))
def test_one_byte_at_a_time_gives_the_same_chunks(data: bytes, chunk_bytes: int) -> None:
    assert cut(data, list(range(len(data))), chunk_bytes) == cut(data, [], chunk_bytes)


def test_a_row_without_end_takes_no_more_memory_than_an_overlong_row_is_worth() -> None:
    cutter = Cutter(SPAN, 4096)
    megabyte = b"x" * 2**20
    tracemalloc.start()
    for _ in range(100):
        assert not list(cutter.feed(megabyte))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * 2**20
    (chunk,) = [*cutter.feed(b"\nnext\n"), *cutter.finish()][:1]
    assert len(chunk.data) > MAX_ROW_BYTES
    assert chunk.end >= 100 * 2**20


@given(
    st.integers(0, 3), st.integers(1, 200_000), st.sampled_from([500, 1000, 70_000, 300_000]), st.integers(1, 100_000)
)
def test_an_overlong_row_is_cut_short_and_its_neighbours_are_not(
    before: int, excess: int, chunk_bytes: int, piece: int
) -> None:
    head, tail = b"a\n" * before, b"b\nc"
    data = head + b"x" * (MAX_ROW_BYTES + excess) + b"\n" + tail
    chunks = cut(data, list(range(0, len(data), piece)), chunk_bytes)
    lines = b"".join(chunk.data for chunk in chunks).split(b"\n")
    assert lines[:before] == [b"a"] * before
    assert lines[before + 1 :] == [b"b", b"c"]
    assert len(lines[before]) > MAX_ROW_BYTES
    assert chunks[-1].end == len(data)
    assert [chunk.offset for chunk in chunks[1:]] == [chunk.end for chunk in chunks[:-1]]


def test_a_cutter_can_begin_where_a_saved_state_ends() -> None:
    cutter = Cutter(SPAN, 4, offset=100, line=8)
    assert [(c.offset, c.end, c.line) for c in [*cutter.feed(b"abc\nd"), *cutter.finish()]] == [
        (100, 104, 8),
        (104, 105, 9),
    ]


def test_a_long_row_leaves_its_followers_to_be_cut_as_ever() -> None:
    body = b"x" * 60_000 + b"\n" + b"0123456789abcdefghi\n" * 10_000
    cutter = Cutter(Span("d"), 10)
    chunks = [
        chunk for piece in (body[:59_000], body[59_000:60_001], body[60_001:]) for chunk in cutter.feed(piece)
    ] + list(cutter.finish())
    assert b"".join(chunk.data for chunk in chunks) == body
    assert {len(chunk.data) for chunk in chunks[1:]} == {20}
