"""Outages: survived with the defaults, and found out by one for all who ask the same server."""

import asyncio
import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from mockexport import ExportApi, RetryPolicy, analyze
from mockexport.cli import main
from mockexport.errors import OptionError, ServerUnreachable
from mockexport.model import VerdictKind
from mockexport.pipeline.run import Pipeline
from mockexport.reducers import Summary
from mockexport.resuming.backoff import LEASE_S, Backoff
from mockexport.server.faults import Faults
from tests.faults.clock import run
from tests.faults.memory import MemoryReply, MemorySource
from tests.faults.schedules import expected, export_of, report_of
from tests.sources.raw import RESET, raw_server
from tests.sources.test_http import BODY, export, metadata, reply, whole

START_S = 1000.0  # of the virtual loop
BODIES = export_of(random.Random(1), 4, 25)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections that a test breaks on purpose


@dataclass
class Ran:
    report: str
    verdicts: list[str]
    source: MemorySource
    took_s: float


def play(source: MemorySource, *, concurrency: int = 4) -> Ran:
    async def work() -> Ran:
        outcome = await Pipeline(source, Summary(), concurrency=concurrency, chunk_bytes=100).run("x")
        verdicts = [str(download.verdict) for download in outcome.downloads]
        took_s = asyncio.get_running_loop().time() - START_S
        return Ran(report_of(outcome.state, outcome.downloads), verdicts, source, took_s)

    result, _ = run(work)
    assert isinstance(result, Ran), result
    assert source.open == 0
    return result


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("gone_s", [1, 8, 45, 60])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_server_gone_in_the_middle_of_a_run_is_waited_for_with_the_defaults(
    gone_s: float, concurrency: int, seed: int
) -> None:
    random.seed(seed)
    begin = START_S + random.uniform(0.002, 0.05)
    ran = play(MemorySource("x", BODIES, outages=((begin, begin + gone_s),), piece_bytes=50), concurrency=concurrency)
    assert set(ran.verdicts) == {"verified"}
    assert ran.report == expected(BODIES)
    assert ran.took_s < gone_s + 2 * RetryPolicy().max_wait_s


def test_a_server_that_is_down_is_asked_by_one() -> None:
    random.seed(7)
    bodies = export_of(random.Random(1), 30, 25)
    begin = START_S + 0.01
    ran = play(MemorySource("x", bodies, outages=((begin, begin + 45),), piece_bytes=20), concurrency=30)
    assert ran.report == expected(bodies)
    meanwhile = [at for at in ran.source.requests if begin < at < begin + 45]
    assert len(meanwhile) < 20  # and not thirty times as many
    assert max(b - a for a, b in itertools.pairwise(meanwhile)) > 2  # the waits grow to seconds


def test_slow_down_is_said_to_all() -> None:
    bodies = export_of(random.Random(1), 12, 5)
    begin = START_S + 0.003
    ran = play(MemorySource("x", bodies, slow_downs=((begin, begin + 20),)), concurrency=3)
    assert ran.report == expected(bodies)
    refused = [at for at in ran.source.requests if begin <= at < begin + 20]
    assert 1 <= len(refused) <= 3  # those on their way when the first was told


def test_an_outage_without_end_fails_and_does_not_take_for_ever() -> None:
    random.seed(3)
    bodies = export_of(random.Random(1), 40, 25)
    begin = START_S + 0.01
    ran = play(MemorySource("x", bodies, outages=((begin, 1e9),), piece_bytes=50))
    failed = [verdict for verdict in ran.verdicts if verdict.startswith("failed")]
    assert len(failed) > 30
    assert all("connection refused" in verdict for verdict in failed[1:])
    assert 90 <= ran.took_s < 200


