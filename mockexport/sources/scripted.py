"""A source that plays what it was told: for tests of pipelines, reducers and whatever listens to a run.

download = Download("a", rows=1)
source = Scripted("demo", {download: [[b"patient_id,event_time,event_type,value\\n", Fail("cut"),], [HEADER + ROW]]})
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from mockexport.errors import ExportNotFound, TransferError
from mockexport.model import Download, Export
from mockexport.sources.retrying import RetryingStream, RetryPolicy

__all__ = ["Fail", "Scripted", "Step"]


@dataclass(frozen=True, slots=True)
class Fail:
    """A step: the attempt breaks off here. `passing` tells whether another one may help."""

    problem: str
    passing: bool = True


# What an attempt does next: yield bytes, wait for an event, or break off.
Step = bytes | asyncio.Event | Fail


class Scripted:
    """A Source of one export whose downloads are scripts: a list of attempts, each a list of steps.

    The last attempt is repeated if more are asked for. Restarts wait no time. `asked` counts the attempts begun, by
    download id; `open` is the number of bodies open now.
    """

    def __init__(
        self, export_id: str, scripts: Mapping[Download, Sequence[Sequence[Step]]], *, attempts: int = 4
    ) -> None:
        self._export = Export.of(export_id, scripts)
        self._scripts = {download.id: script for download, script in scripts.items()}
        self._policy = RetryPolicy(attempts=attempts, base_wait_s=0)
        self.asked: dict[str, int] = {}
        self.open = 0

    @property
    def name(self) -> str:
        """Where the data comes from: a script."""
        return "script"

    async def export_ids(self) -> list[str]:
        """Return the one export's id."""
        return [self._export.id]

    async def discover(self, export_id: str) -> Export:
        """Return the export (see streams.Source.discover)."""
        if export_id != self._export.id:
            raise ExportNotFound(export_id, self.name, [self._export.id])
        return self._export

    def stream(self, export_id: str, download: Download) -> RetryingStream:
        """Return the download's bytes (see streams.Source.stream)."""
        return RetryingStream(download.id, self.name, lambda attempt: self._play(download.id, attempt), self._policy)

    async def _play(self, download_id: str, attempt: int) -> AsyncGenerator[bytes]:
        self.asked[download_id] = attempt
        script = self._scripts[download_id]
        sent = 0
        self.open += 1
        try:
            for step in script[min(attempt, len(script)) - 1]:
                match step:
                    case bytes():
                        sent += len(step)
                        yield step
                    case asyncio.Event():
                        await step.wait()
                    case Fail(problem, passing):
                        raise TransferError(
                            download_id, self.name, problem, attempt=attempt, offset=sent, passing=passing
                        )
        finally:
            self.open -= 1
