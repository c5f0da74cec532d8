"""The report in the forms that are asked for: `--format`, `--round`, `--counts` and `--html`, to stdout or a file.

What draws them is imported when it is asked for: a run's memory is a budget, and most want JSON.
"""

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mockexport.cli.text import say
from mockexport.model import AnomalyRule
from mockexport.newfile import NewFile
from mockexport.report.json import json_pieces
from mockexport.report.report import Report
from mockexport.shown import printable

__all__ = ["pieces_of", "pieces_of_several", "write", "write_page"]

# Characters to write at once.
_BLOCK = 256 * 1024


def pieces_of(report: Report[Any], options: argparse.Namespace) -> Iterable[str]:
    """Return the report as `--format` says, in pieces, of which JSON's are made one after the other."""
    if options.counts:
        report = report.counts()
    if options.format == "json":
        return report.json_pieces(round_to=options.round)
    on_terminal = options.output == "-" and sys.stdout is not None and sys.stdout.isatty()
    if options.format == "csv":
        from mockexport.report.csv import formulas, to_csv
        from mockexport.report.plain import columns_of

        if found := formulas(report):
            say(f"note: {found:,} ids look like formulas to a spreadsheet (= + - @): import their columns as text")
        if maps := columns_of(report.rows(totals=True))[1]:
            say(f"note: not in the CSV: {', '.join(maps)}, which the JSON has")
        text = to_csv(report, round_to=options.round)
        # An id may hold what steers a terminal; in a file, it is data.
        return [f"{printable(line)}\n" for line in text.split("\r\n")[:-1]] if on_terminal else [text]
    from mockexport.report.table import DEFAULT_WIDTH, to_table

    width = shutil.get_terminal_size((DEFAULT_WIDTH, 24)).columns if on_terminal else DEFAULT_WIDTH
    colored = on_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return [to_table(report, round_to=options.round, width=width, colored=colored)]


def pieces_of_several(reports: Sequence[Report[Any]], options: argparse.Namespace) -> Iterator[str]:
    """Yield several reports as one text, in pieces: each is exactly what it is alone."""
    if options.format != "json":
        for number, report in enumerate(reports):
            yield ("\n" if number else "") + f"{printable(report.account.export_id)}\n\n"
            yield from pieces_of(report, options)
        return
    yield '{\n  "exports": {'
    before = "\n"
    for report in sorted(reports, key=lambda report: report.account.export_id):
        yield f"{before}    {json.dumps(report.account.export_id)}: "
        shown = report.counts() if options.counts else report
        parts = shown.patients, shown.totals, shown.incomplete, shown.notes
        yield from json_pieces(*parts, round_to=options.round, margin="    ")
        before = ",\n"
    yield "\n  }\n}\n"


def write_page(path: Path, report: Report[Any], rules: Mapping[str, AnomalyRule], options: argparse.Namespace) -> None:
    """Write the report as a page."""
    from mockexport.report.html import to_html

    text = to_html(report, rules=rules, round_to=options.round)
    # With its own ending, or a browser would show the source.
    partial = path.with_name(f"{path.stem}.partial{path.suffix}")
    write(path, [text], complete=not report.incomplete, partial=partial)


def write(path: Path, pieces: Iterable[str], *, complete: bool, partial: Path | None = None) -> None:
    """Write a report that appears at once, whole; an incomplete one to `partial` beside `path`, which is left alone."""
    partial = partial or path.with_name(path.name + ".partial")
    if path.exists() and not path.is_file():
        complete = True  # a device or a pipe has nothing to lose
    with NewFile(path if complete else partial) as file:
        for block in _blocks(pieces):
            file.write(block.encode(errors="backslashreplace"))
        file.commit()
    if not complete:
        say(f"the report is incomplete: it is in {partial}, and {path} was left alone")


def _blocks(pieces: Iterable[str]) -> Iterator[str]:
    """Yield pieces joined, as one small write after the other would take long."""
    waiting, length = [], 0
    for piece in pieces:
        waiting.append(piece)
        length += len(piece)
        if length >= _BLOCK:
            yield "".join(waiting)
            waiting, length = [], 0
    yield "".join(waiting)
