"""A quantity → the number it is, and the unit it is in. Units are told by their UCUM codes, and never converted."""

import re
from dataclasses import dataclass
from typing import Any

from mockexport.formats.fhir.codes import Measure
from mockexport.formats.fhir.json_lines import Number
from mockexport.formats.fields import BadField, BadRowReason, parse_value

__all__ = ["COMPARATORS", "Quantity", "quantity_of"]

UCUM = "http://unitsofmeasure.org"
COMPARATORS = frozenset({"<", "<=", ">", ">=", "ad"})
# What people write for a unit, where there is no code; by the code that it stands for.
_WRITTEN = {
    "/min": frozenset({"bpm", "beats/min"}),
    "mm[Hg]": frozenset({"mmHg"}),
    "Cel": frozenset({"degC"}),
}
# Of a longer one, two more or less say nothing: the number is zero or beyond all limits.
_MAX_EXPONENT_CHARACTERS = 9
_ANNOTATION = re.compile(r"\{[^{}]*\}")


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number in units of model.VALUE_SCALE, the type it is of, and how it was told.

    `accepted`: the unit is not stated as FHIR wants it. `comparator`: the value lies below or above the number.
    `rounded`: it had more places than are held.
    """

    value: int
    event_type: str
    accepted: bool = False
    comparator: str | None = None
    rounded: bool = False


def quantity_of(quantity: dict[str, Any], measure: Measure, *, unitless: bool) -> Quantity | None:
    """Return what a FHIR Quantity says; None if it has no value. With `unitless`, no unit at all is the usual one.

    Raises:
        BadField: it is no number, or in a unit that the measure is not in.
    """
    number, comparator = quantity.get("value"), quantity.get("comparator")
    if number is None:
        return None
    if not isinstance(number, Number):
        raise BadField(BadRowReason.VALUE)
    if comparator is not None and not (isinstance(comparator, str) and comparator in COMPARATORS):
        raise BadField(BadRowReason.ELEMENT)
    event_type, factor, accepted = _unit_of(quantity, measure, unitless)
    value, rounded = parse_value(number.text if factor == 1 else _hundredfold(number.text))
    return Quantity(value, event_type, accepted, comparator, rounded)


def _hundredfold(number: str) -> str:
    """Return the text of a number a hundred times as large."""
    digits, _, exponent = number.lower().partition("e")
    if len(exponent) > _MAX_EXPONENT_CHARACTERS:
        return number
    return f"{digits}e{int(exponent or '0') + 2}"


def _unit_of(quantity: dict[str, Any], measure: Measure, unitless: bool) -> tuple[str, int, bool]:
    """Return the event type in that unit, what the number is to be multiplied by, and if the unit was only accepted."""
    system, code, text = quantity.get("system"), quantity.get("code"), quantity.get("unit")
    if any(part is not None and not isinstance(part, str) for part in (system, code, text)):
        raise BadField(BadRowReason.ELEMENT)
    if system is None and not code and not text:
        if measure.units and not unitless:
            raise BadField(BadRowReason.NO_UNIT)
        return measure.type_in(measure.units[0]) if measure.units else measure.event_type, 1, False
    if system == UCUM and code:
        plain = _ANNOTATION.sub("", code)
        if plain in measure.units:
            return measure.type_in(plain), 1, False
        if plain == "mmHg" and "mm[Hg]" in measure.units:
            return measure.type_in("mm[Hg]"), 1, True
        if plain in ("1", "") and not measure.units:
            return measure.event_type, 1, False
        if plain == "1" and measure.units == ("%",):
            return measure.event_type, 100, False
        raise BadField(BadRowReason.UNIT)
    for unit in measure.units:
        if text == unit or text in _WRITTEN.get(unit, ()):
            return measure.type_in(unit), 1, True
    raise BadField(BadRowReason.UNIT)
