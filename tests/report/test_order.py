"""One order of patients and event types everywhere, that of the report: by code point."""

import json
import re
from html import unescape
from pathlib import Path
from typing import Any

import nanoarrow
import pytest

from mockexport import Report, Result, Run, Selection, analyze, to_csv, to_html, to_table
from mockexport.cli.preview import provisional
from mockexport.reducers.drawing import DRAWING
from mockexport.report.report import in_order
from tests.browser import Browser, missing

# By code point; by number P2 is before P10, without case p1 before P10, with an alphabet's rules Ä before P, and by
# UTF-16 the face before U+FFFD.
PATIENTS = ["P10", "P2", "p1", "Ä", "\ufffd", "\U0001f600"]
TYPES = ["B10", "B2", "a", "ä"]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A table in which patients and event types come in another order; of later ones more values are anomalies."""
    rows = [
        f"{patient},2025-08-26T{hour:02}:{minute:02}:00Z,{event_type},{30 if hour < 3 + place else 80}\n"
        for hour in range(12)
        for minute in range(60)
        for place, patient in reversed(list(enumerate(PATIENTS)))
        for event_type in ("ä", "B2", "a", "B10")
    ]
    path = tmp_path_factory.mktemp("order") / "table.csv"
    path.write_text("patient_id,event_time,event_type,value\n" + "".join(rows), "utf-8")
    return path


def in_turn(found: list[str]) -> list[str]:
    """What is found, without what is the same as the one before."""
    return [text for at, text in enumerate(found) if at == 0 or found[at - 1] != text]


def faces(report: Report[Any]) -> dict[str, tuple[list[str], list[str]]]:
    """Of each face of a report the patients, and the event types of the first of them, in its order."""
    rows = list(report.rows())
    plain = json.loads(report.to_json())
    csv = [line.split(",") for line in to_csv(report).splitlines()[1:]]
    text = [line.split() for line in to_table(report, width=300).splitlines()[1:] if line]
    arrow = nanoarrow.Array(nanoarrow.ArrayStream(report).read_all())
    columns = {name: list(arrow.child(at).iter_py()) for at, name in enumerate(("patient_id", "event_type"))}
    found = {
        "patients": (list(report.patients), list(report.patients[PATIENTS[0]])),
        "json": (list(plain["patients"]), list(plain["patients"][PATIENTS[0]])),
        "rows": ([row["patient_id"] for row in rows], [row["event_type"] for row in rows]),
        "csv": ([line[0] for line in csv], [line[1] for line in csv]),
        "table": ([line[0] for line in text], [line[1] for line in text if len(line) > 1]),
        "arrow": (columns["patient_id"], columns["event_type"]),
    }
    return {
        name: ([each for each in in_turn(patients) if each in PATIENTS], types[: len(TYPES)])
        for name, (patients, types) in found.items()
    }


@pytest.mark.parametrize("engine", ["kernel", "python"])
@pytest.mark.parametrize("stats", [None, ["count", "p95"]], ids=["usual", "chosen"])
async def test_every_face_has_the_reports_order(table: Path, engine: Any, stats: list[str] | None) -> None:
    report = await analyze(files=table, engine=engine, reducer=None if stats is None else Selection(stats))
    assert sorted(PATIENTS) == PATIENTS
    for name, (patients, types) in faces(report).items():
        assert patients == PATIENTS, name
        assert types == TYPES, name
    assert list(report.totals) == list(json.loads(report.to_json())["totals"]) == TYPES
    cell = re.findall(r"<bdi>(.*?)</bdi>", report._repr_html_())
    assert [name for name in cell if name in TYPES] == TYPES


async def test_counts_and_what_is_there_so_far_have_it_too(table: Path) -> None:
    async with Run(files=table, every_s=1e-6, chunk_bytes=20_000, engine="python") as run:
        snapshots = [snapshot async for snapshot in run]
        report = await run.report()
    assert list(report.counts().patients) == PATIENTS
    # However few snapshots a fast run has: what each is made by is the same.
    found = {patient: dict.fromkeys(reversed(TYPES), 1) for patient in reversed(PATIENTS)}
    patients, totals = in_order(Result(found, dict.fromkeys(reversed(TYPES), 6)))
    assert (list(patients), list(patients[PATIENTS[0]]), list(totals)) == (PATIENTS, TYPES, TYPES)
    for snapshot in snapshots:
        seen = snapshot.report
        assert list(seen.patients) == [patient for patient in PATIENTS if patient in seen.patients]
        assert list(seen.totals) == [event_type for event_type in TYPES if event_type in seen.totals]
        lines = [line.split()[0] for line in provisional(snapshot, 100, 60) if line]
        assert [name for name in in_turn(lines) if name in PATIENTS] == list(seen.patients)


async def test_the_page_has_it_with_and_without_its_script(table: Path, tmp_path: Path) -> None:
    reducer = Selection(["count", "mean", "min", "max", "anomalies", DRAWING])
    html = to_html(await analyze(files=table, reducer=reducer))
    data = json.loads(re.findall(r'id="patients">(.*?)</script>', html)[0])
    assert (data["patients"], data["types"]) == (PATIENTS, TYPES)
    names = [unescape(name) for name in re.findall(r"<bdi>(.*?)</bdi>", html)]
    static = names[names.index(PATIENTS[0]) :]
    assert static[: len(PATIENTS)] == PATIENTS
    own = re.findall(r"<summary><bdi>(.*?)</bdi>, <bdi>(.*?)</bdi>", html)
    assert own == [(patient, event_type) for patient in PATIENTS for event_type in TYPES]
    if missing() is None:
        (tmp_path / "page.html").write_text(html, "utf-8")
        with Browser(tmp_path, width=1_000, height=900) as browser:
            browser.open((tmp_path / "page.html").as_uri())
            shown = browser.run(
                "return [...document.querySelectorAll('#all-patients tbody bdi')].map(e => e.textContent)"
            )
            assert in_turn(shown[::2]) == PATIENTS
            assert shown[1 : 2 * len(TYPES) : 2] == TYPES
