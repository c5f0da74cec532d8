"""The page: everything from data is text, nothing is fetched, it fits, and it says what it leaves out."""

import json
import os
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from mockexport import AnomalyRule, Report, Statistics, to_html
from mockexport.formats.batch import Batch
from mockexport.formats.coverage import HOUR_US, Coverage
from mockexport.model import VALUE_SCALE, VerdictKind
from mockexport.reducers import Result, Selection
from mockexport.reducers.drawing import DRAWING, MAX_DRAWN
from mockexport.report.charts import Timeline
from mockexport.report.html import MAX_ROWS
from mockexport.report.html_account import MAX_GAPS
from mockexport.report.markup import shown
from tests.browser import Browser, missing
from tests.report.reports import (
    HOSTILE,
    START,
    account,
    coverage,
    download,
    hostile_report,
    many_statistics,
    statistics,
)


def test_no_markup_comes_from_data() -> None:
    html = to_html(hostile_report())
    tags = set(re.findall(r"<([a-zA-Z]+)", html))
    assert not tags & {"img", "iframe", "object", "a", "form"}
    assert html.count("<script") == html.count("</script>") == 2
    data, script = re.findall(r"<script[^>]*>(.*?)</script>", html, re.DOTALL)
    assert {shown(patient) for patient in HOSTILE} <= set(json.loads(data)["patients"])
    ours = files("mockexport.report")
    assert script == "".join(ours.joinpath(name).read_text("utf-8") for name in ("page.js", "charts.js"))
    assert "\0" not in html
    assert "\u202e" not in html
    html.encode()  # a lone surrogate is written out, too
    assert html == to_html(hostile_report())


def test_a_page_of_many_patients_is_light_and_says_what_is_left_out() -> None:
    patients = {f"P{number:06}": {"heart_rate": statistics(100, number % 7)} for number in range(20_000)}
    patients["P010000"] = {"heart_rate": statistics(100, 50)}
    report = Report.of(Result(patients, {"heart_rate": statistics(2_000_000, 7)}), account(download()))
    html = to_html(report)
    assert len(html) < 2_000_000
    static = html.partition('class="as-it-is"')[2]
    assert static.index("P000006") < static.index("P010000")  # in the report's order
    assert f"{20_000 - MAX_ROWS:,} left out" in html
    assert "P000006" in static  # of the largest share
    assert "P000007" not in static  # of none


def test_a_page_of_many_event_types_is_light_and_shows_those_with_the_most_values() -> None:
    totals = {f"{220_000 + number}": statistics(100 + number, 0) for number in range(3_000)}
    html = to_html(Report.of(Result({"P": totals}, totals), account(download())))
    assert len(html) < 600_000
    assert f"{MAX_ROWS} of 3,000 event types, those with the most values; 2,800 left out." in html
    assert ">222999<" in html
    assert ">220000<" not in html


def test_results_of_other_kinds_are_shown_too() -> None:
    result = {"p95": 3.25, "last": "2025-08-26T00:00:00Z", "per_hour": {"x": 1}}
    report: Report[object] = Report.of(Result({"P": {"t": result}}, {"t": result}), account(download()))
    html = to_html(report)
    assert "3.25" in html
    assert "Not shown here: per_hour" in html
    counts: Report[Statistics] = Report.of(Result({"P": {"t": statistics()}}, {"t": statistics()}), account(download()))
    assert ">4<" in to_html(counts.counts())
    nothing: Report[Statistics] = Report.of(Result({}, {}), account())
    assert "no row with a value" in to_html(nothing)


def test_gaps_are_listed_with_those_at_the_ends_of_what_was_announced() -> None:
    covered = coverage(1, 2, 5, 9, announced=12)
    timeline = Timeline.of([covered])
    assert timeline is not None
    assert timeline.gaps([covered]) == [(START + a, START + b) for a, b in [(0, 1), (3, 5), (6, 9), (10, 12)]]
    html = to_html(Report.of(Result({}, {}), account(download(covered=covered))))
    assert "4 gaps of an hour or more, 8 hours in all" in html
    assert "2025-08-26 03:00 UTC to 2025-08-26 05:00 UTC: 2 hours" in html.replace(":00 UTC", ":00 UTC")


def test_many_gaps_are_counted_and_the_longest_listed() -> None:
    covered = coverage(*range(0, 200, 2), announced=200)
    html = to_html(Report.of(Result({}, {}), account(download(covered=covered))))
    assert f"100 gaps of an hour or more, 100 hours in all; the {MAX_GAPS} longest:" in html


def test_a_time_of_thousands_of_years_is_drawn_in_bounds() -> None:
    hours = {at * 2048: 1 for at in range(-8000, -4000)}
    covered = Coverage(None, None, -8000 * 2048 * HOUR_US, -4001 * 2048 * HOUR_US, 2048, hours)
    far = Coverage(None, None, 70_000_000 * HOUR_US, 70_000_000 * HOUR_US, 1, {70_000_000: 1})
    html = to_html(Report.of(Result({}, {}), account(download(covered=covered), download("e", covered=far))))
    assert len(html) < 60_000
    many = [download(f"d{number}", covered=coverage(number, announced=500)) for number in range(500)]
    html = to_html(Report.of(Result({}, {}), account(*many)))
    assert "There are 500 downloads, too many for a lane each." in html
    assert "300 complete downloads left out" in html


