"""What was measured: LOINC codes → event types. Vital signs and glucose are known; a file can say more."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from mockexport.errors import OptionError
from mockexport.formats.fields import BadField, BadRowReason, check_id

__all__ = ["CODES", "LOINC", "Measure", "measure_of", "read_codes"]

LOINC = "http://loinc.org"
# A table of codes is some hundred lines.
MAX_FILE_BYTES = 2**20


@dataclass(frozen=True, slots=True)
class Measure:
    """What a code means: an event type, and the units (UCUM) that it may be in; none for a number without a unit.

    Of a type that may be in several units, each unit makes a type of its own, `type [unit]`: they are never averaged.
    """

    event_type: str
    units: tuple[str, ...] = ()
    # Only if the Observation is of the category vital-signs, or one of these codes stands beside it.
    in_vital_signs_or_beside: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        check_id(self.event_type)

    def type_in(self, unit: str) -> str:
        """Return the event type of a value in one of the units."""
        return self.event_type if len(self.units) < 2 else f"{self.event_type} [{unit.strip('[]')}]"


CODES: Mapping[str, Measure] = MappingProxyType(
    {
        "8867-4": Measure("heart_rate", ("/min",)),
        "59408-5": Measure("spo2", ("%",)),
        # Without the pulse oximeter's code it may be of a blood gas, from the laboratory.
        "2708-6": Measure("spo2", ("%",), ("59408-5",)),
        "8480-6": Measure("bp_sys", ("mm[Hg]",)),
        "8462-4": Measure("bp_dia", ("mm[Hg]",)),
        "9279-1": Measure("resp_rate", ("/min",)),
        "8310-5": Measure("body_temp", ("Cel", "[degF]")),
        "29463-7": Measure("weight", ("kg", "g", "[lb_av]")),
        "8302-2": Measure("height", ("cm", "m", "[in_i]")),
        "39156-5": Measure("bmi", ("kg/m2",)),
        "2339-0": Measure("glucose", ("mg/dL", "mmol/L")),
        "2345-7": Measure("glucose", ("mg/dL", "mmol/L")),
        "15074-8": Measure("glucose", ("mg/dL", "mmol/L")),
    }
)


def measure_of(codings: object, vital_signs: bool, codes: Mapping[str, Measure]) -> tuple[Measure | None, str]:
    """Return what the codings of an element mean, None if nothing that is known; and the code to name it by.

    Raises:
        BadField: they mean two different things, or are no codings.
    """
    if not isinstance(codings, list):
        raise BadField(BadRowReason.ELEMENT)
    stated: list[str] = []
    named = ""
    for coding in codings:
        if not isinstance(coding, dict):
            raise BadField(BadRowReason.ELEMENT)
        system, code = coding.get("system"), coding.get("code")
        if isinstance(code, str):
            if system == LOINC:
                stated.append(code)
            named = named or (code if system == LOINC else f"{system}|{code}")
    found: Measure | None = None
    for code in stated:
        measure = codes.get(code)
        if measure is None:
            continue
        beside = measure.in_vital_signs_or_beside
        if beside is not None and not vital_signs and not set(beside).intersection(stated):
            continue
        if found is not None and found.event_type != measure.event_type:
            raise BadField(BadRowReason.TWO_TYPES)
        found = found or measure
    return found, named


def read_codes(path: str | Path) -> dict[str, Measure]:
    """Return the codes that a TOML file adds: a table for each, `["8867-4"]`, with `type` and, if any, `units`.

    Raises:
        OptionError: the file cannot be read, or says something else.
    """
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_FILE_BYTES + 1)
        if len(text) > MAX_FILE_BYTES:
            raise OptionError("fhir-codes", f"{path}: is longer than {MAX_FILE_BYTES:,} bytes")
        tables = tomllib.loads(text.decode())
    except OSError as error:
        raise OptionError("fhir-codes", f"{path}: cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise OptionError("fhir-codes", f"{path}: is no TOML: {error}") from error
    return {code: _measure(path, code, table) for code, table in tables.items()}


def _measure(path: str | Path, code: str, table: Any) -> Measure:
    if isinstance(table, dict) and set(table) <= {"type", "units"} and isinstance(table.get("type"), str):
        units = table.get("units", [])
        if isinstance(units, list) and all(isinstance(unit, str) and unit for unit in units):
            try:
                return Measure(table["type"], tuple(units))
            except BadField as bad:
                raise OptionError("fhir-codes", f"{path}: type of {code!a}: {bad.reason}") from None
    raise OptionError("fhir-codes", f'{path}: a code is a table: ["{code}"], type = "…", units = ["…"]')
