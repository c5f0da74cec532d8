"""What happens in a run, as one stream of typed values: progress, logs and previews are all drawn from it.

An event tells facts and holds no patient's id or value. New kinds may come; names and fields stay.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mockexport.model import Download, Verdict

__all__ = [
    "Advanced",
    "DownloadFinished",
    "DownloadStarted",
    "Event",
    "Listener",
    "RunFinished",
    "RunStarted",
    "StartedOver",
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
class StartedOver:
    """An attempt failed and the download begins again from nothing, after a wait.

    `attempt` is the number of the one that failed, from 1; `reason` says why.
    """

    download_id: str
    attempt: int
    wait_s: float
    reason: str


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


Event = RunStarted | DownloadStarted | Advanced | StartedOver | DownloadFinished | RunFinished
Listener = Callable[[Event], None]
