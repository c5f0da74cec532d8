"""Lists of URLs, as texts: a URL a line, or a manifest in JSON that also tells what the downloads hold. Pure.

A manifest is the shape of `export.json` with URLs for files:

    {"id": "ward-7", "downloads": [{"url": "https://…/a.csv.gz", "rows": 9014, "sha256": "…", "bytes": 12345}, …]}

Of a download only `url` must be there; `id`, and what the export API tells of one (rows, event_types, patients,
start_time, end_time), may be, and so may the SHA-256 and length of its bytes as they are sent.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated
from urllib.parse import quote, unquote, urljoin, urlsplit, urlunsplit

import msgspec

from mockexport.model import Download, SizeLimits
from mockexport.shown import given_url, public_url, quoted
from mockexport.sources.metadata import DownloadMetadata, decode_json

__all__ = ["ListedUrl", "Manifest", "read_manifest"]


_ASCII = bytes(range(0x21, 0x7F)).decode()


@dataclass(frozen=True, slots=True)
class ListedUrl:
    """A download and where its bytes are; `sha256` and `sent_bytes` are of the bytes as they are sent."""

    download: Download
    url: str = field(repr=False)
    sha256: str | None = None
    sent_bytes: int | None = None


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a list says: its id, if it has one, and its downloads in its order."""

    id: str | None
    downloads: tuple[ListedUrl, ...]


class _Entry(msgspec.Struct, frozen=True):
    url: str
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None
    rows: Annotated[int, msgspec.Meta(ge=0)] | None = None
    event_types: tuple[str, ...] | None = None
    patients: tuple[str, ...] | None = None
    start_time: str | None = None
    end_time: str | None = None
    sha256: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")] | None = None
    bytes: Annotated[int, msgspec.Meta(ge=0)] | None = None


class _Listing(msgspec.Struct, frozen=True):
    downloads: tuple[_Entry, ...]
    id: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] | None = None


def read_manifest(body: bytes, *, base: str | None = None, size_limits: SizeLimits | None = None) -> Manifest:
    """Return what a list or manifest says; relative URLs are taken from `base`, its own.

    Raises:
        LimitError: it names more URLs than it may.
        ValueError: it is neither, names no URL, or one twice; messages show no query, which may hold a secret.
    """
    body = body.removeprefix(b"\xef\xbb\xbf")
    listing = decode_json(body, _Listing) if body.lstrip()[:1] == b"{" else _lines(body)
    (size_limits or SizeLimits()).check("downloads", len(listing.downloads), "URLs in a list")
    entries = [(entry, _absolute(entry.url, base)) for entry in listing.downloads]
    if not entries:
        raise ValueError("it names no URL")
    urls = [url for _, url in entries]
    asked = Counter(map(_requested, urls))
    if (twice := next((url for url in urls if asked[_requested(url)] > 1), None)) is not None:
        raise ValueError(f"it names {public_url(twice)} {asked[_requested(twice)]} times")
    ids = _ids(entries)
    for download_id, times in Counter(ids).items():
        if times > 1:
            raise ValueError(f"it gives the id {quoted(download_id)} to {times} downloads")
    return Manifest(listing.id, tuple(_listed(*entry, name) for entry, name in zip(entries, ids, strict=True)))


def _lines(body: bytes) -> _Listing:
    try:
        lines = [line.strip() for line in body.decode().splitlines()]
    except UnicodeDecodeError:
        raise ValueError("it is no list of URLs: it is not UTF-8") from None
    return _Listing(tuple(_Entry(line) for line in lines if line and not line.startswith("#")))


def _absolute(url: str, base: str | None) -> str:
    whole = url
    try:
        if base is not None and not urlsplit(url).scheme:  # others stay as they are spelt, which a signature covers
            whole = urljoin(base, url)
        parts = urlsplit(whole)
        if not whole.isascii() and parts.netloc.isascii() and whole.isprintable():
            whole = quote(whole, safe=_ASCII)  # RFC 3987, section 3.1
        usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not match, a port that is none
        usable = False
    if not usable or not whole.isprintable() or " " in whole:
        raise ValueError(f"{quoted(given_url(whole))} is no http:// or https:// URL")
    if parts.username is not None or parts.password is not None:
        raise ValueError(f"{public_url(whole)} holds credentials; give a token or a header instead")
    return whole


def _requested(url: str) -> str:
    """Return what is asked for under a URL: the same for all spellings of it that no server tells apart."""
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    return urlunsplit((parts.scheme, f"{parts.hostname}:{port}", parts.path or "/", parts.query, ""))


def _ids(entries: Sequence[tuple[_Entry, str]]) -> list[str]:
    """Return an id for each: its own, or the last part of its URL's path, numbered where those repeat."""
    last = [unquote(urlsplit(url).path.rstrip("/").rpartition("/")[2]) or "download" for _, url in entries]
    repeated = len({*last}) < len(last)
    return [
        entry.id or (f"{number:02d}-{name}" if repeated else name)
        for number, ((entry, _), name) in enumerate(zip(entries, last, strict=True))
    ]


def _listed(entry: _Entry, url: str, name: str) -> ListedUrl:
    metadata = DownloadMetadata(
        id=name,
        rows=entry.rows,
        event_types=entry.event_types,
        patients=entry.patients,
        start_time=entry.start_time,
        end_time=entry.end_time,
    )
    try:
        download = metadata.to_download()
    except ValueError as error:
        raise ValueError(f"download {quoted(name)}: {error}") from None
    return ListedUrl(download, url, entry.sha256, entry.bytes)
