"""Filters: the report is of the rows asked for, verdicts are of all rows, and what is ruled out is not fetched."""

import csv
import io
import json
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockexport import Counts, Download, Filter, Reducer, Report, Schema, Summary, analyze
from mockexport.engine.choosing import kernel_problem
from mockexport.errors import OptionError
from mockexport.events import Event, Restored, Skipped
from mockexport.formats import CsvDecoder
from mockexport.formats.fields import format_time, parse_time
from mockexport.model import Chunk, Export, Span, VerdictKind
from mockexport.pipeline.checkpoint import Belonging, Checkpoint
from mockexport.pipeline.options import RunOptions
from mockexport.sources.scripted import Fail, Scripted, Step
from tests.rows import HEADER, csv_bodies

ENGINES = ["python"] if kernel_problem() else ["python", "kernel"]
HOUR_US = 3_600_000_000
TEN = 1_756_202_400_000_000  # 2025-08-26T10:00:00Z


def rows(*times_us: int, patient: str = "P001", event_type: str = "spo2", value: object = 97) -> bytes:
    return b"".join(f"{patient},{format_time(us)},{event_type},{value}\n".encode() for us in times_us)


async def filtered(
    bodies: dict[Download, bytes], asked: Filter, *, reducer: Reducer[Any, Any] | None = None, **options: Any
) -> Report[Any]:
    source = Scripted("x", {download: [[body]] for download, body in bodies.items()})
    return await analyze("x", source=source, filter=asked, reducer=reducer, max_bad=1000, **options)


times = st.sampled_from(
    [parse_time(text) for text in ("2024-02-29 23:59:59", "2025-08-26T00:00:04.906404Z", "2025-08-26T00:00:07Z")]
)


@st.composite
def filters(draw: st.DrawFn) -> Filter:
    since, until = draw(st.one_of(st.none(), times)), draw(st.one_of(st.none(), times))
    if since is not None and until is not None and since >= until:
        until = None
    some = st.one_of(st.none(), st.frozensets(st.sampled_from(["P001", "ä", "a,b", 'a"b', "nobody"]), min_size=1))
    types = st.one_of(st.none(), st.frozensets(st.sampled_from(["heart_rate", "spo2", "steps"]), min_size=1))
    return Filter(since, until, draw(some), draw(types))


def only(body: bytes, asked: Filter) -> bytes:
    """The rows of a body that are asked for, by plain comparisons of its columns, as a CSV of their own."""
    decoder = CsvDecoder(Schema())
    batches = [
        decoder.decode(Chunk(Span("d"), body, 0, len(body), 1)).batch,
        decoder.finish(1 + body.count(b"\n")).batch,
    ]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(Schema().columns)
    for patient, time_us, event_type, value in chain.from_iterable(
        zip(batch.patient_ids, batch.event_times, batch.event_types, batch.values, strict=True) for batch in batches
    ):
        if asked.since_us is not None and time_us < asked.since_us:
            continue
        if asked.until_us is not None and time_us >= asked.until_us:
            continue
        if asked.patients is not None and patient not in asked.patients:
            continue
        if asked.event_types is None or event_type in asked.event_types:
            writer.writerow([patient, format_time(time_us), event_type, f"{value}e-18"])
    return text.getvalue().encode()


def figures(report: Report[Any]) -> dict[str, Any]:
    """What a report says, but for its notes, which are of all rows."""
    return {key: value for key, value in json.loads(report.to_json()).items() if key != "notes"}


@settings(max_examples=40)
@given(st.lists(csv_bodies(), min_size=1, max_size=3), filters(), st.sampled_from([1, 40, 5_000]))
@pytest.mark.parametrize("engine", ENGINES)
async def test_a_filtered_report_is_that_of_the_rows_asked_for(
    engine: str, bodies: list[bytes], asked: Filter, chunk_bytes: int
) -> None:
    # A row that is good: with bad ones alone a download has failed.
    good = HEADER + rows(TEN)
    named = {Download(f"d{number}"): body.replace(HEADER, good) for number, body in enumerate(bodies)}
    found = await filtered(named, asked, engine=engine, chunk_bytes=chunk_bytes)
    expected = await filtered({download: only(body, asked) for download, body in named.items()}, Filter())
    assert figures(found) == figures(expected)
    assert figures(found.counts()) == figures(expected.counts())
    # The tally is of all rows, and none is lost between the two.
    whole = await filtered(named, Filter(), engine=engine)
    assert [d.verdict for d in found.account.downloads] == [d.verdict for d in whole.account.downloads]
    assert (found.account.rows, found.account.bad_rows) == (whole.account.rows, whole.account.bad_rows)
    passed, all_of_them = (sum(g.count for g in report.totals.values()) for report in (found, whole))
    assert found.account.filtered_rows == all_of_them - passed


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_filter_goes_before_any_reducer(engine: str) -> None:
    body = HEADER + rows(TEN, TEN + 1) + rows(TEN, patient="P002")
    report = await filtered(
        {Download("d"): body}, Filter(patients=frozenset({"P002"})), reducer=Counts(), engine=engine
    )
    assert report.patients == {"P002": {"spo2": 1}}
    assert report.account.filtered_rows == 2


