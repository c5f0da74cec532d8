"""The example to learn from: a whole reducer in some twenty lines. `Summary` is the one with more in it."""

import json
from collections import Counter
from dataclasses import dataclass

from mockexport.formats.batch import Batch
from mockexport.reducers.protocol import Result, dumped_rows, is_count

__all__ = ["Counts"]


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts the values of each patient and event type. A state is a Counter of (patient id, event type)."""

    fingerprint = "counts 1"

    def empty(self) -> Counter[tuple[str, str]]:
        return Counter()

    def update(self, state: Counter[tuple[str, str]], batch: Batch) -> Counter[tuple[str, str]]:
        state.update(zip(batch.patient_ids, batch.event_types, strict=True))
        return state

    def merge(self, earlier: Counter[tuple[str, str]], later: Counter[tuple[str, str]]) -> Counter[tuple[str, str]]:
        earlier.update(later)
        return earlier

    def dump(self, state: Counter[tuple[str, str]]) -> bytes:
        return json.dumps(sorted((*group, count) for group, count in state.items())).encode()

    def load(self, data: bytes) -> Counter[tuple[str, str]]:
        found = {key: count for key, (count,) in dumped_rows(data)}
        if not all(map(is_count, found.values())):
            raise ValueError("a count is none")
        return Counter(found)

    def result(self, state: Counter[tuple[str, str]]) -> Result[int]:
        patients: dict[str, dict[str, int]] = {}
        totals: Counter[str] = Counter()
        for (patient_id, event_type), count in state.items():
            patients.setdefault(patient_id, {})[event_type] = count
            totals[event_type] += count
        return Result(patients, totals)
