"""The laws of the pipeline, with real queues, threads and tasks, and scripted bytes."""

import asyncio
import threading
import tracemalloc
import weakref
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mockexport import Batch, Download, Export, Pipeline, Report, Result, Statistics, Summary, Verdict, analyze
from mockexport.errors import BadRowError, OptionError, ReducerError
from mockexport.events import (
    Advanced,
    DownloadFinished,
    DownloadStarted,
    Event,
    Opened,
    RunFinished,
    RunStarted,
    StartedOver,
)
from mockexport.model import VerdictKind
from mockexport.pipeline.streams import StartOver
from mockexport.reducers.summary import SummaryState
from mockexport.sources.scripted import Fail, Scripted, Step
from tests.rows import HEADER, csv_bodies


def row(patient: str = "P001", second: int = 0, value: object = 72) -> bytes:
    return f"{patient},2025-08-26T00:{second // 60 % 60:02}:{second % 60:02}Z,heart_rate,{value}\n".encode()


def body(rows: int, patient: str = "P001") -> bytes:
    return HEADER + b"".join(row(patient, second, second % 200) for second in range(rows))


def pieces(data: bytes, size: int) -> list[Step]:
    return [data[start : start + size] for start in range(0, len(data), size)]


def kinds(report: Report[Statistics]) -> list[VerdictKind]:
    return [download.verdict.kind for download in report.account.downloads]


bodies_of_an_export = st.lists(csv_bodies(), min_size=1, max_size=5)


@example([HEADER + b"\xff\xfe,2025-08-26T00:00:04Z,heart_rate,72\n"], 1, 1, 1, 1)
@given(
    bodies_of_an_export,
    st.sampled_from([1, 2, 10]),
    st.integers(1, 300),
    st.integers(1, 50),
    st.integers(1, 3),
)
async def test_the_reports_bytes_depend_on_the_data_alone(
    bodies: list[bytes], concurrency: int, chunk_bytes: int, piece: int, queue_size: int
) -> None:
    plain = {Download(str(i)): [[data]] for i, data in enumerate(bodies)}
    cut = {Download(str(i)): [pieces(data, piece)] for i, data in enumerate(bodies)}
    expected = await analyze("x", source=Scripted("x", plain), concurrency=1, max_bad=100)
    found = await analyze(
        "x",
        source=Scripted("x", cut),
        concurrency=concurrency,
        chunk_bytes=chunk_bytes,
        queue_size=queue_size,
        max_bad=100,
    )
    assert found.to_json() == expected.to_json()
    strip = [replace(download, fetched_bytes=0) for download in found.account.downloads]
    assert strip == [replace(download, fetched_bytes=0) for download in expected.account.downloads]


@given(
    st.lists(st.lists(st.integers(0, 400), max_size=2), min_size=1, max_size=4),
    st.sampled_from([1, 2, 10]),
    st.integers(20, 400),
)
async def test_a_download_that_starts_over_counts_once_and_touches_no_other(
    failures: list[list[int]], concurrency: int, chunk_bytes: int
) -> None:
    """Law 3: every download breaks off at the bytes listed for it, one attempt each, before an attempt succeeds."""
    whole: dict[Download, list[list[Step]]] = {}
    broken: dict[Download, list[list[Step]]] = {}
    for i, breaks in enumerate(failures):
        data = body(8 + i, f"P{i}")
        download = Download(str(i), rows=8 + i)
        whole[download] = [[data]]
        cuts: list[list[Step]] = [[data[:at], Fail("cut")] for at in breaks]
        broken[download] = [*cuts, [data]]
    expected = await analyze("x", source=Scripted("x", whole))
    source = Scripted("x", broken)
    found = await analyze("x", source=source, concurrency=concurrency, chunk_bytes=chunk_bytes)
    assert found.to_json() == expected.to_json()
    assert [d.attempts for d in found.account.downloads] == [len(breaks) + 1 for breaks in failures]
    assert source.open == 0


async def test_rows_missing_at_a_clean_end_are_fetched_again() -> None:
    download = Download("d", rows=5)
    report = await analyze("x", source=Scripted("x", {download: [[body(3)], [body(4)], [body(5)]]}))
    assert kinds(report) == [VerdictKind.VERIFIED]
    assert report.totals["heart_rate"].count == 5
    (told,) = report.account.downloads
    assert (told.attempts, told.received_bytes) == (3, len(body(5)))
    assert told.fetched_bytes == sum(len(body(n)) for n in (3, 4, 5))


