"""Notes say what needs to be known beside the figures, and are of the data alone."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Download, Export, Filter, Report, Schema, Selection, Statistics, Summary, analyze
from mockexport.engine.choosing import kernel_problem
from mockexport.errors import NotedError
from mockexport.formats import Batch
from mockexport.reducers import Reducer
from mockexport.reducers.reach import pack_reaches, reach_of_all
from mockexport.report import overlaps
from mockexport.report.overlaps import Overlaps, Reached, overlaps_of, without_reaches
from mockexport.sources.scripted import Scripted
from tests.faults.memory import MemorySource
from tests.rows import HEADER, batches

Group = tuple[str, int, int]  # a patient, and first and last time


class OwnSummary(Summary):
    """A reducer of which no engine has a twin."""


def rows(patient: str, *minutes: int, kind: str = "hr", value: object = 70) -> bytes:
    return "".join(f"{patient},2025-08-26T{m // 60:02}:{m % 60:02}:00Z,{kind},{value}\n" for m in minutes).encode()


def reached(groups: list[Group]) -> Reached | None:
    reach = reach_of_all((1, first, last) for _, first, last in groups)
    reaches = pack_reaches([(patient, "hr", first, last) for patient, first, last in groups])
    return None if reach is None else Reached(*reach, reaches)


async def report_of(*bodies: bytes, **options: object) -> Report[Statistics]:
    source = Scripted("x", {Download(f"{at}.csv"): [[HEADER + body]] for at, body in enumerate(bodies)})
    return await analyze("x", source=source, max_bad=1000, **options)  # type: ignore[arg-type]


def kinds(report: Report[Statistics]) -> list[str]:
    return [note.kind for note in report.notes]


@pytest.mark.parametrize("engine", ["python", "auto"])
async def test_downloads_with_the_same_patients_type_over_the_same_time_are_noted(engine: str) -> None:
    first, second = rows("P1", 0, 60, 120) + rows("P2", 0), rows("P1", 110, 130)
    report = await report_of(first, second, rows("P2", 200), engine=engine)
    (note,) = report.notes
    assert (note.kind, note.count, note.downloads) == ("overlapping downloads", 1, ("0.csv", "1.csv"))
    assert json.loads(report.to_json())["notes"][0]["text"] == str(note)
    assert "P1" not in str(note)
    for alone in ([first, rows("P1", 121)], [first, rows("P1", 100, kind="spo2")], [first, rows("P3", 100)], [first]):
        assert kinds(await report_of(*alone, engine=engine)) == []


async def test_of_downloads_between_others_only_those_that_overlap_are_noted() -> None:
    """January, March, February: what is merged first reaches over all three."""
    january, february, march = rows("P1", 0, 10), rows("P1", 20, 30), rows("P1", 40, 50)
    for order in itertools.permutations([january, february, march]):
        assert kinds(await report_of(*order)) == []
    report = await report_of(january, march, february + rows("P1", 45))
    assert report.notes[0].downloads == ("1.csv", "2.csv")


async def test_what_was_announced_apart_is_not_compared_and_failed_downloads_are_not() -> None:
    body = rows("P1", 0, 10)
    bodies = {Download("a", start_us=0, end_us=2 * 10**15): HEADER + body, Download("b", rows=99): HEADER + body}
    report = await analyze("x", source=MemorySource("x", bodies), allow_incomplete=True)
    assert report.incomplete == ("b",)
    assert report.notes == ()


async def test_rows_that_are_not_asked_for_do_not_overlap() -> None:
    bodies = [rows("P1", 0, 60), rows("P1", 30, 90)]
    assert kinds(await report_of(*bodies, filter=Filter.of(until="2025-08-26T00:20:00"))) == []
    assert kinds(await report_of(*bodies, filter=Filter.of(since="2025-08-26T00:20:00"))) == ["overlapping downloads"]


groups = st.lists(
    st.tuples(st.sampled_from("AB"), st.integers(0, 12), st.integers(0, 4)),
    max_size=2,
    unique_by=lambda group: group[0],
).map(lambda found: [(patient, first, first + length) for patient, first, length in found])


@given(st.lists(groups, max_size=5))
def test_exactly_the_groups_that_share_time_are_found(downloads: list[list[Group]]) -> None:
    named = [(str(at), each) for at, download in enumerate(downloads) if (each := reached(download)) is not None]
    found = overlaps_of(named)
    expected, patients = set(), set()
    for (i, one), (j, other) in itertools.combinations(enumerate(downloads), 2):
        for (p, first, last), (q, begin, end) in itertools.product(one, other):
            if p == q and first <= end and begin <= last:
                expected |= {i, j}
                patients.add(p)
    assert (found.groups, found.unknown) == (len(patients), ())
    # Of three that overlap one after the other, each is one of a pair; whom it overlaps is not said.
    assert set(found.downloads) <= {str(at) for at in expected}
    assert bool(found.downloads) == bool(expected)


def test_with_too_many_groups_downloads_are_compared_as_a_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(overlaps, "MAX_REACHES", 2)
    parts = [reached([("A", 0, 9), ("B", 0, 1)]), reached([("B", 5, 9)]), reached([("A", 10, 12)])]
    named = [(str(at), without_reaches(part)) for at, part in enumerate(parts) if part is not None]
    assert overlaps_of(named) == Overlaps(unknown=("0", "1"))


@pytest.mark.skipif(kernel_problem() is not None, reason="the kernel is not built")
@given(st.lists(batches(), max_size=3))
def test_both_engines_say_the_same_of_how_far_groups_reach(parts: list[Batch]) -> None:
    from mockexport.engine.kernel import twin_of

    for reducer in (Summary(), Selection(["median"])):
        twin = twin_of(reducer)
        assert twin is not None
        states = reducer.empty(), twin.empty()
        for part in parts:
            states = reducer.update(states[0], part), twin.update(states[1], part)  # type: ignore[arg-type]
        assert twin.reaches(states[1]) == reducer.reaches(states[0])  # type: ignore[arg-type]
        assert twin.reach(states[1]) == reducer.reach(states[0])  # type: ignore[arg-type]


async def test_bad_rows_and_missing_values_are_noted_with_reasons_and_types() -> None:
    report = await report_of(rows("P1", 0), rows("P1", 1, value="x") + rows("P1", 2, value="") + rows("P1", 3))
    bad, missing = report.notes
    assert bad.to_plain() == {
        "kind": "bad rows",
        "text": "1 bad row left out (1 bad value); the first is line 2 of download 1.csv",
        "count": 1,
        "by": {"bad value": 1},
        "downloads": ["1.csv"],
    }
    assert (missing.kind, missing.count, dict(missing.by)) == ("missing values", 1, {"hr": 1})
    assert kinds(await report_of(rows("P1", 0))) == []
    assert [note.kind for note in report.counts().notes] == kinds(report)


@pytest.mark.parametrize("engine", ["python", "auto"])
@pytest.mark.parametrize("reducer", [Summary(), OwnSummary()], ids=["twin", "python"])
@pytest.mark.parametrize("chunk_bytes", [7, 10_000])
async def test_a_column_of_units_that_nothing_looks_at_is_noted(
    engine: Any, reducer: Reducer[Any, Any], chunk_bytes: int
) -> None:
    body = HEADER.rstrip() + b",Unit\nP1,2025-08-26,glucose,90,mg/dL\nP1,2025-08-27,glucose,5,mmol/l\n"

    async def noted(schema: Schema) -> list[tuple[str, int | None]]:
        source = Scripted("x", {Download("a"): [[body]], Download("b"): [[HEADER + rows("P2", 0)]]})
        report = await analyze(
            "x", source=source, schema=schema, engine=engine, reducer=reducer, chunk_bytes=chunk_bytes
        )
        return [(note.kind, note.count) for note in report.notes if note.kind != "dates only"]

    assert await noted(Schema()) == [("units not looked at", 1)]
    assert await noted(Schema(constants=(("unit", ""),))) == []


async def test_units_that_are_looked_at_make_types_and_none_is_noted() -> None:
    body = (
        HEADER.rstrip() + b",unit\nP1,2025-08-26T00:00:00,glucose,90,mg/dL\nP1,2025-08-27T00:00:00,glucose,5,mmol/l\n"
    )
    report = await analyze("x", source=Scripted("x", {Download("a"): [[body]]}), schema=Schema(unit="unit"))
    assert [*report.totals] == ["glucose [mg/dL]", "glucose [mmol/l]"]
    assert report.notes == ()


async def test_ids_and_types_that_hardly_differ_are_noted_and_not_in_the_text() -> None:
    body = b"".join(rows(patient, 0) for patient in ("0007", "7", '" 7"', "P1", "p1", "P01", "0", "00", "a"))
    ids, types = (await report_of(body + rows("a", 0, kind="Heart Rate") + rows("a", 1, kind="heart_rate"))).notes
    assert (ids.kind, ids.count) == ("patient ids alike", 7)
    assert ids.names == ((" 7", "0007", "7"), ("0", "00"), ("P1", "p1"))
    assert str(ids) == "7 patient ids differ from another only by case, spaces or zeros in front: the same, perhaps"
    assert (types.kind, types.names) == ("event types alike", (("Heart Rate", "heart_rate"),))


@pytest.mark.parametrize("reducer", [Summary(), Selection(["min", "count"]), Selection(["mean"])])
async def test_a_least_value_that_often_means_none_is_noted(reducer: Summary | Selection) -> None:
    body = rows("P1", 0, value=-999) + rows("P1", 1, 2) + rows("P1", 0, kind="be", value=-9) + rows("P2", 0, value=-999)
    notes = (await report_of(body, reducer=reducer)).notes
    if isinstance(reducer, Selection) and "min" not in reducer.stats:
        assert notes == ()
        return
    (note,) = notes
    assert (note.kind, note.count, note.names) == ("null tokens, perhaps", 1, (("hr",),))
    assert "least value of hr is -999," in str(note)


async def test_a_checkpoint_and_many_downloads_come_to_the_same_notes(tmp_path: Path) -> None:
    bodies = {Download(f"{at:02}", rows=2): HEADER + rows("P1", at, at + 1) for at in range(12)}
    broken = {download: body[:-30] if download.id == "11" else body for download, body in bodies.items()}
    path = tmp_path / "run"
    source = MemorySource("x", broken)
    assert (await analyze("x", source=source, checkpoint=path)).incomplete == ("11",)
    source.bodies = bodies
    report = await analyze("x", source=source, checkpoint=path)
    (note,) = report.notes
    assert (note.count, len(note.downloads), note.to_plain()["further_downloads"]) == (1, 10, 2)
    assert Export.of("x", bodies).downloads[0].id == note.downloads[0]


@pytest.mark.parametrize("engine", ["python", "auto"])
@pytest.mark.parametrize(
    ("bodies", "told"),
    [
        ([rows("P1", 0), rows("P1", 1, value="")], "download 1.csv: 1 missing values"),
        ([rows("P1", 0, 9), rows("P1", 5)], "the report of x: 2 downloads hold values of the same"),
        ([rows("07", 0), rows("7", 0)], "the report of x: 2 patient ids differ"),
    ],
)
async def test_what_would_be_noted_ends_a_strict_run(bodies: list[bytes], told: str, engine: str) -> None:
    with pytest.raises(NotedError, match=told):
        await report_of(*bodies, engine=engine, strict=True)


async def test_what_a_reducer_says_of_its_statistics_is_no_end() -> None:
    many = b"".join(rows("P1", at % 1440, value=f"72.{at:04}") for at in range(4200))
    report = await report_of(many, strict=True, reducer=Selection(["median"]))
    assert kinds(report) == ["statistics"]
