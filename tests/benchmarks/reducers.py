"""Reducers written in Python, one core, bytes in memory: `python -m tests.benchmarks.reducers` prints a table.

Counts, and the two reducers of examples/: fed by the reference and by the kernel, in chunks of the usual size and more.
The least processor time of several rounds, so that a busy machine shows less.
"""

import sys
import time
from pathlib import Path
from typing import Any

from mockexport.engine.choosing import choose_engine
from mockexport.formats import Cutter
from mockexport.formats.schema import Schema
from mockexport.model import Chunk, Span
from mockexport.reducers import Counts, Reducer
from tests.benchmarks.kernel import chunks

ROUNDS = 5
GROUPS = 10
SIZES = {"256 KiB": 256 * 1024, "4 MiB": 4 * 1024 * 1024}


def rows_per_second(reducer: Reducer[Any, Any], engine: str, fed: list[Chunk]) -> float:
    """Fold all chunks some times; return the rows per second of the quickest."""
    rows, best = 0, float("inf")
    for _ in range(ROUNDS):
        fold = choose_engine(reducer, Schema(), wanted=engine).new_fold(Span("d"))
        start = time.process_time()
        for chunk in fed:
            fold.feed(chunk)
        best = min(best, time.process_time() - start)
        rows = fold.rows
    return rows / best


def main() -> None:
    """Print the table: million rows per second."""
    sys.path.insert(0, str(Path(__file__).parents[2] / "examples"))
    from custom_reducer import InRange  # type: ignore[import-not-found]
    from fast_reducer import FastInRange  # type: ignore[import-not-found]

    data = b"".join(chunk.data for chunk in chunks(GROUPS, "integers"))
    print("| reducer | chunks | python | kernel |\n|---|---|---|---|")
    for size, chunk_bytes in SIZES.items():
        cutter = Cutter(Span("d"), chunk_bytes)
        fed = [*cutter.feed(data), *cutter.finish()]
        for reducer in (Counts(), InRange(), FastInRange()):
            figures = [rows_per_second(reducer, engine, fed) / 1e6 for engine in ("python", "kernel")]
            print(f"| {type(reducer).__name__} | {size} | {figures[0]:.2f} | {figures[1]:.1f} |")


if __name__ == "__main__":
    main()