@pytest.mark.parametrize("cut", range(1, len(row())))
async def test_a_body_that_ends_cleanly_inside_its_last_row_does_not_pass_for_whole(cut: int) -> None:
    whole = body(3)
    report = await analyze("x", source=Scripted("x", {Download("d", rows=3): [[whole[:-cut]], [whole]]}))
    (told,) = report.account.downloads
    # Without its line end the last row is whole, and a value cut short of its last digit, or of all, cannot be told
    # from one that was meant: every other cut is noticed and fetched again.
    undetectable = cut <= len(b"2\n")
    assert told.attempts == (1 if undetectable else 2)
    assert undetectable or report.totals["heart_rate"].count == 3


async def test_a_bad_last_row_without_line_end_is_a_row_where_none_is_announced() -> None:
    report = await analyze("x", source=Scripted("x", {Download("d"): [[body(1) + b"junk"]]}), max_bad=1)
    assert report.account.downloads[0].bad_rows == {"too few fields": 1}


async def test_a_download_that_keeps_failing_contributes_nothing_and_stops_no_other() -> None:
    scripts: dict[Download, list[list[Step]]] = {
        Download("a", rows=2): [[body(2, "A")]],
        Download("b", rows=3): [[body(2, "B")]],
        Download("c", rows=2): [[body(2, "C"), Fail("reset")]],
        Download("d", rows=2): [[Fail("status 404", passing=False)]],
        Download("e", rows=2): [[body(2, "E")]],
    }
    source = Scripted("x", scripts, attempts=3)
    report = await analyze("x", source=source, concurrency=2, allow_incomplete=True)
    assert list(report.patients) == ["A", "E"]
    assert report.incomplete == ("b", "c", "d")
    assert source.asked == {"a": 1, "b": 3, "c": 3, "d": 1, "e": 1}
    reasons = {d.download_id: str(d.verdict) for d in report.account.downloads}
    assert "2 rows came of 3 announced" in reasons["b"]
    assert "reset" in reasons["c"]
    assert "status 404" in reasons["d"]


async def test_a_mismatch_counts_and_is_told() -> None:
    report = await analyze("x", source=Scripted("x", {Download("d", rows=1): [[body(2)]]}))
    assert kinds(report) == [VerdictKind.MISMATCH]
    assert report.allowing_incomplete().totals["heart_rate"].count == 2
    assert report.incomplete == ("d",)


async def test_time_ranges_that_overlap_are_a_mismatch_of_both() -> None:
    scripts = {
        Download("a", rows=0, start_us=0, end_us=10): [[b""]],
        Download("b", rows=0, start_us=9, end_us=20): [[b""]],
    }
    report = await analyze("x", source=Scripted("x", scripts))
    assert kinds(report) == [VerdictKind.MISMATCH] * 2
    assert "overlaps" in str(report.account.downloads[0].verdict)


async def test_the_same_download_listed_twice_counts_once() -> None:
    download = Download("d", rows=2)
    assert Export.of("x", [download, download]).downloads == (download,)


async def test_an_export_without_downloads_gives_an_empty_report() -> None:
    report = await analyze("x", source=Scripted("x", {}))
    assert report.to_json() == '{\n  "patients": {},\n  "totals": {}\n}\n'


@pytest.mark.parametrize("concurrency", [1, 2, 7])
async def test_concurrency_bounds_the_downloads_in_flight_and_one_is_no_special_case(concurrency: int) -> None:
    gate = asyncio.Event()
    scripts: dict[Download, list[list[Step]]] = {Download(str(i)): [[gate, body(3, f"P{i}")]] for i in range(7)}
    source = Scripted("x", scripts)
    started: list[str] = []
    flying: set[str] = set()
    most = 0

    def listen(event: Event) -> None:
        nonlocal most
        if isinstance(event, DownloadStarted):
            started.append(event.download_id)
            flying.add(event.download_id)
            most = max(most, len(flying))
            if len(started) == concurrency:
                gate.set()
        elif isinstance(event, DownloadFinished):
            flying.remove(event.download_id)

    report = await analyze("x", source=source, concurrency=concurrency, listener=listen)
    assert most == concurrency
    assert report.totals["heart_rate"].count == 21
    assert started == [str(i) for i in range(7)]


