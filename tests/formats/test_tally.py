"""Tallies merge and travel like states,."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport.errors import StateError
from mockexport.formats import BadRow, BadRowReason, Batch, Decoded, MissingValue
from mockexport.formats.noted import Noted
from mockexport.formats.tally import MAX_EXAMPLES, Tally
from tests.rows import batches

T0 = 1_756_166_400_000_000


@st.composite
def decodeds(draw: st.DrawFn) -> Decoded:
    missing = draw(
        st.lists(st.builds(MissingValue, st.sampled_from("AB"), st.integers(-9, 9), st.just("x")), max_size=3)
    )
    bad = draw(st.lists(st.builds(BadRow, st.integers(1, 99), st.sampled_from(BadRowReason)), max_size=9))
    noted = Counter(draw(st.lists(st.sampled_from(Noted), max_size=4)))
    return Decoded(draw(batches()), missing, bad, noted=Counter({str(name): n for name, n in noted.items()}))


NOTED_BELOW_ZERO = Tally().to_bytes().replace(b'"noted": {}', b'"noted": {"dates only": -1}')
NOTED_UNKNOWN = Tally().to_bytes().replace(b'"noted": {}', b'"noted": {"nice weather": 1}')


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
    assert merged.noted == first.noted + second.noted


@given(decodeds())
def test_a_tally_survives_the_trip_to_bytes(part: Decoded) -> None:
    tally = tally_of(part)
    assert Tally.from_bytes(tally.to_bytes()) == tally
    assert Tally.from_bytes(tally.to_bytes()).to_bytes() == tally.to_bytes()


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[]", b'{"tally": 2}', Tally().to_bytes()[:-1], NOTED_BELOW_ZERO, NOTED_UNKNOWN]
)
def test_other_bytes_are_no_tally(data: bytes) -> None:
    with pytest.raises(StateError):
        Tally.from_bytes(data)


@given(st.lists(decodeds(), max_size=5))
def test_the_first_few_bad_rows_are_kept_in_order(parts: list[Decoded]) -> None:
    assert tally_of(*parts).examples == [bad for part in parts for bad in part.bad][:MAX_EXAMPLES]


def test_a_tallys_repr_holds_no_id() -> None:
    assert "P001" not in repr(tally_of(Decoded(Batch(["P001"], [T0], ["x"], [1]), [], [])))
