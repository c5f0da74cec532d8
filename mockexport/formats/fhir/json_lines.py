"""One line of NDJSON → one JSON object, or the reason why it is none. By the letter of RFC 8259, and stricter:

keys that occur twice, lone surrogates and deep nesting are refused, as other programs read them in different ways.
Numbers stay texts: what they are worth is decided where they are used, exactly.
"""

import json
from typing import Any, NamedTuple, Never

from mockexport.formats.fields import BadField, BadRowReason

__all__ = ["MAX_LINE_BYTES", "MAX_NESTING", "Number", "read_object"]

# An Observation with an hour's samples is a hundredth of it.
MAX_LINE_BYTES = 16 * 2**20
# FHIR needs a dozen levels.
MAX_NESTING = 100

_NO_BRACKETS = bytes(sorted(set(range(256)) - set(b"[]{}")))


class Number(NamedTuple):
    """A JSON number, as its text: no text by itself, so that nobody takes it for one."""

    text: str


def read_object(raw: bytes) -> dict[str, Any]:
    """Return the JSON object that a line is; its numbers are Numbers.

    Raises:
        BadField: it is not exactly one, or one that must not be.
    """
    if len(raw) > MAX_LINE_BYTES:
        raise BadField(BadRowReason.TOO_LONG)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadField(BadRowReason.ENCODING) from None
    if raw.count(b"{") + raw.count(b"[") > MAX_NESTING and _depth(raw) > MAX_NESTING:
        raise BadField(BadRowReason.NESTING)
    try:
        found = json.loads(
            text, object_pairs_hook=_once, parse_float=Number, parse_int=Number, parse_constant=_no_number
        )
    except json.JSONDecodeError:
        raise BadField(BadRowReason.JSON) from None
    if not isinstance(found, dict):
        raise BadField(BadRowReason.JSON)
    if "\\u" in text:
        _refuse_surrogates(found)
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise BadField(BadRowReason.KEY_TWICE)
    return found


def _no_number(text: str) -> Never:
    raise BadField(BadRowReason.JSON)


def _depth(raw: bytes) -> int:
    """Return how deeply arrays and objects are nested, strings passed over: in time proportional to the length."""
    # Without escapes, every other quote begins a string; what is no JSON is refused later, at its first fault.
    outside = b"".join(raw.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')[::2])
    depth = deepest = 0
    for bracket in outside.translate(None, _NO_BRACKETS):
        if bracket in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _refuse_surrogates(found: object) -> None:
    try:
        json.dumps(found, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise BadField(BadRowReason.SURROGATE) from None
