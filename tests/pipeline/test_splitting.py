"""A download in spans: wherever the borders are, its spans come to what the whole comes to."""

import asyncio
import itertools
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Download, MockServer, Pipeline, Schema, Summary, analyze
from mockexport.engine.choosing import choose_engine
from mockexport.errors import BadRowError
from mockexport.events import Advanced, Divided, DownloadFinished, Event, StartedOver
from mockexport.formats import MAX_ROW_BYTES
from mockexport.model import VerdictKind
from mockexport.pipeline.ranges import borders_of
from mockexport.resuming.retrying import RetryPolicy
from mockexport.server.faults import Faults
from tests.faults.clock import run
from tests.faults.memory import MemoryReply, MemorySource
from tests.faults.schedules import MemoryCheckpoint, expected, export_of, report_of
from tests.pipeline.spans import held_to_the_whole
from tests.rows import HEADER, csv_bodies

ENGINES = ["python", "auto"]
HEAD = HEADER.decode().strip()
ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"


@pytest.mark.parametrize("engine", ENGINES)
@given(st.data(), csv_bodies(), st.integers(1, 200), st.integers(1, 60), st.randoms(use_true_random=False))
def test_the_spans_of_a_download_come_to_the_whole_wherever_the_borders_are(
    engine: str, data: st.DataObject, body: bytes, chunk_bytes: int, piece: int, order: random.Random
) -> None:
    header_end = body.index(b"\n") + 1
    borders = sorted(data.draw(st.sets(st.integers(header_end, len(body) - 1)))) if len(body) > header_end else []
    chosen = choose_engine(Summary(), Schema(), wanted=engine)
    held_to_the_whole(chosen, body, borders, order, HEAD, chunk_bytes, piece)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "rows",
    [
        b"P001,2025-08-26T00:00:04Z,spo2,7\r\n\r\n\nP2,2025-08-26T00:00:05Z,spo2,\nbad\nP3,2025-08-26T00:00:06Z,a,1",
        b'"P,1",2025-08-26T00:00:04Z,spo2,7\nP2,2025-08-26T00:00:05Z,spo2,"7\n\n',
    ],
    ids=["unended", "ended"],
)
def test_every_border_and_every_pair_of_borders_of_a_small_download(engine: str, rows: bytes) -> None:
    chosen = choose_engine(Summary(), Schema(), wanted=engine)
    body, order = HEADER + rows, random.Random(1)
    at = range(len(HEADER), len(body))
    # Every border for both engines and bodies, every pair of them where it is cheap.
    pairs = itertools.combinations(at, 2) if engine == "auto" and not body.endswith(b"\n") else ()
    for borders in [*((border,) for border in at), *pairs, tuple(at)]:
        held_to_the_whole(chosen, body, borders, order, HEAD, 16, 7)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("length", [MAX_ROW_BYTES - 1, MAX_ROW_BYTES, MAX_ROW_BYTES + 1, 3 * MAX_ROW_BYTES])
