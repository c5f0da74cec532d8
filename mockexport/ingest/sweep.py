"""Looks at all connections of a loop once a second, and aborts those past their deadline: no request needs a timer.

Where connections are scarce, one on which no request has become whole for CROWDED_S seconds gives way to others.
"""

import asyncio
from typing import Protocol
from weakref import WeakKeyDictionary

__all__ = ["NEVER", "Sweep", "Watched", "sweep_of"]

NEVER = float("inf")
# More connections than this get 503 at once. A connection costs some 10 KiB and a file descriptor.
MAX_CONNECTIONS = 4_000
# From this share of them on, those that only hold a place have so much time.
_CROWDED_SHARE = 0.9
CROWDED_S = 2.0
_SWEEP_S = 1.0


class Watched(Protocol):
    """A connection; its times are the loop's, in seconds.

    Attributes:
        transport: what is aborted.
        deadline: when.
        quiet_since: since when no request has become whole and none is at work.
    """

    transport: asyncio.Transport
    deadline: float
    quiet_since: float

    def give_way(self) -> None:
        """Leave the place to another connection."""


class Sweep:
    """Aborts what is past its deadline; runs only while there are connections."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._watched: set[Watched] = set()
        self._running = False

    @property
    def full(self) -> bool:
        """Whether there are as many as there may be."""
        return len(self._watched) >= MAX_CONNECTIONS

    def __len__(self) -> int:
        return len(self._watched)

    @property
    def next_deadline(self) -> float:
        """When the first of them will be aborted; infinity where none will."""
        return min((each.deadline for each in self._watched), default=NEVER)

    def add(self, connection: Watched) -> None:
        """Watch a connection."""
        self._watched.add(connection)
        if not self._running:
            self._running = True
            self._loop.call_later(_SWEEP_S, self._sweep)

    def discard(self, connection: Watched) -> None:
        """Watch it no longer."""
        self._watched.discard(connection)

    def _sweep(self) -> None:
        now = self._loop.time()
        for connection in [each for each in self._watched if each.deadline < now]:
            connection.transport.abort()
        if len(self._watched) >= MAX_CONNECTIONS * _CROWDED_SHARE:
            for connection in [each for each in self._watched if each.quiet_since < now - CROWDED_S]:
                connection.give_way()
        self._running = bool(self._watched)
        if self._running:
            self._loop.call_later(_SWEEP_S, self._sweep)


_sweeps: "WeakKeyDictionary[asyncio.AbstractEventLoop, Sweep]" = WeakKeyDictionary()


def sweep_of(loop: asyncio.AbstractEventLoop) -> Sweep:
    """Return the one that all connections of a loop share."""
    sweep = _sweeps.get(loop)
    if sweep is None:
        sweep = _sweeps[loop] = Sweep(loop)
    return sweep
