"""How much may be under way. Pure: what is measured is given, what is decided is returned; no loop, no bytes.

What a client waits is the time until its request is read, which is the event loop's lag, and the time until it is
answered, which shows in the age of the oldest that is under way. Both together are held below a target by a limit on
what may be under way: it falls while they are above, and rises again while somebody is refused below. So it follows the
machine and the disk, and nothing has to be known about them beforehand. A single reading counts as one, a batch by its
size.
"""

from collections import deque
from dataclasses import dataclass

__all__ = ["Admission", "Admitted"]

# What an admitted request should wait at most. Clients are promised a quarter of a second; this leaves room for what is
# not seen: the reply's way, and a pause of the disk.
TARGET_S = 0.08
# So much is always let in: some hundredths of a second of work, and calm clients are fewer, so that a pause of the disk
# is no reason to refuse them.
FEWEST = 64
# The journal's own bound on requests.
MOST = 2_000
# Of a batch, so many bytes are as much work as a single reading with all that surrounds it.
BYTES_OF_ONE = 4_096
_AT_FIRST = 512
_FALL = 0.8
_RISE = 1.02


@dataclass(slots=True)
class Admitted:
    """A request that is under way since a time (s), and what it counts for."""

    began: float
    weight: int
    ended: bool = False


class Admission:
    """Counts what is under way, and knows whether more may begin."""

    def __init__(self) -> None:
        self.refused: int = 0
        self.under_way: int = 0
        self.limit: float = _AT_FIRST
        self._waiting: deque[Admitted] = deque()
        self._refused_before = 0
        self._fell = float("-inf")

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

    def begin(self, now: float, body_bytes: int) -> Admitted:
        """Count one in, with a body of so many bytes."""
        admitted = Admitted(now, 1 + body_bytes // BYTES_OF_ONE)
        self.under_way += admitted.weight
        self._waiting.append(admitted)
        return admitted

    def end(self, admitted: Admitted) -> None:
        """Count one out, answered or gone."""
        admitted.ended = True
        self.under_way -= admitted.weight
        while self._waiting and self._waiting[0].ended:
            self._waiting.popleft()

    def oldest_age_s(self, now: float) -> float:
        """Return how long the oldest has been under way; 0 if there is none."""
        return now - self._waiting[0].began if self._waiting else 0.0

    def adjust(self, now: float, lag_s: float) -> None:
        """Move the limit by what is waited now. Called some times within the target."""
        if self.oldest_age_s(now) + lag_s > TARGET_S:
            # What follows from a fall shows only when those under way have been answered.
            if now - self._fell >= TARGET_S:
                self._fell = now
                self.limit = max(FEWEST, min(self.limit, self.under_way) * _FALL)
        elif self.refused > self._refused_before:
            self.limit = min(MOST, self.limit * _RISE + 1)
        self._refused_before = self.refused
