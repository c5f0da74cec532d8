"""One download on its way, over all its attempts: what the stream's markers mean for it, and how it went."""

from collections.abc import Callable
from typing import Generic, TypeVar

from mockexport import events
from mockexport.checkpoint import SavedFlight
from mockexport.events import Event
from mockexport.formats import Cutter
from mockexport.model import Download, Span, Verdict
from mockexport.pipeline.lanes import Lane
from mockexport.report import DownloadAccount
from mockexport.streams import Mark, Marker, Opened, Resumed, Retry, StartOver

__all__ = ["Flight"]

S = TypeVar("S")


class Flight(Generic[S]):
    """One download on its way, over all its attempts; the lane and the cutter are those of the present one."""

    def __init__(
        self,
        download: Download,
        new_lane: Callable[[Span, SavedFlight | None], Lane[S]],
        new_cutter: Callable[[Span, int], Cutter],
        base: SavedFlight | None,
    ) -> None:
        self.download = download
        self.mark: Mark | None = None if base is None else base.mark
        self._new_lane = new_lane
        self._new_cutter = new_cutter
        self._attempts = 1
        self._void_bytes = 0
        self._begin(base)

    def _begin(self, base: SavedFlight | None) -> None:
        offset, line = (0, 1) if base is None else (base.offset, base.line)
        span = Span(self.download.id, offset)
        self.lane = self._new_lane(span, base)
        self.cutter = self._new_cutter(span, line)
        self._skipped_bytes = offset

    @property
    def received_bytes(self) -> int:
        """The download's bytes so far, those that a checkpoint spared included."""
        return self._skipped_bytes + self.cutter.received

    def take(self, marker: Marker) -> Event:
        """Do as the marker says; return it as an event."""
        download_id = self.download.id
        match marker:
            case StartOver(attempt, wait_s, reason, asked_s):
                self.lane.abandoned = True
                void_bytes = self.cutter.received
                self._void_bytes += void_bytes
                self._attempts = max(self._attempts, attempt + 1)
                self.mark = None
                self._begin(None)
                return events.StartedOver(download_id, attempt, wait_s, reason, void_bytes, asked_s)
            case Retry(attempt, wait_s, reason, offset, asked_s):
                self._attempts = max(self._attempts, attempt + 1)
                return events.Retried(download_id, attempt, wait_s, reason, offset, asked_s)
            case Opened(mark):
                self.mark = mark
                return events.Opened(download_id, mark is not None, None if mark is None else mark.total)
            case Resumed(offset):
                return events.Resumed(download_id, offset)

    def saved(self) -> SavedFlight | None:
        """Return what another run can go on from, None if the source gave nothing to know its content by."""
        return None if self.mark is None else self.lane.saved(self.download.id, self.mark)

    def account(self, verdict: Verdict) -> DownloadAccount:
        """Return how it went."""
        tally = self.lane.tally
        return DownloadAccount(
            download_id=self.download.id,
            verdict=verdict,
            rows=tally.rows,
            bad_rows=dict(tally.bad),
            first_bad_rows=tuple(tally.examples),
            missing_values=dict(tally.missing),
            attempts=self._attempts,
            received_bytes=self.received_bytes,
            fetched_bytes=self._void_bytes + self.cutter.received,
            filtered_rows=tally.filtered,
        )
