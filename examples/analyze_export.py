"""Analyse an export and use its numbers: here `demo`, from the mock server that is started for the run."""

import asyncio

import mockexport


async def main() -> None:
    report = await mockexport.analyze("demo")
    for event_type, statistics in sorted(report.totals.items()):
        print(
            f"{event_type}: {statistics.count:,} values, mean {statistics.mean:.1f}, {statistics.anomalies} anomalies"
        )
    if report.incomplete:
        print("not whole: downloads", ", ".join(report.incomplete))


if __name__ == "__main__":
    asyncio.run(main())
