"""A verdict says what differs from what was announced, without naming a patient."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Download
from mockexport.errors import BadRowError
from mockexport.formats import BadRow, BadRowReason, Batch, Decoded
from mockexport.formats.tally import Tally
from mockexport.model import MaxBad, VerdictKind
from mockexport.pipeline.verdicts import Rules, judge, overlapping
from tests.formats.test_tally import tally_of

T0 = 1_756_166_400_000_000


def announced(**changed: object) -> Download:
    facts: dict[str, object] = {
        "rows": 2, "event_types": ("x",), "patients": ("A", "B"), "start_us": T0, "end_us": T0 + 10
    } | changed  # fmt: skip
    return Download("d", **facts)  # type: ignore[arg-type]


def counted() -> Tally:
    return tally_of(Decoded(Batch(["A"], [T0], ["x"], [1]), [], [BadRow(3, BadRowReason.VALUE)]))


def test_rows_as_announced_are_verified_bad_ones_included() -> None:
    assert judge(announced(), counted()).kind is VerdictKind.VERIFIED


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rows": 1}, "2 rows came, 1 were announced"),
        ({"patients": ("B",)}, "1 of its patients were not announced"),
        ({"event_types": ("y",)}, "1 of its event types were not announced"),
        ({"start_us": T0 + 1}, "before start_time"),
        ({"end_us": T0}, "not before end_time"),
    ],
)
def test_a_difference_is_a_mismatch_that_says_what_differs(changed: dict[str, object], told: str) -> None:
    verdict = judge(announced(**changed), counted())
    assert verdict.kind is VerdictKind.MISMATCH
    assert verdict.counts
    assert not verdict.complete
    assert told in str(verdict)


def test_fewer_rows_than_announced_is_a_failure() -> None:
    verdict = judge(announced(rows=3), counted())
    assert (verdict.kind, verdict.counts) == (VerdictKind.FAILED, False)
    assert "2 rows came of 3 announced" in str(verdict)


def test_without_an_announced_row_count_nothing_is_verified() -> None:
    assert judge(Download("d"), counted()).kind is VerdictKind.UNVERIFIABLE
    assert judge(Download("d", patients=("B",)), counted()).kind is VerdictKind.MISMATCH


def test_a_download_without_rows_that_announced_none_is_verified() -> None:
    assert judge(announced(rows=0), Tally()).kind is VerdictKind.VERIFIED


@given(st.lists(st.tuples(st.integers(0, 12), st.integers(0, 5)), max_size=6))
def test_exactly_the_downloads_that_share_time_overlap(ranges: list[tuple[int, int]]) -> None:
    downloads = [Download(str(i), start_us=start, end_us=start + length) for i, (start, length) in enumerate(ranges)]
    moments = [set(range(start, start + length)) for start, length in ranges]
    expected = {
        str(i) for i, mine in enumerate(moments) if any(mine & other for j, other in enumerate(moments) if i != j)
    }
    assert set(overlapping(downloads)) == expected


def test_of_downloads_that_overlap_none_is_verified() -> None:
    rules = Rules(False, MaxBad.of(1), {"d": "its time range overlaps that of download e"})
    verdict = rules.verdict(announced(), counted(), 99)
    assert verdict.kind is VerdictKind.VERIFIED
    assert rules.final(announced(), verdict, counted()).kind is VerdictKind.MISMATCH


def test_where_no_bad_row_is_allowed_the_stump_of_a_row_at_the_end_is_an_error() -> None:
    with pytest.raises(BadRowError, match="line 3"):
        Rules(True, MaxBad.of("10%"), {}).verdict(announced(), counted(), 99)
