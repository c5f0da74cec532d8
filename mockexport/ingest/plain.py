"""What the bytes of a request say by themselves: whether they are one plain POST and nothing else. Pure.

Of a plain request nobody could think otherwise than we do here; whatever is unusual is the parser's. Clients say the
same head again and again, so what it says is found out once.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

__all__ = ["PlainHead", "plain_post", "whole_post"]

# A head of usual length; what is remembered of heads stays small, whatever comes.
_MAX_HEAD_BYTES = 2_048
_HEADS = 1_024
# RFC 9112: a request line, and fields of visible characters, none folded.
_REQUEST = re.compile(rb"POST (/[!-~]*) HTTP/1\.1\r\n((?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t -~]*\r\n)+)")
# Fields that say how the rest is to be read, beside the length, or whether more follows: to the parser, the last does.
_UNUSUAL = frozenset((b"transfer-encoding", b"expect", b"upgrade", b"trailer", b"te", b"proxy-connection"))


@dataclass(frozen=True, slots=True, eq=False)
class PlainHead:
    """A plain POST's target, its fields by their names in small letters, and the length of its body in bytes."""

    target: str
    fields: Mapping[bytes, bytes]
    body_bytes: int


def plain_post(data: bytes) -> tuple[PlainHead, int] | None:
    """Return the head of the plain POST that these bytes are, or begin with, and how many bytes are to come."""
    end = data.find(b"\r\n\r\n", 0, _MAX_HEAD_BYTES) + 2
    if end < 2:
        return None
    head = _plain_head(data[:end])
    if head is None:
        return None
    missing = end + 2 + head.body_bytes - len(data)
    return (head, missing) if missing >= 0 else None


def whole_post(data: bytes) -> PlainHead | None:
    """Return the head where these bytes are one whole plain POST; its body is the last `body_bytes` of them."""
    found = plain_post(data)
    return found[0] if found is not None and not found[1] else None


@lru_cache(maxsize=_HEADS)
def _plain_head(head: bytes) -> PlainHead | None:
    found = _REQUEST.fullmatch(head)
    if found is None:
        return None
    lines = [line.partition(b":") for line in found[2][:-2].split(b"\r\n")]
    fields = {name.lower(): value.strip(b" \t") for name, _, value in lines}
    length = fields.get(b"content-length", b"")
    if (
        len(fields) != len(lines)
        or not _UNUSUAL.isdisjoint(fields)
        or fields.get(b"connection", b"keep-alive").lower() != b"keep-alive"
        or not (length.isdigit() and len(length) < 10)
    ):
        return None
    return PlainHead(found[1].decode("ascii"), fields, int(length))
