"""Reducers that are written row by row: a class says what becomes of one patient and event type, and no more.

Merging, bytes and totals follow from that. It is the easy way: a reducer that wants speed takes whole batches (see
protocol.py).
"""

import json
from abc import ABC, abstractmethod
from copy import deepcopy
from typing import Generic, TypeVar

from mockexport.formats.batch import Batch, Row
from mockexport.reducers.protocol import Result, dumped_rows

__all__ = ["GroupReducer", "GroupStates"]

G = TypeVar("G")
R = TypeVar("R")

GroupStates = dict[tuple[str, str], G]


class GroupReducer(ABC, Generic[G, R]):
    """A reducer that keeps something, a `G`, for each patient and event type, and makes an `R` of it in the end.

        class Largest(GroupReducer[int, float]):
            fingerprint = "largest 1"

            def start(self) -> int:
                return -(10**33)  # no value is lower

            def add(self, group: int, row: Row) -> int:
                return max(group, row.value)

            def combine(self, earlier: int, later: int) -> int:
                return max(earlier, later)

            def finish(self, group: int) -> float:
                return group / 10**18

    What is kept of a group must be what JSON can hold: numbers, texts, None, lists of them. It is a list again when it
    comes back, also if it was a tuple.
    """

    # One line that differs whenever states do not fit each other: name, version, configuration.
    fingerprint: str

    @abstractmethod
    def start(self) -> G:
        """Return what is kept of no rows."""

    @abstractmethod
    def add(self, group: G, row: Row) -> G:
        """Return what is kept once a row is added; may change `group`."""

    @abstractmethod
    def combine(self, earlier: G, later: G) -> G:
        """Return what is kept of the rows of both; may change them. Must be associative."""

    @abstractmethod
    def finish(self, group: G) -> R:
        """Return the result of what was kept, and leave that alone: of a group, or of all groups of an event type."""

    def empty(self) -> GroupStates[G]:
        """Return the state of no rows."""
        return {}

    def update(self, state: GroupStates[G], batch: Batch) -> GroupStates[G]:
        """Add a batch's rows to `state`, one by one, and return it."""
        start, add = self.start, self.add
        for row in batch.rows():
            key = (row[0], row[2])  # patient and event type; by number, as rows are many
            state[key] = add(state[key] if key in state else start(), row)
        return state

    def merge(self, earlier: GroupStates[G], later: GroupStates[G]) -> GroupStates[G]:
        """Add the groups of `later` to `earlier` and return it."""
        for key, group in later.items():
            # A copy: what is kept may be a list, and would be in two states.
            own = deepcopy(group)
            earlier[key] = self.combine(earlier[key], own) if key in earlier else own
        return earlier

    def dump(self, state: GroupStates[G]) -> bytes:
        """Return the groups as JSON rows, sorted by key."""
        return json.dumps([[*key, state[key]] for key in sorted(state)]).encode()

    def load(self, data: bytes) -> GroupStates[G]:
        """Return the state that `dump` wrote."""
        return {key: group for key, (group,) in dumped_rows(data)}

    def result(self, state: GroupStates[G]) -> Result[R]:
        """Finish every group, and per event type its groups taken together, in the order of the patients."""
        patients: dict[str, dict[str, R]] = {}
        totals: dict[str, G] = {}
        for patient_id, event_type in sorted(state):
            group = state[patient_id, event_type]
            patients.setdefault(patient_id, {})[event_type] = self.finish(group)
            own = deepcopy(group)
            totals[event_type] = self.combine(totals[event_type], own) if event_type in totals else own
        return Result(patients, {event_type: self.finish(group) for event_type, group in totals.items()})
