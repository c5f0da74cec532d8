"""The mock server's faults: drawn from a seed, logged, and over real sockets what they say they are."""

import asyncio
import os
from collections import Counter
from pathlib import Path

import pytest

from mockexport import Faults, MockServer, RetryPolicy, TimeLimits, analyze
from mockexport.errors import OptionError
from mockexport.events import Event, Opened, Resumed, Retried, StartedOver
from mockexport.model import VerdictKind
from mockexport.server.faults import Served
from mockexport.server.kinds import KINDS, Target

DEMO_ROWS = 18_784
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections broken on purpose


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("boom=0.1", "no kind 'boom'; there are refuse, delay"),
        ("reset", "is not KIND=P"),
        ("reset=x", "is not KIND=P"),
        ("reset=-0.1", "no probability"),
        ("reset=1.1", "no probability"),
        ("reset=nan", "no probability"),
        ("reset=0.6,cut=0.6", "come to more than 1"),
    ],
)
def test_faults_that_cannot_be_meant_are_refused(text: str, told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Faults.parse(text)


def test_faults_are_read_from_text() -> None:
    assert Faults.parse(" reset=0.2, cut=1e-1 ,").probabilities == {"reset": 0.2, "cut": 0.1}
    assert Faults.parse("").probabilities == {}


def drawn(seed: int, order: list[str]) -> dict[str, list[Served]]:
    faults = Faults(dict.fromkeys(KINDS, 1 / len(KINDS)), seed=seed)
    for download_id in order:
        faults.next(Target(download_id, ranged=False))
    return {i: [served for served in faults.served if served.download_id == i] for i in set(order)}


def test_the_same_seed_brings_every_download_the_same_faults_in_any_order() -> None:
    assert drawn(7, ["a", "b"] * 40) == drawn(7, ["b"] * 40 + ["a"] * 40)
    assert drawn(7, ["a"] * 40) != drawn(8, ["a"] * 40)


def test_each_kind_comes_as_often_as_asked() -> None:
    faults = Faults({"reset": 0.2, "cut": 0.1, "stall": 0.05})
    for number in range(4000):
        faults.next(Target(f"d{number}", ranged=False))
    seen = Counter(served.fault.kind if served.fault else None for served in faults.served)
    assert 700 < seen["reset"] < 900
    assert 330 < seen["cut"] < 470
    assert 150 < seen["stall"] < 250


def test_an_error_status_goes_on_for_one_to_three_tries() -> None:
    lengths = set()
    for number in range(60):
        faults = Faults({"status": 1.0}, seed=number)
        first = faults.next(Target("d", ranged=False))
        run = 1
        while faults.next(Target("d", ranged=False)) is first:
            run += 1
        lengths.add(run)
    assert lengths == {1, 2, 3}


def test_kinds_that_need_a_range_reset_first() -> None:
    faults = Faults({"no-range": 1.0})
    first, second = faults.next(Target("d")), faults.next(Target("d", ranged=True))
    assert first is not None
    assert second is not None
    assert (first.prepares, second.prepares) == (True, False)


# What a client that knows its business makes of each kind: the rows that count, or not all of them.
SURVIVED = set(KINDS) - {"bad-row", "duplicate-row", "html"}


@pytest.mark.parametrize("stored", [False, True], ids=["generated", "stored"])
@pytest.mark.parametrize("kind", KINDS)
async def test_over_sockets_every_kind_is_what_it_says_it_is(kind: str, stored: bool, demo_folder: Path) -> None:
    events: list[Event] = []
    # This seed's faults: both downloads' first requests, somewhere in the middle.
    faults = Faults({kind: 0.6}, seed=87, delay_s=0.05, pause_s=0.05, drip_s=0.0001)
    async with MockServer(faults=faults, data=demo_folder if stored else None) as server:
        report = await analyze(
            "demo",
            url=server.url,
            retry=RetryPolicy(attempts=12, base_wait_s=0),
            limits=TimeLimits(stall_s=0.3),
            compress=kind == "cut-gzip",
            listener=events.append,
        )
    suffered = [served.fault for served in faults.served if served.fault is not None]
    assert suffered
    assert {fault.kind for fault in suffered} == {kind}
    verdicts = {download.verdict.kind for download in report.account.downloads}
    if kind in SURVIVED:
        assert verdicts == {VerdictKind.VERIFIED}
        assert report.account.rows == DEMO_ROWS
        assert report.account.bad_rows == 0
    elif kind == "bad-row":
        assert report.account.bad_rows in (1, 2)
    elif kind == "duplicate-row":
        assert VerdictKind.MISMATCH in verdicts
    else:
        assert VerdictKind.FAILED in verdicts
        assert "<!DOCTYPE html>" in " ".join(str(download.verdict) for download in report.account.downloads)
    if kind in ("reset", "cut", "stall", "trickle"):
        assert any(isinstance(event, Resumed) for event in events)
        assert not any(isinstance(event, StartedOver) for event in events)
    if kind in ("cut-gzip", "no-range", "wrong-206", "few-rows"):
        assert any(isinstance(event, StartedOver) for event in events)
    if kind == "status":
        assert any(isinstance(event, Retried) and event.reason.startswith("status ") for event in events)
    if kind == "etag" and faults.changes:
        assert any(isinstance(event, Opened) for event in events)


@pytest.fixture(scope="session")
def demo_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from mockexport.server.folder import generate

    folder = tmp_path_factory.mktemp("exports") / "demo"
    generate("demo", folder)
    return folder


async def test_nothing_is_left_of_a_server_whose_clients_hang() -> None:
    async with MockServer(faults="stall=1") as server:
        host, port = server.url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(
            b"GET /api/export/demo/f725622a-22ea-4acc-aab8-810ec8b5e2c6/data HTTP/1.1\r\nHost: localhost\r\n\r\n"
        )
        assert await reader.readuntil(b"\r\n\r\n")
    assert server.connections == 0
    writer.close()
    assert len(asyncio.all_tasks()) == 1


async def test_without_faults_nothing_is_drawn() -> None:
    async with MockServer() as server:
        await analyze("demo", url=server.url)
        assert server.faults.served == []


@pytest.mark.parametrize("seed", range(6))
async def test_all_kinds_at_once_over_sockets_leave_the_right_report_and_nothing_behind(seed: int) -> None:
    """As the schedules of tests/faults, a few with real sockets, and leaks counted."""
    harmless = sorted(SURVIVED - {"etag", "few-rows", "unordered-rows"})
    before = Counter(os.listdir("/proc/self/fd"))
    faults = Faults(dict.fromkeys(harmless, 0.5 / len(harmless)), seed=seed, delay_s=0.01, pause_s=0.05, drip_s=0.0001)
    async with MockServer() as server:
        wanted = (await analyze("demo", url=server.url)).to_json()
    async with MockServer(faults=faults) as server:
        policy = RetryPolicy(attempts=30, base_wait_s=0.001)
        report = await analyze("demo", url=server.url, retry=policy, limits=TimeLimits(stall_s=0.2))
        assert report.to_json() == wanted
    assert len(asyncio.all_tasks()) == 1
    await asyncio.sleep(0)
    assert sum((Counter(os.listdir("/proc/self/fd")) - before).values()) <= 2  # the listing itself


async def test_files_kept_in_the_same_pass_are_whole_after_faults(tmp_path: Path) -> None:
    async with MockServer(faults="reset=0.4,cut-chunked=0.2,no-range=0.2", seed=87) as server:
        policy = RetryPolicy(attempts=30, base_wait_s=0)
        report = await analyze("demo", url=server.url, save=tmp_path / "kept", retry=policy)
        assert any(served.fault for served in server.faults.served)
    assert not report.incomplete
    again = await analyze(folder=tmp_path / "kept")
    assert again.to_json() == report.to_json()
    assert {d.verdict.kind for d in again.account.downloads} == {VerdictKind.VERIFIED}
