"""Compressed bodies: whole or an error, and never more than the limits allow."""

import gzip
import random
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport.unpacking.compression import BadCompression
from mockexport.unpacking.gunzip import BITE_BYTES, INFLATES, STEP_BYTES, Gunzip, GzipLimits

TEXT = b"".join(b"P%03d,2025-08-26T00:00:%02dZ,heart_rate,%d\n" % (i % 7, i % 60, i % 200) for i in range(400))


def decode(data: bytes, size: int = 1 << 30, limits: GzipLimits | None = None) -> bytes:
    decoder = Gunzip(limits)
    made: list[bytes] = []
    for start in range(0, len(data), size):
        made += decoder.feed(data[start : start + size])
    decoder.finish()
    return b"".join(made)


@given(st.lists(st.binary(max_size=300), min_size=1, max_size=5), st.integers(1, 400))
def test_all_members_are_read_however_they_are_cut_into_pieces(members: list[bytes], size: int) -> None:
    assert decode(b"".join(map(gzip.compress, members)), size) == b"".join(members)


@pytest.mark.parametrize("size", [1, 7, 1 << 20])
def test_a_body_cut_off_at_any_byte_is_an_error(size: int) -> None:
    packed = gzip.compress(TEXT[:600]) + gzip.compress(TEXT[600:900])
    first = len(gzip.compress(TEXT[:600]))
    for end in range(len(packed)):
        if end == first:
            continue  # the first member is a whole body, too: only the rows can tell
        with pytest.raises(BadCompression) as bad:
            decode(packed[:end], size)
        assert bad.value.passing


@pytest.mark.parametrize("inflate", INFLATES)
def test_flags_that_must_be_zero_are_looked_at_whoever_inflates(inflate: str) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[3] |= 0x20
    with pytest.raises(BadCompression, match="damaged"):
        list(Gunzip(inflate=inflate).feed(bytes(packed)))


def test_a_damaged_checksum_or_length_is_an_error() -> None:
    packed = gzip.compress(TEXT)
    for at in range(len(packed) - 8, len(packed)):
        damaged = packed[:at] + bytes([packed[at] ^ 1]) + packed[at + 1 :]
        with pytest.raises(BadCompression, match="damaged"):
            decode(damaged)


@pytest.mark.parametrize("junk", [b"\0", b"\n", b"junk", b"\x1f", b"\x1f\x8b", gzip.compress(b"x", mtime=0)[:-1]])
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_junk_after_the_end_is_an_error(junk: bytes, size: int) -> None:
    with pytest.raises(BadCompression):
        decode(gzip.compress(TEXT) + junk, size)


def test_what_is_no_gzip_is_an_error() -> None:
    for data in (b"", b"\x1f", TEXT, zlib.compress(TEXT)):
        with pytest.raises(BadCompression):
            decode(data)


def test_a_bomb_is_stopped_at_the_ratio_with_flat_memory() -> None:
    bomb = gzip.compress(bytes(256 * 2**20), 9)
    decoder = Gunzip()
    tracemalloc.start()
    with pytest.raises(BadCompression, match=r"a gzip bomb: [\d,]+ bytes decode to more than") as bad:
        assert max(map(len, decoder.feed(bomb))) <= STEP_BYTES
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert not bad.value.passing
    assert decoder.made < 8 * 2**20
    assert peak < 4 * (STEP_BYTES + BITE_BYTES)


def test_a_hundred_thousand_tiny_members_are_stopped() -> None:
    bomb = gzip.compress(b"") * 100_000
    decoder = Gunzip()
    with pytest.raises(BadCompression, match=r"members in [\d,]+ bytes hold no more than 0 bytes"):
        list(decoder.feed(bomb))
    assert decoder.members < 1100


def test_size_is_capped() -> None:
    noise = random.Random(1).randbytes(5000)
    with pytest.raises(BadCompression, match="more than 4,999 bytes"):
        decode(gzip.compress(noise), limits=GzipLimits(max_bytes=4999))
    assert decode(gzip.compress(noise), limits=GzipLimits(max_bytes=5000)) == noise


@pytest.mark.parametrize("inflate", INFLATES)
@given(data=st.data())
def test_every_inflate_tells_whole_from_damaged_alike(inflate: str, data: st.DataObject) -> None:
    packed = bytearray(gzip.compress(TEXT[:2000]) + gzip.compress(TEXT[2000:2600]))
    for position in data.draw(st.lists(st.integers(0, len(packed) - 1), max_size=2)):
        packed[position] ^= 1 << data.draw(st.integers(0, 7))
    packed = packed[: data.draw(st.integers(0, len(packed)))] if data.draw(st.booleans()) else packed
    size = data.draw(st.integers(1, 500))

    def decoded(by: str) -> bytes | None:
        decoder = Gunzip(inflate=by)
        try:
            made = [part for at in range(0, len(packed), size) for part in decoder.feed(bytes(packed[at : at + size]))]
            decoder.finish()
        except BadCompression:
            return None
        return b"".join(made)

    assert decoded(inflate) == decoded("zlib")
