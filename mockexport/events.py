"""What happens in a run, as one stream of typed values: progress, logs and previews are all drawn from it.

An event states facts and holds no patient's id or value. For programs it is a line of JSON: names and fields are stable
(docs/reference/events.md), new ones may come. A line is written when it happens, so that the file has the story of a
run that was killed, too. Progress within a download (`Advanced`) is left out: it would be the bulk of the file.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from mockexport.errors import OutputError
from mockexport.model import Download, Verdict

__all__ = [
    "Advanced",
    "CheckpointSaved",
    "Divided",
    "DownloadFinished",
    "DownloadStarted",
    "Event",
    "EventLog",
    "Kept",
    "Listener",
    "Opened",
    "Restored",
    "Resumed",
    "Retried",
    "RunFinished",
    "RunStarted",
    "Skipped",
    "StartedOver",
    "WorkerLost",
    "to_plain",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    """The export is known and the first downloads are about to start."""

    export_id: str
    downloads: tuple[Download, ...]
    engine: str


@dataclass(frozen=True, slots=True)
class DownloadStarted:
    """A producer has asked for the download's bytes."""

    download_id: str


@dataclass(frozen=True, slots=True)
class Advanced:
    """Another chunk has been reduced: the download's rows and bytes so far, in this attempt."""

    download_id: str
    received_bytes: int
    rows: int


@dataclass(frozen=True, slots=True)
class Opened:
    """A body begins at its first byte; `resumable` if it can be resumed midway, because the server tags it strongly."""

    download_id: str
    resumable: bool
    total_bytes: int | None


@dataclass(frozen=True, slots=True)
class Divided:
    """What is left of the download comes in so many spans, on connections of their own."""

    download_id: str
    spans: int


@dataclass(frozen=True, slots=True)
class Retried:
    """An attempt failed and another follows after a wait; the `offset` bytes received so far are kept.

    `attempt` is the number of the one that failed, from 1; `reason` says why. `asked_s` is how long the server asked
    to wait (Retry-After), None if it did not.
    """

    download_id: str
    attempt: int
    wait_s: float
    reason: str
    offset: int
    asked_s: float | None


@dataclass(frozen=True, slots=True)
class Resumed:
    """The server goes on with byte `offset`."""

    download_id: str
    offset: int


@dataclass(frozen=True, slots=True)
class StartedOver:
    """An attempt failed and the download begins again from nothing, after a wait.

    `attempt` is the number of the one that failed, from 1; `reason` says why. `void_bytes` had been received, and are
    fetched a second time. `asked_s` as in Retried.
    """

    download_id: str
    attempt: int
    wait_s: float
    reason: str
    void_bytes: int = 0
    asked_s: float | None = None


@dataclass(frozen=True, slots=True)
class Restored:
    """A checkpoint spares the download's first `offset` bytes and `rows` rows; if `finished`, all of them."""

    download_id: str
    offset: int
    rows: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Kept:
    """The download's first `offset` bytes are read from the file that an earlier run has kept; if `finished`, all."""

    download_id: str
    offset: int
    finished: bool


@dataclass(frozen=True, slots=True)
class Skipped:
    """The download is not fetched: its metadata says that nothing in it is asked for, and `reason` why."""

    download_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """A worker of a cluster is gone; what it had in hand of these downloads, others bring anew.

    What it told of them was true and is not told again; what follows is of those others. `worker` is its address.
    """

    worker: str
    download_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CheckpointSaved:
    """The checkpoint on disk is of now: so many downloads finished, so many in flight."""

    finished: int
    in_flight: int


@dataclass(frozen=True, slots=True)
class DownloadFinished:
    """The download has its verdict; nothing more comes of it."""

    download_id: str
    verdict: Verdict
    received_bytes: int
    rows: int
    bad_rows: int


@dataclass(frozen=True, slots=True)
class RunFinished:
    """All downloads have their verdicts and the states are merged."""

    export_id: str
    elapsed_s: float