_CONTRAST = """
const light = c => { const v = c.map(x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
                     return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
const parse = t => t.match(/[\\d.]+/g).slice(0, 3).map(Number);
const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
                      if (!c.endsWith(', 0)')) return parse(c); } return [255, 255, 255]; };
return Math.min(...[...document.querySelectorAll('p, th, td, dt, dd, h1, h2, h3, li, span')]
  .filter(e => e.textContent.trim())
  .map(e => { const a = light(parse(getComputedStyle(e).color)), b = light(ground(e));
              return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }));
"""


# Tables that are wider than what they stand in, and figures that are wider than their cell.
_CUT = """
return [...document.querySelectorAll('.scroll:not(#all-patients .scroll), .lanes, .chart, tbody td, tbody th')]
  .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className + ' ' + e.textContent.slice(0, 60));
"""
# A4 between margins of a centimetre, as Chromium prints; in pixels of CSS.
_SHEET = 718
_WINDOWS = [
    *((360, dark, "") for dark in (False, True)),
    *((width, False, "") for width in (880, 1_040)),
    *((1_200, dark, "") for dark in (False, True)),
    (_SHEET, True, "print"),
]


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_browser_shows_it_narrow_and_wide_light_dark_and_printed(tmp_path: Path) -> None:
    pages: dict[str, Report[Any]] = {"report": hostile_report(), "many": many_statistics(), "drawn": drawn_report()}
    for name, report in pages.items():
        (tmp_path / f"{name}.html").write_text(to_html(report), "utf-8")
    with Browser(tmp_path, width=360, height=900) as browser:
        for name in pages:
            browser.open((tmp_path / f"{name}.html").as_uri())
            for width, dark, media in _WINDOWS:
                browser.emulate(width, 900, dark=dark, media=media)
                where = f"{name}, {width} px, {'dark' if dark else 'light'} {media}"
                assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), where
                assert browser.run(_CUT) == [], where
                assert float(browser.run(_CONTRAST)) >= 4.5, where
                if "MOCKEXPORT_SCREENSHOTS" in os.environ:
                    browser.screenshot(Path(os.environ["MOCKEXPORT_SCREENSHOTS"]) / f"{where}.png")
            rows = "[...document.querySelectorAll('tr, li, .lanes')]"
            assert browser.run(f"return {rows}.every(e => getComputedStyle(e).breakInside === 'avoid')"), "on paper"
            assert len(re.findall(rb"/Type /Page\b", browser.print())) <= 6, name
        browser.open((tmp_path / "report.html").as_uri())
        assert browser.run("return document.title") == f"Report of {HOSTILE[3]}"
        assert browser.run("return document.querySelectorAll('script[src], link[href^=http], img').length") == 0
        assert browser.run("return performance.getEntriesByType('resource').length") == 0
        assert browser.console() == []
        patients = browser.run("return [...document.querySelectorAll('tbody bdi')].map(e => e.textContent)")
        assert {shown(patient) for patient in HOSTILE} <= set(patients)
        assert browser.run(
            "return [...document.querySelectorAll('svg[role=img]')].every(e => e.querySelector('title'))"
        )
        assert browser.run("return [...document.querySelectorAll('th')].every(e => e.scope)")
        assert browser.run("return document.querySelectorAll('.gap').length") >= 2


def test_doubts_about_a_complete_report_are_told_first() -> None:
    html = to_html(many_statistics())
    assert html.index("Complete: every") < html.index("1 of 1 downloads could not be verified") < html.index("Totals")
    assert "2 bad rows left out" in html


def test_bounds_are_told_and_what_has_none_has_no_share() -> None:
    rules = {"heart_rate": AnomalyRule(50, "120.5")}
    result = {"P": {"heart_rate": statistics(), "unknown": statistics(anomalies=0)}}
    html = to_html(Report.of(Result(result, result["P"]), account(download())), rules=rules)
    assert "bounds 50 to 120.5" in html
    assert html.count(">no bounds<") == 2  # of the patient, and in total
    assert html.count("25.0%") == 4  # the same, each in words and as what a drawing is called


def test_an_incomplete_report_says_so_first() -> None:
    report: Report[Statistics] = Report.of(
        Result({}, {"t": statistics()}), account(download("d", VerdictKind.FAILED, "why it failed"))
    )
    html = to_html(report)
    assert html.index("Incomplete: 1 of 1 download failed") < html.index("Totals")
    assert "failed</span>: why it failed" in html


