"""`analyze`: joins a source and the pipeline, and makes the report."""

import asyncio
import inspect
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import MISSING, fields
from functools import partial
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Literal, Unpack, cast

from mockexport import __version__
from mockexport.engine.choosing import kernel_problem
from mockexport.errors import NotedError, OptionError
from mockexport.events import Listener
from mockexport.formats.schema import Schema
from mockexport.pipeline.checkpoint import Checkpoint
from mockexport.pipeline.options import RunKeywords, RunOptions
from mockexport.pipeline.run import Pipeline
from mockexport.pipeline.sharing import Crew
from mockexport.pipeline.streams import Source
from mockexport.reducers import Reducer, Summary
from mockexport.report.account import Account
from mockexport.report.notes import STATISTICS
from mockexport.report.report import R, Report
from mockexport.sources.opening import OF_ONE_EXPORT, SourceOptions, open_source

if TYPE_CHECKING:
    from mockexport.saving.parquet import SavingParquet
    from mockexport.saving.source import Saving

__all__ = ["AnalyzeKeywords", "analyze", "run", "run_export"]


_log = logging.getLogger("mockexport")


class AnalyzeKeywords(SourceOptions, RunKeywords, total=False):
    """Where the data is, how the run goes, and what is kept of it.

    Keys:
        save: a folder to keep the files in; what is there already, verified and unchanged, is not fetched again.
        save_format: "csv", the bytes as they came, by default; or "parquet", for other tools (takes the extra
            `mockexport[parquet]`): a second run then fetches everything again.
        checkpoint: a file in which to keep, every few seconds, what another run with the same arguments goes on from;
            it is removed once every download is complete.
        listener: called with every event of the run, in the event loop.
        allow_incomplete: give the report's figures also where downloads failed or differ from their metadata; by
            default who asks for them gets IncompleteReport.
    """

    save: str | Path | None
    save_format: Literal["csv", "parquet"]
    checkpoint: str | Path | None
    listener: Listener | None
    allow_incomplete: bool


