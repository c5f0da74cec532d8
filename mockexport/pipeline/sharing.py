"""What is said between the process that has an export analysed and others that bring parts of it in.

A Crew brings in what the producers of one process would: it hands Shares to whoever has time, and takes what they have
Brought. Shares and what is brought travel: states as bytes, no connections, no secrets.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from mockexport.events import Listener
from mockexport.model import Download
from mockexport.pipeline.checkpoint import SavedFlight, SavedRun
from mockexport.pipeline.flights import Part
from mockexport.pipeline.keeping import Keeper
from mockexport.pipeline.streams import Source
from mockexport.pipeline.variety import Limited
from mockexport.pipeline.verdicts import Rules
from mockexport.report.account import DownloadAccount

__all__ = ["Brought", "BroughtSpan", "Crew", "Share", "Work"]


@dataclass(frozen=True, slots=True)
class Share:
    """What of an export to bring in: downloads at their places in time order, or one span, `part`, of the only one.

    `known` is what an earlier run has left of them. `keeps_apart`: do not merge what another run is to replace.
    `several`: the export has more downloads than one.
    """

    export_id: str
    downloads: tuple[tuple[int, Download], ...]
    overlaps: Mapping[str, str]
    known: tuple[SavedFlight, ...] = ()
    part: Part | None = None
    keeps_apart: bool = False
    several: bool = False


@dataclass(frozen=True, slots=True)
class BroughtSpan:
    """What one span has come to, in how many attempts, and with how many bytes."""

    saved: SavedFlight
    attempts: int
    fetched_bytes: int


@dataclass(frozen=True, slots=True)
class Brought:
    """What has come of a share: accounts and merged states of its downloads, or its span."""

    engine: str
    accounts: tuple[DownloadAccount, ...]
    runs: tuple[SavedRun, ...]
    span: BroughtSpan | None


@dataclass(frozen=True, slots=True)
class Work:
    """What a crew is to bring in, and whom to bring it to; `reducer` is in the engine's form."""

    export_id: str
    waiting: list[tuple[int, Download]]
    rules: Rules
    source: Source
    reducer: Limited[Any, Any]
    keeper: Keeper[Any]
    split: int | None
    stop_on_failure: bool
    emit: Listener


class Crew(Protocol):
    """Those who bring downloads in elsewhere."""

    async def bring_in(self, work: Work) -> None:
        """Bring every download to its verdict, and the keeper all that counts.

        Raises:
            Stopped: a download failed, and the run is to stop there.
        """
