"""What is said between the process that has an export analysed and others that bring parts of it in.

A Crew brings in what the producers of one process would: it hands Shares to workers that have time, and takes what they
have Brought. Shares and what is brought travel: states as bytes, no connections, no secrets.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from mockexport.errors import SourceError
from mockexport.events import Listener
from mockexport.model import Download
from mockexport.pipeline.checkpoint import SavedRun
from mockexport.pipeline.ledger import Ledger
from mockexport.pipeline.options import RunOptions
from mockexport.pipeline.span import Begun
from mockexport.pipeline.streams import Source
from mockexport.pipeline.variety import Limited
from mockexport.pipeline.verdicts import Rules
from mockexport.report.account import DownloadAccount

__all__ = ["Brought", "Crew", "PartVoid", "Share", "Stopped", "Work"]


class Stopped(Exception):  # noqa: N818 - no error of its own
    """A download failed, and the run is to stop there."""


class PartVoid(SourceError):  # noqa: N818 - a state of the world, named as one
    """One span's bytes are no longer those of the others: all of the download is to begin again."""


@dataclass(frozen=True, slots=True)
class Share:
    """What of an export to bring in: downloads at their places in time order, or one span of the only one (`is_part`).

    `begun` is what has come of them already; of a part, that is the span. `keeps_apart`: do not merge what another run
    is to replace. `several`: the export has more downloads than one. `split`: give a download back that turns out to be
    longer than a span of `split` bytes.
    """

    export_id: str
    downloads: tuple[tuple[int, Download], ...]
    overlaps: Mapping[str, str]
    begun: Mapping[str, Begun] = field(default_factory=dict)
    is_part: bool = False
    keeps_apart: bool = False
    several: bool = False
    split: int | None = None


@dataclass(frozen=True, slots=True)
class Brought:
    """What has come of a share: accounts and merged states of its downloads; how far those got that have no verdict.

    The latter are downloads given back, or the span of a part, with what it took.
    """

    engine: str
    accounts: tuple[DownloadAccount, ...]
    runs: tuple[SavedRun, ...]
    begun: Mapping[str, Begun]
    attempts: int = 1
    fetched_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Work:
    """What a crew is to bring in, and whom to bring it to; `reducer` is in the engine's form."""

    export_id: str
    waiting: list[tuple[int, Download]]
    options: RunOptions
    rules: Rules
    source: Source
    reducer: Limited[Any, Any]
    ledger: Ledger[Any]
    emit: Listener


class Crew(Protocol):
    """Those who bring downloads in elsewhere."""

    async def bring_in(self, work: Work) -> None:
        """Bring every download to its verdict, and the ledger all that counts.

        Raises:
            Stopped: a download failed, and the run is to stop there.
        """
