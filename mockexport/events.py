"""What happens in a run, as one stream of typed values: progress, logs and previews are all drawn from it.

An event tells facts and holds no patient's id or value. New kinds may come; names and fields stay.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mockexport.model import Download, Verdict

__all__ = [
    "Advanced",
    "CheckpointSaved",
    "Divided",
    "DownloadFinished",
    "DownloadStarted",
    "Event",
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
