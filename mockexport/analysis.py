"""`analyze`: joins a source and the pipeline, and makes the report. Also where an export is looked for by default."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from mockexport import __version__
from mockexport.checkpoint import Checkpoint
from mockexport.engine import KERNEL_REMEDY, kernel_problem
from mockexport.errors import ExportNotFound, OptionError, SourceError
from mockexport.events import Listener
from mockexport.model import Schema
from mockexport.pipeline import DEFAULT_CHUNK_BYTES, DEFAULT_CONCURRENCY, DEFAULT_QUEUE_SIZE, Pipeline
from mockexport.reducers import Reducer, Statistics, Summary
from mockexport.report import Account, Report
from mockexport.server.embedded import embedded
from mockexport.server.exports import EXPORTS
from mockexport.sources.export_api import ExportApi
from mockexport.sources.folder import Folder
from mockexport.sources.http import Access
from mockexport.sources.retrying import RetryPolicy, TimeLimits
from mockexport.sources.saving import Saving
from mockexport.streams import Source

if TYPE_CHECKING:
    import aiohttp

__all__ = ["LOCAL_URL", "OpenedSource", "analyze", "open_source"]

# Where an export server is looked for when no URL is given.
LOCAL_URL = "http://127.0.0.1:8000"
# Whatever listens there and does not answer at once is no export server.
PROBE_S = 2.0

R = TypeVar("R")

_log = logging.getLogger("mockexport")


@dataclass(frozen=True, slots=True)
class OpenedSource:
    """A source ready to use; `synthetic` if its data comes from the mock server that was started for the run."""

    source: Source
    synthetic: bool = False


@overload
async def analyze(
    export_id: str | None = None,
    *,
    url: str | None = None,
    folder: str | Path | None = None,
    source: Source | None = None,
    session: "aiohttp.ClientSession | None" = None,
    reducer: None = None,
    save: str | Path | None = None,
    schema: Schema | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    queue_size: int = DEFAULT_QUEUE_SIZE,
    strict: bool = False,
    engine: str = "auto",
    on_failure: str = "continue",
    retry: RetryPolicy | None = None,
    limits: TimeLimits | None = None,
    access: Access | None = None,
    compress: bool = False,
    checkpoint: str | Path | None = None,
    listener: Listener | None = None,
) -> Report[Statistics]: ...


@overload
async def analyze(
    export_id: str | None = None,
    *,
    url: str | None = None,
    folder: str | Path | None = None,
    source: Source | None = None,
    session: "aiohttp.ClientSession | None" = None,
    reducer: Reducer[Any, R],
    save: str | Path | None = None,
    schema: Schema | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    queue_size: int = DEFAULT_QUEUE_SIZE,
    strict: bool = False,
    engine: str = "auto",
    on_failure: str = "continue",
    retry: RetryPolicy | None = None,
    limits: TimeLimits | None = None,
    access: Access | None = None,
    compress: bool = False,
    checkpoint: str | Path | None = None,
    listener: Listener | None = None,
) -> Report[R]: ...


async def analyze(
    export_id: str | None = None,
    *,
    url: str | None = None,
    folder: str | Path | None = None,
    source: Source | None = None,
    session: "aiohttp.ClientSession | None" = None,
    reducer: Reducer[Any, Any] | None = None,
    save: str | Path | None = None,
    schema: Schema | None = None,
    concurrency: int = DEFAULT_CONCURRENCY,
    chunk_bytes: int = DEFAULT_CHUNK_BYTES,
    queue_size: int = DEFAULT_QUEUE_SIZE,
    strict: bool = False,
    engine: str = "auto",
    on_failure: str = "continue",
    retry: RetryPolicy | None = None,
    limits: TimeLimits | None = None,
    access: Access | None = None,
    compress: bool = False,
    checkpoint: str | Path | None = None,
    listener: Listener | None = None,
) -> Report[Any]:
    """Fetch, reduce, verify and merge an export, and return its report.

    Args:
        export_id: the export; by default a folder's own, and `demo` elsewhere.
        url: base URL of an export server. Without `url`, `folder` and `source`, a server on local port 8000 is used if
            it lists the export; else, for `demo`, `small` and `large`, the mock server is started for the run.
        folder: a folder of files instead of a server (see sources.folder).
        source: any other Source instead.
        session: an aiohttp session of yours to use with `url`; it is left open.
        reducer: what becomes of the rows; by default Summary.
        save: a folder to keep the files in; what is there already, verified and unchanged, is not fetched again.
        schema: how the columns are called.
        concurrency: downloads in flight at once.
        chunk_bytes: size of the chunks that go through the queue, in bytes.
        queue_size: chunks that may wait in the queue.
        strict: make the first bad row an error instead of counting it.
        engine: "auto" for the fastest that there is for the reducer, or "kernel" (compiled) or "python"; the report is
            the same.
        on_failure: "continue" with the other downloads when one has failed, or "stop": the others are then skipped.
        retry: how often a download is tried, and how long is waited in between.
        limits: how long anything may take.
        access: token, header fields, proxy and certificates; they go with `url`.
        compress: ask for compressed bodies; a download that breaks off then starts over instead of resuming.
        checkpoint: a file in which to keep, every few seconds, what another run with the same arguments goes on from;
            it is removed once every download is complete.
        listener: called with every event of the run, in the event loop.

    Returns:
        The report. Downloads that failed contribute nothing to it; they and those that differ from their metadata are
        listed in `incomplete`, and `account` says why.

    Raises:
        ExportNotFound, ServerUnreachable, MetadataError, FolderError: if the export cannot be had at all.
        BadRowError: for a bad row, if strict.
        ReducerError: if the reducer raises.
        OutputError: if a file to be kept, or the checkpoint, cannot be written.
        CheckpointError: if the checkpoint that is there belongs to another run.
        OptionError: for an argument that cannot be meant.
    """
    if reducer is None:
        reducer = Summary()
    if engine == "auto" and (problem := kernel_problem()) is not None:
        _log.warning(
            "this is the slow engine, in Python: there is no compiled kernel, as %s; %s", problem, KERNEL_REMEDY
        )
    if export_id is None and folder is None:
        export_id = "demo"
    if on_failure not in ("continue", "stop"):
        raise OptionError("on_failure", f"{on_failure!a} is neither continue nor stop")
    if checkpoint is not None and save is not None:
        raise OptionError("checkpoint", "does not go with save, which keeps what it has fetched by itself")
    async with open_source(
        export_id,
        url=url,
        folder=folder,
        source=source,
        session=session,
        retry=retry,
        limits=limits,
        access=access,
        compress=compress,
    ) as opened:
        if export_id is None:
            export_id = _only(await opened.source.export_ids())
        saving = None if save is None else Saving(opened.source, save)
        pipeline = Pipeline(
            saving or opened.source,
            reducer,
            schema=schema,
            concurrency=concurrency,
            chunk_bytes=chunk_bytes,
            queue_size=queue_size,
            strict=strict,
            engine=engine,
            stop_on_failure=on_failure == "stop",
            # The mock server's address is another one each time; what it serves is not.
            checkpoint=None
            if checkpoint is None
            else Checkpoint(checkpoint, source="the mock server" if opened.synthetic else None),
            listener=listener,
        )
        outcome = await pipeline.run(export_id)
        if saving is not None:
            saving.finish()
    account = Account(
        export_id=export_id,
        source=opened.source.name,
        synthetic=opened.synthetic,
        engine=outcome.engine.name,
        version=__version__,
        elapsed_s=outcome.elapsed_s,
        downloads=outcome.downloads,
    )
    return Report.of(outcome.result(), account)


@asynccontextmanager
async def open_source(
    export_id: str | None,
    *,
    url: str | None = None,
    folder: str | Path | None = None,
    source: Source | None = None,
    session: "aiohttp.ClientSession | None" = None,
    retry: RetryPolicy | None = None,
    limits: TimeLimits | None = None,
    access: Access | None = None,
    compress: bool = False,
) -> AsyncIterator[OpenedSource]:
    """Open the source that the arguments of `analyze` mean, for `export_id` or, where that is None, to look around."""
    if sum(given is not None for given in (url, folder, source)) > 1:
        raise OptionError("source", "give one of url, folder and source")
    if session is not None and url is None:
        raise OptionError("session", "goes with url")
    if access is not None and url is None:
        # Secrets are for the server that they were given for, not for whatever listens on a local port.
        raise OptionError("access", "token, headers, proxy and certificates go with url")
    if source is not None:
        yield OpenedSource(source)
    elif folder is not None:
        yield OpenedSource(Folder(folder))
    elif url is not None:
        async with ExportApi(url, session=session, retry=retry, limits=limits, access=access, compress=compress) as api:
            yield OpenedSource(api)
    else:

        def api_at(address: str) -> ExportApi:
            return ExportApi(address, retry=retry, limits=limits, compress=compress)

        async with _default_source(export_id, api_at) as opened:
            yield opened


def _only(export_ids: list[str]) -> str:
    if len(export_ids) != 1:
        raise OptionError("export_id", f"the folder holds several exports; name one of {', '.join(export_ids)}")
    return export_ids[0]


@asynccontextmanager
async def _default_source(export_id: str | None, api_at: Callable[[str], ExportApi]) -> AsyncIterator[OpenedSource]:
    """The server on the local port if it has the export, else our mock server, started for as long as it is used."""
    listed: list[str] = []
    async with ExportApi(LOCAL_URL, retry=RetryPolicy(attempts=1), limits=TimeLimits.of(PROBE_S)) as local:
        try:
            listed = await local.export_ids()
        except SourceError as error:
            _log.debug("no export server on the local port: %s", error)
    if export_id in listed or (export_id is None and listed):
        _log.info("using the export server at %s", LOCAL_URL)
        async with api_at(LOCAL_URL) as api:
            yield OpenedSource(api)
    elif export_id in EXPORTS or export_id is None:
        async with embedded() as url, api_at(url) as api:
            _log.info("no server given: the mock server runs for as long as needed; its data is synthetic")
            yield OpenedSource(api, synthetic=True)
    else:
        where = LOCAL_URL if listed else "the mock server"
        raise ExportNotFound(export_id, where, list(dict.fromkeys([*listed, *EXPORTS])))
