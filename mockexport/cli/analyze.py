"""`mockexport analyze`: the report of an export, on stdout or in a file."""

import argparse
from typing import Any

from mockexport.analysis import RunOptions
from mockexport.analysis import analyze as analyze_export
from mockexport.cli import exits
from mockexport.cli.faces import output_path, text_of, write, write_page
from mockexport.cli.fetching import asking, fetching, listening, write_account
from mockexport.cli.progress import Shown, showing_progress
from mockexport.cli.statistics import chosen_reducer
from mockexport.cli.text import put, say
from mockexport.errors import OptionError
from mockexport.live import Run
from mockexport.reducers import Reducer
from mockexport.report import Account, Report

__all__ = ["account_for", "analyze", "chosen_export", "kept_in"]


async def analyze(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    output = None if options.output == "-" else output_path("output", options.output)
    html = None if options.html is None else output_path("html", options.html)
    if html is not None and html == output:
        raise OptionError("html", "names the file of --output, too; say another one")
    reducer = chosen_reducer(options)
    with (
        showing_progress(verbose=options.verbose, preview=options.preview) as shown,
        listening(options, shown) as listener,
    ):
        settings = fetching(options, listener)
        settings["checkpoint"] = options.checkpoint
        settings["save"] = options.save
        settings["filter"] = asking(options)
        settings["coverage"] = html is not None
        report = await _analyzed(chosen_export(options), reducer, settings, shown)
    text = text_of(report, options)
    account_for(report.account, timed=options.time)
    for note in report.notes:
        say(f"note: {note}")
    if options.save is not None:
        kept_in(options.save, report.account)
    write_account(options, report.account)
    if output is None:
        put(text)
    else:
        write(output, text.encode(), complete=not report.incomplete)
    if html is not None:
        write_page(html, report, reducer.rules, options)
    return exits.of_account(report.account)


async def _analyzed(
    export_id: str | None, reducer: Reducer[Any, Any], settings: RunOptions, shown: Shown
) -> Report[Any]:
    if not shown.previews:
        return await analyze_export(export_id, reducer=reducer, **settings)
    async with Run(export_id, reducer=reducer, **settings) as run:
        async for snapshot in run:
            shown.preview(snapshot)
        return await run.report()


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


def kept_in(directory: str, account: Account) -> None:
    """Tell on stderr how many files a run has kept."""
    kept = sum(download.verdict.counts for download in account.downloads)
    say(f"{kept} of {len(account.downloads)} files are in {directory}")
