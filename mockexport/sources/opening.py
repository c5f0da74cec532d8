"""Opens the source that a user means: a server by its URL, a folder, one of their own, or what is there by default.

Each is imported when it is the one: a run's memory is a budget, and it has one source. HTTP alone is 12 MB.
"""

import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from mockexport.errors import ExportNotFound, OptionError, SourceError
from mockexport.model import SizeLimits
from mockexport.pipeline.streams import Source
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.sources.embedded import EMBEDDED, embedded

if TYPE_CHECKING:
    import aiohttp

    from mockexport.sources.fhir import FhirServer
    from mockexport.sources.http import Access

__all__ = ["LOCAL_URL", "OF_ONE_EXPORT", "SOURCES", "OpenedSource", "SourceOptions", "open_source"]

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


_OVER_HTTP = ("session", "retry", "limits", "access", "size_limits")
# Which argument makes which source: where it lives, and which of the other arguments it takes.
SOURCES: Mapping[str, tuple[str, str, tuple[str, ...]]] = {
    "url": ("export_api", "ExportApi", (*_OVER_HTTP, "compress", "concurrency")),
    "urls": ("url_list", "UrlList", (*_OVER_HTTP, "compress")),
    "fhir": ("fhir.bulk", "FhirBulk", _OVER_HTTP),
    "folder": ("folder", "Folder", ("size_limits",)),
    "files": ("files", "Files", ("size_limits",)),
}
# Those of one export, which need not be named.
OF_ONE_EXPORT = frozenset({*SOURCES, "source"} - {"url"})


@asynccontextmanager
async def open_source(export_id: str | None, **options: Unpack[SourceOptions]) -> AsyncIterator[OpenedSource]:
    """Open the source that SourceOptions mean, for `export_id` or, where that is None, to look around.

    Raises:
        ExportNotFound: if nothing by default has the export.
        FolderError: if the folder or files are not there.
        OptionError: for options that contradict each other.
    """
    given = {name: value for name, value in options.items() if value is not None}
    named = given.keys() & {*SOURCES, "source"}
    if len(named) > 1:
        raise OptionError("source", "give one of url, folder, files, urls, fhir and source")
    if "session" in given and not named & {"url", "urls", "fhir"}:
        raise OptionError("session", "goes with url, urls or fhir")
    if "access" in given and not named & {"url", "urls", "fhir"}:
        # Secrets are for the server that they were given for, not for whatever listens on a local port.
        raise OptionError("access", "token, headers, proxy and certificates go with url, urls or fhir")
    if (source := options.get("source")) is not None:
        yield OpenedSource(source)
    elif named:
        (name,) = named
        async with _made(name, given) as made:
            yield OpenedSource(made)
    else:
        async with _default_source(export_id, given) as opened:
            yield opened


def _made(name: str, given: Mapping[str, Any]) -> AbstractAsyncContextManager[Any]:
    """Return the source that an argument makes, as a context that holds what it needs open."""
    module, of_class, takes = SOURCES[name]
    make = getattr(import_module(f"mockexport.sources.{module}"), of_class)
    source = make(given[name], **{option: given[option] for option in takes if option in given})
    return source if hasattr(source, "__aenter__") else nullcontext(source)


@asynccontextmanager
async def _default_source(export_id: str | None, given: Mapping[str, Any]) -> AsyncIterator[OpenedSource]:
    """Open the server on the local port if it has the export, else our mock server, started while it is used."""
    listed: list[str] = []
    hurried = {"url": LOCAL_URL, "retry": RetryPolicy(attempts=1), "limits": TimeLimits.of(PROBE_S)}
    async with _made("url", {**given, **hurried}) as local:
        try:
            listed = await local.export_ids()
        except SourceError as error:
            _log.debug("no export server on the local port: %s", error)
    if export_id in listed or (export_id is None and listed):
        _log.info("using the export server at %s", LOCAL_URL)
        async with _made("url", {**given, "url": LOCAL_URL}) as api:
            yield OpenedSource(api)
    elif export_id in EMBEDDED or export_id is None:
        async with embedded() as url, _made("url", {**given, "url": url}) as api:
            _log.info("no server given: the mock server runs for as long as needed; its data is synthetic")
            yield OpenedSource(api, synthetic=True)
    else:
        where = LOCAL_URL if listed else "the mock server"
        raise ExportNotFound(export_id, where, list(dict.fromkeys([*listed, *EMBEDDED])))
