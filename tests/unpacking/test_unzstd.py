"""zstd bodies: whole or an error, however they are cut into pieces, and never more than the limits allow."""

import tracemalloc

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from mockexport.unpacking.compression import BadCompression
from mockexport.unpacking.unzstd import STEP_BYTES, Unzstd, ZstdLimits

TEXT = b"".join(b"P%03d,2025-08-26T00:00:%02dZ,heart_rate,%d\n" % (i % 7, i % 60, i % 200) for i in range(400))
SKIPPABLE = b"\x5f\x2a\x4d\x18\x03\0\0\0abc"


def decode(data: bytes, size: int = 1 << 30, limits: ZstdLimits | None = None) -> bytes:
    decoder = Unzstd(limits)
    made: list[bytes] = []
    for start in range(0, len(data), size):
        made += decoder.feed(data[start : start + size])
    decoder.finish()
    assert all(len(step) <= STEP_BYTES for step in made)
    return b"".join(made)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(1, 400))
def test_all_frames_are_read_however_they_are_cut_into_pieces(frames: list[bytes], size: int) -> None:
    assert decode(b"".join(zstd.compress(frame) + SKIPPABLE for frame in frames), size) == b"".join(frames)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_body_cut_off_at_any_byte_is_an_error(size: int) -> None:
    first = len(zstd.compress(TEXT[:600]))
    packed = zstd.compress(TEXT[:600]) + zstd.compress(TEXT[600:900])
    for end in range(len(packed)):
        if end == first:
            continue  # the first frame is a whole body, too: only the rows can tell
        with pytest.raises(BadCompression) as bad:
            decode(packed[:end], size)
        assert bad.value.passing


@pytest.mark.parametrize("size", [1, 1 << 20])
def test_junk_and_damage_are_errors(size: int) -> None:
    options = {int(zstd.CompressionParameter.checksum_flag): 1}
    packed = zstd.compress(TEXT, options=options)
    with pytest.raises(BadCompression, match="something else follows"):
        decode(packed + b"junk!", size)
    with pytest.raises(BadCompression, match="damaged"):
        decode(packed[:-1] + bytes([packed[-1] ^ 1]), size)


def test_a_bomb_is_stopped_in_flat_memory() -> None:
    bomb = zstd.compress(bytes(1 << 26))
    tracemalloc.start()
    with pytest.raises(BadCompression, match="bomb") as bad:
        for _ in Unzstd().feed(bomb):
            pass
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not bad.value.passing
    assert peak < 2**20


def test_frames_of_nothing_are_stopped() -> None:
    with pytest.raises(BadCompression, match="frames"):
        decode(zstd.compress(b"") * 5_000)
    with pytest.raises(BadCompression, match="more than 1,000 bytes"):
        decode(zstd.compress(TEXT), limits=ZstdLimits(max_bytes=1000))


def test_a_window_beyond_the_limit_is_refused_with_what_to_do() -> None:
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.window_log: 24})
    packed = compressor.compress(TEXT) + compressor.flush()  # of unknown size, so the window is as said
    with pytest.raises(BadCompression, match="without --ultra"):
        decode(packed, limits=ZstdLimits(window_log=20))
    assert decode(packed) == TEXT
