"""The arithmetic that finds a flipped bit in a row, in the three languages that need it. Pure.

A journal row is four integers. Its checksum is a weighted sum modulo a prime, which SQLite computes as it inserts and
Polars as it reads, both without a line of Python per row. Flipping one bit of a column changes the sum by ±2ⁱ times its
weight, which is never 0 modulo a prime above two: a single flipped bit is always found, any other damage all but once
in 2³¹.
Every term stays below 2⁶², so that no 64-bit sum overflows.
"""

import hashlib
import zlib
from pathlib import Path

import polars as pl

__all__ = ["PRIME", "file_sha256", "row_checksum", "row_checksum_polars", "row_checksum_sql", "text_checksum"]

# Below 2³¹, and no Mersenne prime: modulo 2³¹ - 1 bit i and bit i + 31 would weigh the same.
PRIME = 2_147_483_629
_WEIGHTS = (1_000_003, 998_244_353, 1_073_741_827, 7_919)

# A file is hashed in pieces of this size: large enough to be quick, small enough not to count.
_HASH_PIECE_BYTES = 1 << 20


def row_checksum(seq: int, stream: int, time_us: int, heart_rate: int) -> int:
    """Return the checksum of one row: the reference."""
    values = (seq, stream, time_us, heart_rate)
    return sum(value % PRIME * weight % PRIME for value, weight in zip(values, _WEIGHTS, strict=True)) % PRIME


def row_checksum_sql(seq: str, stream: str, time_us: str, heart_rate: str) -> str:
    """Return the SQL expression for the checksum; the arguments are SQL expressions of integers, none negative."""
    terms = (
        f"(({column}) % {PRIME}) * {weight} % {PRIME}"
        for column, weight in zip((seq, stream, time_us, heart_rate), _WEIGHTS, strict=True)
    )
    return f"({' + '.join(terms)}) % {PRIME}"


def row_checksum_polars() -> pl.Expr:
    """Return the Polars expression for the checksum of the columns seq, stream, time_us and heart_rate (all Int64)."""
    terms = [
        pl.col(column) % PRIME * weight % PRIME
        for column, weight in zip(("seq", "stream", "time_us", "heart_rate"), _WEIGHTS, strict=True)
    ]
    return (terms[0] + terms[1] + terms[2] + terms[3]) % PRIME


def text_checksum(*parts: object) -> int:
    """Return a checksum of a few texts and numbers, for the small tables."""
    return zlib.crc32("\x1f".join(map(str, parts)).encode("utf-8"))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_HASH_PIECE_BYTES):
            digest.update(piece)
    return digest.hexdigest()