def test_a_row_longer_than_a_span_belongs_to_the_span_in_which_it_begins(engine: str, length: int) -> None:
    body = HEADER + ROW + b"P" * length + b"\n" + ROW + ROW
    borders = range(len(HEADER) + len(ROW) + 5, len(body), MAX_ROW_BYTES // 3)
    chosen = choose_engine(Summary(), Schema(), wanted=engine)
    held_to_the_whole(chosen, body, borders, random.Random(2), HEAD, 4096, 10_000)


def test_borders_are_a_spans_length_apart_and_beyond_what_has_come() -> None:
    assert list(borders_of(100, 30, beyond=0)) == [30, 60]
    assert list(borders_of(106, 30, beyond=0)) == [30, 60, 90]
    assert list(borders_of(100, 30, beyond=30)) == [60]
    assert list(borders_of(100, 30, beyond=99)) == []
    assert len(borders_of(10**12, 1, beyond=0)) < 10_000


def source_of(bodies: dict[Download, bytes], faults: dict[str, float] | None = None, **more: Any) -> MemorySource:
    return MemorySource(
        "x", bodies, Faults(faults or {}, seed=5), policy=RetryPolicy(attempts=20, base_wait_s=0.001), **more
    )


def analysed(
    source: MemorySource, *, cancel_at: int | None = None, **options: Any
) -> tuple[str | BaseException, list[Any], list[Event]]:
    """Run in a virtual clock; return the report, or what was raised, the accounts, and the events."""
    events: list[Event] = []
    accounts: list[Any] = []

    async def work() -> str:
        pipeline = Pipeline(source, Summary(), listener=events.append, **{"chunk_bytes": 50, **options})
        outcome = await pipeline.run("x")
        accounts.extend(outcome.downloads)
        return report_of(outcome.state, outcome.downloads)

    result, _ = run(work, cancel_at=cancel_at)
    assert source.open == 0
    return result, accounts, events


@pytest.mark.parametrize("concurrency", [1, 2, 5])
@pytest.mark.parametrize("split", [60, 100, 333, 10_000])
def test_a_divided_download_gives_the_same_report_and_account(concurrency: int, split: int) -> None:
    bodies = export_of(random.Random(3), 3, 40)
    whole, accounts, _ = analysed(source_of(bodies, piece_bytes=20))
    found, divided, events = analysed(source_of(bodies, piece_bytes=20), concurrency=concurrency, split=split)
    assert found == whole
    plain = [replace(account, fetched_bytes=0) for account in accounts]
    assert [replace(account, fetched_bytes=0) for account in divided] == plain
    assert any(isinstance(event, Divided) for event in events) == (split < 1000)
    for account in divided:
        advances = [event for event in events if isinstance(event, Advanced)]
        told = [event.rows for event in advances if event.download_id == account.download_id]
        assert told == sorted(told)
        assert told[-1] == account.rows


def test_no_more_streams_are_open_than_concurrency_allows() -> None:
    class Counting(MemorySource):
        most = 0

        def __setattr__(self, name: str, value: object) -> None:
            super().__setattr__(name, value)
            if name == "open":
                self.most = max(self.most, self.open)

    bodies = export_of(random.Random(3), 2, 200)
    source = Counting("x", bodies, piece_bytes=20)
    _, _, events = analysed(source, concurrency=3, split=100)
    assert sum(event.spans for event in events if isinstance(event, Divided)) > 20
    assert source.most == 3


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("concurrency", [1, 3])
def test_bad_rows_have_their_true_line_numbers_and_strict_names_the_first(engine: str, concurrency: int) -> None:
    rows = [ROW] * 100
    for at in (70, 95, 40, 41):
        rows[at] = b"P001,2025-08-26T00:00:04Z,heart_rate,oops\n"
    bodies = {Download("d", rows=100): HEADER + b"".join(rows)}
    source = source_of(bodies, piece_bytes=30)
    options: Any = {"split": 300, "concurrency": concurrency, "engine": engine}
    _, (account,), events = analysed(source, **options)
    assert any(isinstance(event, Divided) for event in events)
    assert [bad.line for bad in account.first_bad_rows] == [42, 43, 72, 97]
    error, _, _ = analysed(source, strict=True, **options)
    assert isinstance(error, BadRowError)
    assert error.line == 42


def test_what_cannot_be_resumed_is_not_divided() -> None:
    bodies = export_of(random.Random(3), 2, 40)
    untagged, zipped = source_of(bodies, etags=False), source_of(bodies, compress=True)
    for source in (replace(untagged, piece_bytes=20), replace(zipped, piece_bytes=20)):
        found, _, events = analysed(source, split=100)
        assert found == expected(bodies)
        assert not any(isinstance(event, Divided) for event in events)


@pytest.mark.parametrize("fault", ["no-range", "wrong-206", "etag"])
def test_a_part_that_does_not_fit_voids_all_spans_and_the_download_comes_whole(fault: str) -> None:
    bodies = export_of(random.Random(4), 1, 60)
    for seed in range(6):
        source = replace(source_of(bodies, piece_bytes=20), faults=Faults({fault: 0.4}, seed=seed))
        found, (account,), events = analysed(source, split=100)
        assert found == expected(bodies) or account.verdict.kind is VerdictKind.FAILED
        assert len([event for event in events if isinstance(event, Divided)]) <= 1
        assert [event for event in events if isinstance(event, StartedOver)]
        assert len([event for event in events if isinstance(event, DownloadFinished)]) == 1


def test_spans_that_together_do_not_hold_what_was_announced_are_fetched_anew_in_one_go() -> None:
    bodies = export_of(random.Random(4), 1, 60)
    announced = {replace(download, rows=(download.rows or 0) + 1): body for download, body in bodies.items()}
    _, (account,), events = analysed(source_of(announced, piece_bytes=20), split=100)
    assert account.verdict.kind is VerdictKind.FAILED
    assert "rows came of" in account.verdict.reasons[0]
    over = [event for event in events if isinstance(event, StartedOver)]
    assert over
    assert account.attempts == len(over) + 1


def test_cancelled_at_any_step_a_divided_download_is_gone_on_with() -> None:
    bodies = export_of(random.Random(5), 1, 12)
    wanted = expected(bodies)
    restored = 0
    for step in range(1, 10_000):
        checkpoint = MemoryCheckpoint()
        options: Any = {"checkpoint": checkpoint, "checkpoint_every_s": 0.002, "split": 90, "concurrency": 2}
        source = source_of(bodies, {"reset": 0.3}, piece_bytes=20)
        result, _, _ = analysed(source, cancel_at=step, **options)
        if not isinstance(result, asyncio.CancelledError):
            assert result == wanted
            assert restored > 20
            return
        for left, split in itertools.product(checkpoint.history[-2:], (90, None)):
            again = MemoryCheckpoint()
            again.data = left
            found, _, events = analysed(
                replace(source, faults=Faults({})), checkpoint=again, split=split, concurrency=2
            )
            assert found == wanted
            assert not again.data
            # A state that does not fit its span would be found out by the number of rows, and fetched anew.
            assert not any(isinstance(event, StartedOver) for event in events)
            restored += len(again.history) > 0
    raise AssertionError("the run has no end")


class Together(MemorySource):
    """A source that answers three requests for a part at once, and with no part."""

    def refuse_parts(self, status: int) -> None:
        self.met, self.status = asyncio.Barrier(3), status

    async def _answer(self, download: Download, asked: Mapping[str, str]) -> MemoryReply:
        if "Range" not in asked:
            return await super()._answer(download, asked)
        await self.met.wait()
        return MemoryReply(self, self.status, {"ETag": '"other"'}, self.bodies[download])


@pytest.mark.parametrize("status", [200, 404])
def test_parts_that_fail_at_once_begin_their_download_anew_or_fail_it_once(status: int) -> None:
    bodies = export_of(random.Random(4), 1, 60)
    source = Together("x", bodies, policy=RetryPolicy(base_wait_s=0.001), piece_bytes=20)
    source.refuse_parts(status)
    found, (account,), events = analysed(source, split=100, concurrency=4)
    assert found == expected(bodies) or account.verdict.kind is VerdictKind.FAILED
    assert account.verdict.kind is (VerdictKind.VERIFIED if status == 200 else VerdictKind.FAILED)
    assert len([event for event in events if isinstance(event, StartedOver)]) == (status == 200)
    assert len([event for event in events if isinstance(event, DownloadFinished)]) == 1


async def test_over_real_sockets_demo_comes_in_spans() -> None:
    events: list[Event] = []
    async with MockServer() as server:
        whole = await analyze("demo", url=server.url)
        report = await analyze(
            "demo", url=server.url, split=40_000, concurrency=3, chunk_bytes=4096, listener=events.append
        )
    assert report.to_json() == whole.to_json()
    assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.VERIFIED] * 2
    assert sum(event.spans for event in events if isinstance(event, Divided)) > 5
    fetched = sum(d.fetched_bytes for d in report.account.downloads)
    received = sum(d.received_bytes for d in report.account.downloads)
    assert received == sum(d.received_bytes for d in whole.account.downloads)
    assert received <= fetched < 2 * received
