"""Opens the source that a user means: a server by its URL, a folder, one of their own, or what is there by default.

Each is imported when it is the one: a run's memory is a budget, and it has one source. HTTP alone is 12 MB.
"""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict

from mockexport.errors import ExportNotFound, OptionError, SourceError
from mockexport.model import SizeLimits
from mockexport.pipeline.streams import Source
from mockexport.resuming.retrying import DEFAULT_CONCURRENCY, RetryPolicy, TimeLimits
from mockexport.sources.embedded import EMBEDDED, embedded

if TYPE_CHECKING:
    import aiohttp

    from mockexport.sources.export_api import ExportApi
    from mockexport.sources.fhir import FhirServer
    from mockexport.sources.http import Access

__all__ = ["LOCAL_URL", "OpenedSource", "SourceOptions", "open_source"]

# Where an export server is looked for when no URL is given.
LOCAL_URL = "http://127.0.0.1:8000"
# Whatever listens there and does not answer at once is no export server.
PROBE_S = 2.0

_log = logging.getLogger("mockexport")


class SourceOptions(TypedDict, total=False):
    """Where the data is, and how to get at it.

    Keys:
        url: base URL of an export server. Where neither it nor `folder`, `files`, `urls` or `source` is given, a server
            on local port 8000 is used if it lists the export; else, for `demo`, `small` and `large`, the mock server
            is started for the run.
        folder: a folder of files instead of a server (see sources.folder).
        files: files by their paths, or by a glob pattern, compressed or not (see sources.files).
        urls: URLs, or a file or URL that holds a list or manifest of them (see sources.url_list).
        fhir: a FHIR server, a job or a manifest (see sources.fhir).
        source: any other Source instead.
        session: an aiohttp session of yours to use with `url` or `urls`; it is left open.
        retry: how often a download is tried, and how long is waited in between.
        limits: how long anything may take.
        access: token, header fields, proxy and certificates; they go with `url` or `urls`.
        compress: ask for compressed bodies; a download that breaks off then starts over instead of resuming.
        concurrency: downloads in flight at once, and requests for metadata; 4 by default.
        size_limits: how much there may be of what a server, a file or the data's variety brings.
    """

    url: str | None
    folder: str | Path | None
    files: str | Path | Sequence[str | Path] | None
    urls: str | Path | Sequence[str] | None
    fhir: "FhirServer | None"
    source: Source | None
    session: "aiohttp.ClientSession | None"
    retry: RetryPolicy | None
    limits: TimeLimits | None
    access: "Access | None"
    compress: bool
    concurrency: int
    size_limits: SizeLimits | None


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source ready to use; `synthetic` if its data comes from the mock server that was started for the run."""

    source: Source
    synthetic: bool = False


@asynccontextmanager
async def open_source(
    export_id: str | None,
    *,
    url: str | None = None,
    folder: str | Path | None = None,
    files: str | Path | Sequence[str | Path] | None = None,
    urls: str | Path | Sequence[str] | None = None,
    fhir: "FhirServer | None" = None,
    source: Source | None = None,
    session: "aiohttp.ClientSession | None" = None,
    retry: RetryPolicy | None = None,
    limits: TimeLimits | None = None,
    access: "Access | None" = None,
    compress: bool = False,
    concurrency: int = DEFAULT_CONCURRENCY,
    size_limits: SizeLimits | None = None,
) -> AsyncIterator[OpenedSource]:
    """Open the source that SourceOptions mean, for `export_id` or, where that is None, to look around.

    Raises:
        ExportNotFound: if nothing by default has the export.
        FolderError: if the folder or files are not there.
        OptionError: for options that contradict each other.
    """
    if sum(given is not None for given in (url, folder, files, urls, fhir, source)) > 1:
        raise OptionError("source", "give one of url, folder, files, urls, fhir and source")
    if session is not None and url is None and urls is None and fhir is None:
        raise OptionError("session", "goes with url, urls or fhir")
    if access is not None and url is None and urls is None and fhir is None:
        # Secrets are for the server that they were given for, not for whatever listens on a local port.
        raise OptionError("access", "token, headers, proxy and certificates go with url, urls or fhir")
    if source is not None:
        yield OpenedSource(source)
    elif folder is not None:
        from mockexport.sources.folder import Folder

        yield OpenedSource(Folder(folder, size_limits=size_limits))
    elif files is not None:
        from mockexport.sources.files import Files

        yield OpenedSource(Files(files, size_limits=size_limits))
    elif fhir is not None:
        from mockexport.sources.fhir.bulk import FhirBulk

        async with FhirBulk(
            fhir, session=session, retry=retry, limits=limits, access=access, size_limits=size_limits
        ) as bulk:
            yield OpenedSource(bulk)
    elif urls is not None:
        from mockexport.sources.url_list import UrlList

        async with UrlList(
            urls,
            session=session,
            retry=retry,
            limits=limits,
            access=access,
            compress=compress,
            size_limits=size_limits,
        ) as listed:
            yield OpenedSource(listed)
    elif url is not None:
        from mockexport.sources.export_api import ExportApi

        async with ExportApi(
            url,
            session=session,
            retry=retry,
            limits=limits,
            access=access,
            compress=compress,
            concurrency=concurrency,
            size_limits=size_limits,
        ) as api:
            yield OpenedSource(api)
    else:
        from mockexport.sources.export_api import ExportApi

        def api_at(address: str, retry: RetryPolicy | None = retry, limits: TimeLimits | None = limits) -> ExportApi:
            return ExportApi(
                address, retry=retry, limits=limits, compress=compress, concurrency=concurrency,
                size_limits=size_limits,
            )  # fmt: skip

        async with _default_source(export_id, api_at) as opened:
            yield opened


@asynccontextmanager
async def _default_source(export_id: str | None, api_at: "Callable[..., ExportApi]") -> AsyncIterator[OpenedSource]:
    """The server on the local port if it has the export, else our mock server, started for as long as it is used."""
    listed: list[str] = []
    async with api_at(LOCAL_URL, RetryPolicy(attempts=1), TimeLimits.of(PROBE_S)) as local:
        try:
            listed = await local.export_ids()
        except SourceError as error:
            _log.debug("no export server on the local port: %s", error)
    if export_id in listed or (export_id is None and listed):
        _log.info("using the export server at %s", LOCAL_URL)
        async with api_at(LOCAL_URL) as api:
            yield OpenedSource(api)
    elif export_id in EMBEDDED or export_id is None:
        async with embedded() as url, api_at(url) as api:
            _log.info("no server given: the mock server runs for as long as needed; its data is synthetic")
            yield OpenedSource(api, synthetic=True)
    else:
        where = LOCAL_URL if listed else "the mock server"
        raise ExportNotFound(export_id, where, list(dict.fromkeys([*listed, *EMBEDDED])))
