"""A source that plays what it was told: for tests of pipelines, reducers and whatever listens to a run.

download = Download("a", rows=1)
source = Scripted("demo", {download: [[b"patient_id,event_time,event_type,value\\n", Fail("cut"),], [HEADER + ROW]]})
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass

from mockexport.errors import ExportNotFound
from mockexport.model import Download, Export
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.resuming.replies import Head
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.resuming.stream import ResumingStream

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
        self.open: int = 0

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

    def stream(self, export_id: str, download: Download) -> ResumingStream:
        """Return the download's bytes (see streams.Source.stream)."""

        async def exchange(fields: Mapping[str, str]) -> _Played:
            attempt = self.asked[download.id] = self.asked.get(download.id, 0) + 1
            return _Played(self._play(download.id, attempt))

        return ResumingStream(download.id, self.name, exchange, self._policy, TimeLimits())

    async def _play(self, download_id: str, attempt: int) -> AsyncGenerator[bytes]:
        script = self._scripts[download_id]
        self.open += 1
        try:
            for step in script[min(attempt, len(script)) - 1]:
                match step:
                    case bytes():
                        yield step
                    case asyncio.Event():
                        await step.wait()
                    case Fail(problem, passing):
                        raise ExchangeFailed(problem, passing=passing)
        finally:
            self.open -= 1


class _Played:
    """One attempt as an exchange.Reply; it has no ETag, so nothing of it can be resumed."""

    head = Head(200, (("Transfer-Encoding", "chunked"),))

    def __init__(self, steps: AsyncGenerator[bytes]) -> None:
        self._steps = steps

    async def read(self) -> bytes:
        async for piece in self._steps:
            if piece:  # an empty one would be the end
                return piece
        return b""

    def abort(self, reason: str) -> None:
        raise NotImplementedError("a script that waits is waited for")

    async def close(self) -> None:
        await self._steps.aclose()
