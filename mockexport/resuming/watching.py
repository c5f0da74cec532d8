"""Sees to it that a body comes at a minimum rate and a download ends in time, at no cost to the pieces.

A timer looks at a counter once in a while; nothing is armed and disarmed for each piece. Ticks at which our own side
holds the piece (a full queue, a slow consumer) count neither against the rate nor against the total: a sender that
waits for us is not slow.
"""

import asyncio
from collections.abc import Callable

from mockexport.resuming.retrying import TimeLimits

__all__ = ["Watch"]

# Often enough for limits of seconds, and nothing beside the pieces of one second.
TICK_S = 1.0
# How often short limits are looked at.
_TICKS_PER_LIMIT = 8


class Watch:
    """The watch over one download. Set `waiting` around every wait for the source, and count into `received`."""

    def __init__(self, limits: TimeLimits) -> None:
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        self._tick_s = min(TICK_S, limits.stall_s / _TICKS_PER_LIMIT, limits.total_s / _TICKS_PER_LIMIT)
        self._started_s = self._loop.time()
        self._own_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._abort: Callable[[str], None] = _ignore
        self._flush: Callable[[], int] = _nothing
        self._window: tuple[float, int] = (0.0, 0)
        self.waiting: bool = False
        self.received = 0

    @property
    def left_s(self) -> float:
        """How much of the download's time is left."""
        return self._limits.total_s - (self._loop.time() - self._started_s - self._own_s)

    @property
    def out_of_time(self) -> str:
        """What to say when nothing is left."""
        return f"it took longer than the time limit for a download ({self._limits.total_s:g} s) with all its attempts"

    def start(self, abort: Callable[[str], None], flush: Callable[[], int] | None = None) -> None:
        """Watch a body; `abort` is called with the reason, and must make a pending read fail.

        `flush` has what has come so far handed on, and counted; it returns how much that is.
        """
        self._abort = abort
        self._flush = flush or _nothing
        self._window = (self._loop.time(), self.received)
        self._timer = self._loop.call_later(self._tick_s, self._tick)

    def stop(self) -> None:
        """Watch no more."""
        self.waiting = False
        self._abort, self._flush = _ignore, _nothing
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = self._loop.call_later(self._tick_s, self._tick)
        now_s = self._loop.time()
        since_s, before = self._window
        received = self.received + self._flush()
        if not self.waiting:
            self._own_s += self._tick_s
            self._window = (now_s, received)
            return
        if self.left_s <= 0:
            self._abort(self.out_of_time)
        elif now_s - since_s >= self._limits.stall_s:
            came = received - before
            if came < self._limits.min_rate * (now_s - since_s):
                self._abort(
                    f"the body stalled: {came:,} bytes in {now_s - since_s:.1f} s,"
                    f" less than the minimum rate of {self._limits.min_rate:g} bytes/s"
                )
            self._window = (now_s, received)


def _ignore(reason: str) -> None:
    """Nothing is being watched."""


def _nothing() -> int:
    return 0
