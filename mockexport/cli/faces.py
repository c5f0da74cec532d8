"""The report in the forms that are asked for: `--format`, `--round`, `--counts` and `--html`, to stdout or a file.

What draws them is imported when it is asked for: a run's memory is a budget, and most want JSON.
"""

import argparse
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mockexport.cli.text import say
from mockexport.model import AnomalyRule
from mockexport.newfile import NewFile
from mockexport.report.report import Report

__all__ = ["text_of", "write", "write_page"]


def text_of(report: Report[Any], options: argparse.Namespace) -> str:
    """Return the report as `--format` says."""
    if options.counts:
        report = report.counts()
    if options.format == "json":
        return report.to_json(round_to=options.round)
    if options.format == "csv":
        from mockexport.report.csv import formulas, to_csv
        from mockexport.report.plain import columns_of

        if found := formulas(report):
            say(f"note: {found:,} ids look like formulas to a spreadsheet (= + - @): import their columns as text")
        if maps := columns_of(report.rows(totals=True))[1]:
            say(f"note: not in the CSV: {', '.join(maps)}, which the JSON has")
        return to_csv(report, round_to=options.round)
    from mockexport.report.table import DEFAULT_WIDTH, to_table

    on_terminal = options.output == "-" and sys.stdout is not None and sys.stdout.isatty()
    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns if on_terminal else DEFAULT_WIDTH
    colored = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return to_table(report, round_to=options.round, width=width, colored=colored)


def write_page(path: Path, report: Report[Any], rules: Mapping[str, AnomalyRule], options: argparse.Namespace) -> None:
    """Write the report as a page."""
    from mockexport.report.html import to_html

    text = to_html(report, rules=rules, round_to=options.round)
    # With its own ending, or a browser would show the source.
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    write(path, text.encode(errors="backslashreplace"), complete=not report.incomplete, partial=partial)


def write(path: Path, data: bytes, *, complete: bool, partial: Path | None = None) -> None:
    """Write a report at once and whole; an incomplete one to `partial` beside `path`, which stays as it is."""
    partial = partial or path.with_name(path.name + ".partial")
    if path.exists() and not path.is_file():
        complete = True  # a device or a pipe has nothing to lose
    with NewFile(path if complete else partial) as file:
        file.write(data)
        file.commit()
    if not complete:
        say(f"the report is incomplete: it is in {partial}, and {path} was left alone")
