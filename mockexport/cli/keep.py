"""`mockexport download` and `mockexport generate`: an export as files in a folder."""

import argparse
import asyncio
import threading
from pathlib import Path

from mockexport.analysis import analyze as analyze_export
from mockexport.cli import exits
from mockexport.cli.analyze import account_for, kept_in, tell_times, telling_what_is_left
from mockexport.cli.fetching import fetching, listening, write_accounts
from mockexport.cli.outputs import checked_outputs
from mockexport.cli.progress import showing_progress
from mockexport.cli.text import inform
from mockexport.server.folder import generate as generate_export

__all__ = ["download", "generate"]


async def download(options: argparse.Namespace) -> int:
    """Run `mockexport download`: the same pass as analyze, with the files kept."""
    checked_outputs(options)
    with showing_progress(bars=not (options.verbose or options.quiet)) as shown, listening(options, shown) as listener:
        settings = fetching(options, listener)
        settings["save"] = options.directory
        with telling_what_is_left(options.directory):
            report = await analyze_export(options.export, **settings)
    account_for(report)
    write_accounts(options, [report.account])
    kept_in(options.directory, report.account)
    if options.time:
        tell_times([report.account])
    return exits.of_account(report.account)


async def generate(options: argparse.Namespace) -> int:
    """Run `mockexport generate`, in a thread, which stops at its next piece if the command is ended."""
    ended = threading.Event()

    def going_on(name: str, done_bytes: int, all_bytes: int) -> None:
        if ended.is_set():
            raise InterruptedError

    try:
        await asyncio.to_thread(generate_export, options.export, Path(options.directory), progress=going_on)
    finally:
        ended.set()
    inform(f"{options.export} is in {options.directory}; its data is synthetic")
    return 0
