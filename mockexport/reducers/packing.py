"""A state's bytes: its groups in the order of their ids, as columns; of `Summary` and `Selection`, in both engines.

All numbers are little-endian, and columns follow each other without gaps. A number of several words of 64 bits has a
column for each, the lowest first:

- the number of patients, of event types and of groups: three 64-bit integers;
- the length of each patient in bytes (16-bit), and all patients in UTF-8, ascending; the same of the event types;
- the place of each group's patient, from 0, and then of each group's event type (32-bit); pairs ascend;
- count, total (three words), low (two), high (two), anomalies, first, last;
- for each family that is kept, in the order of selection.FAMILIES: a number of five words; or, where it counts apart,
  whether it is over (8-bit), how many entries it has (32-bit), and all keys (two words) and all counts.

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
# How many words a group's numbers take, from count to last, and a family's.
_NUMBERS = (1, 3, 2, 2, 1, 1, 1)
_KEY_WORDS = 2
_FAMILY_WORDS = 5


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
    for words, column in zip(_NUMBERS, (count, total, low, high, anomalies, first, last), strict=True):
        parts += _in_words(words, column)
    for family, plains in zip(families, further, strict=True):
        if not family.counts_apart:
            parts += _in_words(_FAMILY_WORDS, plains)
            continue
        parts.append(_packed("B", [over for over, *_ in plains]))
        parts.append(_packed("I", [len(plain) // 2 for plain in plains]))
        parts += _in_words(_KEY_WORDS, [key for plain in plains for key in plain[1::2]])
        parts += _in_words(1, [number for plain in plains for number in plain[2::2]])
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
    numbers: list[Iterable[Any]] = [columns.take_words(words, groups) for words in _NUMBERS]
    numbers += [
        columns.take_counts(groups) if family.counts_apart else columns.take_words(_FAMILY_WORDS, groups)
        for family in families
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


def _in_words(words: int, numbers: Sequence[int]) -> list[bytes]:
    """Return integers as `words` columns of words, in two's complement."""
    return [_packed("Q", [number >> 64 * word & _WORD for number in numbers]) for word in range(words)]


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

    def take_words(self, words: int, count: int) -> list[int]:
        """Take `count` integers of `words` words each."""
        columns = [self.take("Q", count) for _ in range(words - 1)]
        numbers = list(self.take("q", count))
        for column in reversed(columns):
            numbers = [number << 64 | word for number, word in zip(numbers, column, strict=True)]
        return numbers

    def take_counts(self, groups: int) -> list[list[int]]:
        """Take what is counted apart in each group."""
        over, entries = self.take("B", groups), self.take("I", groups)
        total = sum(entries)
        keys, counts = self.take_words(_KEY_WORDS, total), self.take_words(1, total)
        return [
            [flag, *chain.from_iterable(zip(keys[start:end], counts[start:end], strict=True))]
            for flag, (start, end) in zip(over, pairwise([0, *accumulate(entries)]), strict=True)
        ]
