"""Finds out whether the finished downloads of a checkpoint still are what the source has, and drops those that are not.

Of each that came with a tag, or a date, the beginning is asked for once more; the body is not read. A state that is
merged of several downloads cannot be parted again, so the neighbours of a download that has changed go with it.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import replace

from mockexport.errors import OUTAGE_STATUSES, TransferError, first_error_alone
from mockexport.events import Listener, StartedOver
from mockexport.model import Export
from mockexport.pipeline.checkpoint import Saved
from mockexport.pipeline.streams import Source, is_unchanged

__all__ = ["still_valid"]


async def still_valid(saved: Saved, source: Source, export: Export, *, concurrency: int, emit: Listener) -> Saved:
    """Return a checkpoint without the downloads whose content has changed since, or can no longer be had.

    Raises:
        TransferError: the source does not answer, so nothing can be said.
    """
    places = {download.id: place for place, download in enumerate(export.downloads)}
    versions = {places[account.download_id]: account.version for account in saved.finished if account.version}
    changed = await _changed(versions, source, export, concurrency)
    if not changed:
        return saved
    runs = [run for run in saved.runs if changed.isdisjoint(range(run.start, run.end))]
    spared = {place for run in runs for place in range(run.start, run.end)}
    for account in saved.finished:
        place = places[account.download_id]
        if place not in spared and not account.verdict.unasked:
            whose = "the content" if place in changed else "the content of a neighbour, with which it is merged,"
            reason = f"{whose} has changed since the checkpoint was saved"
            emit(StartedOver(account.download_id, 1, 0.0, reason, account.received_bytes))
    finished = [account for account in saved.finished if places[account.download_id] in spared]
    return replace(saved, finished=tuple(finished), runs=tuple(runs))


async def _changed(versions: Mapping[int, str], source: Source, export: Export, concurrency: int) -> set[int]:
    """Return the places of the downloads that are no longer the versions given."""
    limit = asyncio.Semaphore(concurrency)

    async def has_changed(place: int, version: str) -> bool:
        async with limit:
            try:
                return not await is_unchanged(source.stream(export.id, export.downloads[place]), version)
            except TransferError as error:
                if error.passing and (error.status is None or error.status in OUTAGE_STATUSES):
                    raise
                return True

    with first_error_alone():
        async with asyncio.TaskGroup() as group:
            tasks = {place: group.create_task(has_changed(place, version)) for place, version in versions.items()}
    return {place for place, task in tasks.items() if task.result()}
