"""A statistic of your own: how many values each patient has per day. It merges, so it runs while the data downloads."""

import asyncio
import json
from collections import Counter

import mockexport
from mockexport import Batch, Result

DAY_US = 24 * 60 * 60 * 1_000_000

State = Counter[tuple[str, int]]


class PerDay:
    """Values per patient and day. A state counts (patient id, days since 1970)."""

    fingerprint = "per day 1"

    def empty(self) -> State:
        return Counter()

    def update(self, state: State, batch: Batch) -> State:
        state.update(zip(batch.patient_ids, (time // DAY_US for time in batch.event_times), strict=True))
        return state

    def merge(self, earlier: State, later: State) -> State:
        earlier.update(later)
        return earlier

    def dump(self, state: State) -> bytes:
        return json.dumps(sorted([*key, count] for key, count in state.items())).encode()

    def load(self, data: bytes) -> State:
        return Counter({(patient, day): count for patient, day, count in json.loads(data)})

    def result(self, state: State) -> Result[int]:
        patients: dict[str, dict[str, int]] = {}
        totals: Counter[str] = Counter()
        for (patient, day), count in state.items():
            patients.setdefault(patient, {})[str(day)] = count
            totals[str(day)] += count
        return Result(patients, totals)


async def main() -> None:
    report = await mockexport.analyze("demo", reducer=PerDay())
    for day, count in sorted(report.totals.items()):
        print(f"day {day}: {count:,} values of {sum(day in days for days in report.patients.values())} patients")


if __name__ == "__main__":
    asyncio.run(main())
