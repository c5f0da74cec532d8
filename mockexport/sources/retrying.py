"""A byte stream that is tried again: how often, how long to wait, and what the reader is told.

It knows no HTTP. An opener yields one attempt's bytes and raises TransferError with a hint whether another attempt may
help; whatever comes of resuming midway belongs here too.
"""

import asyncio
import random
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from mockexport.errors import OptionError, TransferError
from mockexport.model import Verdict
from mockexport.streams import StartOver

__all__ = ["RetryPolicy", "RetryingStream"]


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a download is tried, and how long is waited in between, in seconds.

    Before attempt n + 1 a time is drawn from [0, min(max_wait_s, base_wait_s × 2ⁿ⁻¹)] ("full jitter"), so that
    clients which failed together do not come back together.
    """

    attempts: int = 4
    base_wait_s: float = 0.5
    max_wait_s: float = 30.0

    def __post_init__(self) -> None:
        if self.attempts < 1:
            raise OptionError("attempts", f"must be at least 1, not {self.attempts}")

    def wait_s(self, failed_attempt: int) -> float:
        """Return how long to wait after the attempt of this number, from 1, has failed."""
        longest = min(self.max_wait_s, self.base_wait_s * 2 ** min(failed_attempt - 1, 30))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, keeps no secret


class RetryingStream:
    """The bytes of one download (streams.ByteStream), each failed attempt followed by a fresh one.

    Args:
        download_id, where: for messages.
        open_body: returns the bytes of attempt n, from the first on.
        policy: when to give up.
    """

    def __init__(
        self,
        download_id: str,
        where: str,
        open_body: Callable[[int], AsyncGenerator[bytes]],
        policy: RetryPolicy,
    ) -> None:
        self._download_id = download_id
        self._where = where
        self._open_body = open_body
        self._policy = policy
        self._attempt = 1
        self._wait_s = 0.0
        self._received = 0

    async def pieces(self) -> AsyncGenerator[bytes | StartOver]:
        """Yield the bytes as they come, and StartOver before they begin again (see ByteStream.pieces)."""
        while True:
            await asyncio.sleep(self._wait_s)
            try:
                async with aclosing(self._open_body(self._attempt)) as body:
                    async for piece in body:
                        self._received += len(piece)
                        yield piece
                return
            except TransferError as error:
                if not error.passing or self._attempt >= self._policy.attempts:
                    raise
                restart = self._next_attempt(error.problem)
            yield restart

    def start_over(self, problem: str) -> StartOver:
        """Void a stream that ended well but did not hold what was promised (see ByteStream.start_over)."""
        if self._attempt >= self._policy.attempts:
            raise TransferError(
                self._download_id, self._where, problem, attempt=self._attempt, offset=self._received, passing=True
            )
        return self._next_attempt(problem)

    def _next_attempt(self, problem: str) -> StartOver:
        restart = StartOver(self._attempt, self._policy.wait_s(self._attempt), problem)
        self._attempt += 1
        self._wait_s = restart.wait_s
        self._received = 0
        return restart

    async def close(self, verdict: Verdict | None) -> None:
        """Nothing is left to do: the body closes with the iteration."""
