"""The report as columns: it fits, it loses nothing, and it says what it leaves out."""

import pytest

from mockexport import Report, Statistics, to_csv, to_html, to_table
from mockexport.model import VerdictKind
from mockexport.reducers import Result
from mockexport.report.plain import cells_of, shortened
from tests.report.reports import HOSTILE, account, download, hostile_report, statistics


def test_every_line_fits_and_nothing_steers_the_terminal() -> None:
    text = to_table(hostile_report())
    assert all(cells_of(line) <= 80 for line in text.splitlines())
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "\u2028" not in text
    assert "…" in text[: text.index("INCOMPLETE")]


def test_totals_are_below_the_rule_so_that_a_patient_called_all_is_none() -> None:
    report = Report.of(Result({"all": {"t": statistics(3, 0)}}, {"t": statistics(5, 0)}), account(download()))
    lines = to_table(report).splitlines()
    assert [line.split()[:3] for line in (lines[1], lines[3])] == [["all", "t", "3"], ["all", "t", "5"]]
    assert set(lines[2]) == {"-"}


def test_anomalies_have_a_mark_that_needs_no_colour() -> None:
    plain = to_table(hostile_report())
    assert " 9 !" in plain
    assert "\x1b[1;33m" in to_table(hostile_report(), colored=True)
    calm = Report.of(Result({}, {"t": statistics(5, 0)}), account(download()))
    assert "!" not in to_table(calm, colored=True)


@pytest.mark.parametrize("width", [60, 80, 200])
def test_statistics_that_do_not_fit_follow_in_further_blocks(width: int) -> None:
    many = {f"statistic{number}": number / 3 for number in range(20)}
    report: Report[object] = Report.of(Result({"P": {"t": many}}, {"t": many}), account(download()))
    text = to_table(report, width=width)
    assert all(len(line) <= width for line in text.splitlines())
    found = [word for line in text.splitlines() for word in line.split() if word.startswith("statistic")]
    assert found == list(many)


def test_maps_are_named_and_left_to_the_json() -> None:
    result = {"count": 3, "per_hour": {"2025-08-26T00": 3}}
    report: Report[object] = Report.of(Result({"P": {"t": result}}, {"t": result}), account(download()))
    assert "Not in columns: per_hour" in to_table(report)


def test_counts_and_an_incomplete_report() -> None:
    report: Report[Statistics] = Report.of(
        Result({"P": {"t": statistics()}}, {"t": statistics()}), account(download("bad", VerdictKind.FAILED, "why"))
    )
    text = to_table(report.counts())
    assert text.splitlines()[0].split() == ["patient", "event", "type", "count"]
    assert "INCOMPLETE: 1 download failed or differs: bad" in text


def test_many_incomplete_downloads_are_counted_and_the_first_are_named() -> None:
    downloads = [download(f"download-{number:03}", VerdictKind.FAILED) for number in range(30)]
    notes = ("a note of some length " * 9,)
    report: Report[object] = Report.of(Result({}, {"t": {"n": 1, "of maps": {}}}, notes), account(*downloads))
    text = to_table(report, width=60)
    assert all(cells_of(line) <= 60 for line in text.splitlines())
    told = " ".join(text.split())
    assert "INCOMPLETE: 30 downloads failed or differ: download-000, download-001," in told
    assert "download-009 and 20 more" in told
    assert "download-010" not in told


@pytest.mark.parametrize(("result", "head"), [(3, "count"), (0.5, "result"), (True, "result"), ("x", "result")])
def test_only_integers_without_a_name_are_called_counts(result: object, head: str) -> None:
    report: Report[object] = Report.of(Result({"P": {"t": result}}, {"t": result}), account(download()))
    assert to_table(report).splitlines()[0].split()[-1] == head
    assert to_csv(report).splitlines()[0].split(",")[-1] == head
    assert f">{head}</th>" in to_html(report)


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("cells", [1, 2, 8, 9, 20])
def test_what_is_shortened_keeps_both_ends(text: str, cells: int) -> None:
    short = shortened(text, cells)
    assert cells_of(short) <= cells
    begin, _, end = short.partition("…")
    assert text.startswith(begin)
    assert text.endswith(end)
    assert "…" in short or short == text
