"""A described table's plan, for the kernel: what a schema and a header say of rows, as numbers and bytes.

Only here is it decided what the kernel may read by itself. Where it must not, `knows_none`, it finds the ends of rows,
and the reference decodes them all.
"""

import re
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from mockexport._kernel import Plan
from mockexport.formats.fields import BadField, parse_time, parse_value
from mockexport.formats.layout import Layout, Part
from mockexport.formats.quoting import Quoting
from mockexport.formats.schema import Schema
from mockexport.formats.times import EPOCHS, UNITS
from mockexport.formats.values import GROUPS
from mockexport.formats.zones import zone_named

__all__ = ["encoded", "new_plan", "signs_of"]

# Steps of a pattern: a directive by its letter and how many digits it has, 0 if that is not fixed; a byte that must be
# there, in lower case; blanks, and how many at least.
_LITERAL, _BLANKS = b"=", b"_"
# Directives of one digit or two, and of two beside others of digits; and all of digits.
_TWO = tuple(b"%c" % letter for letter in b"mdHIMS")
_NUMBERS = (b"Y", b"y", b"f", *_TWO)
_STEP = re.compile(r"%([^%])|([ \t]{1,255})|(?:%%|(.))", re.DOTALL)

# A format of times, as `Plan` takes it.
_Format = None | tuple[bytes, bool] | tuple[int, int, bool]


def new_plan(schema: Schema, layout: Layout, quoting: Quoting) -> Plan:
    """Return the plan by which rows of a layout are read."""
    # Where times follow from the rows' places, no column has them.
    sampled = schema.is_sampled and layout.event_time == (layout.fields - 1,) and quoting.comment is None
    sampled = (
        sampled
        and quoting.delimiter not in " \t"
        and _columns(replace(layout, event_time="")).isdisjoint(layout.event_time)
    )
    if sampled:
        layout = replace(layout, event_time="", fields=layout.fields - 1)
    places = sorted(_columns(layout))
    number = {place: at for at, place in enumerate(places)}

    def part(given: Part | None) -> tuple[int, ...] | bytes | None:
        if given is None:
            return None
        return given.encode(errors="replace") if isinstance(given, str) else tuple(number[place] for place in given)

    wide = layout.values[0].event_type is not None
    formats = [None] if sampled else [_format(name, schema) for name in schema.time_formats or ("iso",)]
    knows_none = any(one == () for one in formats) or not _is_text(layout)
    return Plan(
        width=layout.fields,
        places=places,
        patient_id=part(layout.patient_id),
        event_time=part(layout.event_time),
        event_type=None if wide else part(layout.event_type),
        unit=part(layout.unit),
        values=[(part(value.columns), _or_none(value.event_type)) for value in layout.values],
        conditions=[
            (
                number[condition.column],
                list(encoded(condition.any_of)) if condition.any_of else None,
                list(encoded(condition.none_of)),
            )
            for condition in layout.where
        ],
        formats=[None] if knows_none else formats,
        dates_noted=not schema.time_formats or "iso" in schema.time_formats,
        decimal=schema.decimal.encode(),
        groups=[] if schema.thousands is None else [sign.encode() for sign in GROUPS[schema.thousands]],
        words=_words(schema),
        censored=schema.censored,
        text_is_missing=schema.text == "missing",
        is_sampled=sampled,
        knows_none=knows_none,
    )


def signs_of(quoting: Quoting) -> tuple[bytes, bytes, bytes, bytes]:
    """Return delimiter, quote, escape and comment, those that there are not as b""."""
    signs = (quoting.delimiter, quoting.quote, quoting.escape, quoting.comment)
    delimiter, quote, escape, comment = ((sign or "").encode() for sign in signs)
    return delimiter, quote, escape, comment


def encoded(texts: Iterable[str]) -> list[bytes]:
    """Return those of the texts that a row can hold, as UTF-8."""
    found = []
    for text in texts:
        try:
            found.append(text.encode())
        except UnicodeEncodeError:
            continue
    return found


def _columns(layout: Layout) -> set[int]:
    """Return the places of the columns that are looked at."""
    parts = (layout.patient_id, layout.event_time, layout.event_type, layout.unit)
    columns = {place for part in parts if isinstance(part, tuple) for place in part}
    columns |= {place for value in layout.values for place in value.columns}
    return columns | {condition.column for condition in layout.where}


def _is_text(layout: Layout) -> bool:
    """Tell whether all constants, and the types of a wide table, can be written as UTF-8."""
    parts = (layout.patient_id, layout.event_time, layout.event_type, layout.unit)
    texts = [part for part in parts if isinstance(part, str)]
    texts += [value.event_type for value in layout.values if value.event_type is not None]
    return len(encoded(texts)) == len(texts)


def _or_none(text: str | None) -> bytes | None:
    return None if text is None else text.encode(errors="replace")


def _words(schema: Schema) -> list[tuple[bytes, int | None]]:
    """Return the texts that are no value, or stand for a number."""
    numbers: dict[str, int | None] = dict.fromkeys(schema.null_tokens)
    numbers.update({text: parse_value(number)[0] for text, number in schema.replace})
    return [(word, number) for text, number in numbers.items() for word in encoded([text])]


def _format(name: str, schema: Schema) -> _Format | tuple[()]:
    """Return a format of times as the kernel is to be given it; () if it cannot be."""
    if name == "iso":
        return None
    if name in EPOCHS:
        return EPOCHS[name], 0, False
    if name in UNITS and schema.origin is not None:
        zone = None if schema.timezone is None else zone_named(schema.timezone)
        try:
            return UNITS[name], parse_time(schema.origin, zone), name == "hours"
        except BadField:
            return ()
    if name == "sampled" or not name.isascii() or "\0" in name:
        return ()
    return _pattern(name)


def _pattern(name: str) -> tuple[bytes, bool]:
    steps = []
    for match in _STEP.finditer(name):
        directive, blanks, literal = match.groups()
        if directive:
            steps.append(directive.encode() + b"\0")
        elif blanks:
            steps.append(_BLANKS + bytes([len(blanks)]))
        else:
            steps.append(_LITERAL + (literal or "%").lower().encode())
    certain = all(_is_certain(step, following) for step, following in pairwise(steps))
    for number, step in enumerate(steps):
        beside = [other[:1] for other in (*steps[max(number - 1, 0) : number], *steps[number + 1 : number + 2])]
        if step[:1] in _TWO and any(other in _NUMBERS for other in beside):
            steps[number] = step[:1] + b"\2"
    return b"".join(steps), certain


def _is_certain(step: bytes, following: bytes) -> bool:
    """Tell whether what matches a step ends where the next one begins, whatever the text: it cannot take less."""
    digit = following[:1] == _LITERAL and following[1:].isdigit()
    if step[:1] in _TWO:
        return not digit
    digit = digit or following[:1] in _NUMBERS
    if step[:1] == b"f":
        return not digit
    if step[:1] == b"z":
        return not digit and following != _LITERAL + b":"
    return step[:1] != b"p" or following != _LITERAL + b"."
