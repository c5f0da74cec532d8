"""Statistics while you download: every file of a data export fetched at once, parsed and reduced as it arrives.

    report = await mockexport.analyze("small", url="http://127.0.0.1:8000")
    report.totals["heart_rate"].mean

The rooms, each importing only those above it:

    shown.py       what may be shown of URLs and of foreign texts
    errors.py      the error tree
    model.py       frozen values: Export, Download, Span, Chunk, Verdict
    newfile.py     files written whole or not at all, or read at once
    events.py      the typed events of a run
    access.py      who may ask a server: its names, origins, bodies, tokens
    keys.py        keys for TLS: made for one run, or read from files
    formats/       bytes → chunks → columns: the reference, and what a verdict needs to know of the rows
    reducers/      statistics, the Reducer protocol, anomaly rules
    engine/        folds a span's chunks, in Python or over _kernel.pyx and native/
    report/        the report, the account of the run, and their faces
    pipeline/      producers, the queue, consumers, the merge, the checkpoint
    unpacking/     compressed bytes, read as they come
    resuming/      a byte stream that goes on where it broke off
    sources/       the export API, files, lists of URLs, and which of them is meant
    saving/        files kept while they are read
    analysis.py    `analyze`; live.py: `Run`, the same with a look at it
    distributed/   the same on many machines, an extra
    server/        the mock export server
    testing/       for users' tests: the laws of reducers, the mock server beside a test
    ingest/        the heart-rate service, an extra
    cli/           the command line

Importing the package is cheap: names are loaded when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mockexport.analysis import analyze, run
    from mockexport.errors import (
        ArrowUnavailable,
        BadRowError,
        CheckpointError,
        ClusterError,
        ExportNotFound,
        FolderError,
        FormatError,
        HeaderError,
        IncompleteReport,
        LimitError,
        MetadataError,
        MockExportError,
        NotedError,
        OptionError,
        OutputError,
        ReducerError,
        RunNotOpen,
        ServerNotRunning,
        ServerUnreachable,
        SourceError,
        SourceNotOpen,
        StateError,
        TransferError,
    )
    from mockexport.formats import Batch, Row
    from mockexport.formats.coverage import Coverage
    from mockexport.formats.fhir import FhirObservations
    from mockexport.formats.filters import Filter
    from mockexport.formats.schema import Schema
    from mockexport.live import Run, Snapshot
    from mockexport.model import AnomalyRule, Download, Export, SizeLimits, Span, Verdict, VerdictKind
    from mockexport.pipeline.checkpoint import Checkpoint
    from mockexport.pipeline.options import RunOptions
    from mockexport.pipeline.run import Pipeline, RunStatistics
    from mockexport.pipeline.streams import ByteStream, Source, StartOver
    from mockexport.reducers import (
        Counts,
        Distinct,
        GroupReducer,
        Reducer,
        Result,
        Selection,
        Statistics,
        Summary,
        pack_state,
        unpack_state,
    )
    from mockexport.reducers.rules import read_rules
    from mockexport.report.account import Account, DownloadAccount
    from mockexport.report.csv import to_csv
    from mockexport.report.html import to_html
    from mockexport.report.report import Report
    from mockexport.report.table import to_table
    from mockexport.resuming.retrying import RetryPolicy, TimeLimits
    from mockexport.server.faults import Faults
    from mockexport.server.run import MockServer
    from mockexport.sources.export_api import ExportApi
    from mockexport.sources.files import Files
    from mockexport.sources.folder import Folder
    from mockexport.sources.http import Access
    from mockexport.sources.opening import SourceOptions
    from mockexport.sources.piped import Piped
    from mockexport.sources.url_list import UrlList

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
    "Distinct",
    "Download",
    "DownloadAccount",
    "Export",
    "ExportApi",
    "ExportNotFound",
    "Faults",
    "FhirObservations",
    "Files",
    "Filter",
    "Folder",
    "FolderError",
    "FormatError",
    "GroupReducer",
    "HeaderError",
    "IncompleteReport",
    "LimitError",
    "MetadataError",
    "MockExportError",
    "MockServer",
    "NotedError",
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
    "RunNotOpen",
    "RunOptions",
    "RunStatistics",
    "Schema",
    "Selection",
    "ServerNotRunning",
    "ServerUnreachable",
    "SizeLimits",
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
    "run",
    "to_csv",
    "to_html",
    "to_table",
    "unpack_state",
]

_HOMES = {
    "analysis": ("analyze", "run"),
    "pipeline.options": ("RunOptions",),
    "pipeline.checkpoint": ("Checkpoint",),
    "formats.coverage": ("Coverage",),
    "errors": (
        "ArrowUnavailable",
        "BadRowError",
        "CheckpointError",
        "ClusterError",
        "ExportNotFound",
        "FolderError",
        "FormatError",
        "HeaderError",
        "IncompleteReport",
        "LimitError",
        "MetadataError",
        "MockExportError",
        "NotedError",
        "OptionError",
        "OutputError",
        "ReducerError",
        "RunNotOpen",
        "ServerNotRunning",
        "ServerUnreachable",
        "SourceError",
        "SourceNotOpen",
        "StateError",
        "TransferError",
    ),
    "formats.fhir": ("FhirObservations",),
    "formats.filters": ("Filter",),
    "formats.schema": ("Schema",),
    "formats": ("Batch", "Row"),
    "live": ("Run", "Snapshot"),
    "model": ("AnomalyRule", "Download", "Export", "SizeLimits", "Span", "Verdict", "VerdictKind"),
    "sources.opening": ("SourceOptions",),
    "pipeline.run": ("Pipeline", "RunStatistics"),
    "reducers": (
        "Counts",
        "Distinct",
        "GroupReducer",
        "Reducer",
        "Result",
        "Selection",
        "Statistics",
        "Summary",
        "pack_state",
        "unpack_state",
    ),
    "report.csv": ("to_csv",),
    "report.html": ("to_html",),
    "report.table": ("to_table",),
    "report.account": ("Account", "DownloadAccount"),
    "report.report": ("Report",),
    "reducers.rules": ("read_rules",),
    "server.faults": ("Faults",),
    "server.run": ("MockServer",),
    "sources.export_api": ("ExportApi",),
    "sources.files": ("Files",),
    "sources.folder": ("Folder",),
    "sources.http": ("Access",),
    "sources.piped": ("Piped",),
    "resuming.retrying": ("RetryPolicy", "TimeLimits"),
    "sources.url_list": ("UrlList",),
    "pipeline.streams": ("ByteStream", "Source", "StartOver"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
