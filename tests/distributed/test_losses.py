"""What a cluster may come to while it runs, with real processes: the run goes on, or its error says what to do."""

import asyncio
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from mockexport import Batch, Counts, MockServer, RetryPolicy, Summary, __version__
from mockexport import distributed as cluster
from mockexport.errors import ClusterError
from mockexport.events import Divided, DownloadFinished, DownloadStarted, Event, Retried, WorkerLost
from mockexport.reducers.summary import SummaryState

DEMO = (Path(__file__).parents[2] / "examples" / "outputs" / "demo.json").read_text()

pytestmark = pytest.mark.filterwarnings("ignore")  # the scheduler's library has its own


class Poison(Summary):
    """A reducer that takes its process with it."""

    def update(self, state: SummaryState, batch: Batch) -> SummaryState:
        os._exit(1)


def be_of(version: str) -> None:
    """Let this process have another version of the package."""
    sys.modules["mockexport.distributed.tasks"].__dict__["__version__"] = version


def be_without() -> None:
    """Let this process be without the package, as far as a task needs it."""
    sys.modules["hidden"] = sys.modules["mockexport.distributed.tasks"]
    sys.modules["mockexport.distributed.tasks"] = None  # type: ignore[assignment] # the documented way to forbid it


def be_with() -> None:
    """Undo that."""
    sys.modules["mockexport.distributed.tasks"] = sys.modules["hidden"]


def allow(dask_scheduler: Any, failures: int) -> None:
    """Let the scheduler try a task once more that has ended so many workers."""
    dask_scheduler.allowed_failures = failures


async def started(events: list[Event]) -> None:
    while not any(isinstance(event, DownloadStarted) for event in events):  # noqa: ASYNC110 - it is another's list
        await asyncio.sleep(0.01)


def pid_if_busy() -> int:
    """Return this process's id if it is at a task, else 0."""
    from mockexport.distributed.tasks import at_work

    return os.getpid() if at_work else 0


async def pids_of(client: Any) -> list[int]:
    return list((await client.run(os.getpid)).values())


@pytest.mark.timeout(120)
async def test_workers_that_are_lost_or_no_use_end_a_run_clearly_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "homemade.py").write_text("from mockexport import Counts\n\nclass Homemade(Counts):\n    pass\n")
    async with (
        MockServer() as server,
        MockServer(faults="delay=1") as slow,
        MockServer(faults="reset=1") as resetting,
        cluster.local_cluster(2) as client,
    ):
        # No version, another version, and a reducer that is not installed there.
        await client.run(be_without)
        with pytest.raises(ClusterError, match=r"a worker has no mockexport; install .* there, too"):
            await cluster.analyze("demo", client=client, url=server.url)
        await client.run(be_with)
        await client.run(be_of, "0.0.9")
        with pytest.raises(ClusterError, match=r"a worker has mockexport 0\.0\.9, and this is .*; install the same"):
            await cluster.analyze("demo", client=client, url=server.url)
        await client.run(be_of, __version__)
        monkeypatch.syspath_prepend(tmp_path)
        reducer: Counts = __import__("homemade").Homemade()
        with pytest.raises(ClusterError, match=r"cannot load the reducer \(No module named 'homemade'\); install"):
            await cluster.analyze("demo", client=client, url=server.url, reducer=reducer)

        # What happens on a worker is told when it happens: these downloads never come.
        events: list[Event] = []
        retry = RetryPolicy(attempts=100, base_wait_s=0.05, max_wait_s=0.05)
        run = asyncio.create_task(
            cluster.analyze("demo", client=client, url=resetting.url, retry=retry, listener=events.append)
        )
        while sum(isinstance(event, Retried) for event in events) < 2:
            assert not run.done()
            await asyncio.sleep(0.01)
        run.cancel()
        with pytest.raises(asyncio.CancelledError):
            await run
        assert not any(isinstance(event, DownloadFinished) for event in events)

        # A task that ends its workers is not tried for ever; once is enough to see it.
        await client.run_on_scheduler(allow, failures=0)  # type: ignore[no-untyped-call]
        with pytest.raises(ClusterError, match=r"the task to bring .*-.*, .*-.* ended each of the 1 workers"):
            await cluster.analyze("demo", client=client, url=server.url, reducer=Poison(), engine="python")
        await client.run_on_scheduler(allow, failures=3)  # type: ignore[no-untyped-call]

        # The cluster is as good as before. A worker is killed: others bring what it had in hand, which counts once.
        events = []
        run = asyncio.create_task(cluster.analyze("demo", client=client, url=slow.url, listener=events.append))
        await started(events)
        (at_it,) = [pid for pid in (await client.run(pid_if_busy)).values() if pid]
        os.kill(at_it, signal.SIGKILL)
        report = await run
        assert report.to_json() == DEMO
        (lost,) = [event for event in events if isinstance(event, WorkerLost)]
        assert lost.worker.startswith("tls://127.0.0.1:")
        assert sorted(lost.download_ids) == sorted(
            {event.download_id for event in events[: events.index(lost)] if isinstance(event, DownloadStarted)}
        )
        assert [account.attempts for account in report.account.downloads] == [1, 1]

        # All workers are lost, and none comes back soon enough.
        events = []
        run = asyncio.create_task(
            cluster.analyze("demo", client=client, url=slow.url, workers_s=0.2, listener=events.append)
        )
        await started(events)
        for pid in await pids_of(client):
            os.kill(pid, signal.SIGKILL)
        with pytest.raises(ClusterError, match=r"all workers are gone, and none came back within 0\.2 s"):
            await run
        (lost,) = [event for event in events if isinstance(event, WorkerLost)]
        assert len(lost.download_ids) == 2