def drawn_report(patients: int = 3, days: int = 2) -> Report[Any]:
    """A report of patients with a value every ten minutes, as a run for the page makes it; the last is the sickest."""
    reducer = Selection(["count", "anomalies", "mean", "min", "max", DRAWING])
    times = [START * HOUR_US + minute * 60_000_000 for minute in range(0, days * 1_440, 10) if not 300 < minute < 600]
    state = reducer.empty()
    for number in range(patients):
        values = [
            (60 + number + (at // 600_000_000 % 40) * (5 if at % 7 < number / patients * 7 else 1)) for at in times
        ]
        scaled = [value * VALUE_SCALE for value in values]
        rows = Batch([f"P{number:05}"] * len(times), times, ["heart_rate"] * len(times), scaled)
        state = reducer.update(state, rows)
    return Report.of(reducer.result(state), account(download()))


def test_a_course_is_drawn_of_each_event_type_and_of_the_most_anomalous_patients() -> None:
    html = to_html(drawn_report())
    assert html.count('class="course"') == 2 + 3  # course and distribution of all, and a course each
    assert "by hour" in html
    assert html.count("anomalies</summary>") == 3
    assert 'class="quantiles"' in html
    # From one hour without values to the next there is no line.
    (path,) = re.findall(r'class="pair">.*?</figure><figure', html, re.DOTALL)
    assert path.count('class="median"') == 2


def test_what_is_drawn_is_bounded_however_many_patients_there_are() -> None:
    html = to_html(drawn_report(300, 1))
    assert html.count("<details") == MAX_DRAWN
    assert "Of 300, those with the largest shares of anomalies." in html
    assert len(html) < 1_000_000


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_patients_are_searched_and_sorted_and_their_courses_unfolded(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(to_html(drawn_report(130, 1)), "utf-8")
    ids = "return [...document.querySelectorAll('#all-patients tbody th bdi')].map(e => e.textContent)"
    with Browser(tmp_path, width=1_000, height=900) as browser:
        browser.open((tmp_path / "page.html").as_uri())
        assert browser.console() == []
        assert browser.run(ids) == [f"P{number:05}" for number in range(100)]  # the report's order
        assert browser.run("return document.querySelector('.as-it-is').offsetHeight") == 0
        browser.run("document.querySelector('#all-patients > button').click()")
        assert len(browser.run(ids)) == 130
        browser.run("document.querySelector('#all-patients thead button').click()")
        assert browser.run(ids)[0] == "P00129"
        assert (
            browser.run("return document.querySelector('#all-patients th[aria-sort=descending]').textContent")
            == "patient"
        )
        browser.run("document.querySelectorAll('#all-patients thead button')[2].click()")
        assert browser.run(ids)[0] != "P00000"  # who has the least anomalies, is last
        browser.run("document.querySelector('#all-patients thead button').click()")
        browser.run("document.querySelector('#all-patients thead button').click()")
        browser.run("const e = document.querySelector('input'); e.value = 'p0012'; e.dispatchEvent(new Event('input'))")
        assert browser.run(ids) == [f"P{number:05}" for number in range(129, 119, -1)]
        browser.run("document.querySelector('#all-patients tbody a').click()")
        browser.until("return document.querySelectorAll('details[open]').length == 1")
        assert browser.run("return document.querySelector('details[open] summary').textContent").startswith("P00129")


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
def test_a_chart_is_read_out_by_pointer_and_by_keys(tmp_path: Path) -> None:
    (tmp_path / "page.html").write_text(to_html(drawn_report(), rules={"heart_rate": AnomalyRule(40, 180)}), "utf-8")
    said = "return document.querySelectorAll('.plot')[arguments[0]].getAttribute('aria-valuetext')"
    with Browser(tmp_path, width=1_000, height=900) as browser:
        browser.open((tmp_path / "page.html").as_uri())
        browser.run("document.querySelector('.plot').focus()")
        first = browser.run(said, 0)
        assert re.fullmatch(
            r"2025-08-26 00:00 to 01:00: median [\d.]+, 90% from [\d.]+ to [\d.]+; 18 values, \d+ anomal.*", first
        )
        press = "document.activeElement.dispatchEvent(new KeyboardEvent('keydown', {key: arguments[0]}))"
        for key, hour in (("ArrowRight", "01:00"), ("End", "23:00"), ("ArrowRight", "23:00"), ("Home", "00:00")):
            browser.run(press, key)
            assert browser.run(said, 0)[11:16] == hour, key
        # Between 5 and 10 o'clock there is none.
        for _ in range(6):
            browser.run(press, "ArrowRight")
        assert browser.run(said, 0) == "2025-08-26 06:00 to 07:00: no value"
        assert browser.run("return document.querySelector('output').textContent") == browser.run(said, 0)
        point = """
            const plot = document.querySelectorAll('.plot')[1], box = plot.getBoundingClientRect();
            plot.dispatchEvent(new PointerEvent('pointermove', {clientX: box.left + 1}));
            return [...plot.querySelectorAll('.cursor')].every(e => e.style.display === '');
        """
        assert browser.run(point) is True
        assert re.fullmatch(r"60 to 6\d: \d+ values, 0 anomalies", browser.run(said, 1))
        assert browser.console() == []