Event = (
    RunStarted
    | DownloadStarted
    | Opened
    | Divided
    | Advanced
    | Retried
    | Resumed
    | StartedOver
    | Restored
    | Kept
    | Skipped
    | WorkerLost
    | CheckpointSaved
    | DownloadFinished
    | RunFinished
)
Listener = Callable[[Event], None]


def to_plain(event: Event) -> dict[str, Any] | None:
    """Return an event as what JSON can hold, None for those that are left out."""
    match event:
        case RunStarted(export_id, downloads, engine):
            announced = [{"id": download.id, "rows": download.rows} for download in downloads]
            return {"event": "run_started", "export_id": export_id, "engine": engine, "downloads": announced}
        case DownloadStarted(download_id):
            return {"event": "started", "download": download_id}
        case Opened(download_id, resumable, total_bytes):
            return {"event": "opened", "download": download_id, "resumable": resumable, "total_bytes": total_bytes}
        case Divided(download_id, spans):
            return {"event": "divided", "download": download_id, "spans": spans}
        case Retried(download_id, attempt, wait_s, reason, offset, asked_s):
            return {
                "event": "retried",
                "download": download_id,
                "attempt": attempt,
                "reason": reason,
                "wait_s": round(wait_s, 3),
                "retry_after_s": asked_s,
                "offset": offset,
            }
        case Resumed(download_id, offset):
            return {"event": "resumed", "download": download_id, "offset": offset}
        case StartedOver(download_id, attempt, wait_s, reason, void_bytes, asked_s):
            return {
                "event": "restarted",
                "download": download_id,
                "attempt": attempt,
                "reason": reason,
                "wait_s": round(wait_s, 3),
                "retry_after_s": asked_s,
                "bytes_fetched_twice": void_bytes,
            }
        case Restored(download_id, offset, rows, finished):
            return {"event": "restored", "download": download_id, "offset": offset, "rows": rows, "finished": finished}
        case Kept(download_id, offset, finished):
            return {"event": "kept", "download": download_id, "offset": offset, "finished": finished}
        case Skipped(download_id, reason):
            return {"event": "skipped", "download": download_id, "reason": reason}
        case WorkerLost(worker, download_ids):
            return {"event": "worker_lost", "worker": worker, "downloads": list(download_ids)}
        case CheckpointSaved(finished_downloads, in_flight):
            return {"event": "checkpoint_saved", "finished": finished_downloads, "in_flight": in_flight}
        case DownloadFinished(download_id, verdict, received_bytes, rows, bad_rows):
            return {
                "event": "finished",
                "download": download_id,
                "verdict": verdict.kind,
                "reasons": list(verdict.reasons),
                "rows": rows,
                "bad_rows": bad_rows,
                "bytes": received_bytes,
            }
        case RunFinished(export_id, elapsed_s):
            return {"event": "run_finished", "export_id": export_id, "elapsed_s": round(elapsed_s, 3)}
        case _:
            return None


class EventLog:
    """A listener that writes events into a new file, its owner's alone, a line each.

    Args:
        path: the file; what it held is replaced.
        now: seconds since 1970, for the `time` of each line.
    """

    def __init__(self, path: str | Path, *, now: Callable[[], float] = time.time) -> None:
        self._path = Path(path)
        self._now = now
        try:
            if self._path.is_file():  # a pipe or a terminal is written to as it is
                self._path.unlink()
            if not self._path.exists():
                self._path.touch(mode=0o600)
            self._file = self._path.open("w", encoding="utf-8")
        except OSError as error:
            raise OutputError(path, error.strerror or type(error).__name__) from error

    def __call__(self, event: Event) -> None:
        plain = to_plain(event)
        if plain is None:
            return
        name = plain.pop("event")
        line = {"event": name, "time": round(self._now(), 6), **plain}
        try:
            self._file.write(json.dumps(line) + "\n")
            self._file.flush()
        except OSError as error:
            raise OutputError(self._path, error.strerror or type(error).__name__) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._file.close()
        except OSError as fault:  # of what could not be written before, which has been told then
            if error is None:
                raise OutputError(self._path, fault.strerror or type(fault).__name__) from fault
