"""The benchmarks' command: prints a table and writes JSON.

    uv run --group bench python -m tests.benchmarks [--data DIR] [--rounds 7] [--only disk,kernel,…] [--json FILE]

    disk        end to end, files served from disk, beside DuckDB, Polars, the Python engine and a raw read
    generated   end to end, rows generated while they are sent
    kernel      the kernel alone, rows per second and core
    growth      1, 10 and 100 times the rows: time and peak memory
    start       how long it takes to say hello
    cpu         the client's CPU seconds per GB; from the runs of `disk`

Ratios are medians of ratios of the same round. Without --data, `small` is written into a temporary folder.
"""

import argparse
import json
import os
import platform
import sys
import tempfile
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from mockexport import __version__
from mockexport.server.exports import downloads_of
from mockexport.server.folder import generate
from mockexport.server.generation import rows_of
from mockexport.sources.listing import read_listing
from tests.benchmarks.measuring import Measured, in_turn, median, paired, serving

ALL = ("disk", "generated", "kernel", "growth", "start", "cpu")
KERNEL_CASES = (
    *(f"{groups}-{values}-best" for groups in (10, 10_000, 1_000_000) for values in ("integers", "decimals")),
    "10-unusual-best",
    "10-integers-words",
)
# The targets that the project has set itself: a figure of the results, and what it should be.
TARGETS = {
    "disk: DuckDB's time / ours": ">= 3.5",
    "disk: Polars' time / ours": ">= 7",
    "disk: our time / raw read": "<= 1.9",
    "generated: seconds": "< 15 for large",
    "kernel: 10-integers-best": ">= 60",
    "kernel: 10-decimals-best": ">= 35",
    "kernel: 1000000-integers-best": ">= 8",
    "growth: 100× rows, time": "<= 110",
    "start: mockexport --help, ms": "< 60",
    "cpu: our seconds per GB": "<= 0.9",
    "disk: our peak memory, MB": "< 50",
}

Figures = dict[str, float]


def party(name: str, *arguments: str) -> list[str]:
    """Return the command of a party."""
    return [sys.executable, "-m", "tests.benchmarks.parties", name, *arguments]


def disk(data: Path, export_id: str, rounds: int) -> Figures:
    """End to end from disk: ours beside all others, in turn; and the client's CPU."""
    with serving(data) as url:
        parties = {
            "ours": party("ours", url, export_id),
            "raw": party("raw", url, export_id),
            "plain aiohttp": party("plain_aiohttp", url, export_id),
            "duckdb": party("duckdb", str(data)),
            "polars": party("polars", url, export_id),
            "ours, whole process": [
                sys.executable,
                "-m",
                "mockexport",
                "analyze",
                export_id,
                "--url",
                url,
                "-o",
                os.devnull,
            ],
        }
        measured = in_turn(parties, rounds)
        # It takes a hundred times as long; once is enough to know the order of magnitude.
        python: Measured = {"python": []}
        if read_listing(data).downloads and sum(d.rows or 0 for d in read_listing(data).downloads) < 20_000_000:
            python = in_turn({"python": party("ours", url, export_id, "python")}, 1)
    rows, size = measured["ours"][0]["rows"], measured["ours"][0]["bytes"]
    figures = {
        "disk: rows": rows,
        "disk: GB": size / 1e9,
        "disk: our seconds": median(measured, "ours"),
        "disk: our Mrows/s": rows / median(measured, "ours") / 1e6,
        "disk: our whole process, seconds": median(measured, "ours, whole process", "process_seconds"),
        "disk: our peak memory, MB": max(run["process_peak_mb"] for run in measured["ours, whole process"]),
        "disk: raw read, GB/s": size / median(measured, "raw") / 1e9,
        "disk: plain aiohttp, GB/s": size / median(measured, "plain aiohttp") / 1e9,
        "disk: our time / raw read": paired(measured, "ours", "raw"),
        "disk: our time / plain aiohttp": paired(measured, "ours", "plain aiohttp"),
        "disk: DuckDB's time / ours": paired(measured, "duckdb", "ours"),
        "disk: Polars' time / ours": paired(measured, "polars", "ours"),
        "cpu: our seconds per GB": median(measured, "ours", "cpu_s") / (size / 1e9),
        "cpu: raw read, seconds per GB": median(measured, "raw", "cpu_s") / (size / 1e9),
        "cpu: plain aiohttp, seconds per GB": median(measured, "plain aiohttp", "cpu_s") / (size / 1e9),
    }
    if python["python"]:
        figures["disk: Python engine's time / ours"] = median(python, "python") / median(measured, "ours")
    return figures


def generated(export_id: str, rounds: int) -> Figures:
    """End to end, rows generated while they are sent."""
    with serving() as url:
        measured = in_turn({"ours": party("ours", url, export_id)}, rounds)
    rows = measured["ours"][0]["rows"]
    return {
        "generated: rows": rows,
        "generated: seconds": median(measured, "ours"),
        "generated: Mrows/s": rows / median(measured, "ours") / 1e6,
    }


def kernel(rounds: int) -> Figures:
    """The kernel alone."""
    cases = {case: [sys.executable, "-m", "tests.benchmarks.kernel", case] for case in KERNEL_CASES}
    measured = in_turn(cases, rounds)
    return {f"kernel: {case}": median(measured, case, "rows_per_s") / 1e6 for case in KERNEL_CASES}


def growth(rounds: int, directory: Path) -> Figures:
    """1, 10 and 100 times the rows, from files."""
    parties = {}
    for factor in (1, 10, 100):
        at = directory / str(factor)
        at.mkdir()
        for number, download in enumerate(islice(downloads_of("large"), 4)):
            with (at / f"{number}.csv").open("wb") as file:
                file.writelines(rows_of(replace(download, rows=50_000 * factor)))
        parties[str(factor)] = party("folder", str(at))
    measured = in_turn(parties, rounds)
    figures = {}
    for factor in (10, 100):
        figures[f"growth: {factor}× rows, time"] = paired(measured, str(factor), "1")
        more = median(measured, str(factor), "process_peak_mb") - median(measured, "1", "process_peak_mb")
        figures[f"growth: {factor}× rows, more peak memory, MB"] = more
    return figures


def start(rounds: int) -> Figures:
    """How long it takes to begin."""
    mockexport = str(Path(sys.executable).with_name("mockexport"))
    parties = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "mockexport --help": [mockexport, "--help"],
        "import mockexport": [sys.executable, "-c", "import mockexport"],
        "from mockexport import analyze": [sys.executable, "-c", "from mockexport import analyze"],
    }
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
    only = options.only.split(",")
    figures: Figures = {}
    with tempfile.TemporaryDirectory() as temporary:
        data = options.data
        if data is None and {"disk", "generated", "cpu"} & set(only):
            data = Path(temporary) / "small"
            data.mkdir()
            generate("small", data)
        export_id = "small" if data is None else read_listing(data).id
        if "disk" in only or "cpu" in only:
            figures |= disk(data, export_id, options.rounds)
        if "generated" in only:
            figures |= generated(export_id, options.rounds)
        if "kernel" in only:
            figures |= kernel(options.rounds)
        if "growth" in only:
            figures |= growth(options.rounds, Path(temporary))
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
