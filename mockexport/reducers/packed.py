"""A result's patients, held as a state's integers: statistics are made when they are asked for.

There may be a million groups, of which a report's JSON wants each once, and as text.
"""

from bisect import bisect_left
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn, Protocol

from mockexport.reducers.summary import Statistics, statistics_of

__all__ = ["PackedGroups", "PackedPatients", "raise_no_patient"]

# Patients whose JSON is made in one go: some ten thousand characters.
_AT_ONCE = 32


class PackedGroups(Protocol):
    """Groups in the order of their ids, as the kernel has them (_kernel.Groups)."""

    @property
    def patients(self) -> list[str]:
        """The patients' ids."""

    def of(self, patient: int, /) -> list[tuple[str, int, int, int, int, int, int, int]]:
        """Return the groups of a patient, by place: event type, and the numbers of a `Group`."""

    def json(self, start: int, end: int, margin: str, /) -> str:
        """Return patients, from one place to before another, as the report's JSON has them: see json_pieces."""


class PackedPatients(Mapping[str, Mapping[str, Statistics]]):
    """Statistics by patient and event type, in the order of their ids."""

    __slots__ = ("_groups",)

    def __init__(self, groups: PackedGroups) -> None:
        self._groups = groups

    def __getitem__(self, patient_id: str) -> dict[str, Statistics]:
        ids = self._groups.patients
        place = bisect_left(ids, patient_id) if isinstance(patient_id, str) else len(ids)
        if place == len(ids) or ids[place] != patient_id:
            raise_no_patient(patient_id, len(ids))
        return {
            event_type: statistics_of(1, count, total, low, high, anomalies, last_us - first_us)
            for event_type, count, total, low, high, anomalies, first_us, last_us in self._groups.of(place)
        }

    def __iter__(self) -> Iterator[str]:
        return iter(self._groups.patients)

    def __len__(self) -> int:
        return len(self._groups.patients)

    def __repr__(self) -> str:
        return repr(dict(self))

    def __reduce__(self) -> tuple[Any, ...]:
        # Other processes may have no kernel.
        return dict, (dict(self),)

    def json_pieces(self, margin: str) -> Iterator[str]:
        """Yield the patients as the report's JSON has them, a line break before each."""
        for start in range(0, len(self), _AT_ONCE):
            yield ("," if start else "") + self._groups.json(start, min(start + _AT_ONCE, len(self)), margin)


def raise_no_patient(key: object, known: int) -> NoReturn:
    """Raise the KeyError of a report without such a patient among those that are known."""
    if isinstance(key, tuple):
        raise KeyError("patients are asked for by id, and then by event type: patients[id][event_type]")
    raise KeyError(f"there is no patient {key!a} among {known:,}; an id is written as in the data")
