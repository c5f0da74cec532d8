"""Tables of many kinds, one core: `python -m tests.benchmarks.tables [--rows N] [--rounds N] [KIND…]` prints a table.

Each kind is read from a file by our engine and by DuckDB's `read_csv` with the options that it has for the same table,
one thread each, and reduced to the same figures by patient and type; that these are the same is checked. Time is the
processor's, the least of the rounds, taken in turn: so other work on the machine shows little. Values are what a table
holds, not its lines. Without DuckDB (group `bench`) its columns stay empty.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from mockexport.engine.choosing import choose_engine
from mockexport.model import Chunk, Span
from mockexport.reducers import Summary
from mockexport.unpacking.transcoding import Utf16
from tests.benchmarks.kinds import KINDS, Kind, Reading, readings

CHUNK_BYTES = 512 * 1024

Figures = dict[tuple[str, str], tuple[int, float, float, float, float]]


def ours(path: Path, kind: Kind, engine: str) -> tuple[Figures, float, str]:
    """Return the figures of a file, the processor time, and the engine's name."""
    chosen = choose_engine(Summary(), kind.schema, wanted=engine)
    start = time.thread_time()
    fold = chosen.new_fold(Span(path.name))
    for chunk in _chunks(path, kind):
        fold.feed(replace(chunk, line=fold.line))
    fold.finish()
    result = chosen.reducer.result(fold.state)
    seconds = time.thread_time() - start
    if fold.tally.bad:
        raise SystemExit(f"{path.name} has bad rows: {dict(fold.tally.bad)}")
    figures = {
        (patient, event_type): (each.count, each.mean or 0, each.min or 0, each.max or 0, each.latency or 0)
        for patient, types in result.patients.items()
        for event_type, each in types.items()
    }
    return figures, seconds, chosen.name


def _chunks(path: Path, kind: Kind) -> Iterator[Chunk]:
    cutter = kind.schema.cutter(Span(path.name))
    with path.open("rb", buffering=0) as file:
        if kind.encoding == "utf-16":
            decoder = Utf16()
            while data := file.read(CHUNK_BYTES):
                for text in decoder.feed(data):
                    yield from cutter.feed(text)
        else:
            cutter.fill(bytearray(CHUNK_BYTES))
            while size := file.readinto(cutter.room):
                yield from cutter.took(size)
                if cutter.buffer is None:
                    cutter.fill(bytearray(CHUNK_BYTES))
    yield from cutter.rest()


def theirs(path: Path, kind: Kind) -> tuple[Figures, float]:
    """Return what DuckDB makes of it, and the processor time, of all threads that there are."""
    import duckdb

    connection = duckdb.connect(config={"threads": 1})
    query = f"""
        SELECT p, k, count(v), avg(v), min(v), max(v), epoch_us(max(t)) - epoch_us(min(t))
        FROM ({kind.select.format(rows=kind.read_csv)}) GROUP BY ALL
    """  # noqa: S608 - our own names
    start = time.process_time()
    rows = connection.execute(query, [str(path)]).fetchall()
    seconds = time.process_time() - start
    return {
        (p, k): (count, mean, low, high, span / 1e6 / (count - 1) if count > 1 else 0)
        for p, k, count, mean, low, high, span in rows
        if count
    }, seconds


def _same(found: Figures, other: Figures) -> bool:
    return found.keys() == other.keys() and all(
        abs(a - b) <= 1e-9 * max(1, abs(a)) for key in found for a, b in zip(found[key], other[key], strict=True)
    )


def measure(name: str, rows: Sequence[Reading], folder: Path, rounds: int, engine: str) -> str:
    """Return the line of a kind."""
    kind = KINDS[name]
    path = folder / "P.csv"
    path.write_text(kind.write(rows), encoding=kind.encoding)
    best, other, by, values, told = float("inf"), float("inf"), "", 0, "not there"
    for _ in range(rounds):
        found, seconds, by = ours(path, kind, engine)
        values, best = sum(each[0] for each in found.values()), min(best, seconds)
        try:
            peer, seconds = theirs(path, kind)
        except ImportError:
            continue
        other = min(other, seconds)
        told = "same" if _same(found, peer) else "DIFFERS"
    ratio = "" if told == "not there" else f"{other / best:.2f}"
    rate = "" if told == "not there" else f"{values / other / 1e6:.1f}"
    size = path.stat().st_size / best / 1e9
    return f"| {name} | {by} | {values / best / 1e6:.1f} | {size:.2f} | {rate} | {ratio} | {told} |\n"


def main(arguments: Sequence[str]) -> int:
    """Run the command; return its exit code: 1 if any answer differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kinds", nargs="*", metavar="KIND", help="those whose names begin so (default: all)")
    parser.add_argument("--rows", type=int, default=300_000, help="values (default: 300000)")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--engine", default="auto")
    options = parser.parse_args(arguments)
    rows = readings(options.rows)
    sys.stdout.write("| table | engine | M values/s | GB/s | DuckDB, M values/s | DuckDB's time / ours | answer |\n")
    sys.stdout.write("|---|---|---|---|---|---|---|\n")
    different = False
    with tempfile.TemporaryDirectory() as folder:
        for name in KINDS:
            if not options.kinds or any(name.startswith(each) for each in options.kinds):
                line = measure(name, rows, Path(folder), options.rounds, options.engine)
                different = different or "DIFFERS" in line
                sys.stdout.write(line)
                sys.stdout.flush()
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
