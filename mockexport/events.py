"""What happens in a run, as one stream of typed values: progress, logs and previews are all drawn from it.

An event states facts and holds no patient's id or value. For programs it is a line of JSON: names and fields are stable
(docs/reference/events.md), new ones may come. A line is written when it happens, so that the file has the story of a
run that was killed, too. Progress within a download (`Advanced`) is left out: it would be the bulk of the file.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec
from msgspec.structs import fields

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


# What fields are called on a line of JSON, where that is another name.
_ON_A_LINE = {
    "download_id": "download",
    "download_ids": "downloads",
    "asked_s": "retry_after_s",
    "void_bytes": "bytes_fetched_twice",
    "received_bytes": "bytes",
}


class _Event(msgspec.Struct, frozen=True, tag_field="event", rename=_ON_A_LINE):
    """An event; its tag is its name on a line of JSON."""


class RunStarted(_Event, frozen=True, tag="run_started"):
    """The export is known and the first downloads are about to start."""

    export_id: str
    downloads: tuple[Download, ...]
    engine: str


class DownloadStarted(_Event, frozen=True, tag="started"):
    """A producer has asked for the download's bytes."""

    download_id: str


class Advanced(_Event, frozen=True, tag="advanced"):
    """Another chunk has been reduced: the download's rows and bytes so far, in this attempt."""

    download_id: str
    received_bytes: int
    rows: int


class Opened(_Event, frozen=True, tag="opened"):
    """A body begins at its first byte; `resumable` if it can be resumed midway, because the server tags it strongly."""

    download_id: str
    resumable: bool
    total_bytes: int | None


class Divided(_Event, frozen=True, tag="divided"):
    """What is left of the download comes in `spans` spans, on connections of their own."""

    download_id: str
    spans: int


class Retried(_Event, frozen=True, tag="retried"):
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


class Resumed(_Event, frozen=True, tag="resumed"):
    """The server goes on with byte `offset`."""

    download_id: str
    offset: int


class StartedOver(_Event, frozen=True, tag="restarted"):
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


class Restored(_Event, frozen=True, tag="restored"):
    """A checkpoint spares the download's first `offset` bytes and `rows` rows; if `finished`, all of them."""

    download_id: str
    offset: int
    rows: int
    finished: bool


class Kept(_Event, frozen=True, tag="kept"):
    """The download's first `offset` bytes are read from the file that an earlier run has kept; if `finished`, all."""

    download_id: str
    offset: int
    finished: bool


class Skipped(_Event, frozen=True, tag="skipped"):
    """The download is not fetched: its metadata says that nothing in it is asked for, and `reason` why."""

    download_id: str
    reason: str


class WorkerLost(_Event, frozen=True, tag="worker_lost"):
    """A worker of a cluster is gone; what it had in hand of these downloads, others bring again.

    What it reported of them was true and is not reported again; what follows is of the others. `worker` is its address.
    """

    worker: str
    download_ids: tuple[str, ...]


class CheckpointSaved(_Event, frozen=True, tag="checkpoint_saved"):
    """The checkpoint on disk is of now: how many downloads are finished and in flight."""

    finished: int
    in_flight: int


class DownloadFinished(_Event, frozen=True, tag="finished"):
    """The download has its verdict; nothing more comes of it."""

    download_id: str
    verdict: Verdict
    received_bytes: int
    rows: int
    bad_rows: int


class RunFinished(_Event, frozen=True, tag="run_finished"):
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
    if isinstance(event, Advanced):
        return None
    plain: dict[str, Any] = {"event": type(event).__struct_config__.tag}
    for field in fields(event):
        value = getattr(event, field.name)
        if isinstance(value, Verdict):
            plain |= {"verdict": value.kind, "reasons": list(value.reasons)}
        elif isinstance(event, RunStarted) and value is event.downloads:
            plain["downloads"] = [{"id": download.id, "rows": download.rows} for download in event.downloads]
        else:
            plain[field.encode_name] = round(value, 3) if isinstance(value, float) else value
    return plain


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
