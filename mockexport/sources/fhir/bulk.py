"""FHIR Bulk Data as a Source: a job is started and waited for, or taken up; its manifest's files are the downloads.

Rules: a file never changes, so it is fetched whole or anew. Its URL is a secret and is named nowhere: it goes by its
number. Links expire, files do not: a refused one is looked up in the manifest once more.
"""

import asyncio
import hashlib
import logging
import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urlencode

import msgspec

from mockexport.errors import ExportNotFound, MetadataError, ServerUnreachable, TransferError
from mockexport.model import Download, Export, SizeLimits, Verdict
from mockexport.pipeline.streams import ByteStream, Opened, Piece, Room, StartOver
from mockexport.resuming.backoff import Backoff
from mockexport.resuming.exchange import Exchange, ExchangeFailed
from mockexport.resuming.replies import Head
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.resuming.stream import ResumingStream, read_whole
from mockexport.shown import foreign, public_url
from mockexport.sources.fhir.client import FhirClient
from mockexport.sources.fhir.manifest import ManifestFile, ManifestPage, kept, read_page, renewed
from mockexport.sources.fhir.options import FhirServer
from mockexport.sources.fhir.polling import Again, Refusal, next_wait_s, outcome_of, place_of_job, polled, severities_of
from mockexport.sources.http import Access, HttpClient, HttpReply
from mockexport.unpacking.stream import UnpackedStream

if TYPE_CHECKING:
    import aiohttp

__all__ = ["FhirBulk", "delete_job"]

_log = logging.getLogger("mockexport")

_FHIR_JSON = "application/fhir+json"
# In a manifest by pages, more than these are hardly meant; nor are so many in a row that name nothing.
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
            self._manifest_url = self._server.status or await self._kick_off()
            self._server.job.status_url = self._manifest_url
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
            return _Failing(download.id, self.name, self._faults[download.id])
        _, file = self._files[download.id]
        dated = _Dated(self._file(download.id), self._digest(file.place))
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

    async def _kick_off(self) -> str:
        """Start a job; return the URL of its status."""
        base = (self._server.url or "").rstrip("/")
        group = self._server.group
        path = "Patient" if group is None else f"Group/{quote(group, safe='')}"
        url = f"{base}/{path}/$export"
        asked: list[tuple[str, str]] = [
            ("_type", "Observation"),
            *(("_typeFilter", text) for text in self._server.type_filters),
        ]
        method, wait_s, failures = "GET", None, 0
        while True:
            head, body, place = await self._start(method, url, asked)
            codes, told = outcome_of(body)
            problem = f"HTTP {head.status}" + (f", {told}" if told else "")
            if head.status == 202:
                if (found := place_of_job(place, head.values("content-location"))) is None:
                    raise MetadataError(
                        self.name, "a job was started, and the reply does not say where (Content-Location)"
                    )
                return found
            if method == "GET" and (head.status == 405 or (head.status == 400 and _is_of_method(codes, told))):
                method = "POST"
            elif head.status == 400 and len(asked) > 1 and "_typeFilter" in told:
                _log.warning("%s knows no _typeFilter: all Observations are fetched, and filtered here", self.name)
                asked = asked[:1]
            elif head.status == 400 and asked and "_type" in told:
                _log.warning("%s knows no _type: all resources are fetched, and filtered here", self.name)
                asked = []
            elif head.status in (429, 503) and failures < self._retry.most_failures:
                failures += 1
                answer = polled(head, b"", time.time())
                wait_s = next_wait_s(wait_s, answer.asked_s if isinstance(answer, Again) else None, self._server.poll_s)
                if wait_s > self._limits.total_s:
                    raise ServerUnreachable(self.name, f"{problem}; it asks to wait {wait_s:,.0f} s")
                _log.info("%s: %s; asking again in %.0f s", self.name, problem, wait_s)
                await asyncio.sleep(wait_s)
            elif head.status == 409:
                raise ServerUnreachable(
                    self.name, f"{problem}: there is a job like this one; take that up by its status"
                )
            else:
                raise ServerUnreachable(self.name, f"no job was started: {problem}")

    async def _start(self, method: str, url: str, asked: list[tuple[str, str]]) -> tuple[Head, bytes, str]:
        fields = {"Accept": _FHIR_JSON, "Prefer": "respond-async", "Accept-Encoding": "identity"}
        body = None
        if method == "GET":
            url = f"{url}?{urlencode(asked)}" if asked else url
        else:
            fields["Content-Type"] = _FHIR_JSON
            parameters = [{"name": name, "valueString": text} for name, text in asked]
            body = msgspec.json.encode({"resourceType": "Parameters", "parameter": parameters})
        try:
            return await self._client.ask(method, url, fields, body)
        except ExchangeFailed as error:
            raise ServerUnreachable(self.name, error.problem, silent=error.silent) from error

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
            body, place = await self._wait_for(url)
            try:
                page = read_page(body, place)
            except ValueError as error:
                raise MetadataError(self.name, f"the manifest: {error}") from error
            pages.append(page)
            empty = 0 if page.output or page.problems or page.deleted else empty + 1
            self._size_limits.check("downloads", sum(len(page.output) for page in pages), "files in a manifest")
            url = page.next
        return pages

    async def _wait_for(self, url: str) -> tuple[bytes, str]:
        """Ask for a job's status until it is done; return the body, and where it came from."""
        fields = {"Accept": "application/json", "Accept-Encoding": "identity"}
        until_s = time.monotonic() + self._limits.total_s
        wait_s: float | None = None
        failures = 0
        while True:
            try:
                head, body, place = await self._client.ask("GET", url, fields, limit="list_bytes")
                answer = polled(head, body, time.time())
            except ExchangeFailed as error:
                if not error.passing:
                    raise ServerUnreachable(self.name, error.problem, silent=error.silent) from error
                answer = Again(None, failed=error.problem)
            if isinstance(answer, Refusal):
                raise ServerUnreachable(self.name, f"the job: {answer.problem}")
            if not isinstance(answer, Again):
                return body, place
            failures = failures + 1 if answer.failed else 0
            wait_s = next_wait_s(wait_s, answer.asked_s, self._server.poll_s)
            if failures > 2 * self._retry.most_failures or time.monotonic() + wait_s > until_s:
                raise ServerUnreachable(self.name, f"the job's status: {answer.failed or 'it is not done in time'}")
            told = answer.failed or answer.progress or "not done yet"
            _log.info("%s: the job: %s; asking again in %.0f s", self.name, told, wait_s)
            await asyncio.sleep(wait_s)

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


