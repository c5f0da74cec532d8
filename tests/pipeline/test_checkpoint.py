"""Checkpoints: to whom they belong, what they keep, and that a run which goes on from one gives the same report."""

import asyncio
import os
import random
import stat
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import pytest

from mockexport import Counts, Download, Pipeline, Schema, Summary, analyze
from mockexport.errors import CheckpointError, MockExportError, OutputError, TransferError
from mockexport.events import DownloadFinished, DownloadStarted, Event, Restored, StartedOver
from mockexport.formats import BadRow, BadRowReason
from mockexport.model import Reading, Span, Verdict, VerdictKind
from mockexport.pipeline.checkpoint import Belonging, Checkpoint, Saved, SavedRun, from_bytes, to_bytes
from mockexport.pipeline.options import RunOptions
from mockexport.pipeline.span import Begun, SpanState
from mockexport.pipeline.streams import ByteStream, Mark, Piece
from mockexport.reducers.packing import pack_rows
from mockexport.reducers.summary import SummaryState
from mockexport.report.account import DownloadAccount
from mockexport.resuming.retrying import RetryPolicy
from mockexport.server.faults import Faults
from mockexport.server.kinds import Target
from mockexport.sources.scripted import Fail, Scripted
from tests.faults.clock import run
from tests.faults.memory import MemoryReply, MemorySource, versioned
from tests.faults.schedules import MemoryCheckpoint, expected, export_of, report_of

BELONGING = Belonging("1", "x", "memory", "abc", "columns", "asked", "summary 1", False)
SAVED = Saved(
    (
        DownloadAccount(
            "a",
            Verdict(VerdictKind.VERIFIED),
            3,
            {"NUL byte": 1},
            (BadRow(2, BadRowReason.NUL),),
            {"hr": 1},
            2,
            9,
            12,
            noted={"dates only": 2},
        ),
    ),
    (SavedRun(0, 1, b"state\n\xff"),),
    {
        "b": Begun(
            Mark('"t"', None, "http://h:1"),
            (SpanState(Span("b"), 0, 40, 2, Reading(), Reading("h,e,a,d"), b"t", b"s"),),
        )
    },
)


def test_a_checkpoint_survives_the_trip_to_bytes() -> None:
    assert from_bytes(to_bytes(BELONGING, SAVED), BELONGING) == SAVED


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"version": "2"}, "made by version 2, and this is 1"),
        ({"export_id": "y"}, "belongs to the export 'y'"),
        ({"source": "elsewhere"}, "data from elsewhere"),
        ({"downloads": "abd"}, "downloads are no longer those"),
        ({"columns": "others"}, "other column names"),
        ({"asked": "others"}, "the filter differs"),
        ({"reducer": "counts 1"}, "other statistics"),
        ({"strict": True}, "made with strict"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_with_the_reason(changed: dict[str, object], told: str) -> None:
    data = to_bytes(replace(BELONGING, **changed), SAVED)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=told):
        from_bytes(data, BELONGING)


def test_no_damaged_byte_and_no_missing_one_goes_unnoticed() -> None:
    data = to_bytes(BELONGING, SAVED)
    for at in range(len(data)):
        with pytest.raises(ValueError, match=r"damaged|no checkpoint|has format"):
            from_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :], BELONGING)
        with pytest.raises(ValueError, match=r"damaged|no checkpoint|has format"):
            from_bytes(data[:at], BELONGING)


def test_the_file_is_its_owners_alone_and_a_refused_one_stays(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "c")
    assert checkpoint.load(BELONGING) == Saved()
    checkpoint.save(BELONGING, SAVED)
    assert stat.S_IMODE(checkpoint.path.stat().st_mode) == 0o600
    assert checkpoint.load(BELONGING) == SAVED
    before = checkpoint.path.read_bytes()
    with pytest.raises(CheckpointError, match="other statistics; name another file, or remove it"):
        checkpoint.load(replace(BELONGING, reducer="counts 1"))
    assert checkpoint.path.read_bytes() == before
    checkpoint.remove()
    checkpoint.remove()
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_written_to_is_known_at_once(tmp_path: Path) -> None:
    checkpoint = Checkpoint(tmp_path / "none" / "c")
    with pytest.raises(OutputError, match="none"):
        asyncio.run(Pipeline(Scripted("x", {Download("d"): [[b""]]}), Summary(), checkpoint=checkpoint).run("x"))


