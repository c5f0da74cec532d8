"""How values are written: texts of fields into exact numbers, or what else they are: missing, censored, words."""

import re
from collections.abc import Callable
from functools import lru_cache

from mockexport.formats.fields import BadField, BadRowReason, parse_value
from mockexport.formats.noted import Noted
from mockexport.formats.schema import Schema
from mockexport.model import VALUE_SCALE

__all__ = ["GROUPS", "ReadValue", "null_numbers", "value_reader"]

# Returns a number in units of 10⁻¹⁸, None if there is none; and what is to be noted, if anything.
ReadValue = Callable[[str], tuple[int | None, Noted | None]]

_CENSORED = re.compile(r"(?:[<>]=?|[≤≥])[ \t]*(.*)", re.DOTALL)
# What else is written for a space or an apostrophe between digits.
GROUPS = {" ": " \u00a0\u202f", "'": "'\u2019", ".": ".", ",": ","}


@lru_cache(maxsize=16)
def value_reader(schema: Schema) -> ReadValue:
    """Return what reads values as a schema describes them. It raises BadField for what is none."""
    plain = plain_number(schema.decimal, schema.thousands)
    tokens = schema.null_tokens
    numbers = {text: parse_value(number)[0] for text, number in schema.replace}
    nulls = frozenset(parse_value(number)[0] for number in null_numbers(schema))
    words = tokens | numbers.keys()

    def read(text: str) -> tuple[int | None, Noted | None]:
        if not text:
            return None, None
        if text in words:
            return numbers.get(text), None
        try:
            number, rounded = parse_value(plain(text))
        except BadField as bad:
            return otherwise(text, bad)
        if number in nulls:
            return None, None
        return number, Noted.ROUNDED if rounded else None

    def otherwise(text: str, bad: BadField) -> tuple[int | None, Noted | None]:
        match = _CENSORED.fullmatch(text)
        if match is not None and schema.censored != "bad":
            try:
                bound, _ = parse_value(plain(match[1]))
            except BadField as fault:
                bad = fault
            else:
                return (None, Noted.CENSORED) if schema.censored == "leave-out" else (bound, Noted.CENSORED_BOUND)
        if schema.text == "missing" and bad.reason is BadRowReason.VALUE:
            return None, Noted.TEXT
        raise bad

    return read


def null_numbers(schema: Schema) -> list[str]:
    """Return the numbers that stand for "no value", each as plain decimal text."""
    plain = plain_number(schema.decimal, schema.thousands)
    found = []
    for token in schema.null_tokens:
        try:
            number, _ = parse_value(plain(token))
        except BadField:
            continue
        whole, rest = divmod(abs(number), VALUE_SCALE)
        found.append(f"{'-' if number < 0 else ''}{whole}.{rest:018}")
    return found


def plain_number(decimal: str, thousands: str | None) -> Callable[[str], str]:
    """Return what turns a number, as it is written here, into one with a decimal point and nothing that groups digits.

    What is returned raises BadField for a text whose groups are none; other texts are for parse_value to judge.
    """
    if decimal == "." and thousands is None:
        return str
    point = re.escape(decimal)
    if thousands is None:
        whole = r"\d+"
    else:
        group = f"[{GROUPS[thousands]}]"
        whole = rf"(?:\d{{1,3}}(?:{group}\d{{3}})+|\d+)"
    grammar = re.compile(rf"([+-]?)({whole})?(?:{point}(\d*))?((?:[eE][+-]?\d+)?)", re.ASCII)

    def plain(text: str) -> str:
        match = grammar.fullmatch(text)
        if match is None:
            raise BadField(BadRowReason.VALUE)
        sign, digits, decimals, exponent = match.groups(default="")
        digits = "".join(digit for digit in digits if digit.isdecimal())
        return f"{sign}{digits}{'.' + decimals if decimals else ''}{exponent}"

    return plain
