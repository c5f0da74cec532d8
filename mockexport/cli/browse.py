"""`mockexport list` and `mockexport show`: what a source offers, for people or as JSON."""

import argparse
import json
from typing import Any

from mockexport.cli.fetching import reaching
from mockexport.cli.text import announced, put
from mockexport.formats.fields import format_time
from mockexport.model import Download, Export
from mockexport.report.plain import aligned
from mockexport.sources.opening import open_source

__all__ = ["list_exports", "show"]


async def list_exports(options: argparse.Namespace) -> int:
    """Run `mockexport list`."""
    async with open_source(None, **reaching(options)) as opened:
        ids = await opened.source.export_ids()
    if options.json:
        put(json.dumps({"export_ids": ids}, indent=2) + "\n")
    else:
        put("".join(aligned([export_id], []) for export_id in ids))
    return 0


async def show(options: argparse.Namespace) -> int:
    """Run `mockexport show`."""
    async with open_source(options.export, **reaching(options)) as opened:
        export = await opened.source.discover(options.export)
    if options.json:
        downloads = [_plain(download) for download in export.downloads]
        put(json.dumps({"id": export.id, "downloads": downloads}, indent=2) + "\n")
    else:
        put(_table(export))
    return 0


def _plain(download: Download) -> dict[str, Any]:
    return {
        "id": download.id,
        "rows": download.rows,
        "event_types": download.event_types,
        "patients": download.patients,
        "start_time": None if download.start_us is None else format_time(download.start_us),
        "end_time": None if download.end_us is None else format_time(download.end_us),
    }


def _table(export: Export) -> str:
    lines = [
        [
            download.id,
            "?" if download.rows is None else f"{download.rows:,}",
            "?" if download.patients is None else f"{len(download.patients):,}",
            "?" if download.event_types is None else ", ".join(download.event_types),
            "?" if download.start_us is None else format_time(download.start_us),
            "?" if download.end_us is None else format_time(download.end_us),
        ]
        for download in export.downloads
    ]
    text = aligned(["download", "rows", "patients", "event types", "from", "to (exclusive)"], lines)
    return text + f"\n{announced(export.downloads)}\n"
