"""`mockexport analyze`: the report of an export, on stdout or in a file."""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from mockexport.analysis import AnalyzeKeywords
from mockexport.cli import exits
from mockexport.cli.cluster import Analyze, analyzed, analyzing
from mockexport.cli.faces import pieces_of, pieces_of_several, write, write_page
from mockexport.cli.fetching import asking, fetching, listening, reaching, write_accounts
from mockexport.cli.fhir import end_job, telling_of_job
from mockexport.cli.hints import about_bad_rows, about_note
from mockexport.cli.outputs import checked_outputs, refuse_other_than_names
from mockexport.cli.progress import Shown, showing_progress
from mockexport.cli.statistics import chosen_reducer, with_drawings, without_drawings
from mockexport.cli.text import inform, put, say
from mockexport.errors import OptionError
from mockexport.model import VerdictKind
from mockexport.reducers import Distinct, Reducer
from mockexport.report.account import Account, DownloadAccount
from mockexport.report.notes import Note
from mockexport.report.plain import counted, size
from mockexport.report.report import Report
from mockexport.sources.opening import open_source

__all__ = ["account_for", "analyze", "chosen_exports", "kept_in", "tell_times", "telling_what_is_left"]


async def analyze(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    outputs = checked_outputs(options)
    output, html = outputs.get("output"), outputs.get("html")
    chosen = chosen_reducer(options)
    counted_with: Reducer[Any, Any] = chosen if html is None else with_drawings(chosen)
    reducer: Reducer[Any, Any] = Distinct[Any, Any](counted_with) if options.distinct else counted_with

    def plain(report: Report[Any]) -> Report[Any]:
        return report if html is None else without_drawings(report, chosen)

    async with AsyncExitStack() as lest_it_breaks_off:  # before everything is written
        with (
            showing_progress(bars=not (options.verbose or options.quiet), preview=options.preview) as shown,
            listening(options, shown) as listener,
        ):
            settings = fetching(options, listener)
            settings["checkpoint"] = options.checkpoint
            settings["split"] = options.split
            settings["save"] = options.save
            settings["save_format"] = options.save_format
            settings["filter"] = asking(options)
            settings["coverage"] = html is not None
            exports = await chosen_exports(options)
            several = options.all or len(exports) > 1
            if several:
                _refuse_for_several(options)
                refuse_other_than_names(exports, options)

            async def analyze_one(export_id: str | None) -> Report[Any]:
                more = settings.copy()
                if several and options.checkpoint is not None:
                    more["checkpoint"] = f"{options.checkpoint}.{export_id}"
                if several and options.save is not None:
                    more["save"] = Path(options.save, str(export_id))
                with telling_what_is_left(more["save"]):
                    return await _analyzed(analyze_export, export_id, reducer, more, shown, plain)

            await lest_it_breaks_off.enter_async_context(telling_of_job(settings))
            async with analyzing(options) as analyze_export:
                reports = await analyzed(exports, analyze_one, at_once=options.dask is not None)
        whole = reports[0] if html is not None else None
        reports = [plain(report) for report in reports]
        for report in reports:
            account_for(report)
            if options.save is not None:
                kept = str(Path(options.save, report.account.export_id)) if several else options.save
                kept_in(kept, report.account, goes_on=options.save_format == "csv")
        written_from = time.monotonic()
        try:
            pieces = pieces_of_several(reports, options) if several else pieces_of(reports[0], options)
            if output is None:
                put(pieces)
            else:
                write(output, pieces, complete=not any(report.incomplete for report in reports))
        finally:
            written_s = time.monotonic() - written_from
            accounts = [replace(report.account, elapsed_s=report.account.elapsed_s + written_s) for report in reports]
            write_accounts(options, accounts)
        if options.time:
            tell_times(accounts)
        if html is not None and whole is not None:
            write_page(html, whole, chosen.rules, options)
    code = exits.of_accounts(accounts)
    await end_job(settings, keep=options.fhir_keep, complete=not code)
    return code


async def _analyzed(
    analyze_export: Analyze,
    export_id: str | None,
    reducer: Reducer[Any, Any],
    settings: AnalyzeKeywords,
    shown: Shown,
    plain: Callable[[Report[Any]], Report[Any]],
) -> Report[Any]:
    if not shown.previews:
        return await analyze_export(export_id, reducer=reducer, **settings)
    from mockexport.live import Run  # no sooner: most runs have no preview

    async with Run(export_id, reducer=reducer, **settings) as run:
        async for snapshot in run:
            shown.preview(replace(snapshot, report=plain(snapshot.report)))
        return await run.report()


def _refuse_for_several(options: argparse.Namespace) -> None:
    """Refuse what shows one export, before anything is fetched."""
    for name, asked in (("html", options.html), ("preview", options.preview), ("format", options.format == "csv")):
        if asked:
            raise OptionError(name, "shows one export; name one, or leave it out")


async def chosen_exports(options: argparse.Namespace) -> list[str | None]:
    """Return the exports named by position or by option, or all that there are."""
    named = list(dict.fromkeys(options.export or ()))
    if options.all:
        if named or options.export_id is not None:
            raise OptionError("all", "means every export; name none, or leave it out")
        async with open_source(None, **reaching(options)) as opened:
            found: list[str | None] = [*await opened.source.export_ids()]
        if not found:
            raise OptionError("all", "there are no exports")
        return found
    if not named:
        return [options.export_id]
    if options.export_id not in (None, *named):
        raise OptionError("export-id", f"{options.export_id!a} contradicts the export {', '.join(named)!a}")
    return [*named]


def account_for(report: Report[Any]) -> None:
    """Tell on stderr what came of the run, in a line or two, and what is to be known of its figures."""
    account = report.account
    told = ", ".join(f"{number} {kind}" for kind, number in account.verdicts.items()) or "no downloads"
    inform(f"{account.export_id}: {counted(account.rows, 'row')}; {told}")
    for note in report.notes:
        _tell_note(note)
    for told in about_bad_rows(_reasons(account.downloads)):
        say(told)
    # Where rows were announced, the verdict says whether there are as many.
    empty = [d.download_id for d in account.downloads if d.verdict.kind is VerdictKind.UNVERIFIABLE and not d.rows]
    if empty:
        say(f"no row in {counted(len(empty), 'download')}; the first is {empty[0]}")
    if account.filtered_rows:
        inform(f"{counted(account.filtered_rows, 'row')} not asked for")


def _tell_note(note: Note) -> None:
    """Tell of a note on stderr: a warning where it casts doubt on the figures, and then what to do."""
    hint = about_note(note.kind)
    if hint is None:
        inform(f"note: {note}")
    else:
        say(f"warning: {note}{f'; {hint}' if hint else ''}")


def _reasons(downloads: Iterable[DownloadAccount]) -> Counter[str]:
    """Return how many rows of some downloads are bad for which reason."""
    reasons: Counter[str] = Counter()
    for download in downloads:
        reasons.update(download.bad_rows)
    return reasons


def tell_times(accounts: Sequence[Account]) -> None:
    """Tell on stderr how long each run took, its report written, and how many rows that makes a second."""
    for account in accounts:
        rate = account.rows / account.elapsed_s if account.elapsed_s else 0
        say(f"{account.elapsed_s:.3f} s, {rate:,.0f} rows/s")


def kept_in(directory: str, account: Account, *, goes_on: bool = True) -> None:
    """Tell on stderr how many files a run has kept, and, where another `goes_on` with them, what helps."""
    kept = sum(download.verdict.counts for download in account.downloads)
    more = "" if kept == len(account.downloads) or not goes_on else "; the same command again fetches what is missing"
    inform(f"{kept} of {len(account.downloads)} files are in {directory}{more}")


@contextmanager
def telling_what_is_left(directory: str | Path | None) -> Iterator[None]:
    """Tell on stderr what there is to go on from, where a run that keeps files is broken off."""
    try:
        yield
    except asyncio.CancelledError:
        if directory is not None:
            _tell_what_is_left(Path(directory))
        raise


def _tell_what_is_left(directory: Path) -> None:
    from mockexport.saving.partial import left_in
    from mockexport.sources.listing import UNFINISHED  # no sooner: most runs end well

    left = left_in(directory)
    if left:
        so_far = size(sum(note.size_bytes for note in left))
        say(f"{so_far} of unfinished downloads are kept in {directory}; the same command again goes on from there")
    elif (directory / UNFINISHED).exists():
        say(f"the files that are whole are in {directory}; the same command again fetches the others")
