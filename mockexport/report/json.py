"""The report as JSON text, a patient at a time: no more of it is in memory than that.

The text is what `json.dumps(…, sort_keys=True, indent=2, allow_nan=False)` makes of the whole, which for a million
results takes half a minute: with an indent the standard library's encoder is Python, and goes by the character.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from typing import Any

from mockexport.report.notes import Note

__all__ = ["json_pieces"]


def json_pieces(
    patients: Mapping[str, Mapping[str, Any]],
    totals: Mapping[str, Any],
    incomplete: Sequence[str],
    notes: Sequence[Note],
    *,
    round_to: int | None = None,
    margin: str = "",
) -> Iterator[str]:
    """Yield a report's parts (see Report) as an object of JSON, in pieces; its lines but the first are behind `margin`.

    Raises:
        ValueError: a result holds what JSON cannot, such as a fraction that is no number.
    """
    told = _Telling(round_to).told
    yield "{\n"
    for name, parts in (("incomplete", list(incomplete)), ("notes", [note.to_plain() for note in notes])):
        if parts:
            yield f"{margin}  {_key(name)}{told(parts, margin + '  ')},\n"
    yield f"{margin}  {_key('patients')}{{"
    before = "\n"
    for patient_id in sorted(patients):
        yield f"{before}{margin}    {json.dumps(patient_id)}: {told(patients[patient_id], margin + '    ')}"
        before = ",\n"
    yield "},\n" if before == "\n" else f"\n{margin}  }},\n"
    yield f"{margin}  {_key('totals')}{told(totals, margin + '  ')}\n{margin}}}"


class _Telling:
    """Writes values as JSON; fractions rounded to so many places."""

    def __init__(self, round_to: int | None) -> None:
        self._scalars: dict[type, Callable[[Any], str]] = {
            int: int.__repr__,
            float: _fraction if round_to is None else lambda value: _fraction(round(value, round_to)),
            type(None): lambda _: "null",
        }
        self._fields: dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None] = {}

    def told(self, value: Any, margin: str) -> str:
        """Return a value as text, its lines but the first behind a margin."""
        scalars, kind = self._scalars, type(value)
        if (scalar := scalars.get(kind)) is not None:
            return scalar(value)
        if kind not in self._fields:
            self._fields[kind] = _fields_of(kind)
        if (fields_of := self._fields[kind]) is not None:
            names, values_of = fields_of
            values = values_of(value)
        elif isinstance(value, Mapping):
            keys = sorted(value)
            names, values = tuple(map(_key, keys)), tuple([value[key] for key in keys])
        else:
            return json.dumps(value, sort_keys=True, indent=2, allow_nan=False).replace("\n", "\n" + margin)
        template, inner = _template(names, margin)
        try:
            return template % tuple([scalars[type(one)](one) for one in values])
        except KeyError:  # not all are scalars
            return template % tuple([self.told(one, inner) for one in values])


def _fraction(value: float) -> str:
    if not isfinite(value):
        raise ValueError(f"{value} is no number of JSON")
    return float.__repr__(value)


@lru_cache(maxsize=1024, typed=True)  # 1 and True are one to a dictionary
def _key(name: Any) -> str:
    text = json.dumps(name)
    return f"{text}: " if isinstance(name, str) else f'"{text}": '


@lru_cache(maxsize=1024)
def _template(names: tuple[str, ...], margin: str) -> tuple[str, str]:
    """Return an object's text, with a place for each value, and the margin of what is in it."""
    inner = margin + "  "
    lines = ",\n".join(f"{inner}{name.replace('%', '%%')}%s" for name in names)
    return (f"{{\n{lines}\n{margin}}}" if names else "{}"), inner


def _fields_of(kind: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None:
    """Return a dataclass' fields in order, as JSON names them, and what gets their values; None for other types."""
    if not is_dataclass(kind):
        return None
    names = sorted(field.name for field in fields(kind))
    if len(names) == 1:  # of one name, attrgetter makes no tuple
        return (_key(names[0]),), lambda value: (getattr(value, names[0]),)
    return tuple(map(_key, names)), attrgetter(*names) if names else lambda value: ()
