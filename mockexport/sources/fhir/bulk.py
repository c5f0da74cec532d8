"""FHIR Bulk Data as a Source: a job is started and waited for, or taken up; its manifest's files are the downloads.

Rules: a file never changes, so it is fetched whole or again from its start. Its URL is a secret, named nowhere: it goes
by its number. Links expire, files do not: a refused one is looked up in the manifest once more.
"""

import asyncio
import hashlib
import logging
from collections.abc import Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Self

from mockexport.errors import ExportNotFound, MetadataError, ServerUnreachable, TransferError
from mockexport.model import Download, Export, SizeLimits
from mockexport.pipeline.streams import ByteStream
from mockexport.resuming.backoff import Backoff
from mockexport.resuming.exchange import Exchange, ExchangeFailed
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.resuming.stream import ResumingStream, read_whole
from mockexport.shown import foreign, public_url
from mockexport.sources.fhir.asking import FHIR_JSON, Asking
from mockexport.sources.fhir.client import FhirClient
from mockexport.sources.fhir.files import Dated, Failing
from mockexport.sources.fhir.manifest import ManifestFile, ManifestPage, kept, read_page, renewed
from mockexport.sources.fhir.options import FhirServer
from mockexport.sources.fhir.polling import outcome_of, severities_of
from mockexport.sources.http import Access, HttpClient, HttpReply
from mockexport.unpacking.stream import UnpackedStream

if TYPE_CHECKING:
    import aiohttp

__all__ = ["FhirBulk", "delete_job"]

_log = logging.getLogger("mockexport")

# In a manifest by pages, more than these are hardly meant; nor are more in a row that name nothing.
MAX_PAGES = 100_000
MAX_EMPTY_PAGES = 100
# For these, a file's link may have expired.
_EXPIRED = frozenset({401, 403, 404, 410})


