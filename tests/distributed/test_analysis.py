"""The analysis on a cluster: the same report to the byte, whatever becomes of its workers."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from mockexport import Batch, Counts, ExportApi, MockServer, Report, RetryPolicy, SizeLimits, Summary, analyze
from mockexport import distributed as cluster
from mockexport.distributed.tasks import at_work
from mockexport.errors import BadRowError, ClusterError, LimitError, OptionError, ReducerError
from mockexport.events import (
    Advanced,
    Divided,
    DownloadFinished,
    DownloadStarted,
    Event,
    Restored,
    RunFinished,
    RunStarted,
)
from mockexport.model import VerdictKind
from mockexport.reducers.summary import SummaryState
from mockexport.server.folder import generate
from tests.distributed.machine import workers_in_this_process

DEMO = (Path(__file__).parents[2] / "examples" / "outputs" / "demo.json").read_text()

pytestmark = pytest.mark.filterwarnings("ignore")  # the scheduler's library has its own


async def test_report_account_and_events_are_those_of_one_machine() -> None:
    events: list[Event] = []
    async with MockServer() as server, workers_in_this_process(2) as client:
        whole = await analyze("demo", url=server.url)
        found = await cluster.analyze("demo", client=client, url=server.url, listener=events.append)
        assert found.to_json() == whole.to_json() == DEMO
        assert found.account.downloads == whole.account.downloads
        assert isinstance(events[0], RunStarted)
        assert isinstance(events[-1], RunFinished)
        assert sum(isinstance(event, DownloadStarted) for event in events) == 2
        finished = [event for event in events if isinstance(event, DownloadFinished)]
        assert sum(event.rows for event in finished) == found.account.rows

        events.clear()
        divided = await cluster.analyze(
            "demo", client=client, url=server.url, split=50_000, chunk_bytes=4096, listener=events.append
        )
        assert divided.to_json() == DEMO
        plain = [replace(account, fetched_bytes=0) for account in whole.account.downloads]
        assert [replace(account, fetched_bytes=0) for account in divided.account.downloads] == plain
        assert sum(event.spans for event in events if isinstance(event, Divided)) > 10
        for event in events:
            assert not isinstance(event, Advanced) or event.rows <= 10_000

        counts = await cluster.analyze("demo", client=client, url=server.url, reducer=Counts(), engine="python")
        assert counts.to_json() == whole.counts().to_json()


async def test_a_folder_that_the_workers_see_and_the_embedded_server_will_do(tmp_path: Path) -> None:
    generate("demo", tmp_path / "demo")
    async with workers_in_this_process(1) as client:
        assert (await cluster.analyze(client=client, folder=tmp_path / "demo")).to_json() == DEMO
        report = await cluster.analyze("demo", client=client)
    assert report.to_json() == DEMO
    assert report.account.synthetic


async def test_the_limit_of_groups_holds_over_all_that_workers_bring(tmp_path: Path) -> None:
    for number in range(2):
        row = f"P{number},2025-08-26T00:00:04Z,heart_rate,72\n"
        (tmp_path / f"{number}.csv").write_text(f"patient_id,event_time,event_type,value\n{row}")
    async with workers_in_this_process(1) as client:
        for groups in (1, 2):
            analysis = cluster.analyze(client=client, folder=tmp_path, size_limits=SizeLimits(groups=groups))
            if groups == 2:
                assert len((await analysis).patients) == 2
            else:
                with pytest.raises(LimitError, match=r"more than 1 groups"):
                    await analysis


async def test_urls_that_the_workers_reach_will_do() -> None:
    async with MockServer() as server, ExportApi(server.url) as api, workers_in_this_process(1) as client:
        downloads = (await api.discover("demo")).downloads
        listed = [f"{server.url}/api/export/demo/{download.id}/data" for download in downloads]
        assert (await cluster.analyze(client=client, urls=listed)).to_json() == DEMO
        events: list[Event] = []
        divided = await cluster.analyze(
            client=client, urls=listed, split=50_000, chunk_bytes=4096, listener=events.append
        )
        assert divided.to_json() == DEMO
        assert sum(event.spans for event in events if isinstance(event, Divided)) > 10


async def test_nothing_is_asked_of_the_server_to_find_out_whether_a_download_is_to_be_divided() -> None:
    async with MockServer(record=True) as server, workers_in_this_process(2) as client:
        report = await cluster.analyze("demo", client=client, url=server.url, split=2**20)
        assert report.to_json() == DEMO
        assert [request.route for request in server.requests].count("data") == len(report.account.downloads)


async def test_a_cluster_that_starts_its_workers_on_demand_starts_them_for_a_run() -> None:
    async with MockServer() as server, workers_in_this_process(0) as client:
        client.cluster.adapt(minimum=0, maximum=1, interval="20ms")
        report = await cluster.analyze("demo", client=client, url=server.url, workers_s=10)
    assert report.to_json() == DEMO


async def test_faults_are_survived_and_bad_rows_have_their_true_lines(tmp_path: Path) -> None:
    faults = "reset=0.3,cut=0.1,etag=0.1,no-range=0.1"
    async with workers_in_this_process(2) as client:
        for seed in range(4):
            async with MockServer(faults=faults, seed=seed) as server:
                retry = RetryPolicy(attempts=20, base_wait_s=0.001)
                found = await cluster.analyze("demo", client=client, url=server.url, split=60_000, retry=retry)
            if not found.incomplete:
                assert found.to_json() == DEMO
        generate("demo", tmp_path / "demo")
        for file in (tmp_path / "demo").glob("*.csv"):
            rows = file.read_bytes().split(b"\n")
            for at in (7000, 4000, 4001):
                rows[at] = rows[at][:-1] + b"x"
            file.write_bytes(b"\n".join(rows))
        async with MockServer(data=tmp_path / "demo") as server:
            whole = await analyze("demo", url=server.url)
            found = await cluster.analyze("demo", client=client, url=server.url, split=60_000)
            for one, other in zip(found.account.downloads, whole.account.downloads, strict=True):
                assert one.first_bad_rows == other.first_bad_rows
                assert [bad.line for bad in one.first_bad_rows] == [4001, 4002, 7001]
            for split in (None, 60_000):
                with pytest.raises(BadRowError, match="line 4001 "):
                    await cluster.analyze("demo", client=client, url=server.url, strict=True, split=split)
        async with MockServer(faults="html=1") as server:
            failed = await cluster.analyze("demo", client=client, url=server.url)
            stopped = await cluster.analyze("demo", client=client, url=server.url, on_failure="stop")
        assert [d.verdict.kind for d in failed.account.downloads] == [VerdictKind.FAILED] * 2
        assert VerdictKind.FAILED in [d.verdict.kind for d in stopped.account.downloads]


@dataclass(frozen=True)
class Raising(Summary):
    def update(self, state: SummaryState, batch: Batch) -> SummaryState:
        raise LookupError(batch.patient_ids[0])


async def test_what_goes_wrong_is_told_as_on_one_machine() -> None:
    async with MockServer() as server, workers_in_this_process(1) as client:
        with pytest.raises(ReducerError, match=r"reducer Raising raised LookupError in download .*") as raised:
            await cluster.analyze("demo", client=client, url=server.url, reducer=Raising(), engine="python")
        assert "P0" not in str(raised.value)
        with pytest.raises(OptionError, match="save: does not go with a cluster"):
            await cluster.analyze("demo", client=client, url=server.url, save="x")
    with pytest.raises(ClusterError, match="no scheduler answers at tcp:"):
        async with cluster.connected("tcp://127.0.0.1:9", timeout_s=0.5):
            pass


async def test_a_cancelled_run_leaves_no_work_behind_and_its_checkpoint_serves_one_machine(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    landed = asyncio.Event()

    def listen(event: Event) -> None:
        if isinstance(event, DownloadFinished):
            landed.set()

    async with MockServer(faults="trickle=0.5", seed=1) as server, workers_in_this_process(2) as client:
        run = asyncio.create_task(
            cluster.analyze("small", client=client, url=server.url, checkpoint=checkpoint, listener=listen)
        )
        await landed.wait()
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not at_work  # the workers are in this process
        assert checkpoint.exists()
        server.faults.probabilities.clear()
        restored: list[Event] = []
        report = await analyze("small", url=server.url, checkpoint=checkpoint, listener=restored.append)
    assert report.to_json() == (Path(__file__).parents[2] / "examples" / "outputs" / "small.json").read_text()
    assert any(isinstance(event, Restored) for event in restored)


@pytest.mark.parametrize(
    ("split", "cluster_first"), [(None, False), (40_000, False), (40_000, True)]
)  # undivided, all of it is one task, which comes at once
async def test_a_checkpoint_goes_from_one_machine_to_a_cluster_and_back(
    tmp_path: Path, split: int | None, cluster_first: bool
) -> None:
    path = tmp_path / "checkpoint"
    restored = 0
    async with MockServer() as server, workers_in_this_process(2) as client:
        for turn in range(4):
            run = partial(cluster.analyze, client=client) if cluster_first == (turn % 2 == 0) else analyze
            run = partial(run, "demo", url=server.url, checkpoint=path, split=split, chunk_bytes=8192)
            events: list[Event] = []
            report = await broken_off(run, events, after=1000 if turn == 3 else 6)
            restored += sum(isinstance(event, Restored) for event in events)
            if report is not None:
                break
    assert report is not None
    assert report.to_json() == DEMO
    assert restored
    assert not path.exists()


async def broken_off(run: Callable[..., Awaitable[Report[Any]]], events: list[Event], after: int) -> Report[Any] | None:
    """Return the report of a run, None if it was broken off: after so many times that it has advanced."""

    def listen(event: Event) -> None:
        events.append(event)
        if sum(isinstance(event, Advanced) and event.rows > 0 for event in events) == after:
            task.cancel()

    task = asyncio.ensure_future(run(listener=listen))
    with suppress(asyncio.CancelledError):
        return await task
    return None
