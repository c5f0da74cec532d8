"""How far in time each group of a state reaches, in a form in which the states of many downloads are compared.

A reach is 24 bytes, little-endian: the group's name as 64 bits (FNV-1a, by Fowler, Noll and Vo, of the patient, a zero
byte and the event type), and its first and last time. Two groups that meet in one name are one in some 10¹⁹ pairs.

Rules: this is the law of the form; native/reach.h is its compiled twin.
"""

import struct
from collections.abc import Iterable, Iterator
from typing import TypeAlias

__all__ = ["REACH_BYTES", "Reach", "pack_reaches", "reach_of_all", "unpack_reaches"]

_REACH = struct.Struct("<Qqq")
REACH_BYTES = _REACH.size
_PRIME, _BASIS, _WORD = 0x100000001B3, 0xCBF29CE484222325, 2**64 - 1

# How many groups, and the first and the last time of all of them.
Reach: TypeAlias = tuple[int, int, int]


def pack_reaches(groups: Iterable[tuple[str, str, int, int]]) -> bytes:
    """Return the reaches of groups as bytes, ascending; a group is (patient id, event type, first, last)."""
    reaches = sorted((_name(patient, kind), first_us, last_us) for patient, kind, first_us, last_us in groups)
    return b"".join(_REACH.pack(*reach) for reach in reaches)


def unpack_reaches(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (name, first, last), ascending.

    Raises:
        struct.error: `data` is not made of such.
    """
    return _REACH.iter_unpack(data)


def reach_of_all(parts: Iterable[Reach]) -> Reach | None:
    """Return what the reaches of some groups, and of others, come to; None if there are no groups."""
    known = list(parts)
    return (sum(r[0] for r in known), min(r[1] for r in known), max(r[2] for r in known)) if known else None


def _name(patient_id: str, event_type: str) -> int:
    name = _BASIS
    for byte in f"{patient_id}\0{event_type}".encode():
        name = (name ^ byte) * _PRIME & _WORD
    return name
