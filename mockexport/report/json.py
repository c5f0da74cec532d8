"""The report as JSON text, some patients at a time: no more of it is in memory than that.

The text is what `json.dumps(…, sort_keys=True, indent=2, allow_nan=False)` makes of the whole, which for a million
results takes half a minute: with an indent the standard library's encoder is Python, and goes by the character.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import lru_cache
from math import isfinite
from operator import attrgetter
from typing import Any

from mockexport.reducers.packed import PackedPatients
from mockexport.reducers.protocol import fields_of
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
    if isinstance(patients, PackedPatients) and round_to is None:
        yield from patients.json_pieces(margin)
    else:
        before = "\n"
        for patient_id in sorted(patients):
            yield f"{before}{margin}    {json.dumps(patient_id)}: {told(patients[patient_id], margin + '    ')}"
            before = ",\n"
    yield f"\n{margin}  }},\n" if patients else "},\n"
    yield f"{margin}  {_key('totals')}{told(totals, margin + '  ')}\n{margin}}}"


class _Telling:
    """Writes values as JSON; fractions rounded to so many places."""

    def __init__(self, round_to: int | None) -> None:
        self._scalars: dict[type, Callable[[Any], str]] = {
            int: int.__repr__,
            float: _fraction if round_to is None else lambda value: _fraction(round(value, round_to)),
            type(None): lambda _: "null",
        }
        self._rounds = round_to is not None
        self._fields: dict[type, tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None] = {}

    def told(self, value: Any, margin: str) -> str:
        """Return a value as text, its lines but the first behind a margin."""
        scalars, kind = self._scalars, type(value)
        if (scalar := scalars.get(kind)) is not None:
            return scalar(value)
        if kind not in self._fields:
            self._fields[kind] = _fields_of(kind)
        if (known := self._fields[kind]) is not None:
            names, values_of = known
            values = values_of(value)
        elif isinstance(value, Mapping):
            keys = sorted(value)
            names, values = tuple(map(_key, keys)), tuple([value[key] for key in keys])
        else:
            return json.dumps(value, sort_keys=True, indent=2, allow_nan=False).replace("\n", "\n" + margin)
        if not self._rounds and (plain := _plain(names, tuple(map(type, values)), margin)) is not None:
            template, fractions = plain
            for at in fractions:
                if not isfinite(values[at]):
                    raise ValueError(f"{values[at]} is no number of JSON")
            return template % values
        inner = margin + "  "
        return _template(names, ("%s",) * len(names), margin) % tuple([self.told(one, inner) for one in values])


def _fraction(value: float) -> str:
    if not isfinite(value):
        raise ValueError(f"{value} is no number of JSON")
    return float.__repr__(value)


@lru_cache(maxsize=1024, typed=True)  # 1 and True are one to a dictionary
def _key(name: Any) -> str:
    text = json.dumps(name)
    return f"{text}: " if isinstance(name, str) else f'"{text}": '


# How a scalar is written by its type: `%r` of a number is what JSON holds, and of None no character is written.
_PLACES: Mapping[type, str] = {int: "%r", float: "%r", type(None): "null%.0s"}


@lru_cache(maxsize=1024)
def _plain(names: tuple[str, ...], kinds: tuple[type, ...], margin: str) -> tuple[str, tuple[int, ...]] | None:
    """Return the text of an object of scalars of these types, and which are fractions; None if not all are scalars."""
    places = [_PLACES[kind] for kind in kinds if kind in _PLACES]
    if len(places) < len(kinds):
        return None
    return _template(names, tuple(places), margin), tuple(at for at, kind in enumerate(kinds) if kind is float)


@lru_cache(maxsize=1024)
def _template(names: tuple[str, ...], places: tuple[str, ...], margin: str) -> str:
    """Return an object's text, with a place for each value."""
    pairs = zip(names, places, strict=True)
    lines = ",\n".join(f"{margin}  {name.replace('%', '%%')}{place}" for name, place in pairs)
    return f"{{\n{lines}\n{margin}}}" if names else "{}"


def _fields_of(kind: type) -> tuple[tuple[str, ...], Callable[[Any], tuple[Any, ...]]] | None:
    """Return the fields of a class in order, as JSON names them, and what gets their values; None where it has none."""
    if (fields := fields_of(kind)) is None:
        return None
    names = sorted(fields)
    if len(names) == 1:  # of one name, attrgetter makes no tuple
        return (_key(names[0]),), lambda value: (getattr(value, names[0]),)
    return tuple(map(_key, names)), attrgetter(*names) if names else lambda value: ()
