"""A report's mappings. What they add to a dict is an error that says which keys there are.

The mappings of single patients are plain dicts: there are hundreds of thousands of them.
"""

from typing import Any, TypeVar

from mockexport.reducers.packed import raise_no_patient

__all__ = ["ByEventType", "ByPatient"]

V = TypeVar("V")

# A message is for a look; with more event types, one asks the report for them.
_MOST_NAMED = 20


class ByPatient(dict[str, V]):
    """Something of each patient, by id."""

    __slots__ = ()

    def __missing__(self, key: Any) -> V:
        raise_no_patient(key, len(self))


class ByEventType(dict[str, V]):
    """Something of each event type."""

    __slots__ = ()

    def __missing__(self, key: Any) -> V:
        more = f", and {len(self) - _MOST_NAMED:,} more" if len(self) > _MOST_NAMED else ""
        raise KeyError(f"there is no event type {key!a}; there are {', '.join(list(self)[:_MOST_NAMED])}{more}")