async def analyze(
    export_id: str | None = None, *, reducer: Reducer[Any, R] | None = None, **options: Unpack[AnalyzeKeywords]
) -> Report[R]:
    """Fetch, reduce, verify and merge an export, and return its report.

    Args:
        export_id: the export; by default the only one of a folder, of files, URLs or a source, and `demo` elsewhere.
        reducer: what becomes of the rows; by default Summary.
        **options: where the data is (see SourceOptions), how the run goes (see RunKeywords), and what is kept of it
            (see AnalyzeKeywords).

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


def run(
    export_id: str | None = None, *, reducer: Reducer[Any, R] | None = None, **options: Unpack[AnalyzeKeywords]
) -> Report[R]:
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


def _spell_out(function: Callable[..., object]) -> None:
    """Let `help` and notebooks show the keywords that type checkers know by Unpack."""
    own = inspect.signature(function)
    defaults = {field.name: field.default for field in fields(RunOptions) if field.default is not MISSING}
    named = [each for each in own.parameters.values() if each.kind is not inspect.Parameter.VAR_KEYWORD]
    named += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name))
        for name in AnalyzeKeywords.__annotations__
    ]
    vars(function)["__signature__"] = own.replace(parameters=named)


_spell_out(analyze)
_spell_out(run)


async def run_export(
    export_id: str | None,
    reducer: Reducer[Any, Any] | None,
    *,
    on_ready: Callable[[Pipeline[Any], str, str, bool], object] | None = None,
    crew: Crew | None = None,
    save: str | Path | None = None,
    save_format: str = "csv",
    checkpoint: str | Path | None = None,
    listener: Listener | None = None,
    allow_incomplete: bool = False,
    **given: Any,
) -> Report[Any]:
    """Run as `analyze` does; call `on_ready` with the pipeline, names of export and source, and if it is synthetic.

    A crew, if there is one, brings the downloads in. What else is `given` are SourceOptions and RunKeywords.
    """
    _check_kinds(reducer, given)
    where, options = _sorted_out(given)
    if options.engine == "auto" and (problem := kernel_problem()) is not None:
        _log.warning("this is the slow engine, in Python: there is no compiled kernel, as %s", problem)
    if export_id is None and not OF_ONE_EXPORT & where.keys():
        export_id = "demo"
    if save_format not in ("csv", "parquet"):
        raise OptionError("save_format", f"{save_format!a} is neither csv nor parquet")
    if save_format == "parquet":
        if save is None:
            raise OptionError("save_format", "goes with save, which names the folder")
        from mockexport.saving.parquet import require_parquet

        require_parquet()
    if checkpoint is not None and save is not None:
        raise OptionError("checkpoint", "does not go with save, which keeps what it has fetched by itself")
    if not options.filter.is_open and save is not None:
        raise OptionError("filter", "does not go with save, which keeps whole files")
    if save is not None and _same(save, where.get("folder")):
        raise OptionError("save", "is the folder that is read; name another")
    async with open_source(export_id, **where) as opened:
        if save is not None and "files" in where:
            _refuse_files_of(opened.source, Path(save))
        if export_id is None:
            export_id = _only(await opened.source.export_ids())
        saving = None if save is None else _saving(opened.source, save, save_format, options)
        kept = None
        if checkpoint is not None:
            # The mock server's address is another one each time; what it serves is not.
            source = "the mock server" if opened.synthetic else None
            kept = Checkpoint(checkpoint, source=source, size_limits=options.size_limits)
        reducer = Summary() if reducer is None else reducer
        pipeline = Pipeline(saving or opened.source, reducer, options, checkpoint=kept, listener=listener)
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
    if options.strict and (noted := [note for note in report.notes if note.kind != STATISTICS]):
        raise NotedError(f"the report of {export_id}", "; ".join(map(str, noted)))
    return report


# Keywords that take an object of ours, and what it is called.
_OBJECTS = {
    "access": "Access", "filter": "Filter", "limits": "TimeLimits", "retry": "RetryPolicy", "schema": "Schema",
    "size_limits": "SizeLimits", "source": "Source",
}  # fmt: skip
_NUMBERS = ("concurrency", "split", "chunk_bytes", "queue_size", "consumers")
_PLAIN = (str, bytes, int, float, Path, dict, list, tuple)


def _check_kinds(reducer: object, given: Mapping[str, Any]) -> None:
    """Say what a keyword takes where something else is given, which would come out as an error somewhere inside.

    Raises:
        OptionError: it names the keyword, and nothing of its value, which may be secret.
    """
    if isinstance(reducer, type):
        raise OptionError("reducer", f"takes an instance, {reducer.__name__}(), and not the class")
    if isinstance(reducer, _PLAIN):
        by_name = "statistics by their names are mockexport.Selection(['p95'])"
        raise OptionError("reducer", f"takes a mockexport.Reducer, not a {type(reducer).__name__}; {by_name}")
    for name, kind in _OBJECTS.items():
        if isinstance(given.get(name), _PLAIN):
            raise OptionError(name, f"takes a mockexport.{kind}, not a {type(given[name]).__name__}")
    for name in _NUMBERS:
        if given.get(name) is not None and type(given[name]) is not int:
            raise OptionError(name, f"takes a whole number, not a {type(given[name]).__name__}")
    for name, kinds, told in (
        ("url", str, "a text"),
        ("folder", str | Path, "a text or a Path"),
        ("files", str | Path | Sequence, "a text, a Path, or a list of them"),
    ):
        if given.get(name) is not None and not isinstance(given[name], kinds):
            raise OptionError(name, f"takes {told}, not a {type(given[name]).__name__}")


def _sorted_out(given: Mapping[str, Any]) -> tuple[SourceOptions, RunOptions]:
    """Return where the data is and how the run goes, by the keywords that are given.

    Raises:
        OptionError: there is no such keyword, or one cannot be meant.
    """
    of_source, of_run = SourceOptions.__annotations__.keys(), {field.name for field in fields(RunOptions)}
    for name in given.keys() - of_source - of_run:
        raise OptionError(name, "is no option of a run", given=name, known=[*AnalyzeKeywords.__annotations__])
    where = {name: value for name, value in given.items() if name in of_source and value is not None}
    how = {name: value for name, value in given.items() if name in of_run}
    if isinstance(how.get("schema"), Schema) and (folder := _folder_of(where)):
        how["schema"] = how["schema"].in_folder(folder)
    return cast("SourceOptions", where), RunOptions.of(**how)


def _folder_of(where: Mapping[str, Any]) -> str:
    """Return the name of the folder that all files are in; "" if there is none, or the files' own names have theirs."""
    files = where.get("files")
    if isinstance(files, str | Path) and not {*"*?["} & {*str(Path(files).parent)}:
        return Path(files).resolve().parent.name
    return Path(where["folder"]).resolve().name if "folder" in where else ""


def _same(save: str | Path, folder: str | Path | None) -> bool:
    return folder is not None and Path(save).resolve() == Path(folder).resolve()


def _refuse_files_of(source: Source, save: Path) -> None:
    from mockexport.sources.files import Files  # it is there already: the source is one

    if isinstance(source, Files) and source.takes_in(save):
        raise OptionError("save", "is a folder whose files are read: they would be there twice; name another")


def _saving(source: Source, folder: str | Path, save_format: str, options: RunOptions) -> "Saving | SavingParquet":
    """Return the source that keeps files; imported no sooner, as a run's memory is a budget."""
    if save_format == "parquet":
        from mockexport.saving.parquet import SavingParquet

        if not isinstance(options.schema, Schema):
            raise OptionError("save_format", "is of tables only; csv keeps the files as they come")
        return SavingParquet(source, folder, schema=options.schema, engine=options.engine)
    from mockexport.saving.source import Saving

    return Saving(source, folder, suffix=".csv" if isinstance(options.schema, Schema) else ".ndjson")


def _only(export_ids: list[str]) -> str:
    if len(export_ids) != 1:
        raise OptionError("export_id", f"there are several exports; name one of {', '.join(export_ids)}")
    return export_ids[0]
