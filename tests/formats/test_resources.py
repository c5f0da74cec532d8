"""Rows as columns of bytes are the rows that they are as lists, for whoever takes them."""

import random
import struct
from array import array
from typing import Any

import pytest

from mockexport.engine.choosing import kernel_problem
from mockexport.formats.batch import Batch, Identified, Identity
from mockexport.formats.resources import ROWLESS, Columns, PackedRows
from mockexport.formats.tally import Tally
from mockexport.reducers import Counts, Latest, Summary

Row = tuple[bytes, int, int, int, int, int, int, int]  # key, version, updated, time, value, patient, type, place
NAMES = (["P0", "P1", "P2"], ["a", "b"])


def packed(rows: list[Row], names: tuple[list[str], list[str]] = NAMES) -> PackedRows:
    keys, versions, updated, times, values, patients, types, places = zip(*rows, strict=True)
    columns = Columns(
        b"".join(keys),
        array("Q", versions).tobytes(),
        array("q", updated).tobytes(),
        array("q", times).tobytes(),
        b"".join(struct.pack("<Qq", value & 2**64 - 1, value >> 64) for value in values),
        array("I", patients).tobytes(),
        array("I", types).tobytes(),
        array("H", places).tobytes(),
    )
    return PackedRows(len(rows) - places.count(ROWLESS), columns, names, names)


def listed(batch: PackedRows) -> Identified:
    """The same as lists."""
    return Identified(
        batch.patient_ids, batch.event_times, batch.event_types, batch.values, batch.keys, batch.versions,
        batch.updated, batch.places, batch.rowless,
    )  # fmt: skip


def drawn(draw: random.Random) -> list[Row]:
    rows: list[Row] = []
    for _ in range(40):
        key, version, updated = draw.randrange(30).to_bytes(16, "big"), draw.randrange(3), draw.randrange(-3, 3)
        places = draw.choice(([0], [0], [0, 1], [ROWLESS]))
        value = draw.choice((1, -1)) * draw.getrandbits(draw.choice((9, 90)))
        rest = draw.randrange(10**6), value, draw.randrange(3), draw.randrange(2)
        rows += [(key, version, updated, *rest, place) for place in places]
    return rows


def test_the_lists_say_what_the_columns_say() -> None:
    batch = packed([(b"k" * 16, 2, 7, 5, -(2**70), 2, 1, 0), (b"l" * 16, 3, 8, 0, 0, 0, 0, ROWLESS)])
    assert len(batch) == 1
    assert list(batch.rows()) == [("P2", 5, "b", -(2**70))]
    assert (batch.keys, batch.versions, batch.updated, batch.places) == ([b"k" * 16], [2], [7], [0])
    assert batch.rowless == [Identity(b"l" * 16, 3, 8)]
    assert batch == Batch(["P2"], [5], ["b"], [-(2**70)])


@pytest.mark.parametrize("reducer", [Summary(), Counts()])
def test_columns_and_lists_come_to_the_same(reducer: Any) -> None:
    draw = random.Random(3)
    latest: Latest[Any, Any] = Latest(reducer)
    for _ in range(10):
        first, second = packed(drawn(draw)), packed(drawn(draw), (NAMES[0][::-1], ["b", "b"]))
        states = [
            latest.update(latest.update(latest.empty(), one), another)
            for one, another in ((first, second), (listed(first), listed(second)), (listed(second), first))
        ]
        assert latest.result(states[0]) == latest.result(states[1])
        assert len(states[2]) == len(first) + len(first.rowless) + len(second) + len(second.rowless)


@pytest.mark.skipif(kernel_problem() is not None, reason="the kernel was not built")
def test_the_kernel_takes_columns_as_it_takes_lists() -> None:
    from mockexport.engine.kernel import twin_of

    draw, twin = random.Random(4), twin_of(Summary())
    assert twin is not None
    batch = packed(drawn(draw))
    by_lists = Batch(batch.patient_ids, batch.event_times, batch.event_types, batch.values)
    assert twin.dump(twin.update(twin.empty(), batch)) == twin.dump(twin.update(twin.empty(), by_lists))
    astray = packed([(b"k" * 16, 2, 7, 5, 1, 3, 1, 0)])
    with pytest.raises(ValueError, match="names nothing"):
        twin.update(twin.empty(), astray)


def test_a_tally_learns_the_ids() -> None:
    from mockexport.formats import Decoded

    tally = Tally()
    tally.update(Decoded(packed([(b"k" * 16, 2, 7, 5, 1, 2, 1, 0)], (["x", "y", "z"], ["s", "t"])), [], []))
    assert tally.patients == {"x", "y", "z"}  # what is new in the decoder's lists, which are those of rows
    assert (tally.first_us, tally.rows) == (5, 1)