class Watching:
    """A reducer that can be held up; its state is the rows in order, and it notes updates that run at once."""

    fingerprint = "watching 1"

    def __init__(self) -> None:
        self.released = threading.Event()
        self.working: Counter[str] = Counter()
        self.most_per_patient = 0

    def empty(self) -> list[tuple[str, int]]:
        return []

    def update(self, state: list[tuple[str, int]], batch: Batch) -> list[tuple[str, int]]:
        assert self.released.wait(30)
        patient = batch.patient_ids[0]
        self.working[patient] += 1
        self.most_per_patient = max(self.most_per_patient, self.working[patient])
        state.extend(zip(batch.patient_ids, batch.event_times, strict=True))
        self.working[patient] -= 1
        return state

    def merge(self, earlier: list[tuple[str, int]], later: list[tuple[str, int]]) -> list[tuple[str, int]]:
        return earlier + later

    def dump(self, state: list[tuple[str, int]]) -> bytes:
        return repr(state).encode()

    def load(self, data: bytes) -> list[tuple[str, int]]:
        raise ValueError("not needed here")

    def result(self, state: list[tuple[str, int]]) -> Result[int]:
        return Result({}, {"rows": len(state)})


async def test_a_full_queue_stops_the_reading() -> None:
    """Backpressure: while nothing is reduced, a producer reads no further than the queue and its hands allow."""
    reducer = Watching()
    line = len(row())
    scripts = {Download("d"): [pieces(body(1000), line)]}
    pipeline = Pipeline(Scripted("x", scripts), reducer, chunk_bytes=line, queue_size=3, consumers=1)
    run = asyncio.create_task(pipeline.run("x"))
    while pipeline.statistics().queue_depth < 3:  # noqa: ASYNC110 - each round lets everything move by one step
        await asyncio.sleep(0)
    for _ in range(100):
        await asyncio.sleep(0)
    stuck = pipeline.statistics()
    assert stuck.queue_depth == stuck.peak_queue_depth == 3
    # The header's chunk was folded (it has no rows); one chunk is at the consumer, three queue, one is in hand.
    assert stuck.received_bytes <= len(HEADER) + 7 * line
    reducer.released.set()
    outcome = await run
    assert outcome.downloads[0].rows == 1000
    assert pipeline.statistics().peak_queue_depth == 3
    assert pipeline.statistics().waited_for_queue_s > 0


async def test_a_downloads_chunks_are_reduced_in_order_and_one_at_a_time_by_any_number_of_consumers() -> None:
    reducer = Watching()
    reducer.released.set()
    scripts = {Download(p): [pieces(body(200, p), 100)] for p in "ABC"}
    pipeline = Pipeline(Scripted("x", scripts), reducer, chunk_bytes=128, queue_size=8, consumers=4)
    outcome = await pipeline.run("x")
    for patient in "ABC":
        times = [time for p, time in outcome.state if p == patient]
        assert times == sorted(times)
        assert len(times) == 200
    assert reducer.most_per_patient == 1


async def test_memory_does_not_grow_with_the_rows() -> None:
    class Endless(Scripted):
        """Makes rows while they are asked for, and holds none."""

        def __init__(self, repeats: int) -> None:
            super().__init__("x", {Download("d"): [[]]})
            self.repeats = repeats

        async def _play(self, download_id: str, attempt: int) -> AsyncGenerator[bytes]:
            yield HEADER
            for _ in range(self.repeats):
                yield b"".join(row("P001", second) for second in range(500))

    async def peak(repeats: int) -> int:
        tracemalloc.start()
        report = await analyze("x", source=Endless(repeats), chunk_bytes=16_384)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert report.totals["heart_rate"].count == 500 * repeats
        return most

    await peak(2)  # whatever is made once
    few, many = await peak(10), await peak(80)
    assert many < few * 1.25 + 50_000


async def test_the_first_bad_row_ends_a_strict_run() -> None:
    source = Scripted("x", {Download("d"): [[HEADER + row() + row(value="nan") + row()]]})
    with pytest.raises(BadRowError, match="download d, line 3") as raised:
        await analyze("x", source=source, strict=True)
    assert "P001" not in str(raised.value)
    assert source.open == 0


async def test_bad_rows_are_counted_and_the_rest_is_reduced() -> None:
    source = Scripted("x", {Download("d", rows=3): [[HEADER + row() + row(value="nan") + row()]]})
    report = await analyze("x", source=source, max_bad=1)
    (told,) = report.account.downloads
    assert (told.rows, told.bad_rows, [bad.line for bad in told.first_bad_rows]) == (3, {"bad value": 1}, [3])
    assert kinds(report) == [VerdictKind.VERIFIED]
    assert report.totals["heart_rate"].count == 2


