"""What the head of a reply means for a download that is being fetched: go on, begin, done, void or refused.

Rules: pure. The head in, a decision out; who asked acts on it. The rules are RFC 9110's: 200 (section 15.3.1), 206 and
Content-Range (15.3.7 and 14.4), 416 (15.5.17), strong validators (8.8.3), Retry-After (10.2.3).

A reply that does not plainly continue what was received is never joined to it: starting over costs time, a wrong
number costs trust.
"""

import re
from datetime import UTC
from email.utils import parsedate_to_datetime

from msgspec import Struct

from mockexport.errors import OUTAGE_STATUSES
from mockexport.pipeline.streams import Mark, version_of

__all__ = [
    "RETRYABLE_STATUSES",
    "Asked",
    "Begin",
    "Complete",
    "Decision",
    "Head",
    "Join",
    "Refused",
    "Void",
    "decide",
    "is_strong",
    "retry_after_s",
]

# Statuses that may pass (RFC 9110, section 15, and RFC 6585); all others are final.
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})
# Statuses that the user can do something about; the parameters are those of sources.http.Access.
_REMEDIES = {
    401: "the server asks for a token, or does not take the one it got (Access.token)",
    403: "this may not be had with that token, or with none (Access.token), or the URL's signature is no longer valid",
    407: "the proxy asks for a name and password, which go into its URL (Access.proxy)",
}

# What a server says that cannot or will not serve a part; the whole it may serve all the same.
_REFUSED_RANGES = frozenset({400, 403, 412, 501})
# Values of Content-Encoding that stand for no coding: a charset in the wrong field, and what object stores make of the
# way that a file once came to them.
_NO_CODINGS = frozenset({"", "identity", "none", "utf-8", "utf8", "us-ascii", "binary", "aws-chunked"})
# A file that is compressed itself, by the end of its name, and what servers call its coding then.
_OWN_CODINGS = {".gz": "gzip", ".tgz": "gzip", ".zst": "zstd"}

# 18 digits count every byte there is; int() takes quadratic time, and refuses beyond 4,300 digits.
_NUMBER = r"[0-9]{1,18}"
_WHOLE_NUMBER = re.compile(_NUMBER)
_CONTENT_RANGE = re.compile(rf"bytes[ \t]+({_NUMBER})-({_NUMBER})/({_NUMBER})", re.IGNORECASE)
_UNSATISFIED = re.compile(rf"bytes[ \t]+\*/({_NUMBER})", re.IGNORECASE)
_STRONG_TAG = re.compile(r'"[^\x00-\x20"\x7f]*"')
# Bytes that are no UTF-8: such a tag could be neither sent back nor written down.
_SURROGATES = re.compile("[\ud800-\udfff]")
_SECONDS = re.compile(r"[0-9]+")


class Head(Struct, frozen=True):
    """A reply's status and header fields, as they came, and the origin that sent them: `https://host:port`.

    `paths` are those of the URLs that led to it: the one asked for and the ones it was redirected to.
    """

    status: int
    fields: tuple[tuple[str, str], ...] = ()
    origin: str = ""
    paths: tuple[str, ...] = ()

    def values(self, name: str) -> list[str]:
        """Return the values of all fields of that name, in order, without the space around them."""
        return [value.strip(" \t") for key, value in self.fields if key.lower() == name]


class Asked(Struct, frozen=True):
    """What was asked for: all, or, with a mark, the bytes from `offset` on of what the mark says.

    `gzip` tells whether a compressed body was asked for.
    """

    offset: int = 0
    mark: Mark | None = None
    gzip: bool = False


class Begin(Struct, frozen=True):
    """The body begins at byte 0.

    `mark` is None if it cannot be resumed; `etag` is the tag as it came, weak or strong; `version` as in Opened.
    `framed` tells whether the end of the body shows: one that ends with the connection may be cut off anywhere.
    `gzipped` bodies are to be decoded.
    """

    mark: Mark | None
    etag: str | None
    framed: bool
    gzipped: bool
    version: str | None = None


class Join(Struct, frozen=True):
    """The body goes on where the last one broke off, up to `end` (exclusive) of `total` bytes."""

    end: int
    total: int


class Complete(Struct, frozen=True):
    """There is nothing after what was received."""


class Void(Struct, frozen=True):
    """What came does not join: start over. `etag` is the new tag if there is one.

    `no_parts` if the server does not serve parts, or not so that they can be trusted: ask for none any more.
    """

    problem: str
    etag: str | None = None
    no_parts: bool = False


class Refused(Struct, frozen=True):
    """No body. `passing` tells whether another try may help, `retry_after` is the header's text.

    `outage` if it is about the server rather than about what was asked for: it is down, or is asked too much.
    """

    problem: str
    passing: bool
    retry_after: str | None = None
    outage: bool = False


Decision = Begin | Join | Complete | Void | Refused


