"""Variance and standard deviation: exact to the last bit, by the word of the standard library's fractions."""

import statistics
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport.reducers.spread import Squares, stddev_of, variance_of
from tests.rows import values


def sums(values: list[int]) -> tuple[int, int, int]:
    squares = Squares()
    squares.add([0] * len(values), values)
    return len(values), sum(values), squares.total


@given(st.lists(values, min_size=2, max_size=30))
def test_both_are_what_exact_arithmetic_gives(found: list[int]) -> None:
    exact = [Fraction(value, 10**18) for value in found]
    assert variance_of(*sums(found)) == float(statistics.variance(exact))
    assert stddev_of(*sums(found)) == statistics.stdev(exact)


@given(st.lists(st.integers(0, 10**33), min_size=2, max_size=3))
def test_a_root_is_the_nearest_double_there_is(found: list[int]) -> None:
    root = Fraction(stddev_of(*sums(found)) or 0.0)
    exact = statistics.variance([Fraction(value, 10**18) for value in found])
    for other in (Fraction(float(root) * (1 - 2**-53)), Fraction(float(root) * (1 + 2**-52))):
        # The border to the next double, squared, is on the other side of the variance.
        border = (root + other) / 2
        assert (border**2 >= exact) if other > root else (border**2 <= exact)


@pytest.mark.parametrize("value", [8151, 16302, 16869, 20687, 28219])
def test_a_root_just_above_the_middle_of_two_doubles_is_the_upper_one(value: int) -> None:
    # Its first 64 bits alone are the very middle, and would be rounded to even.
    assert stddev_of(*sums([0, value])) == statistics.stdev([Fraction(0), Fraction(value, 10**18)])


def test_nothing_cancels_however_far_from_zero_the_values_are() -> None:
    far = [10**33 - 2, 10**33 - 1, 10**33]
    assert variance_of(*sums(far)) == 1e-36
    assert stddev_of(*sums(far)) == 1e-18


def test_the_sum_of_squares_outgrows_192_bits() -> None:
    many = Squares()
    for _ in range(10):
        one = Squares()
        one.add([0] * 1000, [10**33] * 1000)
        many.merge(one)
    assert many.total == 10**70 > 2**192


@pytest.mark.parametrize("of", [variance_of, stddev_of])
def test_equal_values_have_no_spread_and_one_value_has_none_to_tell(of: type) -> None:
    assert of(*sums([7 * 10**17] * 3)) == 0.0
    assert of(*sums([7])) is None
