"""The manifest of a FHIR Bulk Data job: its pages as values, in the form of whichever version of the standard.

Rules: pure. Unknown members are ignored, missing ones have their usual meaning; what cannot be used is a ValueError.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

__all__ = ["ManifestFile", "ManifestPage", "kept", "read_page", "renewed"]

MAX_COUNT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """A file that a manifest names. Its URL may be a secret: all who know it can fetch it."""

    url: str
    type: str | None = None
    count: int | None = None
    needs_token: bool = False

    @property
    def place(self) -> tuple[str, str, str]:
        """What of the URL stays when its link is renewed: all but the query, where signatures are."""
        parts = urlsplit(self.url)
        return parts.scheme, parts.netloc, parts.path


@dataclass(frozen=True, slots=True)
class ManifestPage:
    """A page of a manifest; `next` is the URL of the one that follows, `time` is the server's, of the data."""

    output: tuple[ManifestFile, ...] = ()
    problems: tuple[ManifestFile, ...] = ()
    deleted: tuple[ManifestFile, ...] = ()
    next: str | None = None
    time: str | None = None


def read_page(body: bytes, base: str) -> ManifestPage:
    """Return what a page says; URLs in it are relative to `base`, where it came from.

    Raises:
        ValueError: it is no manifest, or names what is no file.
    """
    try:
        found = json.loads(body, object_pairs_hook=_once)
    except (json.JSONDecodeError, UnicodeDecodeError, RecursionError) as error:
        raise ValueError("it is no JSON") from error
    if not isinstance(found, dict):
        raise ValueError("it is no JSON object")
    # A page that only leads to another may do without; one that leads nowhere says nothing.
    if found.get("resourceType") == "OperationOutcome" or (found.get("output") is None and not found.get("link")):
        raise ValueError("it is no manifest: there is no output")
    needs_token = found.get("requiresAccessToken")
    # An older draft wrote the boolean as a text.
    if isinstance(needs_token, str):
        needs_token = {"true": True, "false": False}.get(needs_token.lower())
    if not isinstance(needs_token, bool | None):
        raise ValueError("requiresAccessToken is neither true nor false")
    needed = bool(needs_token)
    return ManifestPage(
        output=_files(found, "output", base, needed),
        # Renamed in the fourth version.
        problems=(*_files(found, "error", base, needed), *_files(found, "outcome", base, needed)),
        deleted=_files(found, "deleted", base, needed),
        next=_next(found.get("link"), base),
        time=found["transactionTime"] if isinstance(found.get("transactionTime"), str) else None,
    )


def kept(pages: Sequence[ManifestPage], files: Sequence[tuple[ManifestFile, str]]) -> bytes:
    """Return the manifest of files that were kept under these names, without the addresses that they came from."""
    output = [
        {"type": file.type or "Observation", "url": name} | ({} if file.count is None else {"count": file.count})
        for file, name in files
    ]
    manifest = {"requiresAccessToken": False, "output": output, "error": []}
    if (time := next((page.time for page in pages), None)) is not None:
        manifest = {"transactionTime": time, **manifest}
    return json.dumps(manifest, indent=1).encode() + b"\n"


def renewed(before: Sequence[ManifestFile], after: Sequence[ManifestFile]) -> list[ManifestFile] | None:
    """Return the files of a manifest that was fetched again in their former order; None if they may be others.

    A file is known by its URL but for the query; where all places are new, by its number, with the same count.
    """
    places = [file.place for file in before]
    by_place = {file.place: file for file in after}
    if len(by_place) == len(after) == len(before) and by_place.keys() == set(places):
        return [by_place[place] for place in places]
    if len(after) != len(before):
        return None
    for file, old in zip(after, before, strict=True):
        if file.count != old.count or (file.place != old.place and file.place in places):
            return None
    return list(after)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key comes twice in it")
    return found


def _files(found: dict[str, object], name: str, base: str, needs_token: bool) -> tuple[ManifestFile, ...]:
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
        files.append(ManifestFile(_resolved(entry["url"], base), kind, count, needs_token))
    return tuple(files)


def _next(links: object, base: str) -> str | None:
    # What is no list of links may be meant for one: a page that is not found would be missing from the report.
    if links is None:
        return None
    if not isinstance(links, list) or not all(isinstance(link, dict) for link in links):
        raise ValueError("link is no list of links")
    following = [link.get("url") for link in links if link.get("relation") in ("next", ["next"])]
    if not following:
        return None
    if len(following) > 1 or not isinstance(following[0], str):
        raise ValueError("what page follows cannot be told")
    # A published manifest that will grow, or has ended for good (4.0): there is no page there now.
    return None if following[0] in ("#pending", "#closed") else _resolved(following[0], base)


def _resolved(url: str, base: str) -> str:
    # A signature covers a URL's spelling: one that is whole stays as it is.
    try:
        whole = url if urlsplit(url).scheme else urljoin(base, url)
        parts = urlsplit(whole)
        is_usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable:
        raise ValueError("a file is at no http or https address")
    return whole
