"""End to end: an export over HTTP, from files and compressed, beside others that do the same or a part of it."""

import gzip
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mockexport.sources.listing import read_listing
from tests.benchmarks.measuring import Figures, Measured, in_turn, median, paired, party, serving

# What is compressed for `compressed`: enough that starting costs nothing, little enough that five rounds take minutes.
COMPRESSED_FILES = 6
# The reference engine takes a hundred times as long: only exports with fewer rows are read by it.
PYTHON_ENGINE_ROWS = 20_000_000


def disk(data: Path, export_id: str, rounds: int) -> Figures:
    """End to end from disk: ours beside all others, in turn; and the client's CPU."""
    with serving(data) as url:
        parties = {
            "ours": party("ours", url, export_id),
            "raw": party("raw", url, export_id),
            "plain aiohttp": party("plain_aiohttp", url, export_id),
            "duckdb": party("duckdb", str(data)),
            "polars": party("polars", url, export_id),
            "ours, whole process": _whole("analyze", export_id, "--url", url),
        }
        measured = in_turn(parties, rounds)
        # It takes a hundred times as long; once is enough to know the order of magnitude.
        python: Measured = {"python": []}
        if sum(download.rows or 0 for download in read_listing(data).downloads) < PYTHON_ENGINE_ROWS:
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
        "disk: DuckDB's whole process / ours": paired(measured, "duckdb", "ours, whole process", "process_seconds"),
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


def local(data: Path, rounds: int, temporary: Path) -> Figures:
    """The same files without a server: ours beside DuckDB and beside the kernel's own work.

    Without the listing too, whose SHA-256 nobody else looks at.
    """
    links = temporary / "local"
    links.mkdir()
    for file in data.glob("*.csv"):
        (links / file.name).symlink_to(file.resolve())
    data = links
    measured = in_turn(
        {
            "ours": party("folder", str(data)),
            "kernel": party("kernel_alone", str(data)),
            "duckdb": party("duckdb", str(data)),
            "ours, whole process": _whole("--from", str(data)),
        },
        rounds,
    )
    cores = os.cpu_count() or 1
    return {
        "local: our seconds": median(measured, "ours"),
        "local: our CPU seconds": median(measured, "ours", "cpu_s"),
        "local: the kernel's own CPU seconds": median(measured, "kernel", "cpu_s"),
        "local: our time x cores / the kernel's own": median(measured, "ours")
        * cores
        / median(measured, "kernel", "cpu_s"),
        "local: DuckDB's time / ours": paired(measured, "duckdb", "ours"),
        "local: DuckDB's whole process / ours": paired(measured, "duckdb", "ours, whole process", "process_seconds"),
        "local: our peak memory, MB": max(run["process_peak_mb"] for run in measured["ours, whole process"]),
    }


def compressed(data: Path, rounds: int, temporary: Path) -> Figures:
    """Files compressed with gzip and with zstd, over HTTP, beside decompressing the same bytes and nothing else."""
    figures: Figures = {}
    for ending in ("gz", "zst"):
        at = temporary / ending
        at.mkdir()
        for file in sorted(data.glob("*.csv"))[:COMPRESSED_FILES]:
            _compress(file, at / f"{file.name}.{ending}")
        with _files_served(at) as url:
            urls = at / "urls.txt"
            urls.write_text("".join(f"{url}/{file.name}\n" for file in sorted(at.glob(f"*.{ending}"))))
            measured = in_turn(
                {"ours": party("listed", str(urls)), "decompressing alone": party("decompressing", str(at))}, rounds
            )
        name = {"gz": "gzip", "zst": "zstd"}[ending]
        figures[f"compressed: {name}, our seconds"] = median(measured, "ours")
        figures[f"compressed: {name}, our time / decompressing alone"] = paired(measured, "ours", "decompressing alone")
    return figures


def _whole(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "mockexport", *arguments, "-o", os.devnull]


def _compress(file: Path, to: Path) -> None:
    if to.suffix == ".gz":
        with file.open("rb") as source, gzip.open(to, "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)
        return
    from backports import zstd

    with file.open("rb") as source, zstd.open(to, "wb") as target:
        shutil.copyfileobj(source, target, 1 << 20)


@contextmanager
def _files_served(directory: Path) -> Iterator[str]:
    """Serve files by the standard library's server; yield its URL."""
    command = [sys.executable, "-u", "-m", "http.server", "--bind", "127.0.0.1", "--directory", str(directory), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            said = process.stdout.readline() if process.stdout else ""  # "Serving HTTP on … (http://127.0.0.1:…/) ..."
            yield said[said.index("(") + 1 : said.index("/)")]
        finally:
            process.terminate()
