"""URLs as a source: a list of them, or a manifest, in a file or behind a URL itself.

Secrets go to one server: where a manifest was fetched from, or else the only one that the URLs name. What a manifest
from elsewhere names is under the rules of redirects: no file, nothing link-local, no way from https to http.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote, urlsplit

from mockexport.errors import ExportNotFound, MetadataError, OptionError, ServerUnreachable, TransferError
from mockexport.model import Download, Export, SizeLimits
from mockexport.newfile import read_file
from mockexport.pipeline.streams import ByteStream, Mark
from mockexport.resuming.backoff import Backoff
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.resuming.stream import ResumingStream, read_whole
from mockexport.shown import public_url
from mockexport.sources.http import Access, HttpClient, HttpReply
from mockexport.sources.manifest import ListedUrl, Manifest, read_manifest
from mockexport.sources.metadata import is_json
from mockexport.sources.proving import ProvenStream
from mockexport.unpacking.stream import UnpackedStream

if TYPE_CHECKING:
    import aiohttp

__all__ = ["UrlList"]


class UrlList:
    """A Source over URLs; open it with `async with`.

    Args:
        urls: a file, or a URL, that holds a list or a manifest (see sources.manifest); or the URLs themselves.
        session: a session of the caller's, left open afterwards.
        retry: how often a download, or the list, is tried.
        limits: how long anything may take.
        access: token, headers, proxy and certificates.
        compress: ask for compressed bodies; a download that breaks off then starts over instead of resuming.
        size_limits: how long the list may be, and how many URLs it may name.

    Raises:
        OptionError: if the file cannot be read or used, or secrets would go to several servers.
    """

    def __init__(
        self,
        urls: str | Path | Sequence[str],
        *,
        session: "aiohttp.ClientSession | None" = None,
        retry: RetryPolicy | None = None,
        limits: TimeLimits | None = None,
        access: Access | None = None,
        compress: bool = False,
        size_limits: SizeLimits | None = None,
    ) -> None:
        self._size_limits = size_limits or SizeLimits()
        self._retry = retry or RetryPolicy()
        self._limits = limits or TimeLimits()
        self._compress = compress
        access = access or Access()
        self._manifest_url: str | None = None
        self._came_from: str | None = None  # the manifest, after redirects
        self._manifest: Manifest | None = None
        self._by_id: dict[str, ListedUrl] = {}
        self._backoffs: dict[tuple[str, str], Backoff] = {}  # by scheme and authority
        if isinstance(urls, str) and urls.startswith(("http://", "https://")):
            self._manifest_url = urls
            self.name: str = public_url(urls)
            self._id = _stem(unquote(urlsplit(urls).path))
            server = urls
        else:
            self.name, self._id = "URLs", "urls"
            if isinstance(urls, str | Path):
                self.name, self._id = str(urls), _stem(str(urls))
            self._manifest = _read(urls, self._size_limits)
            server = _one_server(self._manifest, access)
        self._client = HttpClient(server, session=session, access=access, limits=self._limits)

    async def __aenter__(self) -> Self:
        await self._client.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.__aexit__(kind, error, traceback)

    async def export_ids(self) -> list[str]:
        """Return the one id: the manifest's own, or the list's name."""
        return [(await self._listed()).id or self._id]

    async def discover(self, export_id: str) -> Export:
        """Return the export with its downloads (see streams.Source.discover)."""
        self._client.require_open(self.name)
        manifest = await self._listed()
        self._by_id = {listed.download.id: listed for listed in manifest.downloads}
        ids = await self.export_ids()
        if export_id not in ids:
            raise ExportNotFound(export_id, self.name, ids)
        return Export.of(export_id, [listed.download for listed in manifest.downloads])

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the download's rows (see streams.Source.stream)."""
        return self._rows(self._by_id[download.id])

    def stream_from(
        self, export_id: str, download: Download, offset: int, mark: Mark, *, until: int | None = None
    ) -> ByteStream:
        """Return the download's rows from `offset` on (see streams.ResumableSource.stream_from)."""
        return self._rows(self._by_id[download.id], (offset, mark), until)

    def _rows(self, listed: ListedUrl, start: tuple[int, Mark] | None = None, until: int | None = None) -> ByteStream:
        name, compress = listed.download.id, self._compress and start is None
        stream: ByteStream = self._stream(listed.url, name, compress=compress, start=start, until=until)
        if listed.sha256 is not None or listed.sent_bytes is not None:
            begin = 0 if start is None else start[0]
            stream = ProvenStream(stream, sha256=listed.sha256, sent_bytes=listed.sent_bytes, begin=begin)
        return UnpackedStream(stream, name, public_url(listed.url), self._size_limits)

    async def _listed(self) -> Manifest:
        if self._manifest is None:
            assert self._manifest_url is not None  # noqa: S101 - one of the two is there
            stream = self._stream(self._manifest_url, "manifest", rows=False)
            try:
                body = await read_whole(stream, self._size_limits, "list_bytes", shows_end=is_json)
                # What it names is relative to where it came from in the end (RFC 3986, section 5.1.3).
                self._manifest = read_manifest(body, base=self._came_from, size_limits=self._size_limits)
            except TransferError as error:
                raise ServerUnreachable(self._manifest_url, error.problem, silent=error.silent) from error
            except ValueError as error:
                raise MetadataError(self._manifest_url, str(error)) from error
        return self._manifest

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
        named_by = self._came_from if rows else None

        async def exchange(fields: Mapping[str, str]) -> HttpReply:
            reply = await self._client.get(url, fields, named_by=named_by)
            if not rows:
                self._came_from = reply.url
            return reply

        scheme, authority, *_ = urlsplit(url)
        backoff = self._backoffs.setdefault((scheme, authority), Backoff(self._retry))
        return ResumingStream(
            name, url, exchange, self._retry, self._limits,
            compress=compress, start=start, until=until, rows=rows, backoff=backoff,
        )  # fmt: skip


def _read(urls: str | Path | Sequence[str], size_limits: SizeLimits) -> Manifest:
    try:
        if not isinstance(urls, str | Path):
            return read_manifest("\n".join(urls).encode(), size_limits=size_limits)
        body = read_file(urls, size_limits.list_bytes)
        if len(body) > size_limits.list_bytes:
            raise OptionError("urls", f"{urls} is longer than {size_limits.told('list_bytes')}")
        return read_manifest(body, size_limits=size_limits)
    except OSError as error:
        raise OptionError("urls", f"{urls} cannot be read: {error.strerror}") from error
    except ValueError as error:
        if isinstance(error, OptionError):
            raise
        where = urls if isinstance(urls, str | Path) else "the list"
        raise OptionError("urls", f"{where}: {error}") from error


def _one_server(manifest: Manifest, access: Access) -> str:
    """Return the URL whose server may see the secrets."""
    servers = {urlsplit(listed.url)[:2] for listed in manifest.downloads}
    if len(servers) > 1 and access.secrets():
        raise OptionError("urls", f"they are of {len(servers)} servers, and a token or header goes to one only")
    return manifest.downloads[0].url


def _stem(path: str) -> str:
    return Path(path).name.partition(".")[0] or "urls"
