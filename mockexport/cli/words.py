"""What an option's word means: numbers, sizes, choices, columns. Errors say what was written and what could be."""

import argparse
from collections.abc import Callable, Sequence

from mockexport.errors import nearest

__all__ = [
    "chunk_length",
    "columns",
    "delimiter",
    "length",
    "names",
    "natural",
    "one_of",
    "places",
    "port",
    "positive",
    "seconds",
    "span_length",
]


def one_of(words: Sequence[str]) -> Callable[[str], str]:
    """Return a type of arguments that are one of `words`; the nearest is named to who writes another."""

    def word(text: str) -> str:
        if text in words:
            return text
        meant = nearest(text, words)
        more = "" if meant is None else f"; did you mean {meant}?"
        raise argparse.ArgumentTypeError(f"invalid choice: {text!a} (choose from {', '.join(words)}){more}")

    return word


_ROLES = ("patient_id", "event_time", "event_type", "value", "unit")


def columns(text: str) -> dict[str, str]:
    """Return the names of columns by role."""
    import csv  # no sooner: --help should not wait for it

    try:
        (entries,) = csv.reader([text], strict=True)
    except (ValueError, csv.Error):
        raise argparse.ArgumentTypeError(f"{text!a} is no list such as {_ROLES[0]}=subject,value=number") from None
    names: dict[str, str] = {}
    for entry in entries:
        role, sign, name = entry.partition("=")
        if role not in _ROLES:
            meant = nearest(role, _ROLES)
            more = "" if meant is None else f"; did you mean {meant}?"
            raise argparse.ArgumentTypeError(
                f"{role!a} is none of {', '.join(_ROLES)}; say ROLE=NAME, as in value=number{more}"
            )
        if not sign or not name:
            raise argparse.ArgumentTypeError(f"{role} is given no name: say {role}=NAME")
        if role in names:
            raise argparse.ArgumentTypeError(f"{role} is named twice")
        names[role] = name
    return names


def names(text: str) -> list[str]:
    """Return the entries of a list as in CSV."""
    import csv  # no sooner: --help should not wait for it

    try:
        (entries,) = csv.reader([text], strict=True)
    except (ValueError, csv.Error):
        raise argparse.ArgumentTypeError(f"{text!a} is no list such as heartrate,sbp=systolic") from None
    return [entry.strip() for entry in entries]


_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}


def delimiter(text: str) -> str:
    if len(text) > 1 and text not in _DELIMITERS and (meant := nearest(text, list(_DELIMITERS))) is not None:
        raise argparse.ArgumentTypeError(f"{text!a} is not one character; did you mean {meant}?")
    return _DELIMITERS.get(text, text)


def natural(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!a} is not a whole number from 0")
    return number


# More than any double needs to be told from its neighbours; without a limit a table would be as wide as is asked for.
_MOST_PLACES = 100


def places(text: str) -> int:
    number = natural(text)
    if number > _MOST_PLACES:
        raise argparse.ArgumentTypeError(f"{text!a} is more than {_MOST_PLACES} decimal places")
    return number


def positive(text: str) -> int:
    try:
        number = natural(text)
    except argparse.ArgumentTypeError:
        number = 0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!a} is not a whole number from 1")
    return number


def seconds(text: str) -> float:
    try:
        seconds = float(text) if len(text) < 20 else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!a} is not a number of seconds above 0")
    return seconds


def port(text: str) -> int:
    number = natural(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text!a} is not a port")
    return number


# A request that brings less than this is not worth it.
_LEAST_SPAN_BYTES = 4 * 1024
# Beyond this, memory is no longer a budget.
_MAX_CHUNK_BYTES = 64 * 1024 * 1024


def length(text: str) -> int:
    factor = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:].upper(), 1)
    return positive(text[:-1] if factor > 1 else text) * factor


def span_length(text: str) -> int:
    number = length(text)
    if number < _LEAST_SPAN_BYTES:
        raise argparse.ArgumentTypeError(f"{text!a} is less than 4K: a span costs a request")
    return number


def chunk_length(text: str) -> int:
    number = length(text)
    if number > _MAX_CHUNK_BYTES:
        raise argparse.ArgumentTypeError(f"{text!a} is more than 64M")
    return number
