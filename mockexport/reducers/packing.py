"""A state's bytes: its groups in the order of their ids, as columns; of `Summary` and `Selection`, in both engines.

All numbers are little-endian, and columns follow each other without gaps:

- the number of patients, of event types and of groups: three 64-bit integers;
- the length of each patient in bytes (16-bit), and all patients in UTF-8, ascending; the same of the event types;
- the place of each group's patient, from 0, and then of each group's event type (32-bit); pairs ascend;
- count, low and high half of the total, low, high, anomalies, first, last: eight columns of 64-bit integers;
- for each family that is kept, in the order of selection.FAMILIES: three columns of 64-bit words, the lowest first; or,
  where it counts apart, whether it is over (8-bit), how many entries it has (32-bit), and all keys and all counts
  (64-bit).

Rules: this is the law of the format; native/dump.h and native/load.h are its compiled twins. What is read has the right
sizes, ids that are ids, each of them in use, and groups in order, no two the same; what its numbers may be is for
`Group.from_plain` and `Family.check` to say.
"""

import struct
from collections.abc import Iterable, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any

from mockexport.formats.fields import check_id
from mockexport.reducers.family import Family

__all__ = ["pack_rows", "unpack_rows"]

_WORD = 0xFFFFFFFFFFFFFFFF
_FORMATS = "QQqqqQqq"  # from count to last


def pack_rows(rows: Sequence[Sequence[Any]], families: Sequence[type[Family]] = ()) -> bytes:
    """Return groups as bytes.

    Args:
        rows: patient id, event type, count, total, low, high, anomalies, first, last, and what `to_plain` gives for
            each of the families; in the order of their ids.
        families: those that are kept.
    """
    columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * (9 + len(families))
    patients, types, count, total, low, high, anomalies, first, last, *further = columns
    names = [sorted(set(patients)), sorted(set(types))]
    parts = [struct.pack("<3Q", len(names[0]), len(names[1]), len(rows))]
    for ids in names:
        encoded = [text.encode() for text in ids]
        parts += (_packed("H", map(len, encoded)), *encoded)
    for ids, column in zip(names, (patients, types), strict=True):
        place = {text: number for number, text in enumerate(ids)}
        parts.append(_packed("I", [place[text] for text in column]))
    halves = [number & _WORD for number in total], [number >> 64 for number in total]
    for letter, column in zip(_FORMATS, (count, *halves, low, high, anomalies, first, last), strict=True):
        parts.append(_packed(letter, column))
    for family, plains in zip(families, further, strict=True):
        if not family.counts_apart:
            parts += [_packed("Q", [plain >> shift & _WORD for plain in plains]) for shift in (0, 64, 128)]
            continue
        parts.append(_packed("B", [over for over, *_ in plains]))
        parts.append(_packed("I", [len(plain) // 2 for plain in plains]))
        parts.append(_packed("q", chain.from_iterable(plain[1::2] for plain in plains)))
        parts.append(_packed("Q", chain.from_iterable(plain[2::2] for plain in plains)))
    return b"".join(parts)


def unpack_rows(data: bytes, families: Sequence[type[Family]] = ()) -> list[tuple[tuple[str, str], list[Any]]]:
    """Return the groups that `pack_rows` wrote, as ((patient id, event type), the rest of the row).

    Raises:
        ValueError: if the bytes are no such groups.
    """
    columns = _Columns(data)
    patients, types, groups = columns.take("Q", 3)
    names = [columns.take_ids(patients), columns.take_ids(types)]
    places = [columns.take("I", groups), columns.take("I", groups)]
    keys = list(zip(*places, strict=True))
    if any(later <= earlier for earlier, later in pairwise(keys)):
        raise ValueError("the groups are not in the order of their ids")
    for ids, column in zip(names, places, strict=True):
        if set(column) != set(range(len(ids))):
            raise ValueError("an id is in no group, or a group has none")
    numbers: list[Iterable[Any]] = [columns.take(letter, groups) for letter in _FORMATS]
    numbers[1:3] = [[high << 64 | low for low, high in zip(*numbers[1:3], strict=True)]]
    numbers += [
        columns.take_counts(groups) if family.counts_apart else columns.take_squares(groups) for family in families
    ]
    if columns.left:
        raise ValueError("there is something behind the groups")
    return [
        ((names[0][patient], names[1][event_type]), list(row))
        for (patient, event_type), *row in zip(keys, *numbers, strict=True)
    ]


def _packed(letter: str, numbers: Iterable[int]) -> bytes:
    numbers = list(numbers)
    return struct.pack(f"<{len(numbers)}{letter}", *numbers)


class _Columns:
    """Columns are taken from the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return len(self._data) - self._at

    def take_bytes(self, size: int) -> bytes:
        """Take bytes; ValueError if there are fewer."""
        if size > self.left:
            raise ValueError("a column is cut off")
        self._at += size
        return self._data[self._at - size : self._at]

    def take(self, letter: str, count: int) -> tuple[int, ...]:
        """Take integers of a format of `struct`."""
        taken = self.take_bytes(count * struct.calcsize(f"<{letter}"))
        return struct.unpack(f"<{count}{letter}", taken)

    def take_ids(self, count: int) -> list[str]:
        """Take ids, in order."""
        lengths = self.take("H", count)
        taken = self.take_bytes(sum(lengths))
        ids = [taken[start:end].decode() for start, end in pairwise([0, *accumulate(lengths)])]
        for text in ids:
            check_id(text)
        if any(later <= earlier for earlier, later in pairwise(ids)):
            raise ValueError("the ids are not in order")
        return ids

    def take_squares(self, groups: int) -> list[int]:
        """Take the squares of each group."""
        words = [self.take("Q", groups) for _ in range(3)]
        return [low | middle << 64 | high << 128 for low, middle, high in zip(*words, strict=True)]

    def take_counts(self, groups: int) -> list[list[int]]:
        """Take what is counted apart in each group."""
        over, entries = self.take("B", groups), self.take("I", groups)
        total = sum(entries)
        keys, counts = self.take("q", total), self.take("Q", total)
        return [
            [flag, *chain.from_iterable(zip(keys[start:end], counts[start:end], strict=True))]
            for flag, (start, end) in zip(over, pairwise([0, *accumulate(entries)]), strict=True)
        ]
