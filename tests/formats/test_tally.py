"""Tallies merge and travel like states, and a verdict says what differs without naming a patient."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Download, StateError, VerdictKind
from mockexport.formats import BadRow, BadRowReason, Batch, Decoded, MissingValue
from mockexport.formats.tally import MAX_EXAMPLES, Tally, judge, overlapping
from tests.rows import batches

T0 = 1_756_166_400_000_000


@st.composite
def decodeds(draw: st.DrawFn) -> Decoded:
    missing = draw(
        st.lists(st.builds(MissingValue, st.sampled_from("AB"), st.integers(-9, 9), st.just("x")), max_size=3)
    )
    bad = draw(st.lists(st.builds(BadRow, st.integers(1, 99), st.sampled_from(BadRowReason)), max_size=9))
    return Decoded(draw(batches()), missing, bad)


def tally_of(*parts: Decoded) -> Tally:
    tally = Tally()
    for part in parts:
        tally.update(part)
    return tally


@given(decodeds(), decodeds())
def test_merging_two_tallies_is_counting_both_parts(first: Decoded, second: Decoded) -> None:
    merged = tally_of(first)
    merged.merge(tally_of(second))
    assert merged == tally_of(first, second)
    assert merged.rows == first.rows + second.rows
    assert merged.bad_rows == len(first.bad) + len(second.bad)


@given(decodeds())
def test_a_tally_survives_the_trip_to_bytes(part: Decoded) -> None:
    tally = tally_of(part)
    assert Tally.from_bytes(tally.to_bytes()) == tally
    assert Tally.from_bytes(tally.to_bytes()).to_bytes() == tally.to_bytes()


@pytest.mark.parametrize("data", [b"", b"{}", b"[]", b'{"tally": 2}', Tally().to_bytes()[:-1]])
def test_other_bytes_are_no_tally(data: bytes) -> None:
    with pytest.raises(StateError):
        Tally.from_bytes(data)


@given(st.lists(decodeds(), max_size=5))
def test_the_first_few_bad_rows_are_kept_in_order(parts: list[Decoded]) -> None:
    assert tally_of(*parts).examples == [bad for part in parts for bad in part.bad][:MAX_EXAMPLES]


def test_a_tallys_repr_holds_no_id() -> None:
    assert "P001" not in repr(tally_of(Decoded(Batch(["P001"], [T0], ["x"], [1]), [], [])))


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