def cancelled_midway(source: MemorySource, checkpoint: Checkpoint, step: int = 25) -> None:
    async def work() -> None:
        await Pipeline(source, Summary(), chunk_bytes=60, checkpoint=checkpoint).run("x")

    result, _ = run(work, cancel_at=step)
    assert isinstance(result, asyncio.CancelledError), result


@pytest.mark.parametrize("etags", [True, False], ids=["with a tag", "without"])
def test_in_flight_is_kept_only_what_the_server_lets_resume(etags: bool) -> None:
    bodies = export_of(random.Random(5), 2, 25)
    checkpoint = MemoryCheckpoint()
    source = MemorySource("x", bodies, etags=etags, piece_bytes=60)
    cancelled_midway(source, checkpoint)
    restored: list[Event] = []

    async def again() -> str:
        pipeline = Pipeline(
            replace(source), Summary(), checkpoint=checkpoint,
            listener=lambda event: restored.append(event) if isinstance(event, Restored) else None,
        )  # fmt: skip
        outcome = await pipeline.run("x")
        for download in outcome.downloads:
            assert download.fetched_bytes < download.received_bytes or not etags
        return report_of(outcome.state, outcome.downloads)

    assert run(again)[0] == expected(bodies)
    assert len(restored) == (2 if etags else 0)


def test_a_download_that_failed_is_tried_again_and_those_finished_are_not() -> None:
    bodies = export_of(random.Random(7), 3, 10)
    checkpoint = MemoryCheckpoint()
    left: list[bool] = []

    async def once(faults: Faults) -> tuple[str, int]:
        happened: list[Event] = []
        source = MemorySource("x", bodies, faults, policy=RetryPolicy(attempts=1))
        outcome = await Pipeline(source, Summary(), checkpoint=checkpoint, listener=happened.append).run("x")
        started = sum(isinstance(event, DownloadStarted) for event in happened)
        return report_of(outcome.state, outcome.downloads), started

    for seed in range(20):
        checkpoint.data = None
        result, _ = run(lambda: once(Faults({"status": 0.5}, seed=seed)))  # noqa: B023 - run at once
        assert isinstance(result, tuple), result
        left.append(checkpoint.data is not None)
        assert left[-1] == ("incomplete" in result[0])
        if left[-1]:
            again, _ = run(lambda: once(Faults({})))
            assert isinstance(again, tuple), again
            assert again[0] == expected(bodies)
            assert 0 < again[1] < 3
            assert checkpoint.data is None
            return
    raise AssertionError("no seed made a download fail")


def test_what_a_failed_download_had_received_is_kept_for_the_next_run() -> None:
    bodies = export_of(random.Random(7), 1, 25)
    checkpoint = MemoryCheckpoint()
    restored: list[Event] = []

    async def once(faults: Faults) -> str:
        source = MemorySource("x", bodies, faults, policy=RetryPolicy(attempts=1), piece_bytes=60)
        outcome = await Pipeline(
            source, Summary(), chunk_bytes=60, checkpoint=checkpoint,
            listener=lambda event: restored.append(event) if isinstance(event, Restored) else None,
        ).run("x")  # fmt: skip
        return report_of(outcome.state, outcome.downloads)

    broken = next(f for f in (Faults({"reset": 1.0}, seed=seed) for seed in range(99)) if middle(f))
    assert "incomplete" in str(run(lambda: once(Faults({"reset": 1.0}, seed=broken.seed)))[0])
    assert run(lambda: once(Faults({})))[0] == expected(bodies)
    assert len(restored) == 1


