"""A report as flat rows and as columns: a row for each patient and event type, a field for each statistic.

What a result is made of is looked at here: a dataclass, a `msgspec.Struct` and a mapping give their fields, anything
else is one field called `result`. Where its class says of what type a field is, its column has that type whatever the
data.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

from mockexport.errors import OptionError
from mockexport.formats import arrow
from mockexport.reducers.protocol import fields_of

__all__ = ["flat_rows", "table_of"]

# What every row has of its own.
_KEY = ("patient_id", "event_type")

# What a column can hold, and what makes it. A bool is an int, too: the first that fits.
_MAKERS: Mapping[type, Callable[[str, Sequence[Any]], arrow.Column]] = {
    bool: arrow.booleans,
    int: arrow.integers,
    float: arrow.floats,
    str: arrow.texts,
    datetime: arrow.instants,
    Mapping: arrow.maps,
}


def flat_rows(patient_id: str | None, results: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a patient's results as rows, by event type.

    Raises:
        OptionError: if a result has a field of the name of a row's own.
    """
    for event_type in sorted(results):
        statistics = _fields(results[event_type])
        if taken := [name for name in _KEY if name in statistics]:
            raise OptionError("result", f"a field is called {taken[0]}, which every row has of its own; rename it")
        yield {"patient_id": patient_id, "event_type": event_type, **statistics}


def _fields(result: Any) -> Mapping[str, Any]:
    if (names := fields_of(type(result))) is not None:
        return {name: getattr(result, name) for name in names}
    return result if isinstance(result, Mapping) else {"result": result}


def table_of(rows: Sequence[Mapping[str, Any]], kinds: Iterable[type]) -> arrow.Table:
    """Return rows as a table; `kinds` are the classes of the results that they were made of.

    Raises:
        OptionError: if a field is nothing that a column can hold.
    """
    told: dict[str, type] = dict.fromkeys(_KEY, str)
    for kind in kinds:
        told.update(_told(kind))
    names = dict.fromkeys([*_KEY, *(name for row in rows for name in row)])
    columns = [_column(name, [row.get(name) for row in rows], told.get(name)) for name in names]
    return arrow.Table(columns, len(rows))


def _told(kind: type) -> dict[str, type]:
    """Return of what type a class says that its fields are, where it is one that a column can hold."""
    if fields_of(kind) is None:
        return {}
    try:
        hints = get_type_hints(kind)
    except NameError:  # of names that only its author's function knows
        return {}
    found: dict[str, type] = {}
    for name, hint in hints.items():
        types = set(get_args(hint) if get_origin(hint) in (Union, UnionType) else [hint]) - {NoneType}
        only = float if types == {int, float} else types.pop() if len(types) == 1 else NoneType
        if only in _MAKERS:
            found[name] = only
    return found


def _column(name: str, values: Sequence[Any], told: type | None) -> arrow.Column:
    held = {_kind(value) for value in values if value is not None}
    if told is not None:
        held.add(told)
    if held <= {int, float}:
        # Nothing at all may be a number, too.
        held = {float} if float in held or not held else {int}
    try:
        (kind,) = held
        return _MAKERS[kind](name, values)
    except OverflowError as error:
        raise OptionError("result", f"field {name} has an integer that takes more than 64 bits") from error
    except (ValueError, KeyError, TypeError) as error:
        found = ", ".join(sorted({type(value).__name__ for value in values}))
        raise OptionError("result", f"field {name} is nothing that a column can hold: {found}") from error


def _kind(value: object) -> type:
    return next((kind for kind in _MAKERS if isinstance(value, kind)), type(value))
