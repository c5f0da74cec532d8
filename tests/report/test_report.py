"""The report's JSON: sorted, exact, and never a partial one that passes for a whole one."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from mockexport import Account, IncompleteReport, Report, Statistics, Verdict, to_csv, to_html, to_table
from mockexport.model import VerdictKind
from mockexport.reducers import Result
from mockexport.report.account import DownloadAccount


def account(*kinds: VerdictKind) -> Account:
    downloads = tuple(
        DownloadAccount(f"d{i}", Verdict(kind, ("it broke",)), 10, {"bad value": 1} if i else {}, (), {}, 1, 100, 100)
        for i, kind in enumerate(kinds)
    )
    return Account("x", "here", False, "python", "0", 1.0, downloads)


def report(*kinds: VerdictKind) -> Report[Statistics]:
    statistics = Statistics(count=2, mean=75.0, min=72, max=77.25, anomalies=0, latency=None)
    return Report.of(Result({"ä": {"x": statistics}, "b": {"y": statistics}}, {"y": statistics}), account(*kinds))


def test_the_json_is_sorted_indented_ascii_and_ends_with_a_newline() -> None:
    text = report(VerdictKind.VERIFIED).to_json()
    plain = json.loads(text)
    assert text == json.dumps(plain, indent=2, sort_keys=True, ensure_ascii=True) + "\n"
    assert plain["patients"]["\u00e4"]["x"] == {
        "anomalies": 0, "count": 2, "latency": None, "max": 77.25, "mean": 75.0, "min": 72
    }  # fmt: skip
    assert text.isascii()
    assert '"mean": 75.0' in text
    assert '"min": 72\n' in text


def test_rounding_touches_fractions_only() -> None:
    assert '"max": 77.2' in report().to_json(round_to=1)
    assert '"count": 2' in report().to_json(round_to=1)


def test_a_whole_report_has_no_third_key_and_an_incomplete_one_has() -> None:
    assert set(json.loads(report(VerdictKind.VERIFIED).to_json())) == {"patients", "totals"}
    incomplete = json.loads(report(VerdictKind.VERIFIED, VerdictKind.FAILED, VerdictKind.MISMATCH).to_json())
    assert incomplete["incomplete"] == ["d1", "d2"]


def test_an_incomplete_report_gives_its_figures_to_those_only_who_allow_it() -> None:
    partial = report(VerdictKind.VERIFIED, VerdictKind.FAILED, VerdictKind.MISMATCH)
    asking: list[Callable[[Report[Any]], object]] = [
        lambda asked: asked.patients,
        lambda asked: asked.totals,
        lambda asked: list(asked.rows()),
        lambda asked: asked.__arrow_c_stream__(),
        lambda asked: asked.counts().totals,
    ]
    for ask in asking:
        with pytest.raises(IncompleteReport, match=r"2 downloads are not in it.* 'd1' \(failed: it broke\).*allow_inc"):
            ask(partial)
        assert ask(partial.allowing_incomplete())
        assert ask(report(VerdictKind.VERIFIED))
    with pytest.raises(IncompleteReport):
        partial.allowing_incomplete().raise_if_incomplete()
    report(VerdictKind.VERIFIED).raise_if_incomplete()
    assert partial.to_json() == partial.allowing_incomplete().to_json()
    assert to_table(partial) == to_table(partial.allowing_incomplete())
    assert to_csv(partial) == to_csv(partial.allowing_incomplete())
    assert to_html(partial) == to_html(partial.allowing_incomplete())


def test_patients_and_types_are_in_order_and_no_figure_is_in_the_repr() -> None:
    assert list(report(VerdictKind.VERIFIED).patients) == ["b", "ä"]
    assert repr(report(VerdictKind.FAILED)) == "<Report of x: 2 patients, 1 event type, incomplete>"


def test_counts_are_the_report_with_nothing_but_counts() -> None:
    plain = json.loads(report(VerdictKind.FAILED).counts().to_json())
    assert plain == {"incomplete": ["d0"], "patients": {"b": {"y": 2}, "ä": {"x": 2}}, "totals": {"y": 2}}


def test_an_accounts_rows_are_those_that_count() -> None:
    told = account(VerdictKind.VERIFIED, VerdictKind.FAILED, VerdictKind.MISMATCH)
    assert (told.rows, told.bad_rows) == (20, 1)
