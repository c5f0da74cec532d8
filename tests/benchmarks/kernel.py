"""The kernel alone, one core, bytes in memory: `python -m tests.benchmarks.kernel CASE` prints rows per second as JSON.

CASE is `GROUPS-VALUES-PATH`, such as `10-integers-avx2`: how many groups, integers, decimals, moles (such as 1.27e-11)
or unusual (one row in a hundred quoted, by the reference's word), and the instructions, or `best`.
`10-integers-best-stddev,p95` asks for those statistics instead of the usual ones.
"""

import json
import random
import sys
import time

from mockexport import _kernel
from mockexport.engine.choosing import choose_engine
from mockexport.formats import Cutter
from mockexport.formats.schema import Schema
from mockexport.model import Chunk, Span
from mockexport.reducers import Selection, Summary

# Enough that every group comes up, and that starting costs nothing.
LEAST_ROWS = 600_000
ROWS_PER_GROUP = 3
TYPES = ("heart_rate", "spo2", "bp_sys", "bp_dia")
FORMS = {"decimals": "{:.2f}", "moles": "{:.2e}"}
HEADER = b"patient_id,event_time,event_type,value\n"


def chunks(groups: int, values: str) -> list[Chunk]:
    """Chunks of rows in the form of the exports, over so many groups in random order."""
    draw = random.Random(1)
    types = TYPES[: max(2, min(4, groups))]
    patients = max(1, groups // len(types))
    lines = []
    for number in range(max(LEAST_ROWS, ROWS_PER_GROUP * groups)):
        second, fraction = divmod(number * 3 % (5 * 864_000), 10)  # five days, again and again
        stamp = f"2025-08-{26 + second // 86400:02}T{second // 3600 % 24:02}:{second // 60 % 60:02}:{second % 60:02}"
        value = FORMS.get(values, "{:.0f}").format(draw.gauss(90, 20) * (1e-12 if values == "moles" else 1))
        patient = f"L{draw.randrange(patients):03}"
        if values == "unusual" and number % 100 == 0:
            patient = f'"{patient}"'
        lines.append(f"{patient},{stamp}.{fraction}{draw.randrange(10**5):05}Z,{draw.choice(types)},{value}\n")
    cutter = Cutter(Span("d"), 384 * 1024)
    return [*cutter.feed(HEADER + "".join(lines).encode()), *cutter.finish()]


def measure(case: str) -> dict[str, float]:
    """Fold all chunks again and again for about two seconds; return the rows per second once all groups are there."""
    groups, values, path, *stats = case.split("-")
    if not _kernel.use_path(None if path == "best" else path):
        raise SystemExit(f"this machine has no {path}")
    fed = chunks(int(groups), values)
    reducer = Selection(stats[0].split(",")) if stats else Summary()
    fold = choose_engine(reducer, Schema(), wanted="kernel").new_fold(Span("d"))
    for chunk in fed:
        fold.feed(chunk)
    if fold.tally.bad:
        raise SystemExit("the rows of the benchmark are bad")
    rounds, spent = 0, 0.0
    while spent < 2:
        start = time.thread_time()
        for chunk in fed[1:]:
            fold.feed(chunk)
        spent += time.thread_time() - start
        rounds += 1
    rows = sum(bytes(chunk.data).count(b"\n") for chunk in fed[1:]) * rounds
    return {"seconds": spent / rows, "rows_per_s": rows / spent}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