def middle(faults: Faults) -> bool:
    """Whether the first fault is somewhere in the middle of the body."""
    fault = faults.next(Target("d0"))
    return fault is not None and 0.4 < fault.at < 0.9


class Gone(MemorySource):
    """A server that no longer has some of its downloads, or fails to send them, by their ids."""

    statuses: dict[str, int]

    async def _answer(self, download: Download, asked: Any) -> MemoryReply:
        if download.id in self.statuses:
            return MemoryReply(self, self.statuses[download.id], {})
        return await super()._answer(download, asked)


def gone(bodies: Mapping[Download, bytes], statuses: dict[str, int], *, changed: Collection[str] = ()) -> Gone:
    """Return a source in which the content of some downloads has changed."""
    now = {d: versioned(body, 1) if d.id in changed else body for d, body in bodies.items()}
    source = Gone("x", now, Faults({}), policy=RetryPolicy(attempts=2))
    source.faults.changes.update(changed)
    source.statuses = statuses
    return source


def finished_but_for(download_id: str) -> tuple[Mapping[Download, bytes], MemoryCheckpoint]:
    """Return an export and the checkpoint of a run of it in which one download failed."""
    bodies, checkpoint = export_of(random.Random(7), 5, 10), MemoryCheckpoint()

    async def once() -> None:
        await Pipeline(gone(bodies, {download_id: 404}), Summary(), checkpoint=checkpoint).run("x")

    assert run(once)[0] is None
    assert checkpoint.data is not None
    return bodies, checkpoint


def gone_on_with(source: Gone, checkpoint: MemoryCheckpoint) -> tuple[Any, list[Event]]:
    happened: list[Event] = []

    async def again() -> tuple[str, Any]:
        outcome = await Pipeline(source, Summary(), checkpoint=checkpoint, listener=happened.append).run("x")
        return report_of(outcome.state, outcome.downloads), {d.download_id: d for d in outcome.downloads}

    return run(again)[0], happened


@pytest.mark.parametrize("changed", [(), ("d0",), ("d3",), ("d0", "d4")])
def test_a_finished_download_whose_tag_has_changed_is_fetched_anew(changed: tuple[str, ...]) -> None:
    # The states of d0 and d1, and of d3 and d4, are merged.
    bodies, checkpoint = finished_but_for("d2")
    source = gone(bodies, {}, changed=changed)
    (report, accounts), happened = gone_on_with(source, checkpoint)
    assert report == expected(source.bodies)
    pairs = [pair for pair in (("d0", "d1"), ("d3", "d4")) if set(pair) & set(changed)]
    anew = {download_id for pair in pairs for download_id in pair}
    assert {event.download_id for event in happened if isinstance(event, StartedOver)} == anew
    assert {e.download_id for e in happened if isinstance(e, DownloadStarted)} == anew | {"d2"}
    assert {e.download_id for e in happened if isinstance(e, Restored)} == {"d0", "d1", "d3", "d4"} - anew
    assert {i: account.version for i, account in accounts.items()} == {
        i: f'"{i}-1"' if i in changed else f'"{i}-0"' for i in accounts
    }
    assert checkpoint.data is None


def test_a_finished_download_that_can_no_longer_be_had_does_not_count() -> None:
    bodies, checkpoint = finished_but_for("d4")
    (report, accounts), _ = gone_on_with(gone(bodies, {"d3": 404}), checkpoint)
    assert [i for i, account in accounts.items() if not account.verdict.counts] == ["d3"]
    assert '"incomplete"' in report


def test_a_server_that_does_not_answer_costs_nothing_of_what_is_finished() -> None:
    bodies, checkpoint = finished_but_for("d4")
    before = checkpoint.data
    result, happened = gone_on_with(gone(bodies, {"d1": 503}), checkpoint)
    assert isinstance(result, TransferError)
    assert checkpoint.data == before
    assert not any(isinstance(event, Restored) for event in happened)


