"""A command: generate every download and hold its length and SHA-256 against the table of `bodies`.

    python -m mockexport.server.lengths [export id ...]

Without ids it takes all exports: 161 million rows, one process per usable core; some ten core-seconds with the compiled
generator, four core-minutes without. It prints the lines of the table as they should be, says on stderr which of them
differ, and exits 1 if any does.
"""

import hashlib
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

from mockexport.server.bodies import Body, bodies
from mockexport.server.exports import EXPORTS, downloads_of
from mockexport.server.generation import rows_of


def measure(export_id: str, number: int) -> Body:
    """Generate one download and return what its bytes come to."""
    length, digest = 0, hashlib.sha256()
    for piece in rows_of(downloads_of(export_id)[number]):
        length += len(piece)
        digest.update(piece)
    return Body(length, digest.hexdigest())


def main(export_ids: list[str]) -> int:
    """Measure the exports given and return the exit code: 0 if the table is right."""
    unknown = [export_id for export_id in export_ids if export_id not in EXPORTS]
    if unknown:
        sys.stderr.write(f"no such export: {', '.join(unknown)}; there: {', '.join(EXPORTS)}\n")
        return 2
    work = [(export_id, number) for export_id in export_ids for number in range(EXPORTS[export_id].downloads)]
    differences = 0
    with ProcessPoolExecutor(_usable_cores(), mp_context=get_context("spawn")) as pool:
        for (export_id, number), body in zip(work, pool.map(measure, *zip(*work, strict=True)), strict=True):
            download_id = str(downloads_of(export_id)[number].id)
            sys.stdout.write(f"{download_id} {body.length:>9} {body.sha256}\n")
            sys.stdout.flush()
            if body != bodies().get(download_id):
                differences += 1
                sys.stderr.write(f"{export_id}, download {number}: not what the table says\n")
    return 1 if differences else 0


def _usable_cores() -> int:
    # Not everywhere can a process be told which cores it may use.
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:] or list(EXPORTS)))
