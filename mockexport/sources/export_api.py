"""The client of the export API: discovery over HTTP, and the CSV bodies as byte streams.

It relies on nothing that the contract leaves open: not on the order of downloads, nor on Content-Length, Range, ETag
or the size of pieces.
"""

import asyncio
import re
from collections.abc import AsyncGenerator, Coroutine, Iterable
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self, TypeVar
from urllib.parse import quote, urlsplit

import aiohttp
from yarl import URL

from mockexport.errors import (
    ExportNotFound,
    MetadataError,
    OptionError,
    ServerUnreachable,
    TransferError,
    first_error_alone,
    public_url,
)
from mockexport.metadata import DownloadMetadata, ExportContents, ExportList, Reply, decode_json
from mockexport.model import Download, Export
from mockexport.sources.http_faults import FOREIGN_ERRORS, RETRYABLE_STATUSES, explain
from mockexport.sources.retrying import RetryingStream, RetryPolicy

__all__ = ["ExportApi"]

# A connection that takes longer is taken for dead.
CONNECT_TIMEOUT_S = 15
# The longest silence within a reply; our own waiting (a full queue) does not count.
READ_TIMEOUT_S = 60
# The largest JSON reply: some million patients of one download.
MAX_REPLY_BYTES = 64 * 1024 * 1024
MAX_REDIRECTS = 5
# Metadata requests at once: discovery should neither take a round trip per download nor look like an attack.
DISCOVERY_CONCURRENCY = 8

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
    """

    def __init__(
        self, url: str, *, session: aiohttp.ClientSession | None = None, retry: RetryPolicy | None = None
    ) -> None:
        try:
            parts = urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:  # brackets that do not match, a port that is none
            usable = False
        if not usable:
            shown = public_url(url) if "://" in url else public_url(f"http://{url}").removeprefix("http://")
            raise OptionError("url", f"{shown!a} is no http:// or https:// URL of a server")
        if parts.query or parts.fragment:
            raise OptionError("url", f"{public_url(url)!r} is followed by a query or fragment; leave it out")
        self._base = url.rstrip("/")
        self._given_session = session
        self._session = session
        self._retry = retry or RetryPolicy()

    @property
    def name(self) -> str:
        """The base URL without credentials."""
        return public_url(self._base)

    async def __aenter__(self) -> Self:
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S, sock_read=READ_TIMEOUT_S)
            # Downloads in flight are bounded by the pipeline; the pool must not bound them a second time.
            self._session = aiohttp.ClientSession(timeout=timeout, connector=aiohttp.TCPConnector(limit=0))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None and self._given_session is None:
            await self._session.close()
            self._session = None

    async def export_ids(self) -> list[str]:
        """Return the ids of the exports that the server lists."""
        try:
            return list((await self._get_json(self._url(), ExportList)).export_ids)
        except _NotFound:
            raise ServerUnreachable(self._url(), "it answers, but knows no export API") from None

    async def discover(self, export_id: str) -> Export:
        """Return an export with the metadata of all its downloads (see streams.Source.discover)."""
        try:
            contents = await self._get_json(self._url(export_id), ExportContents)
        except _NotFound:
            raise ExportNotFound(export_id, self._base, await self.export_ids()) from None
        if contents.id != export_id:
            raise MetadataError(self._url(export_id), f"it describes the export {contents.id!a}")
        limit = asyncio.Semaphore(DISCOVERY_CONCURRENCY)

        async def describe(download_id: str) -> Download:
            async with limit:
                return await self._describe(export_id, download_id)

        downloads = await _all([describe(download_id) for download_id in dict.fromkeys(contents.download_ids)])
        return Export.of(export_id, downloads)

    async def _describe(self, export_id: str, download_id: str) -> Download:
        if not _SAFE_ID.fullmatch(download_id):
            raise MetadataError(self._url(export_id), "it lists a download whose id is not of letters, digits, . _ -")
        url = self._url(export_id, download_id)
        try:
            metadata = await self._get_json(url, DownloadMetadata)
            if metadata.id != download_id:
                raise MetadataError(url, f"it describes the download {metadata.id!a}")
            return metadata.to_download()
        except _NotFound:
            raise MetadataError(url, "status 404 for a download that the export lists") from None
        except ValueError as error:
            raise MetadataError(url, str(error)) from None

    def stream(self, export_id: str, download: Download) -> RetryingStream:
        """Return the download's bytes (see streams.Source.stream)."""
        url = self._url(export_id, download.id, "data")

        def open_body(attempt: int) -> AsyncGenerator[bytes]:
            return self._body(url, download.id, attempt)

        return RetryingStream(download.id, url, open_body, self._retry)

    async def _body(self, url: str, download_id: str, attempt: int) -> AsyncGenerator[bytes]:
        """Yield one attempt's bytes as they come off the wire."""
        received = 0

        def fault(problem: str, *, passing: bool) -> TransferError:
            return TransferError(download_id, url, problem, attempt=attempt, offset=received, passing=passing)

        try:
            async with self._request(url) as response:
                if response.status != 200:
                    raise fault(f"status {response.status}", passing=response.status in RETRYABLE_STATUSES)
                encoding = response.headers.get("Content-Encoding", "identity").lower()
                if encoding != "identity":
                    # Cut-off compressed bodies pass for whole ones in common clients; none was asked for.
                    raise fault(f"the body is encoded ({encoding!a}), which was not asked for", passing=False)
                async for piece in response.content.iter_any():
                    received += len(piece)
                    yield piece
        except FOREIGN_ERRORS as error:
            explained = explain(error)
            raise fault(explained.problem, passing=explained.passing) from error

    async def _get_json(self, url: str, kind: type[T]) -> T:
        """Return the payload of a reply; passing faults are retried.

        Raises:
            _NotFound: for status 404.
            ServerUnreachable, MetadataError: if there is no usable reply.
        """
        for attempt in range(1, self._retry.attempts + 1):
            try:
                async with self._request(url) as response:
                    if response.status == 404:
                        raise _NotFound
                    if response.status == 200:
                        return await self._payload(response, url, kind)
                    problem, passing = f"status {response.status}", response.status in RETRYABLE_STATUSES
            except MetadataError:
                raise
            except FOREIGN_ERRORS as error:
                explained = explain(error)
                problem, passing = explained.problem, explained.passing
            if not passing:
                break
            if attempt < self._retry.attempts:
                await asyncio.sleep(self._retry.wait_s(attempt))
        raise ServerUnreachable(url, problem)

    async def _payload(self, response: aiohttp.ClientResponse, url: str, kind: type[T]) -> T:
        body = bytearray()
        async for piece in response.content.iter_any():
            body += piece
            if len(body) > MAX_REPLY_BYTES:
                raise MetadataError(url, f"it is longer than {MAX_REPLY_BYTES:,} bytes")
        try:
            return decode_json(bytes(body), Reply[kind]).data  # type: ignore[valid-type]
        except ValueError as error:
            raise MetadataError(url, f"it is not the JSON expected ({error})") from None

    def _request(self, url: str) -> AbstractAsyncContextManager[aiohttp.ClientResponse]:
        if self._session is None:
            raise RuntimeError("ExportApi is used outside its `async with`")
        return self._session.get(
            URL(url, encoded=True), headers={"Accept-Encoding": "identity"}, max_redirects=MAX_REDIRECTS
        )

    def _url(self, *parts: str) -> str:
        return "/".join((self._base, "api/export", *(quote(part, safe="", errors="replace") for part in parts)))


async def _all(coroutines: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Return the results of all, or raise the first error as itself; nothing is left running."""
    with first_error_alone():
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(coroutine) for coroutine in coroutines]
    return [task.result() for task in tasks]