def test_other_options_or_data_are_refused_by_the_run() -> None:
    bodies = export_of(random.Random(7), 2, 20)
    checkpoint = MemoryCheckpoint()
    source = MemorySource("x", bodies, piece_bytes=60)
    cancelled_midway(source, checkpoint, step=20)
    before = checkpoint.data
    others: list[Pipeline[Any]] = [
        Pipeline(source, Counts(), checkpoint=checkpoint),
        Pipeline(source, Summary(), schema=Schema(value="v"), checkpoint=checkpoint),
        Pipeline(source, Summary(), strict=True, checkpoint=checkpoint),
        Pipeline(replace(source, name="elsewhere"), Summary(), checkpoint=checkpoint),
        Pipeline(replace(source, bodies=dict(list(bodies.items())[:1])), Summary(), checkpoint=checkpoint),
    ]
    for pipeline in others:
        result, _ = run(lambda: pipeline.run("x"))  # noqa: B023 - run at once
        assert isinstance(result, ValueError), result
        assert checkpoint.data == before


@pytest.mark.parametrize("engine", ["python", "auto"])
@pytest.mark.parametrize("rows", [[["x" * 5_000, "t"]], [["P", "t"], ["P", "t"]], [["Q", "t"], ["P", "t"]]], ids=len)
def test_a_checkpoint_with_groups_that_cannot_be_is_refused_in_one_line(
    rows: list[list[str]], engine: Literal["auto", "python"]
) -> None:
    bodies = export_of(random.Random(7), 2, 20)
    state = pack_rows([[*key, 1, 5, 5, 5, 0, 0, 0] for key in rows])

    class Altered(MemoryCheckpoint):
        def load(self, belonging: Belonging) -> Saved:
            saved = super().load(belonging)
            begun = {
                i: replace(each, spans=tuple(replace(held, state=state) for held in each.spans))
                for i, each in saved.begun.items()
            }
            return replace(saved, begun=begun)

    checkpoint = Altered()
    source = MemorySource("x", bodies, piece_bytes=60)
    cancelled_midway(source, checkpoint, step=20)
    result, _ = run(lambda: Pipeline(source, Summary(), checkpoint=checkpoint, engine=engine).run("x"))
    assert isinstance(result, MockExportError), result
    assert len(str(result).splitlines()) == 1


async def test_a_checkpoint_does_not_go_with_save(tmp_path: Path) -> None:
    with pytest.raises(MockExportError, match="checkpoint: does not go with save"):
        await analyze("x", source=Scripted("x", {}), save=tmp_path / "s", checkpoint=tmp_path / "c")


async def test_a_broken_reducer_does_not_spoil_the_checkpoint(tmp_path: Path) -> None:
    class Broken(Summary):
        def update(self, state: object, batch: object) -> object:  # type: ignore[override]
            raise RuntimeError

    body = b"patient_id,event_time,event_type,value\nP1,2025-08-26T00:00:00Z,spo2,97\n"
    source = Scripted("x", {Download("d", rows=1): [[body]]})
    with pytest.raises(MockExportError):
        await analyze("x", source=source, reducer=Broken(), checkpoint=tmp_path / "c")
    report = await analyze("x", source=source, checkpoint=tmp_path / "c")
    assert report.totals["spo2"].count == 1
    assert not (tmp_path / "c").exists()


@pytest.mark.parametrize("stop", [True, False], ids=["stop", "continue"])
async def test_on_failure_the_others_are_skipped_or_finished(stop: bool) -> None:
    body = b"patient_id,event_time,event_type,value\nP1,2025-08-26T00:00:00Z,spo2,97\n"
    never = asyncio.Event()
    scripts = {
        Download("a", rows=1): [[Fail("gone", passing=False)]],
        Download("b", rows=1): [[body, never] if stop else [body]],
        Download("c", rows=1): [[body]],
    }
    source = Scripted("x", scripts)  # type: ignore[arg-type]
    report = await analyze("x", source=source, concurrency=2, on_failure="stop" if stop else "continue")
    kinds = [download.verdict.kind for download in report.account.downloads]
    if stop:
        assert kinds == [VerdictKind.FAILED, VerdictKind.SKIPPED, VerdictKind.SKIPPED]
        assert report.incomplete == ("a", "b", "c")
        assert report.allowing_incomplete().totals == {}
    else:
        assert kinds == [VerdictKind.FAILED, VerdictKind.VERIFIED, VerdictKind.VERIFIED]
        assert report.incomplete == ("a",)
    assert source.open == 0


