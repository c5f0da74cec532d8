"""Quantiles: exact by the standard library's word while values are few, within the stated error beyond that."""

import random
import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockexport.reducers.histogram import MAX_EXACT_VALUES, RELATIVE_ERROR, Histogram, bucket_of
from tests.rows import values

ALL_VALUES = st.integers(-(10**33), 10**33)


def histogram(found: list[int]) -> Histogram:
    made = Histogram()
    made.add([0] * len(found), found)
    return made


def quantile(of: Histogram, found: list[int], share: Fraction) -> float:
    return of.quantile(share, min(found), max(found))


@settings(max_examples=50)
@given(st.lists(values, min_size=2, max_size=40))
def test_quantiles_are_those_of_type_7(found: list[int]) -> None:
    exact = [Fraction(value, 10**18) for value in found]
    made = histogram(found)
    for number, law in enumerate(statistics.quantiles(exact, n=200, method="inclusive"), 1):
        assert quantile(made, found, Fraction(number, 200)) == float(law)
    assert quantile(made, found, Fraction(1, 2)) == float(statistics.median(exact))
    assert quantile(made, found, Fraction(0)) == float(min(exact))
    assert quantile(made, found, Fraction(1)) == float(max(exact))


def test_every_quantile_of_one_value_is_that_value() -> None:
    assert {quantile(histogram([72]), [72], Fraction(p, 7)) for p in range(8)} == {72e-18}


@given(ALL_VALUES)
def test_a_bucket_is_near_its_values_and_its_own(value: int) -> None:
    bucket = bucket_of(value)
    assert abs(bucket - value) <= RELATIVE_ERROR * abs(value)
    assert bucket_of(bucket) == bucket
    assert bucket_of(-value) == -bucket


@given(ALL_VALUES, ALL_VALUES)
def test_buckets_keep_the_order_of_values(one: int, other: int) -> None:
    assert (bucket_of(one) <= bucket_of(other)) or one > other


@pytest.mark.parametrize("low", [1, 10**6, 72 * 10**18, -(10**33), -(10**18)])
def test_quantiles_of_many_values_are_within_the_stated_error(low: int) -> None:
    draw = random.Random(low)
    found = [draw.randrange(low, 10**33) if draw.random() < 0.5 else low + number for number in range(12_000)]
    made = histogram(found)
    assert made.over
    ordered = sorted(found)
    for share in (Fraction(number, 100) for number in range(101)):
        place, part = divmod((len(found) - 1) * share, 1)
        below, above = ordered[place], ordered[min(place + 1, len(found) - 1)]
        exact = below + part * (above - below)
        error = abs(Fraction(quantile(made, found, share)) * 10**18 - exact)
        # Of the larger neighbour, where a quantile lies between two of them; and the last rounding.
        assert error <= Fraction(RELATIVE_ERROR) * max(abs(below), abs(above)) + abs(exact) / 2**50
    assert quantile(made, found, Fraction(0)) == float(Fraction(min(found), 10**18))
    assert quantile(made, found, Fraction(1)) == float(Fraction(max(found), 10**18))


def test_the_limit_is_the_number_of_different_values() -> None:
    most = list(range(MAX_EXACT_VALUES)) * 2
    made = histogram(most)
    assert (made.over, len(made.counts)) == (False, MAX_EXACT_VALUES)
    made.add([0], [MAX_EXACT_VALUES])
    assert (made.over, len(made.counts)) == (True, len({bucket_of(value) for value in range(MAX_EXACT_VALUES + 1)}))
    assert sum(made.counts.values()) == len(most) + 1


def test_buckets_are_as_few_as_the_page_says() -> None:
    edges = {bucket_of(sign * (size << shift)) for sign in (-1, 1) for size in range(256) for shift in range(103)}
    assert len([bucket for bucket in edges if abs(bucket) <= 10**33 + 2**102]) < 27_000
