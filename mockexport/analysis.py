"""`analyze`: joins a source and the pipeline, and makes the report."""

import asyncio
import logging
import time
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, TypeVar, Unpack, overload

from mockexport import __version__
from mockexport.engine.choosing import kernel_problem
from mockexport.errors import NotedError, OptionError
from mockexport.events import Listener
from mockexport.formats.filters import Filter
from mockexport.formats.format import Format
from mockexport.formats.schema import Schema
from mockexport.pipeline.checkpoint import Checkpoint
from mockexport.pipeline.run import DEFAULT_CONCURRENCY, DEFAULT_MAX_BAD, DEFAULT_QUEUE_SIZE, Pipeline
from mockexport.pipeline.sharing import Crew
from mockexport.pipeline.streams import Source
from mockexport.reducers import Reducer, Statistics, Summary
from mockexport.report.account import Account
from mockexport.report.notes import STATISTICS
from mockexport.report.report import Report
from mockexport.sources.opening import SourceOptions, open_source

if TYPE_CHECKING:
    from mockexport.saving.parquet import SavingParquet
    from mockexport.saving.source import Saving

__all__ = ["RunOptions", "analyze", "run", "run_export"]

R = TypeVar("R")

# Where no export need be named.
_OF_ONE_EXPORT = ("folder", "files", "urls", "fhir", "source")

_log = logging.getLogger("mockexport")


class RunOptions(SourceOptions, total=False):
    """How a run goes, beside where its data is.

    Keys:
        save: a folder to keep the files in; what is there already, verified and unchanged, is not fetched again.
        save_format: "csv", the bytes as they came, by default; or "parquet", for other tools (takes the extra
            `mockexport[parquet]`): a second run then fetches everything anew.
        schema: how bytes become rows: of a table, how its columns are called and separated, and what times without an
            offset are local to.
        filter: the rows that are asked for, all by default. Verdicts are of all rows; a download whose metadata says
            that it holds none that are asked for is not fetched, and counts as skipped. Does not go with `save`.
        split: divide longer downloads into spans of about so many bytes, which come over connections of their own,
            where the server can resume; by default none is divided.
        chunk_bytes: size of the chunks that go through the queue, in bytes; by default 512 KiB, and 384 KiB for
            reducers and the engine that are written in Python.
        queue_size: chunks that may wait in the queue; 2 by default.
        coverage: count rows by hour of UTC, too; the account of each download tells them.
        strict: make the first bad row an error instead of counting it, and so whatever would be noted of the data.
        max_bad: with more bad rows than this, a number of rows or a share such as "10%" (the default), a download has
            failed; one whose rows are all bad always has.
        engine: "auto" for the fastest that there is for the reducer, or "kernel" (compiled) or "python"; the report is
            the same.
        on_failure: "continue" with the other downloads when one has failed, or "stop": the others are then skipped.
        checkpoint: a file in which to keep, every few seconds, what another run with the same arguments goes on from;
            it is removed once every download is complete.
        listener: called with every event of the run, in the event loop.
        allow_incomplete: give the report's figures also where downloads failed or differ from their metadata; by
            default who asks for them gets IncompleteReport.
    """

    save: str | Path | None
    save_format: Literal["csv", "parquet"]
    schema: Format | None
    filter: Filter | None
    split: int | None
    chunk_bytes: int | None
    queue_size: int
    coverage: bool
    strict: bool
    max_bad: int | str
    engine: Literal["auto", "kernel", "python"]
    on_failure: Literal["continue", "stop"]
    checkpoint: str | Path | None
    listener: Listener | None
    allow_incomplete: bool


@overload
async def analyze(
    export_id: str | None = None, *, reducer: None = None, **options: Unpack[RunOptions]
) -> Report[Statistics]: ...


@overload
async def analyze(
    export_id: str | None = None, *, reducer: Reducer[Any, R], **options: Unpack[RunOptions]
) -> Report[R]: ...


