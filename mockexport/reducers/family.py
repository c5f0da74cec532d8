"""What a family of statistics is: the part of a group's state that some statistics need, and others do without.

A family holds the values of one patient and event type, or of all patients, in whatever exact form its statistics ask
for. `selection.py` puts families together; the laws of states (`protocol.py`) are those of its families.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Protocol, Self

from mockexport.model import AnomalyRule

__all__ = ["Family"]


class Family(Protocol):
    """The running state of one group: integers, so that it does not depend on splits and order.

    A family of no values is made without arguments. `kept` names it in fingerprints, with all that makes states not fit
    each other, such as limits. Memory is bounded: beyond its limit a family is `over`, for good, and `over_note` says
    what has come of its statistics.
    """

    kept: ClassVar[str]
    over_note: ClassVar[str]
    # Whether its plain form is [over, key, count, key, count, …] with keys ascending, rather than an integer.
    counts_apart: ClassVar[bool]

    @property
    def over(self) -> bool:
        """Whether more came than is kept apart."""

    def add(self, times: Sequence[int], values: Sequence[int], rule: AnomalyRule | None = None) -> None:
        """Take in values, in units of 10⁻¹⁸, and their times, in microseconds; `rule` says which are anomalies."""

    def merge(self, other: Self) -> None:
        """Take in all that `other` holds, and leave it alone."""

    def to_plain(self) -> Any:
        """Return the state as an integer of up to 320 bits, or as a list of integers; equal states give equal ones."""

    @classmethod
    def from_plain(cls, plain: Any) -> Self:
        """Return the state that `to_plain` gave; ValueError or TypeError if it is none."""

    def check(self, count: int, total: int) -> None:
        """Raise ValueError unless `count` values that add up to `total` can come to this state, fresh from a file."""