class FhirBulk:
    """A Source over one FHIR Bulk Data export; open it with `async with`.

    Args:
        server: where to begin.
        session, retry, limits, access, size_limits: as of ExportApi.
    """

    def __init__(
        self,
        server: FhirServer,
        *,
        session: "aiohttp.ClientSession | None" = None,
        retry: RetryPolicy | None = None,
        limits: TimeLimits | None = None,
        access: Access | None = None,
        size_limits: SizeLimits | None = None,
    ) -> None:
        self._server = server
        self._retry = retry or RetryPolicy()
        self._limits = limits or TimeLimits()
        self._size_limits = size_limits or SizeLimits()
        access = access or Access()
        self._http = HttpClient(server.begin, session=session, access=access, limits=self._limits)
        self._client = FhirClient(server, self._http, access, self._limits, self._size_limits)
        self._asking = Asking(server, self._client, self._retry, self._limits, self.name)
        self._id = server.group or "fhir"
        self._files: dict[str, tuple[int, ManifestFile]] = {}
        self._faults: dict[str, str] = {}  # by download, what the server says went wrong
        self._pages: list[ManifestPage] = []
        self._manifest_url = ""
        self._generation = 0
        self._renewing = asyncio.Lock()
        self._backoff = Backoff(self._retry)

    @property
    def name(self) -> str:
        """The FHIR server's address."""
        return public_url(self._server.url) if self._server.url else "a FHIR server"

    def as_of(self) -> str:
        """Return which files these are, in which order (see streams.DatedSource): what is known of others is no use."""
        return self._digest([file.place for _, file in self._files.values()])

    def _digest(self, places: object) -> str:
        # The same addresses may have other files behind them in a manifest of another time.
        return hashlib.sha256(repr((places, [page.time for page in self._pages])).encode()).hexdigest()

    def kept_manifest(self, files: Mapping[str, str]) -> bytes:
        """Return the manifest of files that were kept (see saving.ManifestSource)."""
        return kept(self._pages, [(self._files[name][1], kept_as) for name, kept_as in files.items()])

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._http.__aexit__(kind, error, traceback)

    async def export_ids(self) -> list[str]:
        """Return the one id: the group's."""
        return [self._id]

    async def discover(self, export_id: str) -> Export:
        """Start or take up the job, wait for it, and return its files as downloads (see streams.Source.discover)."""
        self._http.require_open(self.name)
        if export_id != self._id:
            raise ExportNotFound(export_id, self.name, [self._id])
        if self._server.manifest is not None:
            self._manifest_url = self._server.manifest
        else:
            self._manifest_url = self._server.status or await self._asking.kick_off()
            self._server.job.status_url = self._manifest_url
            if self._server.status is None:  # one that is killed cannot say it afterwards
                _log.info("%s: a job was started, with its status at %s", self.name, self._manifest_url)
        self._pages = pages = await self._manifest()
        downloads = self._take(pages)
        downloads += [download for page in pages for download in await self._problems(page)]
        if deleted := sum(len(page.deleted) for page in pages):
            _log.warning(
                "%s: resources were deleted since (%d files); statistics cannot be subtracted from", self.name, deleted
            )
        if not self._files:
            _log.warning("%s: the manifest names no file of Observations: the report is empty", self.name)
        return Export(export_id, tuple(downloads))

    def stream(self, export_id: str, download: Download) -> ByteStream:
        """Return the file's lines (see streams.Source.stream)."""
        if download.id in self._faults:
            return Failing(download.id, self.name, self._faults[download.id])
        _, file = self._files[download.id]
        dated = Dated(self._file(download.id), self._digest(file.place))
        return UnpackedStream(dated, download.id, self.name, self._size_limits)

    def _file(self, name: str) -> ResumingStream:
        async def exchange(fields: Mapping[str, str]) -> HttpReply:
            asked = {"Accept": "application/fhir+ndjson, application/x-ndjson;q=0.9, */*;q=0.5", **fields}
            generation = self._generation
            reply = await self._open(name, asked)
            if reply.head.status in _EXPIRED:
                await reply.close()
                await self._renew_links(generation)
                reply = await self._open(name, asked)
            return reply

        return ResumingStream(
            name, self.name, exchange, self._retry, self._limits, compress=True, backoff=self._backoff
        )

    async def _open(self, name: str, fields: Mapping[str, str]) -> HttpReply:
        _, file = self._files[name]
        return await self._client.open(file.url, fields, needs_token=file.needs_token, named_by=self._manifest_url)

    async def _renew_links(self, generation: int) -> None:
        """Fetch the manifest again, once for all files whose links have expired."""
        async with self._renewing:
            if self._generation != generation:
                return
            self._generation += 1
            try:
                self._renew(await self._manifest())
            except (ServerUnreachable, MetadataError) as error:
                raise ExchangeFailed(
                    f"a link has expired, and the manifest cannot be had: {error}", passing=True
                ) from error

    def _take(self, pages: list[ManifestPage]) -> list[Download]:
        """Take over the files of a manifest; return those of Observations as downloads."""
        files = [file for page in pages for file in page.output]
        wanted = [(number, file) for number, file in enumerate(files, 1) if file.type in (None, "Observation")]
        if len(wanted) < len(files):
            _log.info("%s: %d files of other resources are not fetched", self.name, len(files) - len(wanted))
        self._files = {f"file-{number:05}": (number, file) for number, file in wanted}
        return [Download(name, rows=file.count) for name, (_, file) in self._files.items()]

    def _renew(self, pages: list[ManifestPage]) -> None:
        """Take over the links of a manifest that was fetched again, each for its own file."""
        before = self._files
        self._take(pages)
        found = renewed([file for _, file in before.values()], [file for _, file in self._files.values()])
        self._files = before
        if found is None:
            raise ExchangeFailed("a link has expired, and the manifest now names other files", passing=False)
        self._files = {name: (before[name][0], file) for name, file in zip(before, found, strict=True)}

    async def _manifest(self) -> list[ManifestPage]:
        """Wait until the job is done, and return all pages of its manifest."""
        pages: list[ManifestPage] = []
        url: str | None = self._manifest_url
        seen: set[str] = set()
        empty = 0
        while url is not None:
            if url in seen or len(pages) >= MAX_PAGES or empty > MAX_EMPTY_PAGES:
                raise MetadataError(self.name, "the pages of its manifest come to no end")
            seen.add(url)
            body, place = await self._asking.wait_for(url)
            try:
                page = read_page(body, place)
            except ValueError as error:
                raise MetadataError(self.name, f"the manifest: {error}") from error
            pages.append(page)
            empty = 0 if page.output or page.problems or page.deleted else empty + 1
            self._size_limits.check("downloads", sum(len(page.output) for page in pages), "files in a manifest")
            url = page.next
        return pages

    async def _problems(self, page: ManifestPage) -> list[Download]:
        """Read what went wrong on the server; a file of it that tells of an error stands as a download that failed."""
        found = []
        for file in page.problems:
            name = f"problems-{len(self._faults) + 1:05}"
            stream = ResumingStream(
                name, self.name, self._exchange_of(file), self._retry, self._limits, compress=True, rows=False
            )
            try:
                body = await read_whole(
                    stream, self._size_limits, "reply_bytes", shows_end=lambda body: body.endswith(b"\n")
                )
            except (TransferError, ValueError) as error:
                issues, errors, first = 1, 1, f"what went wrong cannot be read: {error}"
            else:
                issues, errors, first = severities_of(body)
            if issues:
                _log.warning(
                    "%s: the server tells of %d problems with the export, %d errors", self.name, issues, errors
                )
            if errors:
                self._faults[name] = f"the server could not export everything: {first}"
                found.append(Download(name))
        return found

    def _exchange_of(self, file: ManifestFile) -> Exchange:
        async def exchange(fields: Mapping[str, str]) -> HttpReply:
            return await self._client.open(file.url, fields, needs_token=file.needs_token, named_by=self._manifest_url)

        return exchange


async def delete_job(
    server: FhirServer, *, access: Access | None = None, limits: TimeLimits | None = None
) -> str | None:
    """Tell the server that its job's files are no longer needed; return why that failed, None if it did not."""
    url = server.job.status_url
    if url is None:
        return None
    access, limits = access or Access(), limits or TimeLimits()
    async with HttpClient(server.begin, session=None, access=access, limits=limits) as http:
        client = FhirClient(server, http, access, limits, SizeLimits())
        try:
            async with asyncio.timeout(limits.first_byte_s):
                head, body, _ = await client.ask("DELETE", url, {"Accept": FHIR_JSON, "Accept-Encoding": "identity"})
        except ExchangeFailed as error:
            return error.problem
        except TimeoutError:
            return f"no answer within {limits.first_byte_s:g} s"
    # Gone already is as good.
    return (
        None if head.status < 300 or head.status in (404, 410) else foreign(f"HTTP {head.status} {outcome_of(body)[1]}")
    )