class _Dated:
    """A file's stream, whose version also says of which manifest it is: files seldom have an entity tag."""

    def __init__(self, stream: ResumingStream, of: str) -> None:
        self._stream = stream
        self._of = of

    def receive_into(self, room: Room) -> None:
        self._stream.receive_into(room)

    async def pieces(self) -> AsyncGenerator[Piece]:
        async with aclosing(self._stream.pieces()) as pieces:
            async for piece in pieces:
                yield Opened(piece.mark, f"{self._of} {piece.version or ''}") if isinstance(piece, Opened) else piece

    def start_over(self, problem: str) -> StartOver:
        return self._stream.start_over(problem)

    async def close(self, verdict: Verdict | None) -> None:
        await self._stream.close(verdict)


class _Failing:
    """In place of what the server could not export: a stream that says so."""

    def __init__(self, download_id: str, where: str, problem: str) -> None:
        self._error = TransferError(download_id, where, problem)

    async def pieces(self) -> AsyncGenerator[Piece]:
        nothing: tuple[Piece, ...] = ()
        for piece in nothing:
            yield piece
        raise self._error

    def start_over(self, problem: str) -> StartOver:
        raise self._error

    async def close(self, verdict: Verdict | None) -> None:
        """Nothing is open."""


def _is_of_method(codes: set[str], told: str) -> bool:
    return ("not-supported" in codes and "_type" not in told) or "POST" in told or "method" in told.lower()


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
                head, body, _ = await client.ask("DELETE", url, {"Accept": _FHIR_JSON, "Accept-Encoding": "identity"})
        except ExchangeFailed as error:
            return error.problem
        except TimeoutError:
            return f"no answer within {limits.first_byte_s:g} s"
    # Gone already is as good.
    return (
        None if head.status < 300 or head.status in (404, 410) else foreign(f"HTTP {head.status} {outcome_of(body)[1]}")
    )
