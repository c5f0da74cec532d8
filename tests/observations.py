"""Observations for tests: a good one, to be altered; and what comes of lines."""

import copy
import json
from typing import Any

from mockexport.formats import Decoded
from mockexport.formats.fhir import FhirObservations
from mockexport.model import Chunk, Span

LOINC = "http://loinc.org"
UCUM = "http://unitsofmeasure.org"

GOOD: dict[str, Any] = {
    "resourceType": "Observation",
    "id": "o-1",
    "meta": {"versionId": "1", "lastUpdated": "2025-08-27T00:00:00.000Z"},
    "status": "final",
    "category": [{"coding": [{"code": "vital-signs"}]}],
    "code": {"coding": [{"system": LOINC, "code": "8867-4"}], "text": "Heart rate"},
    "subject": {"reference": "Patient/P1"},
    "effectiveDateTime": "2025-08-26T10:00:00+02:00",
    "valueQuantity": {"value": 72, "unit": "beats/minute", "system": UCUM, "code": "/min"},
}
TIME_US = 1_756_195_200_000_000


def observation(**changes: Any) -> dict[str, Any]:
    """The good one with these elements instead; None takes one away."""
    altered = {**copy.deepcopy(GOOD), **changes}
    return {key: value for key, value in altered.items() if value is not None}


def concept(*codes: str) -> dict[str, Any]:
    return {"coding": [{"system": LOINC, "code": code} for code in codes]}


def quantity(value: float, code: str | None = "/min", **more: Any) -> dict[str, Any]:
    coded = {} if code is None else {"system": UCUM, "code": code}
    return {"value": value, **coded, **more}


def component(code: str, value: float | None, unit: str = "mm[Hg]", **more: Any) -> dict[str, Any]:
    told = {} if value is None else {"valueQuantity": quantity(value, unit)}
    return {"code": concept(code), **told, **more}


def chunk_of(data: bytes, *, offset: int = 0, line: int = 1) -> Chunk:
    return Chunk(Span("d"), data, offset, offset + len(data), line)


def decoded(*resources: Any, options: FhirObservations | None = None) -> Decoded:
    """What comes of resources, or of lines as they are."""
    lines = [line if isinstance(line, bytes) else json.dumps(line).encode() for line in resources]
    return (options or FhirObservations()).decoder().decode(chunk_of(b"".join(line + b"\n" for line in lines)))