async def test_a_header_that_is_none_fails_that_download_alone_and_is_not_tried_again() -> None:
    page: list[Step] = [b"<html>Log in</html>\n", *pieces(b"x" * 5000, 100)]
    scripts: dict[Download, list[list[Step]]] = {Download("a"): [page], Download("b"): [[body(2)]]}
    source = Scripted("x", scripts)
    report = await analyze("x", source=source, chunk_bytes=64)
    assert report.incomplete == ("a",)
    assert "not the expected CSV header" in str(report.account.downloads[0].verdict)
    assert source.asked["a"] == 1


class Odd(Scripted):
    """Brings pieces that are no bytes."""

    def stream(self, export_id: str, download: Download) -> Any:
        stream = super().stream(export_id, download)
        bring = stream.pieces

        async def pieces() -> AsyncGenerator[Any]:
            async for piece in bring():
                yield bytearray(piece) if isinstance(piece, bytes) else piece

        stream.pieces = pieces  # type: ignore[method-assign]
        return stream


async def test_what_is_neither_bytes_nor_a_marker_is_an_error_and_not_lost() -> None:
    with pytest.raises(OptionError, match="of the type bytearray"):
        await analyze("x", source=Odd("x", {Download("d"): [[body(3)]]}))


class Raising(Summary):
    def update(self, state: object, batch: Batch) -> dict[tuple[str, str], object]:  # type: ignore[override]
        raise RuntimeError(f"cannot digest {batch.patient_ids[0]}")


async def test_a_reducer_that_raises_ends_the_run_with_its_place_and_no_patients_id() -> None:
    source = Scripted("x", {Download(str(i)): [[body(3)]] for i in range(5)})
    with pytest.raises(ReducerError, match="reducer Raising raised RuntimeError in download 0") as raised:
        await analyze("x", source=source, reducer=Raising(), concurrency=1)
    assert "P001" not in str(raised.value)
    assert isinstance(raised.value.__cause__, RuntimeError)
    assert source.open == 0


@pytest.mark.parametrize("steps", range(0, 60, 3))
async def test_cancelling_anywhere_leaves_nothing_behind(steps: int) -> None:
    gate = asyncio.Event()
    scripts: dict[Download, list[list[Step]]] = {Download(str(i)): [[*pieces(body(20), 90), gate]] for i in range(3)}
    source = Scripted("x", scripts)
    before = asyncio.all_tasks()
    run = asyncio.create_task(analyze("x", source=source, chunk_bytes=64))
    for _ in range(steps):
        await asyncio.sleep(0)
    run.cancel()
    with pytest.raises(asyncio.CancelledError):
        await run
    assert source.open == 0
    assert asyncio.all_tasks() == before
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("mockexport_")]


class Closing(Scripted):
    """Notes with which verdict each stream was closed."""

    def __init__(self, scripts: dict[Download, list[list[Step]]]) -> None:
        super().__init__("x", scripts)
        self.closed: dict[str, Verdict | None] = {}

    def stream(self, export_id: str, download: Download):  # type: ignore[no-untyped-def]
        stream = super().stream(export_id, download)
        closed = self.closed

        class Noting:
            pieces = stream.pieces
            start_over = stream.start_over

            async def close(self, verdict: Verdict | None) -> None:
                closed[download.id] = verdict

        return Noting()


async def test_every_stream_is_closed_with_its_verdict() -> None:
    source = Closing({Download("a", rows=1): [[body(1)]], Download("b", rows=1): [[Fail("gone", passing=False)]]})
    await analyze("x", source=source)
    assert {i: verdict.kind for i, verdict in source.closed.items() if verdict} == {
        "a": VerdictKind.VERIFIED,
        "b": VerdictKind.FAILED,
    }


async def test_events_tell_the_whole_story_in_order() -> None:
    events: list[Event] = []
    download = Download("d", rows=2)
    scripts: dict[Download, list[list[Step]]] = {download: [[HEADER, Fail("reset")], [body(2)]]}
    await analyze("x", source=Scripted("x", scripts), listener=events.append)
    assert [type(event) for event in events] == [
        RunStarted, DownloadStarted, Opened, StartedOver, Opened, Advanced, DownloadFinished, RunFinished
    ]  # fmt: skip
    assert events[3] == StartedOver("d", 1, 0.0, "reset", void_bytes=len(HEADER))
    assert events[6] == DownloadFinished("d", Verdict(VerdictKind.VERIFIED), len(body(2)), 2, 0)


