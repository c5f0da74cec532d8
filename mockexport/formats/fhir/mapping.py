"""An Observation → its rows. Its own value and each of its components fall into exactly one account: a row, a missing
value, a bad row, or what was left out, and why. An Observation that does not count at all is one thing left out.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from mockexport.formats.batch import MissingValue, Row
from mockexport.formats.fhir.codes import CODES, Measure, measure_of
from mockexport.formats.fhir.json_lines import Number
from mockexport.formats.fhir.patients import NoPatient, patient_of
from mockexport.formats.fhir.times import LongPeriod, time_of
from mockexport.formats.fhir.units import Quantity, quantity_of
from mockexport.formats.fields import BadField, BadRowReason, parse_value
from mockexport.formats.noted import Noted, unmapped

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["MAX_COMPONENTS", "Mapped", "Rules"]

# Panels have a few, and what is kept of each row has two bytes for its place (see reducers.latest).
MAX_COMPONENTS = 10_000

_COUNTED = frozenset({"final", "amended", "corrected"})
_NOT_COUNTED = {
    "registered": Noted.REGISTERED,
    "preliminary": Noted.PRELIMINARY,
    "cancelled": Noted.CANCELLED,
    "entered-in-error": Noted.ENTERED_IN_ERROR,
    "unknown": Noted.STATUS_UNKNOWN,
}


@dataclass(slots=True)
class Mapped:
    """What came of one Observation."""

    rows: list[Row] = field(default_factory=list)
    missing: list[MissingValue] = field(default_factory=list)
    bad: list[BadRowReason] = field(default_factory=list)
    noted: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class Rules:
    """How Observations are read; see FhirObservations, whose options these are."""

    codes: Mapping[str, Measure] = field(default_factory=lambda: CODES)
    base: str | None = None
    zone: "ZoneInfo | None" = None
    preliminary: bool = False
    issued: bool = False
    unitless: bool = False
    censored: str = "leave-out"

    def map(self, observation: dict[str, Any]) -> Mapped:
        """Return what comes of an Observation."""
        into = Mapped()
        try:
            if (why_not := self._not_counted(observation)) is not None:
                into.noted[why_not] += 1
                return into
            elements = self._elements(observation, into)
        except BadField as bad:
            into.bad.append(bad.reason)
            return into
        if elements:
            self._take(observation, elements, into)
        return into

    def _not_counted(self, observation: dict[str, Any]) -> str | None:
        if "modifierExtension" in observation or "implicitRules" in observation:
            return Noted.MODIFIED
        status = observation.get("status")
        if not isinstance(status, str):
            raise BadField(BadRowReason.ELEMENT)
        if status in _COUNTED or (status == "preliminary" and self.preliminary):
            return None
        return _NOT_COUNTED.get(status, Noted.OTHER_STATUS)

    def _elements(self, observation: dict[str, Any], into: Mapped) -> list[tuple[dict[str, Any], Measure]]:
        """Return the elements that mean something, with what they mean; the others are counted."""
        vital_signs = _is_vital_sign(observation.get("category"))
        components = observation.get("component", [])
        if not isinstance(components, list):
            raise BadField(BadRowReason.ELEMENT)
        if len(components) > MAX_COMPONENTS:
            raise BadField(BadRowReason.TOO_LONG)
        # A panel has a code and no value of its own: it is a frame for its components.
        is_frame = bool(components) and not _values(observation) and "dataAbsentReason" not in observation
        found = []
        for element in (observation, *components):
            try:
                measure = self._measure(element, vital_signs, into, is_frame and element is observation)
            except BadField as bad:
                into.bad.append(bad.reason)
                continue
            if measure is not None:
                found.append((element, measure))
        return found

    def _measure(self, element: Any, vital_signs: bool, into: Mapped, is_frame: bool) -> Measure | None:
        if not isinstance(element, dict):
            raise BadField(BadRowReason.ELEMENT)
        if "modifierExtension" in element:
            into.noted[Noted.MODIFIED_COMPONENT] += 1
            return None
        concept = element.get("code", {})
        if not isinstance(concept, dict):
            raise BadField(BadRowReason.ELEMENT)
        measure, named = measure_of(concept.get("coding", []), vital_signs, self.codes)
        if measure is None and not is_frame:
            into.noted[unmapped(named)] += 1
        return measure

    def _take(self, observation: dict[str, Any], elements: list[tuple[dict[str, Any], Measure]], into: Mapped) -> None:
        """Add what the elements come to: whose and when is the same for all of them."""
        try:
            patient_id = patient_of(observation, self.base)
            time_us, day_only = time_of(observation, self.zone, issued=self.issued)
        except NoPatient:
            into.noted[Noted.NO_PATIENT] += len(elements)
            return
        except LongPeriod:
            into.noted[Noted.LONG_PERIODS] += len(elements)
            return
        except BadField as bad:
            into.bad += [bad.reason] * len(elements)
            return
        for element, measure in elements:
            try:
                self._take_value(element, measure, patient_id, time_us, day_only, into)
            except BadField as bad:
                into.bad.append(bad.reason)

    def _take_value(
        self,
        element: dict[str, Any],
        measure: Measure,
        patient_id: str,
        time_us: int,
        day_only: bool,
        into: Mapped,
    ) -> None:
        values, reason = _values(element), element.get("dataAbsentReason")
        if len(values) > 1:
            raise BadField(BadRowReason.ELEMENT)
        if values and reason is not None:
            raise BadField(BadRowReason.VALUE_AND_REASON)
        quantity = None
        if values:
            found = self._quantity(values[0], element[values[0]], measure)
            if isinstance(found, str):
                into.noted[found] += 1
                return
            quantity = found
        if quantity is None:
            into.noted[_absent(reason)] += 1
            into.missing.append(MissingValue(patient_id, time_us, measure.event_type))
        else:
            if quantity.comparator is not None:
                if self.censored == "bad":
                    raise BadField(BadRowReason.VALUE)
                if self.censored == "leave-out":
                    into.noted[Noted.CENSORED] += 1
                    return
                into.noted[Noted.CENSORED_BOUND] += 1
            if quantity.rounded:
                into.noted[Noted.ROUNDED] += 1
            if quantity.accepted:
                into.noted[Noted.ACCEPTED_UNITS] += 1
            into.rows.append(Row(patient_id, time_us, quantity.event_type, quantity.value))
        if day_only:
            into.noted[Noted.DATES_ONLY] += 1

    def _quantity(self, kind: str, value: Any, measure: Measure) -> Quantity | str | None:
        """Return the number, None if there is none, or how it is noted that it is something else."""
        if kind == "valueQuantity":
            if not isinstance(value, dict):
                raise BadField(BadRowReason.ELEMENT)
            return quantity_of(value, measure, unitless=self.unitless)
        if kind == "valueInteger" and not measure.units:
            if not isinstance(value, Number):
                raise BadField(BadRowReason.VALUE)
            number, rounded = parse_value(value.text)
            return Quantity(number, measure.event_type, rounded=rounded)
        return Noted.OTHER_VALUES


def _values(element: dict[str, Any]) -> list[str]:
    return [key for key in element if key.startswith("value")]


def _absent(reason: object) -> str:
    """Return how a missing value is noted, by why it is missing."""
    if reason is None:
        return Noted.ABSENT
    codings = reason.get("coding", []) if isinstance(reason, dict) else None
    if not isinstance(codings, list) or not all(isinstance(coding, dict) for coding in codings):
        raise BadField(BadRowReason.ELEMENT)
    for coding in codings:
        try:
            return Noted(f"{Noted.ABSENT}: {coding.get('code')}")
        except ValueError:
            continue
    return Noted.ABSENT_OTHER


def _is_vital_sign(categories: object) -> bool:
    if categories is None:
        return False
    if not isinstance(categories, list):
        raise BadField(BadRowReason.ELEMENT)
    for category in categories:
        codings = category.get("coding", []) if isinstance(category, dict) else None
        if not isinstance(codings, list) or not all(isinstance(coding, dict) for coding in codings):
            raise BadField(BadRowReason.ELEMENT)
        if any(coding.get("code") == "vital-signs" for coding in codings):
            return True
    return False
