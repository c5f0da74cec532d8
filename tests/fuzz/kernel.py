"""A command: give kernel and reference the same hostile rows and compare states, batches and tallies bit by bit.

    python -m tests.fuzz.kernel [--rows 1000000] [--seed 0]

Bodies of some hundred rows each, whole, and cut at random places; every instruction path this machine has takes its
turn. It prints the seed of the body that differs, if one does, and exits 1.
"""

import argparse
import random
import sys
from typing import Any

from mockexport import _kernel
from mockexport.formats.schema import Schema
from tests.fuzz.comparing import REDUCERS, Rows, outcome
from tests.fuzz.described import description, table
from tests.fuzz.rows import asked, body, schema

PATHS = [name for name in ("sse2", "avx2", "avx512", "neon", "words") if _kernel.use_path(name)]


def hostile(draw: random.Random, most: int) -> tuple[Schema, bytes]:
    """A schema, a plain one or a description, and a body of up to so many rows."""
    rows = draw.choice([3, most // 10, most // 2, most])
    if draw.random() < 0.5:
        chosen = schema(draw)
        return chosen, body(draw, rows, chosen)
    chosen = description(draw)
    return chosen, table(draw, rows, chosen)


def differs(seed: int) -> tuple[int, bool]:
    """Compare one body; return its number of rows and whether the engines disagree about it."""
    draw = random.Random(seed)
    chosen, data = hostile(draw, 600)
    only = asked(draw)
    chunk_bytes = draw.choice([1, 100, 5_000, 20_000, 300_000])
    strict = draw.random() < 0.1
    _kernel.use_path(draw.choice(PATHS))
    edges = sorted(draw.randrange(len(data) + 1) for _ in range(draw.randrange(4)))
    rows, different = 0, False
    for reducer in REDUCERS:
        options: dict[str, Any] = {"reducer": reducer, "asked": only, "chunk_bytes": chunk_bytes, "strict": strict}
        law = outcome("python", data, chosen, **options)
        seen = outcome("kernel", data, chosen, edges=edges, **options)
        rows = law[2]
        # A header in the middle of a chunk that is none: the kernel may have taken in what is before it. And so it may
        # have as columns, where the first bad row ends the run.
        if not chosen.is_plain and law[-1] and (not strict or isinstance(reducer, Rows)):
            law, seen = law[-1:], seen[-1:]
        different = different or law != seen
    return rows, different


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    rows, seed, failures = 0, options.seed, 0
    while rows < options.rows and failures < 5:
        some, different = differs(seed)
        rows += some
        if different:
            failures += 1
            sys.stderr.write(f"the engines disagree: seed {seed}\n")
        seed += 1
    _kernel.use_path()
    sys.stdout.write(f"{rows:,} rows in {seed - options.seed:,} bodies, paths {', '.join(PATHS)}: ")
    sys.stdout.write(f"{failures} differences\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