class Watched(Counts):
    """A reducer that notices states being merged while one is dumped."""

    may_end: ClassVar = threading.Event()
    dumping: ClassVar = threading.Event()
    ended: ClassVar = threading.Event()
    merging: ClassVar = threading.Event()

    def merge(self, earlier: Counter[tuple[str, str]], later: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
        if self.dumping.is_set():
            self.merging.set()
        return super().merge(earlier, later)

    def dump(self, state: Counter[tuple[str, str]]) -> bytes:
        if self.may_end.is_set():
            self.dumping.set()
            self.ended.wait(30)
            self.merging.wait(0.5)  # which comes now if it does not wait for this
            self.dumping.clear()
        return super().dump(state)


async def test_a_state_is_not_merged_while_it_is_being_saved() -> None:
    reducer, other_is_finished = Watched(), asyncio.Event()

    class EndsWhileSaved:
        """A stream of the first download, which ends while its state is being dumped."""

        def __init__(self, stream: ByteStream) -> None:
            self.start_over, self.close = stream.start_over, stream.close
            self._stream = stream

        async def pieces(self) -> AsyncGenerator[Piece]:
            async for piece in self._stream.pieces():
                yield piece
            await other_is_finished.wait()
            reducer.may_end.set()
            assert await asyncio.to_thread(reducer.dumping.wait, 30)
            reducer.ended.set()

    class Source(MemorySource):
        def stream(self, export_id: str, download: Download) -> Any:
            stream = super().stream(export_id, download)
            return EndsWhileSaved(stream) if download == first else stream

    bodies = export_of(random.Random(7), 2, 20)
    first = next(iter(bodies))

    def listen(event: Event) -> None:
        if isinstance(event, DownloadFinished) and event.download_id != first.id:
            other_is_finished.set()

    # Chunks of a row each, so that nothing is left to be folded at the end.
    options = RunOptions(engine="python", chunk_bytes=1)
    source, checkpoint = Source("x", bodies, piece_bytes=60), MemoryCheckpoint()
    pipeline = Pipeline(source, reducer, options, checkpoint=checkpoint, checkpoint_every_s=0.001, listener=listen)
    outcome = await pipeline.run("x")
    assert [each.verdict.counts for each in outcome.downloads] == [True, True]
    assert not reducer.merging.is_set()


async def test_a_run_that_is_cancelled_while_it_merges_many_groups_has_merged_and_saved_them(tmp_path: Path) -> None:
    merging, go_on = threading.Event(), threading.Event()

    class Slow(Summary):
        def merge(self, earlier: SummaryState, later: SummaryState) -> SummaryState:
            merging.set()
            assert go_on.wait(10)
            return super().merge(earlier, later)

    header = b"patient_id,event_time,event_type,value\n"
    bodies = [b"".join(b"P%d%05d,2025-08-26T05:00Z,hr,1\n" % (at, n) for n in range(10_001)) for at in range(2)]
    downloads = {Download(str(at), rows=10_001): [[header + body]] for at, body in enumerate(bodies)}
    checkpoint = Checkpoint(tmp_path / "c")
    running = asyncio.create_task(Pipeline(Scripted("x", downloads), Slow(), checkpoint=checkpoint).run("x"))
    assert await asyncio.to_thread(merging.wait, 10)
    running.cancel()
    for _ in range(100):
        await asyncio.sleep(0)
    assert not running.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    events: list[Event] = []
    again = Pipeline(Scripted("x", downloads), Slow(), checkpoint=checkpoint, listener=events.append)
    state = (await again.run("x")).state
    assert [event.finished for event in events if isinstance(event, Restored)] == [True, True]
    assert Counter(group.count for group in state.values()) == {1: 20_002}
