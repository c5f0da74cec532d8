"""What a notebook shows of a report: the totals, what is missing, and no patient."""

from mockexport import Report
from mockexport.live import Snapshot
from mockexport.model import VerdictKind
from mockexport.report.notes import Note
from tests.report.test_report import account, report


def test_the_totals_are_shown_and_no_patient_is() -> None:
    shown = report(VerdictKind.VERIFIED)._repr_html_()
    assert "<th>event type</th><th>count</th>" in shown
    assert "<bdi>y</bdi></th><td>2</td><td>75.00</td><td>72</td><td>77.25</td><td>0</td><td>–</td>" in shown
    assert "2 patients, 10 rows" in shown
    assert "ä" not in shown


def test_an_incomplete_report_says_so_first() -> None:
    shown = report(VerdictKind.VERIFIED, VerdictKind.FAILED)._repr_html_()
    assert "</b>: INCOMPLETE, 1 download failed or not as announced" in shown


def test_ids_are_escaped_and_long_lists_cut() -> None:
    many = Report(
        {}, {f"<i>{number:03}": 1 for number in range(31)}, (), account(), (Note("statistics", "a <b> note"),)
    )
    shown = many._repr_html_()
    assert "<i>" not in shown
    assert "&lt;i&gt;029" in shown
    assert "&lt;i&gt;030" not in shown
    assert "and 1 more event type</p>" in shown
    assert "Note: a &lt;b&gt; note" in shown


def test_a_snapshot_says_of_how_much_it_is() -> None:
    snapshot = Snapshot(report(VerdictKind.VERIFIED), 10, 100, 40, 1, 0, 1, 2.0)
    assert "provisional, of 10 rows, 25% of all, after 2.0 s" in snapshot._repr_html_()
    unknown = Snapshot(report(VerdictKind.VERIFIED), 10, 100, None, 1, 0, 1, 2.0)
    assert "provisional, of 10 rows, after 2.0 s" in unknown._repr_html_()
