"""FHIR Bulk Data under every fault in turn, and mixed: the report is that of the CSV, or says that it is incomplete.

    python -m tests.fhir_soak [schedules] [seed] [export]

Notes are left aside: lines that come twice are told, and the figures are the same.
"""

import asyncio
import json
import random
import sys
from typing import Any

from mockexport import MockExportError, MockServer, RetryPolicy, analyze
from mockexport.formats.fhir import FhirObservations
from mockexport.server.kinds import FHIR_KINDS
from mockexport.sources.fhir import FhirServer

# These would only make it slow: a second is waited for each.
SLOW = {"fhir-kickoff-429", "fhir-poll-429", "fhir-file-429", "fhir-slow-job", "fhir-retry-date"}
# Without a count nobody can tell that lines are missing at the end.
UNSEEN = {"fhir-stu1", "fhir-short-file"}


def schedules(number: int, seed: int) -> list[dict[str, float]]:
    """Every kind alone, then mixtures of up to six."""
    draw = random.Random(seed)
    kinds = sorted(set(FHIR_KINDS) - {"fhir-expired-token"})
    alone = [{kind: draw.choice((0.3, 0.6, 1.0))} for kind in kinds]
    mixed: list[dict[str, float]] = []
    while len(mixed) < number:
        chosen = draw.sample(sorted(set(kinds) - SLOW), draw.randint(2, 6))
        if not set(chosen) >= UNSEEN:
            mixed.append({kind: draw.choice((0.1, 0.3, 1.0)) for kind in chosen})
    return (alone + mixed)[:number]


async def one(faults: dict[str, float], seed: int, export_id: str, right: Any) -> str:
    """What came of a schedule: the right report, an incomplete one, an error; anything else is raised."""
    retry = RetryPolicy(attempts=6, base_wait_s=0.01)
    async with MockServer(faults=faults, seed=seed) as server:
        asked = FhirServer(url=f"{server.url}/fhir", group=export_id, poll_s=0.01)
        try:
            report = await analyze(fhir=asked, schema=FhirObservations(), retry=retry, allow_incomplete=True)
        except MockExportError:
            return "an error"
    if report.incomplete:
        return "incomplete"
    plain = json.loads(report.to_json())
    if (plain["patients"], plain["totals"]) != right:
        raise AssertionError(f"a wrong report passes for a whole one: {faults}, seed {seed}")
    return "right"


async def main(number: int, seed: int, export_id: str) -> None:
    async with MockServer() as server:
        plain = json.loads((await analyze(export_id, url=server.url)).to_json())
    right = plain["patients"], plain["totals"]
    came: dict[str, int] = {}
    for place, faults in enumerate(schedules(number, seed)):
        what = await one(faults, seed + place, export_id, right)
        came[what] = came.get(what, 0) + 1
    print(came)  # noqa: T201 - a command of its own


if __name__ == "__main__":
    arguments = [*sys.argv[1:], *("40", "1", "demo")[len(sys.argv) - 1 :]]
    asyncio.run(main(int(arguments[0]), int(arguments[1]), arguments[2]))