async def analyze(
    export_id: str | None = None, *, reducer: Reducer[Any, Any] | None = None, **options: Unpack[RunOptions]
) -> Report[Any]:
    """Fetch, reduce, verify and merge an export, and return its report.

    Args:
        export_id: the export; by default the only one of a folder, of files, URLs or a source, and `demo` elsewhere.
        reducer: what becomes of the rows; by default Summary.
        **options: where the data is (see SourceOptions), and how the run goes (see RunOptions).

    Returns:
        The report. Downloads that failed contribute nothing to it; they and those that differ from their metadata are
        listed in `incomplete`, and `account` says why. Such a report gives its figures only if `allow_incomplete`.

    Raises:
        ExportNotFound, ServerUnreachable, MetadataError, FolderError: if the export cannot be had at all.
        BadRowError, NotedError: for a bad row, or for something to be noted, if strict.
        ReducerError: if the reducer raises.
        OutputError: if a file to be kept, or the checkpoint, cannot be written.
        CheckpointError: if the checkpoint that is there belongs to another run.
        LimitError: if there is more of something than `size_limits` allow.
        OptionError: for an argument that cannot be meant.
    """
    return await run_export(export_id, reducer, **options)


@overload
def run(export_id: str | None = None, *, reducer: None = None, **options: Unpack[RunOptions]) -> Report[Statistics]: ...


@overload
def run(export_id: str | None = None, *, reducer: Reducer[Any, R], **options: Unpack[RunOptions]) -> Report[R]: ...


def run(
    export_id: str | None = None, *, reducer: Reducer[Any, Any] | None = None, **options: Unpack[RunOptions]
) -> Report[Any]:
    """Do as `analyze` does, without asyncio: wait for the report and return it.

    The event loop is one of its own, in a thread of its own, so that it goes wherever Python does: in a script, and in
    a notebook, whose own loop is running and waits meanwhile. A listener is called in that thread. Ctrl-C ends the run.

    Args:
        export_id: as of `analyze`, and so are `reducer` and all options, but for `session`, which has a loop already.
        reducer: see there.
        **options: see there.

    Raises:
        MockExportError: what `analyze` raises.
    """
    if options.get("session") is not None:
        raise OptionError("session", "belongs to an event loop that is running: `await mockexport.analyze(…)` there")
    begun: Future[Callable[[], object]] = Future()
    ended: Future[Report[Any]] = Future()

    async def in_a_loop() -> Report[Any]:
        task = asyncio.create_task(run_export(export_id, reducer, **options))
        begun.set_result(partial(asyncio.get_running_loop().call_soon_threadsafe, task.cancel))
        return await task

    def work() -> None:
        try:
            ended.set_result(asyncio.run(in_a_loop()))
        except BaseException as error:
            ended.set_exception(error)

    thread = Thread(target=work, name="mockexport")
    thread.start()
    try:
        return ended.result()
    except KeyboardInterrupt:
        begun.result()()
        raise
    finally:
        thread.join()


