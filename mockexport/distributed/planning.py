"""An export as shares: neighbours in time together, none of them too large or too small.

Rules: nothing is asked of the source. A share says from which length on a download is given back: whichever worker
comes upon such a one lets it be divided, and its spans go out as shares of their own.
"""

from collections.abc import Iterator, Sequence

from mockexport.model import Download
from mockexport.pipeline.sharing import Share, Work
from mockexport.pipeline.span import Begun, PackedSpan
from mockexport.pipeline.streams import Mark

__all__ = ["of_part", "planned", "span_bytes", "together"]

# Tasks for each thread of a worker: enough that the last ones end at about the same time.
TASKS_PER_THREAD = 8
# A task costs the scheduler some milliseconds; fewer rows than this are fetched and reduced in less than fifty.
LEAST_ROWS = 100_000
# A download without announced rows, among others that have some, is taken for one of this many.
UNKNOWN_ROWS = 1_000_000
# A part of a download this short is not worth its request and its task.
LEAST_SPAN_BYTES = 8 * 2**20

Placed = tuple[int, Download]  # a download, and its place in time order


def planned(work: Work, downloads: Sequence[Placed], threads: int) -> Iterator[tuple[Share, int]]:
    """Yield these downloads as shares for this number of threads, each with how much work it is."""
    per_thread = sum(_size(download) for _, download in downloads) // threads
    most = max(per_thread // TASKS_PER_THREAD, LEAST_ROWS)
    group: list[Placed] = []
    size = 0
    for position, download in downloads:
        if group and (group[-1][0] + 1 != position or size + _size(download) > most):
            yield _share(work, group, size, per_thread)
            group, size = [], 0
        group.append((position, download))
        size += _size(download)
    if group:
        yield _share(work, group, size, per_thread)


def _share(work: Work, group: list[Placed], size: int, per_thread: int) -> tuple[Share, int]:
    is_large = len(group) == 1 and size > max(per_thread, 2 * LEAST_ROWS)
    return together(work, group, split=work.options.split or (LEAST_SPAN_BYTES if is_large else None))


def together(work: Work, downloads: Sequence[Placed], *, split: int | None) -> tuple[Share, int]:
    """Return the share of downloads that are neighbours in time, and how much work it is."""
    ids = {download.id for _, download in downloads}
    share = Share(
        work.export_id,
        tuple(downloads),
        {i: text for i, text in work.rules.overlaps.items() if i in ids},
        {i: begun for i, begun in work.ledger.begun.items() if i in ids},
        keeps_apart=work.ledger.keeps_apart,
        several=work.rules.several,
        split=split,
    )
    return share, sum(_size(download) for _, download in downloads)


def of_part(work: Work, placed: Placed, mark: Mark, held: PackedSpan) -> tuple[Share, int]:
    """Return the share of a span of a download that is divided, and how much work it is."""
    download, total = placed[1], mark.total or 1
    share = Share(work.export_id, (placed,), {}, {download.id: Begun(mark, (held,))}, is_part=True)
    return share, _size(download) * ((held.span.end or total) - held.offset) // total


def span_bytes(total: int, split: int | None, threads: int) -> int:
    """Return how long the spans are to be of a download of `total` bytes."""
    return split or max(LEAST_SPAN_BYTES, total // (2 * threads))


def _size(download: Download) -> int:
    """Return how much work a download is: its rows, if they are announced."""
    return UNKNOWN_ROWS if download.rows is None else download.rows
