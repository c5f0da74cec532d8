"""Whose readings a file holds: a small Bloom filter in the list of files, so that a question opens few for nothing.

Pure. A filter says "surely not" or "perhaps": one user in two hundred that a file does not hold passes for one it does.
"""

from collections.abc import Collection
from hashlib import blake2b

__all__ = ["ANYBODY", "holders_of", "may_hold"]

# No filter: the file may hold anybody.
ANYBODY = b""
# Sixteen bits a user, looked at in four places. A thousand users share a kibibyte; a file with more of them is one
# that nearly every question has to open anyway.
_BITS_PER_USER = 16
_MAX_BITS = 8 << 10
_PLACES = 4


def holders_of(users: Collection[str]) -> bytes:
    """Return the filter of a file with these users."""
    bits = 64
    while bits < _BITS_PER_USER * len(users):
        bits *= 2
    if bits > _MAX_BITS:
        return ANYBODY
    field = bytearray(bits // 8)
    for user in users:
        for place in _places(user, bits):
            field[place // 8] |= 1 << place % 8
    return bytes(field)


def may_hold(holders: bytes, user: str) -> bool:
    """Tell whether a file with this filter may hold a user."""
    return not holders or all(holders[place // 8] >> place % 8 & 1 for place in _places(user, 8 * len(holders)))


def _places(user: str, bits: int) -> list[int]:
    digest = int.from_bytes(blake2b(user.encode("utf-8"), digest_size=8).digest())
    start, step = digest >> 32, digest & 0xFFFFFFFF | 1
    return [(start + number * step) % bits for number in range(_PLACES)]
