"""What part of a body a GET asks for: RFC 9110's conditions and ranges, decided from the headers alone.

Rules: pure; any text is allowed as a header and answered in time linear in its length. Only one range is ever served:
a request for several gets the whole body, which section 14.2 allows and which costs no more than a plain request.
"""

import re
from dataclasses import dataclass

__all__ = ["Answer", "Conditions", "Failed", "Full", "NotModified", "Partial", "Unsatisfiable", "decide"]


@dataclass(frozen=True, slots=True)
class Conditions:
    """A request's headers that bear on the part sent; None where absent, several of one name joined by commas."""

    range: str | None = None
    if_range: str | None = None
    if_match: str | None = None
    if_none_match: str | None = None


@dataclass(frozen=True, slots=True)
class Full:
    """200: all of the body."""


@dataclass(frozen=True, slots=True)
class Partial:
    """206: the bytes from `first` to `last`, both included."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Unsatisfiable:
    """416: the range lies beyond the end."""


@dataclass(frozen=True, slots=True)
class NotModified:
    """304: the client has these bytes already."""


@dataclass(frozen=True, slots=True)
class Failed:
    """412: the client wants other bytes than these."""


Answer = Full | Partial | Unsatisfiable | NotModified | Failed

# One range: first-last, first- or -suffix (section 14.1.2); `[0-9]`, as `\d` also takes other scripts' digits.
ONE_RANGE = re.compile(r"([0-9]*)-([0-9]*)")

ENTITY_TAG = re.compile(r'(W/)?("[\x21\x23-\x7e\x80-\U0010ffff]*")')

# Positions from here on are all alike: beyond any body. Python would take time quadratic in the digits to tell them
# apart, and refuses beyond 4,300 of them.
FAR_DIGITS = 18
FAR = 10**18


def decide(conditions: Conditions, *, length: int, etag: str) -> Answer:
    """Return what to send of a body of `length` bytes whose strong entity tag is `etag`, quotes included.

    The order is that of RFC 9110, section 13.2.2. There is no modification date here, so a date in If-Range never
    matches (section 13.1.5).
    """
    if conditions.if_match is not None and not _lists(conditions.if_match, etag, weak=False):
        return Failed()
    if conditions.if_none_match is not None and _lists(conditions.if_none_match, etag, weak=True):
        return NotModified()
    if conditions.range is None:
        return Full()
    if conditions.if_range is not None and conditions.if_range.strip(" \t") != etag:
        return Full()
    return _range(conditions.range, length)


def _lists(tags: str, etag: str, *, weak: bool) -> bool:
    """Tell whether a list of entity tags names `etag`; a weak tag counts only in a weak comparison."""
    if tags.strip(" \t") == "*":
        return True
    return any(tag == etag and (weak or not weakness) for weakness, tag in ENTITY_TAG.findall(tags))


def _range(header: str, length: int) -> Answer:
    """Return the part that a Range header asks for; one that makes no sense is as good as none (section 14.2)."""
    unit, equals, ranges = header.partition("=")
    if unit.strip(" \t").lower() != "bytes" or not equals:
        return Full()
    # A list may hold empty elements (section 5.6.1.2).
    wanted = [text for text in (element.strip(" \t") for element in ranges.split(",")) if text]
    if len(wanted) != 1:
        return Full()
    match = ONE_RANGE.fullmatch(wanted[0])
    if match is None or wanted[0] == "-":
        return Full()
    first_digits, last_digits = match.groups()

    if not first_digits:
        suffix = _number(last_digits)
        if suffix == 0:
            return Unsatisfiable()
        # The end of nothing is satisfiable, but no Content-Range can tell of an empty part.
        return Partial(max(0, length - suffix), length - 1) if length else Full()

    first = _number(first_digits)
    last = _number(last_digits) if last_digits else length - 1
    if last_digits and last < first:
        return Full()
    if first >= length:
        return Unsatisfiable()
    return Partial(first, min(last, length - 1))


def _number(digits: str) -> int:
    """Return the number, or one beyond any body where it has too many digits to matter."""
    significant = digits.lstrip("0")
    return int(significant or "0") if len(significant) <= FAR_DIGITS else FAR