def test_a_download_that_alone_is_refused_fails_by_its_attempts_and_disturbs_no_other() -> None:
    class Refusing(MemorySource):
        async def _answer(self, download: Any, asked: Any) -> Any:
            if download.id == "d0":
                return MemoryReply(self, 503, {})
            await asyncio.sleep(0.2)
            return await super()._answer(download, asked)

    bodies = export_of(random.Random(1), 40, 5)
    ran = play(Refusing("x", bodies), concurrency=2)
    assert ran.verdicts[0].startswith("failed")
    assert set(ran.verdicts[1:]) == {"verified"}
    assert ran.took_s < 60


def test_attempts_that_are_given_are_the_limit_whatever_fails() -> None:
    begin = START_S + 0.002
    source = MemorySource("x", BODIES, policy=RetryPolicy(attempts=2), outages=((begin, 1e9),), piece_bytes=50)
    ran = play(source, concurrency=1)
    assert all(verdict.startswith("failed") for verdict in ran.verdicts)
    assert len([at for at in source.requests if at > begin]) <= 2 * len(BODIES)
    with pytest.raises(OptionError, match="attempts"):
        RetryPolicy(attempts=0)


def test_a_question_that_is_not_answered_soon_is_asked_by_the_next_one_too() -> None:
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        backoff = Backoff(RetryPolicy())
        backoff.failed(1, 3.0, answer=True)
        begun = []

        async def ask(answer_s: float) -> None:
            await backoff.turn()
            begun.append(loop.time() - START_S)
            await asyncio.sleep(answer_s)
            backoff.answered()

        async with asyncio.TaskGroup() as group:
            for _ in range(5):
                group.create_task(ask(7.0))
        await backoff.turn()  # at once
        return begun

    begun, _ = run(work)
    assert begun == [3.0, 3.0 + LEASE_S, *[3.0 + 7.0] * 3]


def test_a_broken_connection_is_looked_into_by_one_for_all() -> None:
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        backoff = Backoff(RetryPolicy())
        backoff.doubt()
        begun = []

        async def ask() -> None:
            await backoff.turn()
            begun.append(loop.time() - START_S)
            await asyncio.sleep(2.0)
            backoff.answered()

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask())
        return begun

    begun, _ = run(work)
    assert begun == [0.0, 2.0, 2.0]


def test_an_outage_that_has_lasted_too_long_is_waited_for_by_nobody() -> None:
    async def work() -> list[float]:
        loop = asyncio.get_running_loop()
        policy = RetryPolicy()
        backoff = Backoff(policy)
        backoff.failed(1, None, answer=False)
        await asyncio.sleep(policy.outage_s)
        backoff.failed(1, 3.0, answer=False)
        begun = []

        async def ask() -> None:
            await backoff.turn()
            begun.append(loop.time() - START_S - policy.outage_s)

        async with asyncio.TaskGroup() as group:
            for _ in range(3):
                group.create_task(ask())
        return begun

    begun, _ = run(work)
    assert begun == [0.0] * 3


def test_what_the_server_asked_to_wait_is_waited_though_another_was_answered() -> None:
    async def work() -> float:
        backoff = Backoff(RetryPolicy())
        backoff.failed(1, 30.0, answer=True)
        backoff.answered()
        await backoff.turn()
        return asyncio.get_running_loop().time() - START_S

    assert run(work)[0] == 30.0


class Stoppable:
    """A server on one port that is stopped, its connections with it, and started again."""

    def __init__(self, answer: Callable[[str, str, int], bytes]) -> None:
        self.answer = answer
        self.port = 0
        self.asked: dict[str, int] = {}
        self._writers: set[asyncio.StreamWriter] = set()
        self._listener: asyncio.Server | None = None

    async def start(self) -> None:
        self._listener = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
        self.port = self._listener.sockets[0].getsockname()[1]

    def stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            path = head.split(" ", 2)[1]
            self.asked[path] = self.asked.get(path, 0) + 1
            data = self.answer(path, head, self.asked[path])
            writer.write(data.removesuffix(RESET))
            if data.endswith(RESET):
                await writer.drain()
                self.stop()
                await asyncio.sleep(0.3)  # how long it is gone
                await self.start()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self._writers.discard(writer)
            writer.close()


