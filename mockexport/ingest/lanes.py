"""Who asks waits in a lane: short questions are never behind long ones, and what waits is bounded by what it costs.

    planning    what a question will cost, and which days there are: only the list of files is read
    short       a day or so: two threads, since one waits for the disk while the other computes
    long        everything else, one thread, first come first served
    text        the text of long answers, while they are sent: a thousand minutes or two at a time

Polars uses all cores by itself, so a long question works in pieces of some tens of milliseconds, its text is made in
smaller ones, and before each of them the thread waits while there are short ones.
"""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from mockexport.ingest.errors import Overloaded

__all__ = ["SHORT_COST", "Lanes"]

T = TypeVar("T")

# Costs are in rows to be read. A day of one user, once a second from two devices, is half of this.
SHORT_COST = 400_000
# What may wait at all. In the short lane, at some ten milliseconds each, this is a second or two of waiting.
MAX_WAITING = 128
# Sixty-four questions for thirty days, once a second: about a minute of work. Beyond it a caller hears 503 at once.
MAX_WAITING_COST = 200_000_000
# So long a long question gives way before each of its pieces: short ones without end make it slow and do not stop it.
PATIENCE_S = 0.25


class Lanes:
    """The threads. From one event loop at a time."""

    def __init__(self) -> None:
        self._short = ThreadPoolExecutor(2, thread_name_prefix="query-short")
        self._here = threading.local()
        self._long = self._patient("query-long")
        self._planning = ThreadPoolExecutor(1, thread_name_prefix="query-plan")
        self._text = self._patient("query-text")
        self._waiting: dict[ThreadPoolExecutor, int] = {self._short: 0, self._long: 0, self._planning: 0}
        self._waiting_cost = 0
        self._no_short_one = threading.Event()
        self._no_short_one.set()

    @property
    def waiting(self) -> int:
        """How many questions are asked and not answered."""
        return sum(self._waiting.values())

    async def plan(self, question: Callable[..., T], *arguments: object) -> T:
        """Ask what only the list of files has to be read for.

        Raises:
            Overloaded: too many are asked already.
        """
        return await self._ask(self._planning, question, *arguments)

    async def run(self, cost: int, question: Callable[..., T], *arguments: object) -> T:
        """Ask a question that costs about `cost` rows, in the lane that it belongs to.

        Raises:
            Overloaded: too many are asked already, or they cost too much together.
        """
        if cost <= SHORT_COST:
            self._no_short_one.clear()
            try:
                return await self._ask(self._short, question, *arguments)
            finally:
                if not self._waiting[self._short]:
                    self._no_short_one.set()
        # One may always wait, however much it costs, so the bound locks nobody out for good.
        if self._waiting_cost and self._waiting_cost + cost > MAX_WAITING_COST:
            raise Overloaded("too many long queries wait")
        self._waiting_cost += cost
        try:
            return await self._ask(self._long, question, *arguments)
        finally:
            self._waiting_cost -= cost

    async def text(self, make: Callable[..., T], *arguments: object) -> T:
        """Make a part of an answer that is being sent. The event loop itself would wait for Polars' busy threads."""

        def patiently() -> T:
            self.give_way()
            return make(*arguments)

        return await asyncio.get_running_loop().run_in_executor(self._text, patiently)

    def _patient(self, name: str) -> ThreadPoolExecutor:
        """Return a thread that gives way."""
        return ThreadPoolExecutor(
            1, thread_name_prefix=name, initializer=setattr, initargs=(self._here, "gives_way", True)
        )

    def give_way(self) -> None:
        """Let short questions go first. Called before each piece, in the question's thread; short ones do not wait."""
        if getattr(self._here, "gives_way", False):
            self._no_short_one.wait(PATIENCE_S)

    async def _ask(self, lane: ThreadPoolExecutor, question: Callable[..., T], *arguments: object) -> T:
        if self._waiting[lane] >= MAX_WAITING:
            raise Overloaded("too many queries wait")
        self._waiting[lane] += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(lane, question, *arguments)
        finally:
            self._waiting[lane] -= 1

    def close(self) -> None:
        """End the threads; questions that have not begun are dropped."""
        self._no_short_one.set()
        for lane in (*self._waiting, self._text):
            lane.shutdown(cancel_futures=True)
