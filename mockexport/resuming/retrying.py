"""How often a download is tried, how long is waited in between, and how long anything may take. Values, no clock."""

import random
from dataclasses import dataclass, replace

from mockexport.errors import OptionError

__all__ = ["RetryPolicy", "TimeLimits"]

DEFAULT_ATTEMPTS = 4


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a download is tried, and how long is waited in between, in seconds.

    `attempts` is how many may fail in a row: one that brought bytes which no other had brought starts the count again.
    By default it is 4, but an outage of a server that has answered before counts once, if it is over within `outage_s`:
    no connection, no answer, or the statuses 429, 502, 503 and 504.

    Before the next attempt a time is drawn from [0, min(max_wait_s, base_wait_s × 2ⁿ⁻¹)] after n failures ("full
    jitter"), so that clients which failed together do not come back together. A server's Retry-After is obeyed as a
    minimum, up to `max_retry_after_s`; one that asks for more fails the download, with a message that says so.
    """

    attempts: int | None = None
    base_wait_s: float = 0.5
    max_wait_s: float = 15.0
    max_retry_after_s: float = 300.0
    # A server that is started again, or a network that is, takes a minute.
    outage_s: float = 90.0

    def __post_init__(self) -> None:
        if self.attempts is not None and self.attempts < 1:
            raise OptionError("attempts", f"must be at least 1, not {self.attempts}")

    @property
    def most_failures(self) -> int:
        """How many attempts may fail in a row."""
        return DEFAULT_ATTEMPTS if self.attempts is None else self.attempts

    def wait_s(self, failures: int) -> float:
        """Return how long to wait after `failures` failures in a row; not long after none."""
        longest = min(self.max_wait_s, self.base_wait_s * 2 ** min(failures - 1, 30))
        return random.uniform(0, longest)  # noqa: S311 - spreads load, keeps no secret


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long anything may take, in seconds. Time in which our own side is busy does not count.

    Args:
        connect_s: a connection, name resolution and TLS included.
        first_byte_s: from asking to the end of the reply's head, redirects included.
        stall_s: a body must bring `min_rate` × `stall_s` bytes in any such time spent waiting for it.
        min_rate: bytes per second; a reply that comes a byte at a time never falls silent, and never ends either.
        total_s: a download with all its attempts and waits.
    """

    connect_s: float = 15.0
    first_byte_s: float = 60.0
    stall_s: float = 30.0
    min_rate: float = 100.0
    # A night's download of tens of gigabytes passes; resets after every other byte do not go on for ever.
    total_s: float = 12 * 3600.0

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if not getattr(self, name) > 0:
                raise OptionError(name, f"must be more than 0, not {getattr(self, name)}")

    @classmethod
    def of(cls, timeout_s: float | None = None, total_s: float | None = None) -> "TimeLimits":
        """Return the default limits with one time for every silence, and another for the whole."""
        limits = cls()
        if timeout_s is not None:
            limits = cls(connect_s=min(timeout_s, limits.connect_s), first_byte_s=timeout_s, stall_s=timeout_s)
        return limits if total_s is None else replace(limits, total_s=total_s)
