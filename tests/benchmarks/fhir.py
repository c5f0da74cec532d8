"""How fast rich Observations are read, whole: decoding, ids, duplicates, accounts, and the report's figures.

    python -m tests.benchmarks.fhir

Beside it, in the same run, stands what a script would do with `json.loads`: type, patient, time, value, each id once.
In CPU seconds of one core, the best of three.
"""

import json
import random
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

from mockexport.engine.choosing import choose_engine
from mockexport.formats.fhir import FhirObservations
from mockexport.model import Chunk, Span
from mockexport.reducers import Summary

LINES = 60_000
CHUNK_BYTES = 384 * 1024


def rich(lines: int) -> bytes:
    """Observations of heart rates as hospitals have them: some 1.3 KB each."""
    draw = random.Random(1)
    made = []
    for number in range(lines):
        minute, day = number % 1440, 1 + number // 2400
        made.append(
            {
                "resourceType": "Observation",
                "id": f"{draw.getrandbits(128):032x}",
                "meta": {
                    "versionId": "1",
                    "lastUpdated": f"2025-08-27T{number // 3600 % 24:02}:{number // 60 % 60:02}:{number % 60:02}.000Z",
                    "profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-heart-rate"],
                },
                "text": {"status": "generated", "div": "<div xmlns='http://www.w3.org/1999/xhtml'>Heart rate</div>"},
                "identifier": [
                    {"use": "official", "system": "urn:oid:1.2.840.114350.1.13.0.1.7.2", "value": str(number)}
                ],
                "status": "final",
                "category": [
                    {
                        "coding": [
                            {
                                "system": "http://terminology.hl7.org/CodeSystem/observation-category",
                                "code": "vital-signs",
                                "display": "Vital Signs",
                            }
                        ],
                        "text": "Vital Signs",
                    }
                ],
                "code": {
                    "coding": [
                        {"system": "http://loinc.org", "code": "8867-4", "display": "Heart rate"},
                        {"system": "urn:oid:1.2.840.114350", "code": "8", "display": "PULSE"},
                    ],
                    "text": "Pulse",
                },
                "subject": {"reference": f"Patient/p{draw.randrange(300)}", "display": "Doe, Jane"},
                "encounter": {"reference": f"Encounter/e{number // 50}"},
                "effectiveDateTime": f"2025-08-{day:02}T{minute // 60:02}:{minute % 60:02}:00+02:00",
                "issued": "2025-08-26T10:00:00.000+02:00",
                "performer": [{"reference": "Practitioner/x1", "display": "Nurse"}],
                "valueQuantity": {
                    "value": draw.randrange(40, 180),
                    "unit": "beats/minute",
                    "system": "http://unitsofmeasure.org",
                    "code": "/min",
                },
            }
        )
    return b"".join(json.dumps(each, separators=(",", ":")).encode() + b"\n" for each in made)


def whole(data: bytes) -> None:
    """Read as `analyze` does."""
    engine = choose_engine(Summary(), FhirObservations())
    fold = engine.new_fold(Span("rich"))
    at = 0
    while at < len(data):
        end = data.rfind(b"\n", at, at + CHUNK_BYTES) + 1
        fold.feed(Chunk(Span("rich"), data[at:end], at, end, fold.line))
        at = end
    assert engine.reducer.result(fold.state).totals["heart_rate"].count == LINES


def script(data: bytes) -> None:
    """Read as a script would."""
    seen: set[str] = set()
    groups: dict[tuple[str, str], list[Any]] = {}
    for line in data.splitlines():
        found = json.loads(line)
        if found["resourceType"] != "Observation" or found["status"] != "final" or found["id"] in seen:
            continue
        seen.add(found["id"])
        codes = [coding["code"] for coding in found["code"]["coding"] if coding.get("system") == "http://loinc.org"]
        quantity = found["valueQuantity"]
        if "8867-4" not in codes or quantity["code"] != "/min":
            continue
        when = datetime.fromisoformat(found["effectiveDateTime"])
        key = (found["subject"]["reference"].removeprefix("Patient/"), "heart_rate")
        group = groups.setdefault(key, [0, 0.0, float("inf"), float("-inf"), when, when])
        value = quantity["value"]
        group[0] += 1
        group[1] += value
        group[2], group[3] = min(group[2], value), max(group[3], value)
        group[4], group[5] = min(group[4], when), max(group[5], when)


def best_s(work: Callable[[bytes], None], data: bytes) -> float:
    """The least CPU seconds of three."""
    taken = []
    for _ in range(3):
        begun = time.process_time()
        work(data)
        taken.append(time.process_time() - begun)
    return min(taken)


if __name__ == "__main__":
    data = rich(LINES)
    ours, theirs = best_s(whole, data), best_s(script, data)
    for name, taken in (("mockexport, whole", ours), ("json.loads in a loop", theirs)):
        print(f"{name}: {len(data) / taken / 1e6:.0f} MB/s, {taken / LINES * 1e6:.2f} µs a line")
    print(f"{theirs / ours:.2f} times as fast")
