"""The report as CSV: what was written is read back, whatever the ids are."""

import csv
import io

from mockexport import Report, Statistics, to_csv
from mockexport.model import VerdictKind
from mockexport.reducers import Result
from mockexport.report.csv import formulas
from tests.report.reports import HOSTILE, account, download, hostile_report, statistics


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline=""), strict=True))


def test_ids_come_back_as_they_were_and_totals_belong_to_nobody() -> None:
    rows = read(to_csv(hostile_report()))
    assert {row["patient_id"] for row in rows} == {*HOSTILE, ""}
    assert [row["count"] for row in rows if not row["patient_id"]] == ["36", "81"]
    assert rows[0]["mean"] == "75.125"
    assert {row["incomplete"] for row in rows} == {"1"}
    assert formulas(hostile_report()) == 1


def test_lines_end_as_the_rfc_has_it_and_fractions_can_be_rounded() -> None:
    one = statistics()
    report: Report[Statistics] = Report.of(Result({"P": {"t": one}}, {"t": one}), account(download()))
    text = to_csv(report, round_to=1)
    head = "patient_id,event_type,count,mean,min,max,anomalies,latency\r\n"
    assert text == f"{head}P,t,4,75.1,30,152.5,1,2.0\r\n,t,4,75.1,30,152.5,1,2.0\r\n"
    assert read(to_csv(report.counts()))[0] == {"patient_id": "P", "event_type": "t", "count": "4"}


def test_maps_are_left_out_and_nothing_is_an_empty_field() -> None:
    result = {"count": 3, "latency": None, "per_hour": {"a": 3}}
    report: Report[object] = Report.of(Result({"P": {"t": result}}, {}), account(download("d", VerdictKind.VERIFIED)))
    assert to_csv(report) == "patient_id,event_type,count,latency\r\nP,t,3,\r\n"


def test_a_report_of_nothing_has_a_header() -> None:
    nothing: Report[Statistics] = Report.of(Result({}, {}), account())
    assert to_csv(nothing) == "patient_id,event_type\r\n"
