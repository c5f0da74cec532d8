"""The client of the export API: discovery over HTTP, and the CSV bodies as byte streams.

It relies on nothing that the contract leaves open: not on the order of downloads, nor on Content-Length, Range, ETag
or the size of pieces.
"""

import asyncio
import re
from collections.abc import Awaitable, Mapping
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self, TypeVar
from urllib.parse import quote, urlsplit

from mockexport.errors import (
    ExportNotFound,
    MetadataError,
    OptionError,
    ServerUnreachable,
    TransferError,
    first_error_alone,
)
from mockexport.model import Download, Export, SizeLimits
from mockexport.pipeline.options import DEFAULT_CONCURRENCY
from mockexport.pipeline.streams import Mark
from mockexport.resuming.backoff import Backoff
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.resuming.stream import ResumingStream, read_whole
from mockexport.shown import given_url, public_url, quoted
from mockexport.sources.http import Access, HttpClient, HttpReply
from mockexport.sources.metadata import DownloadMetadata, ExportContents, ExportList, Reply, decode_json, is_json

if TYPE_CHECKING:
    import aiohttp

__all__ = ["ExportApi"]

T = TypeVar("T")

# Ids become part of URLs and file names.
_SAFE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}", re.ASCII)


class _NotFound(Exception):  # noqa: N818 - a status, for this module only
    """The server said 404."""


class ExportApi:
    """A Source that speaks the export API.

    Args:
        url: the server's base URL, such as `http://127.0.0.1:8000`.
        session: a session of the caller's, left open afterwards; by default one is made and closed by `async with`.
        retry: how often a download, or a discovery request, is tried.
        limits: how long anything may take.
        access: token, headers, proxy and certificates.
        compress: ask for compressed bodies; a download that breaks off then starts over instead of resuming.
        concurrency: requests for metadata at once.
        size_limits: how long a reply may be, and how many exports, downloads and announced ids there may be.
    """

    def __init__(
        self,
        url: str,
        *,
        session: "aiohttp.ClientSession | None" = None,
        retry: RetryPolicy | None = None,
        limits: TimeLimits | None = None,
        access: Access | None = None,
        compress: bool = False,
        concurrency: int = DEFAULT_CONCURRENCY,
        size_limits: SizeLimits | None = None,
    ) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that do not match, a port that is none
            usable = False
        if not usable:
            raise OptionError("url", f"{given_url(url)!a} is no http:// or https:// URL of a server")
        if parts.query or parts.fragment:
            raise OptionError("url", f"{public_url(url)!r} is followed by a query or fragment; leave it out")
        if concurrency < 1:
            raise OptionError("concurrency", f"must be at least 1, not {concurrency}")
        self._size_limits = size_limits or SizeLimits()
        self._base = url.rstrip("/")
        self._retry = retry or RetryPolicy()
        self._limits = limits or TimeLimits()
        self._compress = compress
        self._concurrency = concurrency
        self._backoff = Backoff(self._retry)
        self._client = HttpClient(self._base, session=session, access=access or Access(), limits=self._limits)

    @property
    def name(self) -> str:
        """The base URL without credentials."""
        return public_url(self._base)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def export_ids(self) -> list[str]:
        """Return the ids of the exports that the server lists."""
        try:
            listed = (await self._get_json(self._url(), ExportList)).export_ids
        except _NotFound:
            raise ServerUnreachable(self._url(), "it answers, but knows no export API") from None
        self._size_limits.check("downloads", len(listed), f"exports at {self.name}")
        return list(listed)

    async def discover(self, export_id: str) -> Export:
        """Return an export with the metadata of all its downloads (see streams.Source.discover)."""
        try:
            contents = await self._get_json(self._url(export_id), ExportContents)
        except _NotFound:
            raise ExportNotFound(export_id, self._base, await self.export_ids()) from None
        if contents.id != export_id:
            raise MetadataError(self._url(export_id), f"it describes the export {quoted(contents.id)}")
        self._size_limits.check("downloads", len(contents.download_ids), f"downloads in the export {export_id}")
        ids = iter(dict.fromkeys(contents.download_ids))
        found: dict[str, Download] = {}
        shared: dict[str, str] = {}  # most downloads announce the same ids: each is kept once
        announced = 0

        async def describe() -> None:
            nonlocal announced
            for download_id in ids:
                download = await self._describe(export_id, download_id)
                patients, types = download.patients or (), download.event_types or ()
                announced += len(patients) + len(types)
                what = f"patients and event types announced in the export {export_id}"
                self._size_limits.check("announced", announced, what)
                found[download_id] = replace(
                    download,
                    patients=None if download.patients is None else tuple(shared.setdefault(i, i) for i in patients),
                    event_types=None if download.event_types is None else tuple(shared.setdefault(i, i) for i in types),
                )

        with first_error_alone():
            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(describe())
        return Export.of(export_id, (found[download_id] for download_id in dict.fromkeys(contents.download_ids)))

    async def _describe(self, export_id: str, download_id: str) -> Download:
        if not _SAFE_ID.fullmatch(download_id):
            raise MetadataError(self._url(export_id), "it lists a download whose id is not of letters, digits, . _ -")
        url = self._url(export_id, download_id)
        try:
            metadata = await self._get_json(url, DownloadMetadata)
            if metadata.id != download_id:
                raise MetadataError(url, f"it describes the download {quoted(metadata.id)}")
            return metadata.to_download()
        except _NotFound:
            raise MetadataError(url, "status 404 for a download that the export lists") from None
        except ValueError as error:
            raise MetadataError(url, str(error)) from None

    def stream(self, export_id: str, download: Download) -> ResumingStream:
        """Return the download's bytes (see streams.Source.stream)."""
        return self._stream(self._url(export_id, download.id, "data"), download.id, compress=self._compress)

    def stream_from(
        self, export_id: str, download: Download, offset: int, mark: Mark, *, until: int | None = None
    ) -> ResumingStream:
        """Return the download's bytes from `offset` on (see streams.ResumableSource.stream_from)."""
        return self._stream(self._url(export_id, download.id, "data"), download.id, start=(offset, mark), until=until)

    def _stream(
        self,
        url: str,
        name: str,
        *,
        compress: bool = False,
        start: tuple[int, Mark] | None = None,
        until: int | None = None,
        rows: bool = True,
    ) -> ResumingStream:
        def exchange(fields: Mapping[str, str]) -> Awaitable[HttpReply]:
            return self._client.get(url, fields)

        return ResumingStream(
            name, url, exchange, self._retry, self._limits,
            compress=compress, start=start, until=until, rows=rows, backoff=self._backoff,
        )  # fmt: skip

    async def _get_json(self, url: str, kind: type[T]) -> T:
        """Return the payload of a reply; passing faults are retried like those of a download.

        Raises:
            _NotFound: for status 404.
            ServerUnreachable, MetadataError: if there is no usable reply.
        """
        try:
            stream = self._stream(url, "metadata", rows=False)
            body = await read_whole(stream, self._size_limits, "reply_bytes", shows_end=is_json)
            return decode_json(body, Reply[kind]).data  # type: ignore[valid-type]
        except TransferError as error:
            if error.status == 404:
                raise _NotFound from None
            raise ServerUnreachable(url, error.problem, silent=error.silent) from error
        except ValueError as error:
            raise MetadataError(url, f"it is not the JSON expected ({error})") from None

    def _url(self, *parts: str) -> str:
        return "/".join((self._base, "api/export", *(quote(part, safe="", errors="replace") for part in parts)))