async def test_a_server_stopped_and_started_again_is_waited_for_over_sockets() -> None:
    """More attempts than are allowed for a fault of one download fail while the server is gone."""

    def answer(download_id: str, head: str, asked: int) -> bytes:
        if download_id == "d0" and asked == 1:
            return reply("200 OK", f"Content-Length: {len(BODY)}", 'ETag: "a"', body=BODY[:60]) + RESET
        return whole(BODY, 'ETag: "a"')

    server = Stoppable(export([f"d{n}" for n in range(6)], answer))
    await server.start()
    policy = RetryPolicy(base_wait_s=0.001, max_wait_s=0.01)
    try:
        async with ExportApi(f"http://127.0.0.1:{server.port}", retry=policy) as api:
            report = await analyze("x", source=api, concurrency=3)
    finally:
        server.stop()
    assert report.allowing_incomplete().totals["heart_rate"].count == 24
    assert max(download.attempts for download in report.account.downloads) > 6


async def test_listing_and_metadata_have_the_same_patience() -> None:
    def answer(path: str, head: str, asked: int) -> bytes:
        if path.endswith("/data"):
            return whole()
        # Nine failures in a row: more than the attempts, and over soon.
        refusal = reply("503 Busy", "Content-Length: 0", "Connection: close")
        return refusal if path.endswith("/d") and asked < 10 else metadata(path, ["d"])

    async with raw_server(answer) as server:
        async with ExportApi(server.url, retry=RetryPolicy(base_wait_s=0.001, max_wait_s=0.01)) as api:
            report = await analyze("x", source=api)
        assert report.account.downloads[0].verdict.kind is VerdictKind.VERIFIED
        server.asked.clear()
        async with ExportApi(server.url, retry=RetryPolicy(attempts=3, base_wait_s=0.001)) as api:
            with pytest.raises(ServerUnreachable, match="503"):
                await api.discover("x")
        assert server.asked["/api/export/x/d"] == 3


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_metadata_is_asked_for_by_as_many_as_are_allowed(concurrency: int) -> None:
    ids = [f"d{n}" for n in range(12)]
    at_once, most, enough = 0, 0, asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal at_once, most
        try:
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                at_once += 1
                most = max(most, at_once)
                if most == concurrency:
                    enough.set()
                await enough.wait()
                await asyncio.sleep(0.005)  # time for one too many
                at_once -= 1
                writer.write(metadata(head.split(" ", 2)[1], ids))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    enough.set() if concurrency == 1 else None
    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener, ExportApi(url, concurrency=concurrency) as api:
        # The listing itself comes alone.
        if concurrency > 1:
            asyncio.get_running_loop().call_later(0.05, enough.set)
        export_found = await api.discover("x")
    assert len(export_found.downloads) == 12
    assert most == concurrency


@pytest.mark.parametrize("command", [["list"], ["show", "x"], ["analyze", "x"]], ids=lambda command: command[0])
def test_every_command_takes_the_options_of_a_connection(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    # Nobody listens on port 1.
    options = ["--url", "http://127.0.0.1:1", "--attempts", "1", "--time-limit", "5", "--concurrency", "2"]
    assert main([*command, *options, "--timeout", "5"]) == 5
    assert "127.0.0.1:1" in capsys.readouterr().err


def test_the_faults_of_the_schedules_and_an_outage_together() -> None:
    for seed in range(40):
        random.seed(seed)
        begin = START_S + random.uniform(0.002, 0.05)
        faults = Faults({"reset": 0.3, "cut": 0.1}, seed=seed)
        ran = play(MemorySource("x", BODIES, faults, outages=((begin, begin + 45),), piece_bytes=50))
        for verdict in ran.verdicts:
            assert verdict == "verified" or "broke off" in verdict or "reset" in verdict
