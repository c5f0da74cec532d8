"""What the pipeline asks of those who bring the bytes: the Source protocol, and a download's stream."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Protocol

from mockexport.model import Download, Export, Verdict

__all__ = ["ByteStream", "Source", "StartOver"]


@dataclass(frozen=True, slots=True)
class StartOver:
    """Between two pieces: the next one is the first byte again, and all before it is void.

    `attempt` is the one that failed, counted from 1; `wait_s` is waited before the next piece; `reason` says why.
    """

    attempt: int
    wait_s: float
    reason: str


class ByteStream(Protocol):
    """The bytes of one download, in order, for one reader."""

    def pieces(self) -> AsyncGenerator[bytes | StartOver]:
        """Yield the bytes as they come, and StartOver where they begin again.

        Raises:
            TransferError: when the bytes cannot be had, all attempts included.
        """

    def start_over(self, problem: str) -> StartOver:
        """Void a stream that ended well but did not hold what was promised; `pieces()` then begins again.

        Raises:
            TransferError: if no attempt is left.
        """

    async def close(self, verdict: Verdict | None) -> None:
        """End the stream. `verdict` is the download's; None if the run was broken off before there was one."""


class Source(Protocol):
    """Lists exports and their downloads, and opens their bytes."""

    @property
    def name(self) -> str:
        """Where the data comes from, fit for messages: no credentials, no query."""

    async def export_ids(self) -> list[str]:
        """Return the ids of the exports there are."""

    async def discover(self, export_id: str) -> Export:
        """Return an export with the metadata of all its downloads, in time order.

        Raises:
            ExportNotFound: naming the exports there are.
            SourceError: if the source does not answer, or not sensibly.
        """

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the bytes of a download of an export; nothing is asked for before the first piece."""