def decide(asked: Asked, head: Head) -> Decision:
    """Return what a reply means to one who asked so."""
    match head.status:
        case 200:
            return _begin(asked, head)
        case 206 if asked.mark is not None:
            return _join(asked.offset, asked.mark, head)
        case 206:
            return Refused("status 206: a part, which nobody asked for", passing=False)
        case 416 if asked.mark is not None:
            return _beyond(asked.offset, asked.mark, head)
        case status if status in _REFUSED_RANGES and asked.mark is not None:
            return Void(f"the server refuses to serve a part (status {status})", no_parts=True)
        case status:
            waits = head.values("retry-after")
            problem = f"status {status}: {_REMEDIES[status]}" if status in _REMEDIES else f"status {status}"
            return Refused(
                problem, status in RETRYABLE_STATUSES, waits[0] if waits else None, status in OUTAGE_STATUSES
            )


def _begin(asked: Asked, head: Head) -> Decision:
    ranges = head.values("content-range")
    if ranges and not all(map(_covers_all, ranges)):
        # Taken for the whole, a part would be a short download, or one with a hole in it.
        return Void("status 200 with the Content-Range of a part", no_parts=True)
    coding = _coding(head)
    if coding != "identity" and not (coding == "gzip" and asked.gzip):
        # Compressed bodies are read with care or not at all: cut-off ones pass for whole ones in common clients.
        return Refused(f"the body is encoded ({coding[:40]!a}), which was not asked for", passing=False)
    tags, lengths = head.values("etag"), head.values("content-length")
    etag = tags[0] if len(tags) == 1 else None
    chunked = ",".join(head.values("transfer-encoding")).lower().endswith("chunked")
    length = int(lengths[0]) if len(lengths) == 1 and not chunked and _WHOLE_NUMBER.fullmatch(lengths[0]) else None
    resumable = coding == "identity" and etag is not None and is_strong(etag)
    return Begin(
        mark=Mark(etag, length, head.origin) if resumable and etag is not None else None,
        etag=etag,
        version=version_of(etag, next(iter(head.values("last-modified")), None), length),
        framed=chunked or length is not None,
        gzipped=coding == "gzip",
    )


def _covers_all(content_range: str) -> bool:
    match = _CONTENT_RANGE.fullmatch(content_range)
    return match is not None and int(match[1]) == 0 and int(match[2]) + 1 == int(match[3])


def is_strong(etag: str) -> bool:
    """Tell whether it is an entity tag that stands for the very same bytes (RFC 9110, section 8.8.3)."""
    return _STRONG_TAG.fullmatch(etag) is not None and (etag.isascii() or _SURROGATES.search(etag) is None)


def _coding(head: Head) -> str:
    codings = [coding.strip().lower() for coding in ",".join(head.values("content-encoding")).split(",")]
    codings = ["gzip" if coding == "x-gzip" else coding for coding in codings if coding not in _NO_CODINGS]
    own = {coding for path in head.paths for end, coding in _OWN_CODINGS.items() if path.lower().endswith(end)}
    if len(codings) == 1 and codings[0] in own:
        return "identity"  # the server speaks of the file: decoding that is nothing of the transfer's
    return ", ".join(codings) or "identity"


def _join(offset: int, mark: Mark, head: Head) -> Join | Void:
    """A part joins only if everything about it fits what is there already."""
    ranges = head.values("content-range")
    match = _CONTENT_RANGE.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if match is None:
        # Several parts in one body have no Content-Range of their own, so this refuses them, too.
        return Void("the part does not say exactly which bytes it holds")
    first, last, total = (int(number) for number in match.groups())
    tags, lengths = head.values("etag"), head.values("content-length")
    if tags != [mark.etag]:
        return Void("the part belongs to other content", tags[0] if len(tags) == 1 else None)
    if first != offset:
        return Void(f"the part begins at byte {first:,}, not where the last one ended")
    if last < first or last >= total:
        return Void("the part's first and last byte and total contradict each other")
    if mark.total is not None and total != mark.total:
        return Void(f"the total is now {total:,} bytes and was {mark.total:,}")
    if lengths and lengths != [str(last - first + 1)]:
        return Void("the part's length does not fit its range")
    if _coding(head) != "identity":
        return Void("the part is encoded")
    if any(kind.lower().startswith("multipart/") for kind in head.values("content-type")):
        return Void("several parts came, one was asked for")
    if head.origin != mark.origin:
        return Void("the part comes from another origin than what it should continue")
    return Join(last + 1, total)


def _beyond(offset: int, mark: Mark, head: Head) -> Complete | Void:
    """416: complete only if the server's total is the one remembered, and all of it is here."""
    ranges = head.values("content-range")
    match = _UNSATISFIED.fullmatch(ranges[0]) if len(ranges) == 1 else None
    if match is not None and int(match[1]) == mark.total == offset and head.origin == mark.origin:
        return Complete()
    return Void("status 416: the server no longer has the bytes that are missing")


def retry_after_s(text: str | None, now_s: float) -> float | None:
    """Return how many seconds a Retry-After asks to wait, None if it is absent or junk; `now_s` is since 1970.

    It is a number of seconds or a date, in any of the three forms that HTTP has had; a date gone by means 0.
    """
    if text is None:
        return None
    if _SECONDS.fullmatch(text):
        return float(text) if len(text) < 16 else float("inf")
    if not text[:3].isalpha():
        return None
    try:
        date = parsedate_to_datetime(text)
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    try:
        return max(0.0, date.timestamp() - now_s)
    except (OverflowError, ValueError):
        return None
