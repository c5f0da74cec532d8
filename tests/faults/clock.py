"""A virtual clock: an event loop whose time jumps to the next timer as soon as nothing else is left to do.

Work for threads is done in line, and what native threads do is waited for, so a run in this loop is deterministic: the
same seed, the same steps. A loop that has nothing to do and no timer would wait for ever; this one says so. `at_step`
calls back after so many of its rounds.
"""

import asyncio
import selectors
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from mockexport.pipeline.workers import Workers

__all__ = ["Hung", "VirtualLoop", "run"]

T = TypeVar("T")

# No schedule of a small export comes near; beyond it something spins.
MAX_STEPS = 200_000


class Hung(AssertionError):  # noqa: N818 - a state, named as one
    """Nothing will ever happen again, or no end is in sight."""


class _Selector(selectors.SelectSelector):
    """Never waits: where the loop would, its time moves on instead."""

    loop: "VirtualLoop"

    def select(self, timeout: float | None = None) -> list[Any]:
        heard = self.loop.hear_workers()
        events = super().select(0)
        self.loop.step()
        if not events and not heard:
            if timeout is None:
                raise Hung("no task can go on and no timer is set")
            self.loop.now_s += max(timeout, 0)
        return events


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop; `now_s` is its time."""

    def __init__(self) -> None:
        self.now_s = 1000.0
        self.steps = 0
        self._at: dict[int, Callable[[], object]] = {}
        self._workers: list[tuple[Workers, Callable[[], object]]] = []
        selector = _Selector()
        selector.loop = self
        super().__init__(selector)

    def time(self) -> float:
        return self.now_s

    def step(self) -> None:
        self.steps += 1
        if self.steps > MAX_STEPS:
            raise Hung(f"no end after {MAX_STEPS:,} steps")
        if self.steps in self._at:
            self._at.pop(self.steps)()

    def add_reader(self, fd: Any, callback: Callable[..., Any], *args: Any) -> None:  # type: ignore[override]
        """Watch what native threads have done; it is waited for in line, so that no time passes meanwhile."""
        workers = getattr(callback, "__self__", None)
        if not isinstance(workers, Workers):
            raise NotImplementedError("nothing but workers is watched here")
        self._workers.append((workers, callback))

    def remove_reader(self, fd: Any) -> bool:
        self._workers.clear()
        return True

    def hear_workers(self) -> bool:
        heard = False
        for workers, callback in self._workers:
            while workers.pending:
                heard = True
                callback()
                time.sleep(0)
        return heard

    def at_step(self, step: int, callback: Callable[[], object]) -> None:
        self._at[step] = callback

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:  # type: ignore[override]
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future


def run(
    work: Callable[[], Coroutine[Any, Any, T]], *, cancel_at: int | None = None
) -> tuple[T | BaseException, VirtualLoop]:
    """Run in a loop of its own; return the result or the error, and the loop, closed. No task may be left."""
    loop = VirtualLoop()
    try:
        task = loop.create_task(work())
        if cancel_at is not None:
            loop.at_step(cancel_at, task.cancel)
        outcome: T | BaseException
        try:
            outcome = loop.run_until_complete(task)
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, Hung):
                raise
            outcome = error
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        assert not left, f"tasks left: {left}"
        loop.run_until_complete(loop.shutdown_asyncgens())
        return outcome, loop
    finally:
        loop.close()
