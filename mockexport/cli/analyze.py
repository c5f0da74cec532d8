"""`mockexport analyze`: the report of an export, on stdout or in a file."""

import argparse
import os
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from mockexport.analysis import analyze as analyze_export
from mockexport.cli import exits
from mockexport.cli.fetching import asking, fetching, listening, write_account
from mockexport.cli.progress import showing_progress
from mockexport.cli.statistics import chosen_reducer
from mockexport.cli.text import put, say, table
from mockexport.errors import OptionError, OutputError
from mockexport.newfile import NewFile
from mockexport.report import Account, Report

__all__ = ["account_for", "analyze", "chosen_export"]


async def analyze(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    output = None if options.output == "-" else _output(options.output)
    reducer = chosen_reducer(options)
    with showing_progress(verbose=options.verbose) as shown, listening(options, shown) as listener:
        settings = fetching(options, listener)
        settings["checkpoint"] = options.checkpoint
        settings["save"] = options.save
        settings["save_format"] = options.save_format
        settings["filter"] = asking(options)
        report: Report[Any] = await analyze_export(chosen_export(options), reducer=reducer, **settings)
    text = _text(report.counts() if options.counts else report, options)
    account_for(report.account, timed=options.time)
    for note in report.notes:
        say(f"note: {note}")
    write_account(options, report.account)
    if output is None:
        put(text)
    else:
        _write(output, text, complete=not report.incomplete)
    return exits.of_account(report.account)


def chosen_export(options: argparse.Namespace) -> str | None:
    """Return the export named by position or by option."""
    if options.export is None:
        return None if options.export_id is None else str(options.export_id)
    if options.export_id not in (None, options.export):
        raise OptionError("export-id", f"{options.export_id!a} contradicts the export {options.export!a}")
    return str(options.export)


def account_for(account: Account, *, timed: bool) -> None:
    """Tell on stderr what came of the run, in a line or two."""
    verdicts: dict[str, int] = {}
    for download in account.downloads:
        verdicts[download.verdict.kind] = verdicts.get(download.verdict.kind, 0) + 1
    told = ", ".join(f"{number} {kind}" for kind, number in verdicts.items()) or "no downloads"
    say(f"{account.export_id}: {account.rows:,} rows; {told}")
    if account.bad_rows:
        reasons: dict[str, int] = {}
        counted = [download for download in account.downloads if download.verdict.counts]
        for download in counted:
            for reason, number in download.bad_rows.items():
                reasons[reason] = reasons.get(reason, 0) + number
        first = next(d for d in counted if d.first_bad_rows)
        say(
            f"warning: {account.bad_rows:,} bad rows are not in the report"
            f" ({', '.join(f'{number:,} {reason}' for reason, number in sorted(reasons.items()))});"
            f" the first is line {first.first_bad_rows[0].line} of download {first.download_id}"
        )
    if account.filtered_rows:
        say(f"{account.filtered_rows:,} rows were not asked for")
    missing = sum(sum(d.missing_values.values()) for d in account.downloads if d.verdict.counts)
    if missing:
        say(f"{missing:,} rows have no value; they are part of no statistic")
    if timed:
        rate = account.rows / account.elapsed_s if account.elapsed_s else 0
        say(f"{account.elapsed_s:.3f} s, {rate:,.0f} rows/s")


def _text(report: Report[Any], options: argparse.Namespace) -> str:
    if options.format == "json":
        return report.to_json(round_to=options.round)
    return _table(report, options.round)


def _table(report: Report[Any], round_to: int | None) -> str:
    """Return the report as columns for people: a line per patient and event type, totals last."""
    names = _names(report)
    lines = [
        [patient_id, event_type, *_cells(result, names, round_to)]
        for patient_id, types in sorted(report.patients.items())
        for event_type, result in sorted(types.items())
    ]
    lines += [
        ["all", event_type, *_cells(result, names, round_to)] for event_type, result in sorted(report.totals.items())
    ]
    text = table(["patient", "event type", *names], lines, left=2)
    if report.incomplete:
        text += f"\nINCOMPLETE: {len(report.incomplete)} downloads failed or differ: {', '.join(report.incomplete)}\n"
    return text


def _names(report: Report[Any]) -> list[str]:
    """Return the statistics that are columns; counts by hour or day are too many for one."""
    results = list(report.totals.values())
    if not results or isinstance(results[0], int):
        return ["count"]
    if isinstance(results[0], Mapping):
        return [name for name in results[0] if not any(isinstance(result[name], Mapping) for result in results)]
    return [field.name for field in fields(results[0])]


def _cells(result: Any, names: list[str], round_to: int | None) -> list[str]:
    if isinstance(result, int):
        values = [result]
    else:
        values = [result[name] if isinstance(result, Mapping) else getattr(result, name) for name in names]
    return [_cell(value, 2 if round_to is None else round_to) for value in values]


def _cell(value: float | str | None, places: int) -> str:
    if value is None:
        return "-"
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:,.{places}f}"


def _output(name: str) -> Path:
    """Return the path that `--output` means; see before the run, not after it, that a file can be made there."""
    path = Path(name)
    if not name or path.is_dir():
        raise OptionError("output", f"{name!a} is not the name of a file")
    if not path.parent.is_dir():
        raise OutputError(name, f"there is no folder {path.parent}; make it first")
    if not path.exists() and not os.access(path.parent, os.W_OK):
        raise OutputError(name, f"the folder {path.parent} is read-only")
    return path


def _write(path: Path, text: str, *, complete: bool) -> None:
    """Write the report at once and whole; an incomplete one beside `path`, which stays as it is."""
    partial = path.with_name(path.name + ".partial")
    if path.exists() and not path.is_file():
        complete = True  # a device or a pipe has nothing to lose
    with NewFile(path if complete else partial) as file:
        file.write(text.encode())
        file.commit()
    if not complete:
        say(f"the report is incomplete: it is in {partial}, and {path} was left alone")
