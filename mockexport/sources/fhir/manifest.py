"""The manifest of a FHIR Bulk Data job: its pages as values, in the form of whichever version of the standard.

Rules: pure. Unknown members are ignored, missing ones have their usual meaning; what cannot be used is a ValueError.
"""

from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import msgspec

__all__ = ["ManifestFile", "ManifestPage", "read_page"]

MAX_COUNT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file that a manifest names. Its URL may be a secret: whoever knows it can fetch it."""

    url: str
    type: str | None = None
    count: int | None = None


@dataclass(frozen=True, slots=True)
class ManifestPage:
    """A page of a manifest; `next` is the URL of the one that follows. `needs_token` None is not told."""

    output: tuple[ManifestFile, ...] = ()
    problems: tuple[ManifestFile, ...] = ()
    deleted: tuple[ManifestFile, ...] = ()
    needs_token: bool | None = None
    next: str | None = None


def read_page(body: bytes, base: str) -> ManifestPage:
    """Return what a page says; URLs in it are relative to `base`, where it came from.

    Raises:
        ValueError: it is no manifest, or names what is no file.
    """
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    if found.get("resourceType") == "OperationOutcome" or not ("output" in found or "transactionTime" in found):
        raise ValueError("it is no manifest: there is no output")
    needs_token = found.get("requiresAccessToken")
    # An older draft wrote the boolean as a text.
    if isinstance(needs_token, str):
        needs_token = {"true": True, "false": False}.get(needs_token.lower())
    if not isinstance(needs_token, bool | None):
        raise ValueError("requiresAccessToken is neither true nor false")
    return ManifestPage(
        output=_files(found, "output", base),
        # Renamed in the fourth version.
        problems=(*_files(found, "error", base), *_files(found, "outcome", base)),
        deleted=_files(found, "deleted", base),
        needs_token=needs_token,
        next=_next(found.get("link"), base),
    )


def _files(found: dict[str, object], name: str, base: str) -> tuple[ManifestFile, ...]:
    listed = found.get(name)
    if listed is None:
        return ()
    if not isinstance(listed, list):
        raise ValueError(f"{name} is no list")
    files = []
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("url"), str):
            raise ValueError(f"an entry of {name} has no url")
        kind, count = entry.get("type"), entry.get("count")
        if not isinstance(kind, str | None):
            raise ValueError(f"an entry of {name} has a type that is none")
        if count is not None and (type(count) is not int or not 0 <= count <= MAX_COUNT):
            raise ValueError(f"an entry of {name} has a count that is none")
        files.append(ManifestFile(_resolved(entry["url"], base), kind, count))
    return tuple(files)


def _next(links: object, base: str) -> str | None:
    for link in links if isinstance(links, list) else ():
        if isinstance(link, dict) and link.get("relation") == "next" and isinstance(link.get("url"), str):
            return _resolved(link["url"], base)
    return None


def _resolved(url: str, base: str) -> str:
    # A signature covers a URL's spelling: one that is whole stays as it is.
    whole = url if urlsplit(url).scheme else urljoin(base, url)
    if urlsplit(whole).scheme not in ("http", "https") or not urlsplit(whole).netloc:
        raise ValueError("a file is at no http or https address")
    return whole