@pytest.mark.parametrize("engine", ENGINES)
async def test_since_is_the_first_time_asked_for_and_until_the_first_that_is_not(engine: str) -> None:
    body = HEADER + rows(TEN - 1, TEN, TEN + HOUR_US - 1, TEN + HOUR_US)
    report = await filtered({Download("d"): body}, Filter(TEN, TEN + HOUR_US), engine=engine)
    assert (report.totals["spo2"].count, report.account.filtered_rows) == (2, 2)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_verdict_is_of_all_rows(engine: str) -> None:
    body = HEADER + rows(TEN) + rows(TEN, patient="stranger") + rows(TEN, value="nan") + rows(TEN, value="")
    announced = Download("d", rows=4, patients=("P001",), start_us=TEN, end_us=TEN + 1)
    report = await filtered({announced: body}, Filter(patients=frozenset({"P001"})), engine=engine)
    (account,) = report.account.downloads
    assert str(account.verdict) == "mismatch: 1 of its patients were not announced"
    assert (account.rows, account.filtered_rows, dict(account.missing_values)) == (4, 1, {"spo2": 1})
    assert dict(account.bad_rows) == {"bad value": 1}


def test_what_is_asked_for_is_written_as_rows_write_it_or_as_a_date() -> None:
    assert Filter.of(since="2025-08-26T10:00:00Z", until="2025-08-27") == Filter(TEN, TEN + 14 * HOUR_US)
    assert Filter.of(since="2025-08-26 12:00:00", timezone="Europe/Berlin").since_us == TEN
    assert Filter.of(since="2025-08-26T10:00:00Z", timezone="Europe/Berlin").since_us == TEN
    assert Filter.of(patients=["a,b"], event_types=iter(["x"])) == Filter(
        None, None, frozenset({"a,b"}), frozenset("x")
    )
    assert Filter.of().is_open


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ({"since": "yesterday"}, "since: 'yesterday': bad event_time; a time is like"),
        ({"until": "2025-02-30"}, "until: '2025-02-30': bad event_time"),
        ({"since": "2025-03-30 02:30:00", "timezone": "Europe/Berlin"}, "skipped local time"),
        ({"since": "2025-08-26", "until": "2025-08-26"}, "until: must be later than since"),
        ({"patients": []}, "patient: names nothing"),
        ({"patients": "P001"}, "patient: is a list of texts, not a text"),
        ({"event_types": [""]}, "event-type: names nothing"),
        ({"since": "2025-08-26", "timezone": "Mars/Olympus"}, "timezone: there is no time zone 'Mars/Olympus'"),
    ],
)
def test_what_cannot_be_meant_is_refused(wanted: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError) as raised:
        Filter.of(**wanted)
    assert told in str(raised.value)


RULED_OUT = {
    "before": Download("a", start_us=0, end_us=TEN - 5),
    "after": Download("b", start_us=TEN + HOUR_US, end_us=TEN + 2 * HOUR_US),
    "others": Download("c", patients=("P002", "P003"), start_us=TEN),
    "types": Download("d", event_types=("bp_sys",), start_us=TEN),
}
ASKED = Filter(TEN, TEN + HOUR_US, frozenset({"P001"}), frozenset({"spo2"}))
WANTED = Download("w", 2, ("spo2", "bp_sys"), ("P001", "P002"), TEN - 5, TEN + 1)
WANTED_ROWS = HEADER + rows(TEN) + rows(TEN - 1, patient="P002")


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("concurrency", [1, 4])
async def test_a_download_that_its_metadata_rules_out_is_not_fetched(engine: Any, concurrency: int) -> None:
    scripts = {download: [[Fail("fetched", passing=False)]] for download in RULED_OUT.values()}
    source = Scripted("x", {**scripts, WANTED: [[WANTED_ROWS]]})
    seen: list[Event] = []
    report = await analyze(
        "x", source=source, filter=ASKED, engine=engine, concurrency=concurrency, listener=seen.append
    )
    assert source.asked == {"w": 1}
    assert report.incomplete == ()
    assert report.totals["spo2"].count == 1
    verdicts = {d.download_id: d.verdict for d in report.account.downloads}
    assert {i: v.kind for i, v in verdicts.items() if i != "w"} == dict.fromkeys("abcd", VerdictKind.SKIPPED)
    assert [verdicts[i].reasons[0].split(" asked for")[0] for i in "abcd"] == [
        "all of it is announced to be earlier than what is",
        "all of it is announced to be later than what is",
        "none of the patients",
        "none of the event types",
    ]
    assert sorted(event.download_id for event in seen if isinstance(event, Skipped)) == list("abcd")
    assert not any("P00" in str(event) for event in seen if isinstance(event, Skipped))


