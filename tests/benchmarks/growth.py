"""Time and peak memory of folders that grow in rows, files and groups."""

import importlib
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from mockexport.server.exports import downloads_of
from mockexport.server.generation import rows_of
from tests.benchmarks.measuring import Figures, in_turn, median, paired, party

# Folders: files, rows in each, groups in all.
FOLDERS = {
    "1,000 files x 10,000 rows, 3,000 groups": (1_000, 10_000, 3_000),
    "20,000 files x 50 rows": (20_000, 50, 3_000),
    "20 files, 10 M rows, 300,000 groups": (20, 500_000, 300_000),
    "20 files, 10 M rows, 900,000 groups": (20, 500_000, 900_000),
}
TYPES = ("heart_rate", "spo2", "bp_sys")


def growth(rounds: int, temporary: Path) -> Figures:
    """1, 10 and 100 times the rows, from files."""
    parties = {}
    for factor in (1, 10, 100):
        at = temporary / str(factor)
        at.mkdir()
        for number, download in enumerate(islice(downloads_of("large"), 4)):
            with (at / f"{number}.csv").open("wb") as file:
                file.writelines(rows_of(replace(download, rows=50_000 * factor)))
        parties[str(factor)] = party("folder", str(at))
    measured = in_turn(parties, rounds)
    figures = {}
    for factor in (10, 100):
        figures[f"growth: {factor}x rows, time"] = paired(measured, str(factor), "1")
        more = median(measured, str(factor), "process_peak_mb") - median(measured, "1", "process_peak_mb")
        figures[f"growth: {factor}x rows, more peak memory, MB"] = more
    return figures


def folders(rounds: int, temporary: Path) -> Figures:
    """Many files, and many groups: seconds to the report, and from there to its JSON in a file; peak memory."""
    parties = {}
    for number, (name, (files, rows, groups)) in enumerate(FOLDERS.items()):
        at = temporary / f"folder-{number}"
        _write(at, files, rows, groups)
        parties[name] = party("folder", str(at))
    measured = in_turn(parties, rounds)
    figures = {}
    for name in parties:
        figures[f"folders: {name}, seconds"] = median(measured, name)
        figures[f"folders: {name}, seconds of JSON"] = median(measured, name, "json_s")
        figures[f"folders: {name}, MB"] = median(measured, name, "process_peak_mb")
    return figures


def _write(at: Path, files: int, rows: int, groups: int) -> None:
    """Write files of rows whose groups come in random order."""
    at.mkdir()
    module: Any = importlib.import_module("duckdb")
    connection = module.connect(config={"threads": 2})
    connection.execute("SELECT setseed(0.5)")
    patients = groups // len(TYPES)
    for number in range(files):
        connection.execute(
            f"""
            COPY (
                SELECT 'P' || lpad(floor(random() * {patients})::INT::VARCHAR, 6, '0') AS patient_id,
                       strftime(TIMESTAMP '2025-08-26' + to_seconds(({number} * {rows} + i) % 864000),
                                '%Y-%m-%dT%H:%M:%SZ') AS event_time,
                       ({list(TYPES)})[1 + floor(random() * {len(TYPES)})::INT] AS event_type,
                       30 + floor(random() * 150)::INT AS value
                FROM range({rows}) AS rows(i)
            ) TO '{at / f"{number:05}.csv"}' (HEADER)
            """  # noqa: S608 - our own names and numbers
        )