async def run_export(
    export_id: str | None,
    reducer: Reducer[Any, Any] | None,
    *,
    on_ready: Callable[[Pipeline[Any], str, str, bool], object] | None = None,
    crew: Crew | None = None,
    save: str | Path | None = None,
    save_format: str = "csv",
    schema: Format | None = None,
    filter: Filter | None = None,  # noqa: A002 - what everybody calls it
    split: int | None = None,
    chunk_bytes: int | None = None,
    queue_size: int = DEFAULT_QUEUE_SIZE,
    coverage: bool = False,
    strict: bool = False,
    max_bad: int | str = DEFAULT_MAX_BAD,
    engine: str = "auto",
    on_failure: str = "continue",
    checkpoint: str | Path | None = None,
    listener: Listener | None = None,
    allow_incomplete: bool = False,
    **where: Unpack[SourceOptions],
) -> Report[Any]:
    """Run as `analyze` does; call `on_ready` with the pipeline, names of export and source, and if it is synthetic.

    A crew, if there is one, brings the downloads in.
    """
    if engine == "auto" and (problem := kernel_problem()) is not None:
        _log.warning("this is the slow engine, in Python: there is no compiled kernel, as %s", problem)
    if export_id is None and all(where.get(given) is None for given in _OF_ONE_EXPORT):
        export_id = "demo"
    for name in where.keys() - SourceOptions.__annotations__.keys():
        known = [*SourceOptions.__annotations__, *RunOptions.__annotations__]
        raise OptionError(name, "is no option of a run", given=name, known=known)
    if on_failure not in ("continue", "stop"):
        raise OptionError("on_failure", f"{on_failure!a} is neither continue nor stop")
    if save_format not in ("csv", "parquet"):
        raise OptionError("save_format", f"{save_format!a} is neither csv nor parquet")
    if save_format == "parquet":
        if save is None:
            raise OptionError("save_format", "goes with save, which names the folder")
        from mockexport.saving.parquet import require_parquet

        require_parquet()
    if checkpoint is not None and save is not None:
        raise OptionError("checkpoint", "does not go with save, which keeps what it has fetched by itself")
    if filter is not None and not filter.is_open and save is not None:
        raise OptionError("filter", "does not go with save, which keeps whole files")
    if save is not None and _same(save, where.get("folder")):
        raise OptionError("save", "is the folder that is read; name another")
    async with open_source(export_id, **where) as opened:
        if save is not None and where.get("files") is not None:
            _refuse_files_of(opened.source, Path(save))
        if export_id is None:
            export_id = _only(await opened.source.export_ids())
        saving = None if save is None else _saving(opened.source, save, save_format, schema, engine)
        pipeline = Pipeline(
            saving or opened.source,
            Summary() if reducer is None else reducer,
            schema=schema,
            filter=filter,
            concurrency=where.get("concurrency", DEFAULT_CONCURRENCY),
            size_limits=where.get("size_limits"),
            split=split,
            chunk_bytes=chunk_bytes,
            queue_size=queue_size,
            coverage=coverage,
            strict=strict,
            max_bad=max_bad,
            engine=engine,
            stop_on_failure=on_failure == "stop",
            # The mock server's address is another one each time; what it serves is not.
            checkpoint=None
            if checkpoint is None
            else Checkpoint(
                checkpoint,
                source="the mock server" if opened.synthetic else None,
                size_limits=where.get("size_limits"),
            ),
            listener=listener,
        )
        if on_ready is not None:
            on_ready(pipeline, export_id, opened.source.name, opened.synthetic)
        try:
            outcome = await pipeline.run(export_id, crew)
            if saving is not None:
                saving.finish()
        finally:
            if saving is not None:
                saving.release()
    divided_from = time.monotonic()
    result = outcome.result()
    account = Account(
        export_id=export_id,
        source=opened.source.name,
        synthetic=opened.synthetic,
        engine=outcome.engine.name,
        version=__version__,
        elapsed_s=outcome.elapsed_s + time.monotonic() - divided_from,
        downloads=outcome.downloads,
    )
    report = Report.of(result, account, allow_incomplete=allow_incomplete)
    if strict and (noted := [note for note in report.notes if note.kind != STATISTICS]):
        raise NotedError(f"the report of {export_id}", "; ".join(map(str, noted)))
    return report


def _same(save: str | Path, folder: str | Path | None) -> bool:
    return folder is not None and Path(save).resolve() == Path(folder).resolve()


def _refuse_files_of(source: Source, save: Path) -> None:
    from mockexport.sources.files import Files  # it is there already: the source is one

    if isinstance(source, Files) and source.takes_in(save):
        raise OptionError("save", "is a folder whose files are read: they would be there twice; name another")


def _saving(
    source: Source, folder: str | Path, save_format: str, schema: Format | None, engine: str
) -> "Saving | SavingParquet":
    """Return the source that keeps files; imported no sooner, as a run's memory is a budget."""
    if save_format == "parquet":
        from mockexport.saving.parquet import SavingParquet

        if schema is not None and not isinstance(schema, Schema):
            raise OptionError("save_format", "is of tables only; csv keeps the files as they come")
        return SavingParquet(source, folder, schema=schema, engine=engine)
    from mockexport.saving.source import Saving

    return Saving(source, folder, suffix=".csv" if schema is None or isinstance(schema, Schema) else ".ndjson")


def _only(export_ids: list[str]) -> str:
    if len(export_ids) != 1:
        raise OptionError("export_id", f"there are several exports; name one of {', '.join(export_ids)}")
    return export_ids[0]
