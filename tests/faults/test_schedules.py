"""Runs under faults: whatever the network does, the report is right or says that it is not whole."""

import asyncio
import random
from dataclasses import replace

import pytest

from mockexport.events import Event, StartedOver
from mockexport.model import VerdictKind
from mockexport.pipeline.run import Pipeline
from mockexport.reducers import Summary
from mockexport.resuming.retrying import RetryPolicy
from mockexport.server.faults import Faults
from tests.faults.clock import run
from tests.faults.memory import MemorySource
from tests.faults.schedules import MemoryCheckpoint, Schedule, expected, export_of, play, report_of

# The command in tests/soak.py plays ten thousand.
SCHEDULES = 100


@pytest.mark.parametrize("tens", range(SCHEDULES // 10))
def test_a_schedule_of_faults_leaves_the_right_report_or_says_what_is_missing(tens: int) -> None:
    for seed in range(tens * 10, tens * 10 + 10):
        play(Schedule.of(seed))


def test_the_schedules_are_not_all_harmless() -> None:
    assert {play(Schedule.of(seed)) for seed in range(30)} == {"same", "incomplete", "differs"}


def interrupted(
    cancel_at: int | None, checkpoint: MemoryCheckpoint, source: MemorySource, events: list[Event] | None = None
) -> str | None:
    """Run with a checkpoint until the step; return the report if the run came to its end."""

    async def work() -> str:
        pipeline = Pipeline(
            source, Summary(), chunk_bytes=30, checkpoint=checkpoint, checkpoint_every_s=0.002,
            listener=None if events is None else events.append,
        )  # fmt: skip
        outcome = await pipeline.run("x")
        assert all(download.verdict.kind is VerdictKind.VERIFIED for download in outcome.downloads)
        return report_of(outcome.state, outcome.downloads)

    result, _ = run(work, cancel_at=cancel_at)
    assert source.open == 0
    if isinstance(result, asyncio.CancelledError):
        return None
    assert isinstance(result, str), result
    return result


@pytest.mark.parametrize("piece_bytes", [20, 200], ids=["pieces of a chunk", "chunks of a piece"])
def test_cancelled_at_any_step_nothing_is_left_and_another_run_gives_the_same_report(piece_bytes: int) -> None:
    bodies = export_of(random.Random(3), 3, 12)
    wanted = expected(bodies)
    for step in range(1, 10_000):
        checkpoint = MemoryCheckpoint()
        faults = Faults({"reset": 0.5}, seed=4)
        source = MemorySource(
            "x", bodies, faults, policy=RetryPolicy(attempts=20, base_wait_s=0.001), piece_bytes=piece_bytes
        )
        whole = interrupted(step, checkpoint, source)
        if whole is not None:
            assert whole == wanted
            assert step > 30
            return
        # As it was left, and as it would be had the process been killed and the last save not happened.
        for left in checkpoint.history[-2:]:
            again = MemoryCheckpoint()
            again.data = left
            events: list[Event] = []
            assert interrupted(None, again, replace(source, faults=Faults({})), events) == wanted
            assert not again.data
            # A state that does not fit its offset would be found out by the number of rows, and fetched anew.
            assert not any(isinstance(event, StartedOver) for event in events)
    raise AssertionError("the run has no end")