# The workers of the test below are threads of this process, and so are their reducers.
NEXT_ROWS = threading.Event()


class Gated(Summary):
    """A reducer that takes rows when it may."""

    def update(self, state: SummaryState, batch: Batch) -> SummaryState:
        assert NEXT_ROWS.wait(30)
        return super().update(state, batch)


@pytest.mark.parametrize("asked_is_lost", [True, False])
async def test_results_lost_with_the_worker_that_holds_them_are_brought_anew_and_count_once(
    asked_is_lost: bool,
) -> None:
    from distributed import Client, LocalCluster, Worker

    asked: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    may_give = asyncio.Event()

    events: list[Event] = []

    class Holding(Worker):
        """A worker that keeps its results to itself until it may give them, once a download is divided."""

        async def get_data(self, comm: Any, **more: Any) -> Any:
            if any(isinstance(event, Divided) for event in events):
                if not asked.done():
                    asked.set_result(self)
                await may_give.wait()
            return await super().get_data(comm, **more)

    NEXT_ROWS.set()
    async with (
        asyncio.timeout(30),
        MockServer() as server,
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=2, threads_per_worker=1, processes=False, worker_class=Holding, dashboard_address=None,
            asynchronous=True,
        ) as local,
        Client(local, asynchronous=True, set_as_default=False) as client,  # type: ignore[no-untyped-call]
    ):  # fmt: skip
        run = asyncio.create_task(
            cluster.analyze(
                "demo", client=client, url=server.url, split=50_000, chunk_bytes=4096, reducer=Gated(),
                engine="python", listener=events.append,
            )
        )  # fmt: skip
        giver = await asked
        workers = list(local.workers.values())
        spans = sum(event.spans for event in events if isinstance(event, Divided))
        while sum(len(worker.data) for worker in workers) < spans:  # noqa: ASYNC110 - they are asked
            await asyncio.sleep(0.01)
        # All results are there, and none is taken. Those of one worker go, and the other may not bring them yet.
        NEXT_ROWS.clear()
        (loser,) = [worker for worker in workers if (worker is giver) == asked_is_lost]
        results = len(loser.data)
        assert 0 < results < spans
        await loser.close()
        futures = client.futures
        while sum(future.status != "finished" for future in futures.values()) < results:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
        may_give.set()
        # Nobody waits for them who could take what there is.
        while not asked_is_lost and len(futures) > results:  # noqa: ASYNC110 - the same
            await asyncio.sleep(0.01)
        assert not run.done()
        NEXT_ROWS.set()
        report = await run
    assert report.to_json() == DEMO
    assert sum(account.rows for account in report.account.downloads) == 18_784
    finished = [event.download_id for event in events if isinstance(event, DownloadFinished)]
    assert sorted(finished) == sorted({account.download_id for account in report.account.downloads})


async def test_a_local_cluster_keeps_the_place_of_a_worker_whose_successor_is_just_starting() -> None:
    import dask
    import distributed  # noqa: F401 - its defaults come first

    # At once is when a place without a worker would be given up; no process starts so fast.
    ours = TimeoutError("what is done with a cluster has errors of its own")
    at_once = dask.config.set({"distributed.deploy.lost-worker-timeout": "0 s"})
    with at_once, pytest.raises(TimeoutError) as raised:  # noqa: PT012 - raised at its end
        async with asyncio.timeout(60), cluster.local_cluster(1) as client:
            places: Any = client.cluster
            (before,) = await pids_of(client)
            os.kill(before, signal.SIGKILL)
            while await client.run(os.getpid, on_error="ignore") in ({}, {"": before}):
                assert places.workers, "the place is given up"
                await asyncio.sleep(0.01)
            (after,) = await pids_of(client)
            assert after != before
            raise ours
    assert raised.value is ours
