"""A command: draw descriptions and tables for so long, and hold everything that reads them to what was drawn.

    python -m tests.tables.soak [--seconds 60] [--seed 0] [--spans]

It prints the seed of a table that is read otherwise, its description and the table, and exits 1.
"""

import argparse
import random
import sys
import time
import traceback

from tests.tables.checking import check_pieces, check_spans, check_whole
from tests.tables.drawing import draw_table


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--tables", type=int, default=10**9, help="at most so many")
    parser.add_argument("--spans", action="store_true", help="pieces, and spans with any borders, too: slow")
    options = parser.parse_args(arguments)
    until, seed, failures = time.monotonic() + options.seconds, options.seed, 0
    while time.monotonic() < until and failures < 3 and seed < options.seed + options.tables:
        draw = random.Random(seed)
        drawn = draw_table(draw, draw.choice([1, 3, 10] if options.spans else [1, 3, 10, 40]))
        try:
            check_whole(drawn)
            if options.spans:
                check_pieces(drawn, draw)
                for engine in ("python", "kernel"):
                    check_spans(drawn, draw, engine, every=seed % 10 == 0)
        except Exception:
            failures += 1
            text = drawn.data.decode(drawn.schema.encoding or "utf-8", "backslashreplace")
            sys.stderr.write(f"seed {seed}:\n{drawn.schema}\n{text}\n{traceback.format_exc()}")
        seed += 1
    sys.stdout.write(f"{seed - options.seed:,} tables, {failures} differences\n")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
