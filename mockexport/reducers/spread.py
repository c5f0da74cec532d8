"""Variance and standard deviation, from the exact sum of squares.

With count, sum and sum of squares as integers nothing cancels, whatever the mean: there is no rounding before the last
step. That step is correctly rounded, so it is the same in every order, split and engine.
"""

from collections.abc import Sequence
from math import isqrt
from typing import ClassVar, Self

from mockexport.model import VALUE_SCALE, AnomalyRule
from mockexport.reducers.protocol import MAX_VALUE_SIZE

__all__ = ["Squares", "stddev_of", "variance_of"]

# A double has 53 bits; with this many, the last of which tells whether there was a rest, a root is rounded once only.
_ROOT_BITS = 64


class Squares:
    """The sum of the squares of a group's values, in units of 10⁻³⁶: more than 256 bits."""

    __slots__ = ("total",)
    kept: ClassVar[str] = "squares"
    counts_apart: ClassVar[bool] = False
    over: ClassVar[bool] = False
    over_note: ClassVar[str] = ""

    def __init__(self, total: int = 0) -> None:
        self.total: int = total

    def add(self, times: Sequence[int], values: Sequence[int], rule: AnomalyRule | None = None) -> None:
        """Take in values (see Family.add)."""
        self.total += sum([value * value for value in values])

    def merge(self, other: Self) -> None:
        """Take in all that `other` holds."""
        self.total += other.total

    def to_plain(self) -> int:
        """Return the sum."""
        return self.total

    @classmethod
    def from_plain(cls, plain: int) -> Self:
        """Return the state that `to_plain` gave."""
        if type(plain) is not int or plain < 0:
            raise ValueError("no sum of squares")
        return cls(plain)

    def check(self, count: int, total: int) -> None:
        """Raise ValueError if no such values have such squares (see Family.check)."""
        if not total * total <= count * self.total <= count * count * MAX_VALUE_SIZE**2:
            raise ValueError("no values have such squares")


def variance_of(count: int, total: int, squares: int) -> float | None:
    """Return the sample variance (n - 1) of `count` values with these sums, None below two; correctly rounded."""
    if count < 2:
        return None
    above, below = _variance(count, total, squares)
    return above / below


def stddev_of(count: int, total: int, squares: int) -> float | None:
    """Return the square root of the sample variance, None below two; correctly rounded from the exact variance."""
    if count < 2:
        return None
    above, below = _variance(count, total, squares)
    # As many powers of four as give the root its bits.
    shift = max(0, (2 * _ROOT_BITS - above.bit_length() + below.bit_length() + 1) // 2)
    scaled, rest = divmod(above << 2 * shift, below)
    root = isqrt(scaled)
    if rest or root * root != scaled:
        root |= 1
    return root / (1 << shift)


def _variance(count: int, total: int, squares: int) -> tuple[int, int]:
    """Return the variance as a fraction."""
    return count * squares - total * total, count * (count - 1) * VALUE_SCALE**2
