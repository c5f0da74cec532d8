"""Fault schedules by the thousand, each from its seed:

    python -m tests.soak --schedules 10000 [--first SEED] [--processes N]

A schedule that breaks the law is named with its seed; `--schedules 1 --first SEED` plays it again. Exit code 1 if any.
"""

import argparse
import sys
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from tests.faults.schedules import Schedule, play


def attempt(seed: int) -> tuple[int, str]:
    """Play one schedule; return its seed and what came of it."""
    try:
        return seed, play(Schedule.of(seed))
    except BaseException as error:
        return seed, f"BROKEN: {type(error).__name__}: {str(error)[:300]}"


def main() -> int:
    """Play as many schedules as are asked for."""
    parser = argparse.ArgumentParser(description="Play fault schedules.")
    parser.add_argument("--schedules", type=int, default=10_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    started = time.monotonic()
    told: Counter[str] = Counter()
    broken = 0
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        seeds = range(options.first, options.first + options.schedules)
        for seed, outcome in pool.map(attempt, seeds, chunksize=50):
            if outcome.startswith("BROKEN"):
                broken += 1
                sys.stdout.write(f"seed {seed}: {outcome}\n")
            told[outcome.split(":")[0]] += 1
    elapsed_s = time.monotonic() - started
    sys.stdout.write(f"{options.schedules:,} schedules in {elapsed_s:.0f} s: {dict(told)}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
