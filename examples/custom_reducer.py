"""A statistic of your own, row by row: the share of values that are in a range, as the data downloads."""

import asyncio

import mockexport

RANGES = {"heart_rate": (60, 100), "spo2": (94, 100), "bp_sys": (90, 140), "bp_dia": (60, 90)}


class InRange(mockexport.GroupReducer[list[int], float]):
    """The share of values in range; kept of a patient and event type: how many are, and how many there are."""

    fingerprint = f"in range {RANGES}"

    def start(self) -> list[int]:
        return [0, 0]

    def add(self, group: list[int], row: mockexport.Row) -> list[int]:
        low, high = RANGES[row.event_type]
        return [group[0] + (low <= row.value / 10**18 <= high), group[1] + 1]

    def combine(self, earlier: list[int], later: list[int]) -> list[int]:
        return [earlier[0] + later[0], earlier[1] + later[1]]

    def finish(self, group: list[int]) -> float:
        return group[0] / group[1]


async def main() -> None:
    report = await mockexport.analyze("demo", reducer=InRange())
    for row in report.rows(totals=True):
        print(f"{row['patient_id'] or 'all':5} {row['event_type']}: {row['result']:.1%} in range")


if __name__ == "__main__":
    asyncio.run(main())
