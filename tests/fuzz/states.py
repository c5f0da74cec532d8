"""A command: give both engines hostile dumps of states: refused by both, or taken by both and written the same again.

    python -m tests.fuzz.states [--states 20000] [--seed 0]

Each is the dump of a good state of which some bytes or numbers are others. It prints the seed of the dump about which
the engines disagree, if there is one, and exits 1.
"""

import argparse
import random
import struct
import sys
from collections.abc import Sequence
from typing import Any

from mockexport import Reducer, Schema, Selection, Summary
from mockexport.engine.choosing import choose_engine
from mockexport.errors import StateError
from mockexport.formats import Batch
from mockexport.reducers import pack_state, unpack_state
from mockexport.reducers.drawing import DRAWING
from mockexport.reducers.family import Family
from mockexport.reducers.packing import pack_rows, unpack_rows
from tests.fuzz.comparing import EVERYTHING

REDUCERS: list[Summary | Selection] = [
    Summary(),
    EVERYTHING,
    Selection(["stddev"]),
    Selection(["median", "per_day"]),
    Selection([DRAWING]),
]
_IDS = ["P", "Q", "", "é" * 128, "é" * 129, "x" * 256, "x" * 5_000, "\ud800", "seventeen_bytes__", "a\0b", '"']
_NUMBERS = [0, 1, -1, 2, 10**15, 10**15 + 1, 2**31, 2**32, 2**62, 2**63 - 1, 2**63, -(2**63), 2**64, 2**127, 2**192]
_NUMBERS += [2**110, 2**110 + 1, -(2**110), 10**33, 10**18, 10**27 + 1, 2**222]


def good(draw: random.Random, reducer: Reducer[Any, Any]) -> bytes:
    """The dump of a state of some rows."""
    count = draw.choice([1, 2, 5, 40])
    wide = draw.choice([3, 10**6, 10**33])
    rows = Batch(
        [draw.choice(["P", "Q", "é" * 128, "seventeen_bytes__"]) for _ in range(count)],
        [draw.randrange(10**15) for _ in range(count)],
        [draw.choice(["t", "u", "x" * 256]) for _ in range(count)],
        [draw.randrange(-wide, wide) for _ in range(count)],
    )
    return reducer.dump(reducer.update(reducer.empty(), rows))


def spoil(draw: random.Random, dump: bytes, families: Sequence[type[Family]]) -> bytes:
    """The dump with something in it changed."""
    match draw.randrange(4):
        case 0:
            data = bytearray(dump)
            for _ in range(draw.choice([1, 1, 2, 9])):
                data[draw.randrange(len(data))] = draw.randrange(256)
            return bytes(data)
        case 1:
            start, end = sorted(draw.randrange(len(dump) + 1) for _ in range(2))
            return dump[:start] + draw.choice([b"", dump[start:end] * 2]) + dump[end:]
        case 2:
            at = draw.randrange(len(dump) - 7)
            return dump[:at] + struct.pack("<Q", draw.choice(_NUMBERS) % 2**64) + dump[at + 8 :]
        case _:
            rows = [[*key, *numbers] for key, numbers in unpack_rows(dump, families)]
            for _ in range(draw.choice([1, 1, 2])):
                row = draw.choice(rows)
                place = draw.randrange(len(row))
                if place < 2:
                    row[place] = draw.choice(_IDS)
                elif isinstance(row[place], list) and row[place]:
                    row[place][draw.randrange(len(row[place]))] = draw.choice(_NUMBERS)
                else:
                    row[place] = draw.choice([*_NUMBERS, [0], [1]])
            if draw.random() < 0.2:
                draw.shuffle(rows)
            if draw.random() < 0.2:
                rows.append(rows[0])
            try:
                return pack_rows(rows, families)
            except (struct.error, TypeError, UnicodeEncodeError):
                return spoil(draw, dump, families)  # there are no bytes for that


def taken(reducer: Reducer[Any, Any], packed: bytes) -> bytes | None:
    """The state as it is written again, once it has been merged with itself and used; None if it is refused."""
    try:
        state, other = unpack_state(reducer, packed), unpack_state(reducer, packed)
    except StateError:
        return None
    again = reducer.dump(state)
    merged = reducer.update(reducer.merge(state, other), Batch(["P"], [5], ["t"], [7]))
    reducer.result(merged)
    return again + reducer.dump(merged)


def differs(seed: int) -> tuple[bool, bool]:
    """Whether the engines disagree about a spoilt dump, and whether it was taken."""
    draw = random.Random(seed)
    chosen = draw.choice(REDUCERS)
    law: Reducer[Any, Any] = chosen
    twin: Reducer[Any, Any] = choose_engine(law, Schema(), wanted="kernel").reducer
    families = chosen.families if isinstance(chosen, Selection) else ()
    dump = good(draw, law)
    packed = pack_state(law, law.empty()).removesuffix(law.dump(law.empty())) + spoil(draw, dump, families)
    by_law, by_twin = taken(law, packed), taken(twin, packed)
    return by_law != by_twin, by_law is not None


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--states", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    failures = accepted = 0
    for seed in range(options.seed, options.seed + options.states):
        different, was_taken = differs(seed)
        accepted += was_taken
        if different:
            failures += 1
            sys.stderr.write(f"the engines disagree: seed {seed}\n")
            if failures == 5:
                break
    sys.stdout.write(f"{options.states:,} hostile states, {accepted:,} of them taken: {failures} differences\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