@pytest.mark.parametrize("option", ["concurrency", "chunk_bytes", "queue_size"])
async def test_an_option_below_one_is_refused(option: str) -> None:
    with pytest.raises(OptionError, match=f"{option}: must be at least 1, not 0"):
        await analyze("x", source=Scripted("x", {}), **{option: 0})  # type: ignore[arg-type]


def test_a_start_over_marker_is_a_value() -> None:
    assert StartOver(1, 0.5, "x") == StartOver(1, 0.5, "x")


@pytest.mark.parametrize("method", ["empty", "merge", "result"])
async def test_what_a_reducer_raises_outside_of_a_chunk_is_told_as_its_error(method: str) -> None:
    def fail(*_: object) -> None:
        raise LookupError("P001 has 72")

    raising = type("Raising", (Summary,), {method: fail})()
    source = Scripted("x", {Download("a", rows=1): [[body(1)]], Download("b", rows=1): [[body(1)]]})
    with pytest.raises(ReducerError, match=f"^reducer Raising raised LookupError in {method}$") as raised:
        await analyze("x", source=source, reducer=raising, engine="python")
    assert isinstance(raised.value.__cause__, LookupError)
    assert source.open == 0


async def test_nothing_is_told_of_an_attempt_that_was_given_up() -> None:
    loop, folding, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    class Slow(Summary):
        def update(self, state: SummaryState, batch: Batch) -> SummaryState:
            loop.call_soon_threadsafe(folding.set)
            assert go_on.wait(10)
            return super().update(state, batch)

    events: list[Event] = []

    def listen(event: Event) -> None:
        events.append(event)
        if isinstance(event, StartedOver):
            go_on.set()

    first: list[Step] = [body(5), folding, Fail("cut")]
    source = Scripted("x", {Download("a", rows=1): [first, [body(1)]]})
    report = await analyze("x", source=source, reducer=Slow(), chunk_bytes=1, queue_size=4, listener=listen)
    assert kinds(report) == [VerdictKind.VERIFIED]
    told = [event.rows for event in events if isinstance(event, Advanced)]
    assert told == sorted(told)
    assert max(told) == 1


@pytest.mark.parametrize("engine", ["auto", "python"])
async def test_a_stump_at_a_bodys_end_is_fetched_again_even_if_strict(engine: Any) -> None:
    whole = body(3)
    source = Scripted("x", {Download("d", rows=3): [[whole[:-20]], [whole]]})
    report = await analyze("x", source=source, strict=True, engine=engine)
    assert report.account.downloads[0].attempts == 2


@pytest.mark.parametrize("engine", ["auto", "python"])
async def test_a_stump_that_nothing_announces_as_one_ends_a_strict_run(engine: Any) -> None:
    with pytest.raises(BadRowError, match="line 3"):
        await analyze("x", source=Scripted("x", {Download("d"): [[body(1) + b"junk"]]}), strict=True, engine=engine)


async def test_states_are_let_go_of_once_they_are_merged() -> None:
    """However many downloads there are: what lives is a state for each one in flight, and what is merged."""
    alive: set[int] = set()
    most = 0

    class Counted(list[str]):
        def __init__(self, *given: str) -> None:
            nonlocal most
            super().__init__(given)
            alive.add(id(self))
            weakref.finalize(self, alive.discard, id(self))
            most = max(most, len(alive))

    class Rows:
        fingerprint = "counted 1"

        def empty(self) -> Counted:
            return Counted()

        def update(self, state: Counted, batch: Batch) -> Counted:
            state.extend(batch.patient_ids)
            return state

        def merge(self, earlier: Counted, later: Counted) -> Counted:
            earlier.extend(later)
            return earlier

        def dump(self, state: Counted) -> bytes:
            return " ".join(state).encode()

        def load(self, data: bytes) -> Counted:
            return Counted(*data.decode().split())

        def result(self, state: Counted) -> Result[int]:
            return Result({}, {"rows": len(state)})

    scripts = {Download(str(i)): [[body(2)]] for i in range(60)}
    report = await analyze("x", source=Scripted("x", scripts), reducer=Rows(), concurrency=2)
    assert report.totals["rows"] == 120
    assert most <= 8
