"""What the streams of one origin know in common of how it is: whether it may be asked now, and who asks.

Downloads in flight meet an outage at the same moment. Alone, each would find it out, and find out its end, by asking
again and again; together they leave that to one of them. Whoever comes first after the wait asks, the others wait for
what comes of it. Should that take long, because only this one answer is slow, the next one asks, too.

Rules: no sockets; time is the event loop's.
"""

import asyncio

from mockexport.resuming.retrying import RetryPolicy

__all__ = ["Backoff"]

# What came of a question is known sooner, mostly: a connection that is refused, a head that comes.
LEASE_S = 5.0


class Backoff:
    """How one origin is, as far as those who ask it have found out."""

    def __init__(self, policy: RetryPolicy) -> None:
        self._policy = policy
        self._failures = 0  # in a row, of all who ask
        self._since_s: float | None = None  # when the first of them was
        self._next_s: float | None = None  # when the next one may ask; None where all may
        self._asked_until_s = 0.0  # what the server asked to wait for
        self._changed = asyncio.Event()
        self.outage: int = 0  # counts the times that it was down, this one included
        self.has_answered: bool = False

    def __repr__(self) -> str:
        return f"<Backoff {self._failures} failures, {'closed' if self._next_s is not None else 'open'}>"

    @property
    def down_s(self) -> float:
        """How long the origin has been down; 0 if it is not."""
        return 0.0 if self._since_s is None else asyncio.get_running_loop().time() - self._since_s

    @property
    def is_hopeless(self) -> bool:
        """Whether it has been down for as long as is put up with: nobody waits for others any more."""
        return self.down_s >= self._policy.outage_s

    async def turn(self) -> None:
        """Wait until the origin may be asked: by this caller, or by all."""
        loop = asyncio.get_running_loop()
        while self._next_s is not None and not self.is_hopeless:
            left_s = self._next_s - loop.time()
            if left_s <= 0:
                self._next_s = loop.time() + LEASE_S
                return
            try:
                async with asyncio.timeout(left_s):
                    await self._changed.wait()
            except TimeoutError:
                continue

    def answered(self) -> None:
        """Take note that the origin is up: all may ask, but for what it asked to wait for before."""
        self._failures, self._since_s, self.has_answered = 0, None, True
        later = self._asked_until_s > asyncio.get_running_loop().time()
        self._open_at(self._asked_until_s if later else None)

    def doubt(self) -> None:
        """Take note that a connection broke: the next one who asks finds out for the others what that means."""
        if self._next_s is None:
            self._next_s = asyncio.get_running_loop().time()

    def failed(self, failures: int, asked_s: float | None, *, answer: bool) -> float:
        """Take note that the origin is down, or says that it is asked too much; return how long to wait.

        Args:
            failures: in a row, of the caller alone.
            asked_s: what the server asked to wait.
            answer: it answered.
        """
        now_s = asyncio.get_running_loop().time()
        self.has_answered = self.has_answered or answer
        if self._since_s is None:
            self._since_s = now_s
            self.outage += 1
        self._failures += 1
        most = failures if self.is_hopeless else max(failures, self._failures)
        wait_s = max(self._policy.wait_s(most), asked_s or 0.0)
        if asked_s:
            self._asked_until_s = max(self._asked_until_s, now_s + asked_s)
        self._open_at(max(now_s + wait_s, self._asked_until_s))
        return wait_s

    def _open_at(self, next_s: float | None) -> None:
        self._next_s = next_s
        self._changed.set()  # those that wait look again
        self._changed.clear()
