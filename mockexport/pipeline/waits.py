"""How long a run's tasks have waited, for the network, the queue or chunks."""

import time

__all__ = ["Stopwatch", "Waits"]


class Stopwatch:
    """Adds up the time spent inside it, by any number of tasks."""

    def __init__(self) -> None:
        self._inside = 0
        self._balance = 0.0  # of the tasks that have left; of those inside, minus the time at which they came

    @property
    def total_s(self) -> float:
        """The seconds so far, those of tasks that are inside included."""
        return self._balance + self._inside * time.monotonic() if self._inside else self._balance

    def __enter__(self) -> None:
        self._inside += 1
        self._balance -= time.monotonic()

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
        self._balance += time.monotonic()


class Waits:
    """What a run's tasks wait for: producers for the network and for a place in the queue, consumers for chunks."""

    def __init__(self) -> None:
        self.network: Stopwatch = Stopwatch()
        self.queue: Stopwatch = Stopwatch()
        self.chunks: Stopwatch = Stopwatch()
