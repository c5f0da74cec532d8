"""A run in lines: at once what a user should know, now and then how far it is; the rest is for the debug log."""

import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from mockexport.cli.text import announced, inform, say
from mockexport.events import (
    Advanced,
    Divided,
    DownloadFinished,
    DownloadStarted,
    Event,
    Kept,
    Opened,
    Restored,
    Resumed,
    Retried,
    RunStarted,
    Skipped,
    StartedOver,
    WorkerLost,
)
from mockexport.model import VerdictKind
from mockexport.report.plain import counted, size

if TYPE_CHECKING:
    from mockexport.live import Snapshot

__all__ = ["LINE_EVERY_S", "Lines", "tell"]

_log = logging.getLogger("mockexport")

# How often to say how far a run is where no bars show it: a log of a night is some hundred lines longer.
LINE_EVERY_S = 30.0


class Lines:
    """A line or two for what a user should know at once, and one now and then for how far a long run is.

    Args:
        now: seconds, from any point on.
    """

    previews = False

    def __init__(self, *, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._next_s = now() + LINE_EVERY_S
        self._announced: dict[str, int | None] = {}
        self._so_far: dict[str, tuple[int, int]] = {}  # rows and bytes
        self._finished = 0

    def __call__(self, event: Event) -> None:
        _quiet(event)
        match event:  # what comes most often first
            case Advanced(download_id, received_bytes, rows) | Restored(download_id, received_bytes, rows):
                self._so_far[download_id] = (rows, received_bytes)
            case RunStarted():
                self._announced |= {download.id: download.rows for download in event.downloads}
            case StartedOver(download_id):
                self._so_far.pop(download_id, None)
            case Skipped(download_id):
                self._announced.pop(download_id, None)
            case DownloadFinished(download_id, _, received_bytes, rows):
                self._so_far[download_id] = (rows, received_bytes)
                self._finished += 1
            case _:
                pass
        if self._now() >= self._next_s:
            self._next_s = self._now() + LINE_EVERY_S
            inform(self._how_far())

    def _how_far(self) -> str:
        rows, received_bytes = (sum(numbers) for numbers in zip(*self._so_far.values(), (0, 0), strict=True))
        announced_rows = list(self._announced.values())
        told = f"{rows:,} rows"
        if None not in announced_rows and (whole := sum(filter(None, announced_rows))):
            told = f"{rows:,} of {whole:,} rows ({min(rows / whole, 1):.0%})"
        downloads = f"{self._finished:,} of {counted(len(self._announced), 'download')} finished"
        return f"so far {told}, {size(received_bytes)}; {downloads}"

    def preview(self, snapshot: "Snapshot[Any]") -> None:
        """Show nothing."""


def _quiet(event: Event) -> None:
    match event:  # what comes most often first
        case Advanced():
            pass
        case RunStarted():
            inform(_announced(event))
        case StartedOver() | Retried() | Restored() | Kept() | WorkerLost() | DownloadFinished():
            tell(event)
        case DownloadStarted():
            _log.debug("download %s started", event.download_id)
        case Opened(download_id, resumable=False):
            _log.debug(
                "download %s cannot be resumed midway (the server sends no strong ETag, or compresses):"
                " a checkpoint keeps it once it is finished",
                download_id,
            )
        case Divided(download_id, spans):
            _log.debug("download %s comes in %s spans", download_id, spans)
        case Resumed(download_id, offset):
            _log.debug("download %s goes on from byte %s", download_id, f"{offset:,}")
        case Skipped(download_id, reason):
            _log.debug("download %s skipped: %s", download_id, reason)
        case _:
            pass


def _announced(event: RunStarted) -> str:
    return f"{event.export_id}: {announced(event.downloads)}"


def tell(event: StartedOver | Retried | Restored | Kept | WorkerLost | DownloadFinished) -> None:
    """Say what a user should know at once; the rest is for the debug log."""
    if isinstance(event, Restored):
        spared = "all of it" if event.finished else f"its first {event.rows:,} rows"
        inform(f"download {event.download_id}: {spared} from the checkpoint")
    elif isinstance(event, Kept):
        if event.finished:
            _log.debug("download %s: all of it from the folder", event.download_id)
        else:
            told = f"its first {size(event.offset)} are in the folder already; the rest is fetched"
            inform(f"download {event.download_id}: {told}")
    elif isinstance(event, Retried):
        inform(
            f"download {event.download_id}: attempt {event.attempt} failed ({event.reason});"
            f" going on from byte {event.offset:,} in {event.wait_s:.1f} s"
        )
    elif isinstance(event, StartedOver):
        inform(
            f"download {event.download_id}: attempt {event.attempt} failed ({event.reason});"
            f" starting over in {event.wait_s:.1f} s"
        )
    elif isinstance(event, WorkerLost):
        one_or_more = "download" if len(event.download_ids) == 1 else "downloads"
        inform(
            f"worker {event.worker} was lost; others bring anew what it had in hand of"
            f" {one_or_more} {', '.join(event.download_ids)}"
        )
    elif event.verdict.kind in (VerdictKind.FAILED, VerdictKind.MISMATCH):
        say(f"download {event.download_id}: {event.verdict}")
    else:
        _log.debug("download %s: %s, %s rows", event.download_id, event.verdict, f"{event.rows:,}")