@pytest.mark.parametrize(
    "download",
    [
        Download("a"),
        Download("a", start_us=0, end_us=TEN + 1),
        Download("a", start_us=TEN + HOUR_US - 1),
        Download("a", end_us=TEN + 1),
        Download("a", patients=("P001", "P002"), event_types=("spo2",)),
    ],
)
def test_a_download_that_may_hold_what_is_asked_for_is_not_ruled_out(download: Download) -> None:
    assert ASKED.rules_out(download) is None
    assert replace(ASKED, patients=frozenset({"P001", "nobody"})).rules_out(download) is None
    assert Filter().rules_out(download) is None


async def test_a_run_with_a_filter_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    downloads: dict[Download, list[list[Step]]] = {
        Download("a", start_us=0, end_us=TEN - 5): [[Fail("fetched", passing=False)]],
        WANTED: [[WANTED_ROWS]],
        Download("z", start_us=TEN + 1): [[Fail("broken", passing=False)], [HEADER + rows(TEN + 7)]],
    }
    source = Scripted("x", downloads, attempts=1)
    first = await analyze("x", source=source, filter=ASKED, checkpoint=checkpoint)
    assert first.incomplete == ("z",)
    # What is skipped is merged as nothing, so that its neighbours are neighbours.
    export = await source.discover("x")
    belonging = Belonging.of(
        export, source=source.name, reducer=Summary().fingerprint, options=RunOptions(filter=ASKED)
    )
    assert [(run.start, run.end) for run in Checkpoint(checkpoint).load(belonging).runs] == [(0, 2)]
    seen: list[Event] = []
    second = await analyze("x", source=source, filter=ASKED, checkpoint=checkpoint, listener=seen.append)
    assert second.incomplete == ()
    assert second.totals["spo2"].count == 2
    assert source.asked == {"w": 1, "z": 2}
    assert [event.download_id for event in seen if isinstance(event, Restored)] == ["w"]
    assert not checkpoint.exists()


async def test_a_checkpoint_of_other_rows_is_refused(tmp_path: Path) -> None:
    checkpoint = tmp_path / "checkpoint"
    source = Scripted("x", {Download("z"): [[Fail("broken", passing=False)]]}, attempts=1)
    await analyze("x", source=source, filter=ASKED, checkpoint=checkpoint)
    with pytest.raises(Exception, match="the filter differs"):
        await analyze("x", source=source, checkpoint=checkpoint)
    with pytest.raises(Exception, match="time zone"):
        await analyze("x", source=source, filter=ASKED, checkpoint=checkpoint, schema=Schema(timezone="Asia/Tokyo"))
    assert b"P001" not in checkpoint.read_bytes()


@pytest.mark.parametrize(
    "change",
    [
        {"since_us": None},
        {"until_us": None},
        {"patients": frozenset({"P001", "P002"})},
        {"event_types": None},
        {"event_types": frozenset({"heart_rate"})},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_checkpoint_belongs_to_all_that_was_asked_for(change: dict[str, Any]) -> None:
    def belonging(asked: Filter) -> Belonging:
        return Belonging.of(Export("x", (WANTED,)), source="s", reducer="r", options=RunOptions(filter=asked))

    told = belonging(ASKED).difference(belonging(replace(ASKED, **change)))
    assert told == "it was made of other rows: the filter differs"
    assert belonging(ASKED).difference(belonging(replace(ASKED))) is None


async def test_files_are_kept_whole_so_a_filter_does_not_go_with_that(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="filter: does not go with save"):
        await analyze("demo", filter=ASKED, save=tmp_path)


def test_a_state_does_not_tell_of_groups_that_nobody_asked_for() -> None:
    if len(ENGINES) == 1:
        pytest.skip("there is no kernel here")
    from mockexport.engine.choosing import choose_engine

    engine = choose_engine(Summary(), Schema(), asked=ASKED, wanted="kernel")
    fold = engine.new_fold(Span("d"))
    fold.feed(Chunk(Span("d"), WANTED_ROWS, 0, len(WANTED_ROWS), 1))
    assert b"P002" not in engine.reducer.dump(fold.state)
    assert set(engine.reducer.result(fold.state).patients) == {"P001"}
    merged = engine.reducer.merge(engine.reducer.empty(), fold.state)
    assert b"P002" not in engine.reducer.dump(merged)
    assert set(engine.reducer.result(merged).patients) == {"P001"}
    assert fold.tally.patients == {"P001", "P002"}


@pytest.mark.parametrize("name", ["x" * 5_000, "x" * 257, "é" * 129, "\ud800" * 86, "🙂" * 65])
def test_what_is_too_long_for_an_id_is_not_asked_for_and_not_shown(name: str) -> None:
    for asked in ({"patients": ["P001", name]}, {"event_types": [name]}):
        with pytest.raises(OptionError, match="at most 256 bytes of UTF-8") as raised:
            Filter.of(**asked)  # type: ignore[arg-type]
        assert name not in str(raised.value)
    for fitting in ("x" * 256, "é" * 128, "\ud800" * 85):
        assert Filter.of(patients=[fitting]).patients == frozenset({fitting})
