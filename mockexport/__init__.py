"""Statistics while you download: every file of a data export fetched at once, parsed and reduced as it arrives.

    report = await mockexport.analyze("small", url="http://127.0.0.1:8000")
    report.totals["heart_rate"].mean

The rooms, each importing only those above it:

    errors.py      the error tree
    zones.py       local times
    model.py       frozen values: Export, Download, Span, Chunk, Schema, Verdict
    arrow.py       columns for data frames, over _arrow.pyx
    formats/       bytes → chunks → columns: CSV, the reference
    rules.py       anomaly rules from a file
    filters.py     which rows are asked for
    coverage.py    rows by hour of UTC
    tally.py       what a verdict needs to know of the rows, and the verdict
    events.py      the typed events of a run
    reducers/      statistics, and the Reducer protocol
    kernel.py      the compiled twin of CSV and Summary, over _kernel.pyx and native/
    columns.py     the compiled decoder, for reducers written in Python
    engine.py      folds a span's chunks: decode, count, reduce
    merging.py     states → one state, in time order
    frame.py       a report as flat rows and as columns
    report.py      the report, its JSON, and the account of the run
    rendering/     faces of a report: columns, CSV, a page
    streams.py     what the pipeline asks of a source
    newfile.py     files that appear whole or not at all
    eventlog.py    events as lines of JSON
    checkpoint.py  what a run keeps so that another can go on from it
    pipeline/      producers, the queue, consumers
    metadata.py    the export API's replies; folder.py: exports kept as files
    sources/       the export API, a folder, resuming, saving
    server/        the mock export server
    opening.py     which source is meant
    analysis.py    `analyze`; live.py: `Run`, the same with a look at it
    distributed/   the same on many machines, an extra
    testing/       for users' tests: the laws of reducers, the mock server beside a test
    ingest/        the heart-rate service, an extra
    cli/           the command line

Importing the package is cheap: names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mockexport.analysis import RunOptions, analyze
    from mockexport.checkpoint import Checkpoint
    from mockexport.coverage import Coverage
    from mockexport.errors import (
        ArrowUnavailable,
        BadRowError,
        CheckpointError,
        ClusterError,
        ExportNotFound,
        FolderError,
        FormatError,
        HeaderError,
        MetadataError,
        MockExportError,
        OptionError,
        OutputError,
        ReducerError,
        ServerUnreachable,
        SourceError,
        SourceNotOpen,
        StateError,
        TransferError,
    )
    from mockexport.filters import Filter
    from mockexport.formats import Batch, Row
    from mockexport.live import Run, Snapshot
    from mockexport.model import AnomalyRule, Download, Export, Schema, Span, Verdict, VerdictKind
    from mockexport.opening import SourceOptions
    from mockexport.pipeline import Pipeline, RunStatistics
    from mockexport.reducers import (
        Counts,
        GroupReducer,
        Reducer,
        Result,
        Selection,
        Statistics,
        Summary,
        pack_state,
        unpack_state,
    )
    from mockexport.rendering.csv import to_csv
    from mockexport.rendering.html import to_html
    from mockexport.rendering.table import to_table
    from mockexport.report import Account, DownloadAccount, Report
    from mockexport.rules import read_rules
    from mockexport.server.faults import Faults
    from mockexport.server.run import MockServer
    from mockexport.sources.export_api import ExportApi
    from mockexport.sources.files import Files
    from mockexport.sources.folder import Folder
    from mockexport.sources.http import Access
    from mockexport.sources.piped import Piped
    from mockexport.sources.retrying import RetryPolicy, TimeLimits
    from mockexport.sources.url_list import UrlList
    from mockexport.streams import ByteStream, Source, StartOver

__version__ = "0.1.0"

__all__ = [
    "Access",
    "Account",
    "AnomalyRule",
    "ArrowUnavailable",
    "BadRowError",
    "Batch",
    "ByteStream",
    "Checkpoint",
    "CheckpointError",
    "ClusterError",
    "Counts",
    "Coverage",
    "Download",
    "DownloadAccount",
    "Export",
    "ExportApi",
    "ExportNotFound",
    "Faults",
    "Files",
    "Filter",
    "Folder",
    "FolderError",
    "FormatError",
    "GroupReducer",
    "HeaderError",
    "MetadataError",
    "MockExportError",
    "MockServer",
    "OptionError",
    "OutputError",
    "Piped",
    "Pipeline",
    "Reducer",
    "ReducerError",
    "Report",
    "Result",
    "RetryPolicy",
    "Row",
    "Run",
    "RunOptions",
    "RunStatistics",
    "Schema",
    "Selection",
    "ServerUnreachable",
    "Snapshot",
    "Source",
    "SourceError",
    "SourceNotOpen",
    "SourceOptions",
    "Span",
    "StartOver",
    "StateError",
    "Statistics",
    "Summary",
    "TimeLimits",
    "TransferError",
    "UrlList",
    "Verdict",
    "VerdictKind",
    "analyze",
    "pack_state",
    "read_rules",
    "to_csv",
    "to_html",
    "to_table",
    "unpack_state",
]

_HOMES = {
    "analysis": ("RunOptions", "analyze"),
    "checkpoint": ("Checkpoint",),
    "coverage": ("Coverage",),
    "errors": (
        "ArrowUnavailable",
        "BadRowError",
        "CheckpointError",
        "ClusterError",
        "ExportNotFound",
        "FolderError",
        "FormatError",
        "HeaderError",
        "MetadataError",
        "MockExportError",
        "OptionError",
        "OutputError",
        "ReducerError",
        "ServerUnreachable",
        "SourceError",
        "SourceNotOpen",
        "StateError",
        "TransferError",
    ),
    "filters": ("Filter",),
    "formats": ("Batch", "Row"),
    "live": ("Run", "Snapshot"),
    "model": ("AnomalyRule", "Download", "Export", "Schema", "Span", "Verdict", "VerdictKind"),
    "opening": ("SourceOptions",),
    "pipeline": ("Pipeline", "RunStatistics"),
    "reducers": (
        "Counts",
        "GroupReducer",
        "Reducer",
        "Result",
        "Selection",
        "Statistics",
        "Summary",
        "pack_state",
        "unpack_state",
    ),
    "rendering.csv": ("to_csv",),
    "rendering.html": ("to_html",),
    "rendering.table": ("to_table",),
    "report": ("Account", "DownloadAccount", "Report"),
    "rules": ("read_rules",),
    "server.faults": ("Faults",),
    "server.run": ("MockServer",),
    "sources.export_api": ("ExportApi",),
    "sources.files": ("Files",),
    "sources.folder": ("Folder",),
    "sources.http": ("Access",),
    "sources.piped": ("Piped",),
    "sources.retrying": ("RetryPolicy", "TimeLimits"),
    "sources.url_list": ("UrlList",),
    "streams": ("ByteStream", "Source", "StartOver"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
