"""How much may be under way. Pure: what is measured is given, what is decided is returned; no loop, no bytes.

What is under way is done at some rate, so what is let in waits for as long as that takes (Little's law). The limit
is what gets done within a target, at the best rate of the last second. The rate is measured while somebody is refused:
without that it says what was asked for, not what could be done, and may raise the limit but not lower it. So the limit
follows the machine and the disk, and nothing has to be known about them beforehand.

Single readings and batches are admitted apart, so that neither takes the other's places: what they wait for, the loop
and the journal, serves single readings first.
"""

from collections import deque
from dataclasses import dataclass

__all__ = ["BATCHES", "FEWEST", "READINGS", "SINGLE_BYTES", "TARGET_S", "Admission", "Admitted", "Bounds"]

# What an admitted request should wait at most. Clients are promised a quarter of a second; this leaves room for what is
# not seen: the way to the loop and back, and a pause of the disk.
TARGET_S = 0.08
# A rate is what was done in a window, some commits; the best of the last ones counts: a pause of the disk is forgiven.
_WINDOW_S = 0.1
_WINDOWS = 10
# A body that is longer is taken for a batch.
SINGLE_BYTES = 2_048


@dataclass(frozen=True, slots=True)
class Bounds:
    """Between what a limit moves, so much is always let in, a first guess, more is never let in; and the target (s)."""

    fewest: int
    at_first: int
    most: int
    target_s: float


# So many are some hundredths of a second of work, and calm clients are fewer, so that a pause of the disk is no reason
# to refuse them. At the other end is the journal's own bound on requests.
FEWEST = 64
READINGS = Bounds(FEWEST, 512, 4_000, TARGET_S)
# In KiB of bodies; at the other end is the room for them. Half the target, since a batch also waits on its way in, for
# its body to be read, and for single readings, which go before it.
BATCHES = Bounds(256, 2_048, 16_384, TARGET_S / 2)


class Admission:
    """Counts what is under way, and knows whether more may begin."""

    def __init__(self, bounds: Bounds = READINGS) -> None:
        self.refused: int = 0
        self.under_way: int = 0
        self.limit: float = bounds.at_first
        self._bounds = bounds
        # The limits that the last windows spoke for.
        self._wanted: deque[float] = deque(maxlen=_WINDOWS)
        # Of the window that goes on: since when, what was done, and how many had been refused before it.
        self._since = float("-inf")
        self._done = self._refused_before = 0

    def __repr__(self) -> str:
        return f"<Admission: {self.under_way} of {self.limit:.0f} under way, {self.refused} refused>"

    @property
    def full(self) -> bool:
        """Whether there is enough under way. One request may always be, however large."""
        return self.under_way >= self.limit

    @property
    def calm(self) -> bool:
        """Whether there is room for as much again."""
        return self.under_way <= self.limit / 2

    def begin(self, now: float, weight: int = 1) -> "Admitted":
        """Count one in."""
        self.under_way += weight
        return Admitted(self, now, weight)

    def end(self, weight: int) -> None:
        """Count one out, answered or gone."""
        self.under_way -= weight
        self._done += weight

    def adjust(self, now: float) -> None:
        """Move the limit by what was done lately. Called some times within a window while there is much to do."""
        elapsed = now - self._since
        if elapsed < _WINDOW_S:
            return
        wanted, limited = self._done / elapsed * self._bounds.target_s, self.refused > self._refused_before
        self._since, self._done, self._refused_before = now, 0, self.refused
        # A longer one holds a time in which nobody looked, for there was little to do.
        if elapsed < 2 * _WINDOW_S and (limited or wanted > self.limit):
            self._wanted.append(wanted)
            self.limit = min(self._bounds.most, max(self._bounds.fewest, *self._wanted))


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request that is under way since a time (s), and what it counts for."""

    admission: Admission
    began: float
    weight: int

    def end(self) -> None:
        """Count it out."""
        self.admission.end(self.weight)
