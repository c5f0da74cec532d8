"""Snapshots of a run: provisional, consistent, and no disturbance; the end is that of `analyze`."""

import asyncio
import json
import random
import threading
from collections import Counter
from pathlib import Path
from typing import Any, ClassVar

import pytest

from mockexport import Batch, Counts, MockServer, Result, Run, Summary, analyze
from mockexport.errors import OptionError, ReducerError, RunNotOpen, ServerUnreachable
from mockexport.events import Divided, Event
from mockexport.server.folder import generate


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("live")
    generate("demo", path)
    return path


class Ordered:
    """A reducer whose merge is not commutative, and hands on what it is given."""

    fingerprint = "ordered 1"

    def empty(self) -> list[list[int]]:
        return []

    def update(self, state: list[list[int]], batch: Batch) -> list[list[int]]:
        if not state:
            state.append([])
        state[-1] += batch.event_times
        return state

    def merge(self, earlier: list[list[int]], later: list[list[int]]) -> list[list[int]]:
        return earlier + later

    def dump(self, state: list[list[int]]) -> bytes:
        return json.dumps(state).encode()

    def load(self, data: bytes) -> list[list[int]]:
        loaded: list[list[int]] = json.loads(data)
        return loaded

    def result(self, state: list[list[int]]) -> Result[int]:
        times = [time for part in state for time in part]
        assert times == sorted(times), "not merged in time order"
        return Result({}, {"all": len(times)})


@pytest.mark.parametrize("engine", ["auto", "python"])
@pytest.mark.parametrize("concurrency", [1, 2])
async def test_snapshots_grow_up_to_the_report_which_is_the_same_without(
    folder: Path, engine: Any, concurrency: int
) -> None:
    law = await analyze(folder=folder)
    seen = []
    async with Run(folder=folder, engine=engine, every_s=1e-6, chunk_bytes=2_000, concurrency=concurrency) as run:
        async for snapshot in run:
            seen.append(snapshot)
            counted = sum(statistics.count for statistics in snapshot.report.totals.values())
            assert counted == snapshot.rows, "every row is in the report once"
            assert snapshot.finished + snapshot.in_flight + snapshot.to_come == 2
            assert snapshot.share is not None
            assert 0 <= snapshot.share <= 1
            assert len(snapshot.report.incomplete) == 2 - snapshot.finished
        report = await run.report()
    assert report.to_json() == law.to_json()
    assert seen
    assert [snapshot.rows for snapshot in seen] == sorted(snapshot.rows for snapshot in seen)
    assert seen[-1].announced_rows == 18_784


async def test_states_are_copied_and_merged_in_time_order(folder: Path) -> None:
    law = await analyze(folder=folder, reducer=Ordered())
    async with Run(folder=folder, reducer=Ordered(), every_s=1e-6, chunk_bytes=4_000, concurrency=2) as run:
        async for snapshot in run:
            assert snapshot.report.totals["all"] == snapshot.rows
        assert (await run.report()).totals == law.totals


async def test_faults_on_the_way_change_nothing() -> None:
    law = await analyze("demo")
    async with (
        MockServer(faults="reset=0.3,cut=0.3", seed=5) as server,
        Run("demo", url=server.url, every_s=1e-6, chunk_bytes=8_000) as run,
    ):
        async for snapshot in run:
            assert sum(statistics.count for statistics in snapshot.report.totals.values()) == snapshot.rows
        assert (await run.report()).to_json() == law.to_json()


class Leisurely(Counts):
    """Counts, and is done with a copy only when some other state has gone on, if one does."""

    gone_on: ClassVar[threading.Event] = threading.Event()

    def update(self, state: Counter[tuple[str, str]], batch: Batch) -> Counter[tuple[str, str]]:
        self.gone_on.set()
        return super().update(state, batch)

    def dump(self, state: Counter[tuple[str, str]]) -> bytes:
        data = super().dump(state)
        self.gone_on.clear()
        self.gone_on.wait(0.05)
        return data


async def test_the_rows_of_a_divided_download_are_those_of_its_figures(folder: Path) -> None:
    divided = asyncio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, Divided):
            divided.set()

    async with (
        MockServer(data=folder) as server,
        Run("demo", url=server.url, reducer=Leisurely(), every_s=1e-6, chunk_bytes=500, split=60_000, listener=listen)
        as run,
    ):  # fmt: skip
        await divided.wait()
        snapshot = await anext(aiter(run))
        assert sum(snapshot.report.totals.values()) == snapshot.rows
        assert sum((await run.report()).totals.values()) == 18_784


async def test_leaving_early_breaks_the_run_off_and_nothing_is_left_running(folder: Path) -> None:
    before = asyncio.all_tasks()
    async with Run(folder=folder, every_s=1e-6, chunk_bytes=100, checkpoint=folder.parent / "checkpoint") as run:
        async for snapshot in run:
            if snapshot.rows:
                break
    assert asyncio.all_tasks() - before <= {
        t for t in asyncio.all_tasks() if "aclose" in repr(t) or "athrow" in repr(t)
    }
    assert (folder.parent / "checkpoint").exists()
    assert "over" in repr(run)
    # No CancelledError: nobody has cancelled who asks.
    with pytest.raises(RunNotOpen, match="broken off"):
        await run.report()


async def test_who_stops_waiting_disturbs_nobody(folder: Path) -> None:
    law = await analyze(folder=folder)
    draw = random.Random(1)
    async with Run(folder=folder, every_s=1e-6, chunk_bytes=1_000) as run:
        for _ in range(20):
            looking = asyncio.ensure_future(anext(aiter(run), None))
            for _ in range(draw.randrange(30)):
                await asyncio.sleep(0)
            looking.cancel()
            await asyncio.wait({looking})
        assert (await run.report()).to_json() == law.to_json()


class Failing(Counts):
    """Counts until the end, and raises there."""

    def result(self, state: object) -> Result[int]:
        raise ZeroDivisionError


async def test_errors_of_the_run_are_raised_where_it_is_waited_for(folder: Path) -> None:
    run = Run("demo", url="http://127.0.0.1:1")
    async with run:
        with pytest.raises(ServerUnreachable):
            async for _ in run:
                pass
    with pytest.raises(ServerUnreachable):
        async with Run("demo", url="http://127.0.0.1:1") as run:
            await run.report()
    with pytest.raises(ReducerError):
        async with Run(folder=folder, reducer=Failing()) as failing:
            await failing.report()
    with pytest.raises(OptionError):
        Run("demo", every_s=0)
    with pytest.raises(RunNotOpen, match="has not begun"):
        await Run(reducer=Summary()).report()
