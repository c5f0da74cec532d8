"""The benchmarks' command: prints a table and writes JSON.

    uv run --group bench python -m tests.benchmarks [--data DIR] [--rounds 7] [--only disk,kernel,…] [--json FILE]

    disk        end to end, files served from disk, beside DuckDB, Polars, the Python engine and a raw read
    local       the same files without a server, beside DuckDB and the kernel's own work
    compressed  six of the files with gzip and with zstd, over HTTP, beside decompressing alone
    generated   end to end, rows generated while they are sent
    kernel      the kernel alone, rows per second and core
    growth      1, 10 and 100 times the rows: time and peak memory
    folders     many files, many groups: time and peak memory
    start       how long it takes to say hello, and to analyze `demo` from a running server
    cpu         the client's CPU seconds per GB; from the runs of `disk`

Ratios are medians of ratios of the same round. Without --data, `small` is written into a temporary folder.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from pathlib import Path
from typing import Any

from mockexport import __version__
from mockexport.server.folder import generate
from mockexport.sources.listing import read_listing
from tests.benchmarks.growth import folders, growth
from tests.benchmarks.measuring import Figures, in_turn, median, serving
from tests.benchmarks.transfers import compressed, disk, generated, local

ALL = ("disk", "local", "compressed", "generated", "kernel", "growth", "folders", "start", "cpu")
KERNEL_CASES = (
    *(f"{groups}-{values}-best" for groups in (10, 10_000, 1_000_000) for values in ("integers", "decimals")),
    "10-unusual-best",
    "10-integers-words",
)
# The targets that the project has set itself: a figure of the results, and what it should be.
TARGETS = {
    "disk: our time / raw read": "<= 2.0",
    "disk: DuckDB's time / ours": ">= 3",
    "disk: DuckDB's whole process / ours": ">= 1.3",
    "disk: our peak memory, MB": "< 50",
    "cpu: our seconds per GB": "<= 1.2",
    "local: DuckDB's time / ours": ">= 5",
    "local: DuckDB's whole process / ours": ">= 1.3",
    "local: our time x cores / the kernel's own": "<= 1.4",
    "compressed: gzip, our time / decompressing alone": "<= 1.3",
    "compressed: zstd, our time / decompressing alone": "<= 1.3",
    "kernel: 10-integers-best": ">= 55",
    "kernel: 10-decimals-best": ">= 45",
    "kernel: 1000000-integers-best": ">= 10",
    "growth: 100x rows, time": "<= 110",
    "folders: 1,000 files x 10,000 rows, 3,000 groups, seconds": "<= 0.8",
    "folders: 1,000 files x 10,000 rows, 3,000 groups, MB": "< 60",
    "folders: 20,000 files x 50 rows, seconds": "<= 3",
    "folders: 20,000 files x 50 rows, MB": "< 80",
    "folders: 20 files, 10 M rows, 300,000 groups, seconds": "<= 1.5",
    "folders: 20 files, 10 M rows, 300,000 groups, seconds of JSON": "<= 1",
    "folders: 20 files, 10 M rows, 300,000 groups, MB": "< 250",
    "folders: 20 files, 10 M rows, 900,000 groups, seconds": "<= 4",
    "folders: 20 files, 10 M rows, 900,000 groups, seconds of JSON": "<= 3",
    "folders: 20 files, 10 M rows, 900,000 groups, MB": "< 700",
    "start: mockexport --help, ms": "< 60",
    "start: mockexport demo --url, ms": "< 150",
}


def kernel(rounds: int) -> Figures:
    """The kernel alone."""
    cases = {case: [sys.executable, "-m", "tests.benchmarks.kernel", case] for case in KERNEL_CASES}
    measured = in_turn(cases, rounds)
    return {f"kernel: {case}": median(measured, case, "rows_per_s") / 1e6 for case in KERNEL_CASES}


def start(rounds: int) -> Figures:
    """How long it takes to begin."""
    mockexport = str(Path(sys.executable).with_name("mockexport"))
    parties = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "mockexport --help": [mockexport, "--help"],
        "import mockexport": [sys.executable, "-c", "import mockexport"],
        "from mockexport import analyze": [sys.executable, "-c", "from mockexport import analyze"],
    }
    with serving() as url:
        parties["mockexport demo --url"] = [mockexport, "demo", "--url", url, "-q", "-o", os.devnull]
        measured = in_turn(parties, max(rounds, 15))
    return {f"start: {name}, ms": median(measured, name, "process_seconds") * 1000 for name in parties}


def main(arguments: list[str]) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="a folder that `generate` has left")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default=",".join(ALL))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args(arguments)
    # Where it is installed, what was compiled to bytecode is there.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    only = options.only.split(",")
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data
        if data is None and {"disk", "local", "compressed", "generated", "cpu"} & set(only):
            data = Path(temporary) / "small"
            data.mkdir()
            generate("small", data)
        export_id = "small" if data is None else read_listing(data).id
        if "disk" in only or "cpu" in only:
            figures |= disk(data, export_id, options.rounds)
        if "local" in only:
            figures |= local(data, options.rounds, Path(temporary))
        if "compressed" in only:
            figures |= compressed(data, options.rounds, Path(temporary))
        if "generated" in only:
            figures |= generated(export_id, options.rounds)
        if "kernel" in only:
            figures |= kernel(options.rounds)
        if "growth" in only:
            figures |= growth(options.rounds, Path(temporary))
        if "folders" in only:
            figures |= folders(options.rounds, Path(temporary))
        if "start" in only:
            figures |= start(options.rounds)
    width = max(map(len, figures))
    for name, figure in figures.items():
        shown = f"{figure:,.0f}" if figure >= 1000 else f"{figure:.3g}"
        sys.stdout.write(f"{name.ljust(width)}  {shown:>12}  {TARGETS.get(name, '')}\n".rstrip() + "\n")
    if options.json is not None:
        machine: dict[str, Any] = {
            "version": __version__,
            "python": platform.python_version(),
            "system": platform.platform(),
            "cores": os.cpu_count(),
            "load": os.getloadavg(),
            "rounds": options.rounds,
        }
        options.json.write_text(json.dumps({"machine": machine, "figures": figures}, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
