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

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mockexport.analysis import analyze, run
    from mockexport.errors import IncompleteReport, MockExportError
    from mockexport.formats import Batch, Row
    from mockexport.formats.coverage import Coverage
    from mockexport.formats.fhir import FhirObservations
    from mockexport.formats.filters import Filter
    from mockexport.formats.schema import Schema
    from mockexport.live import Run
    from mockexport.model import AnomalyRule, Download, Export, SizeLimits, Verdict
    from mockexport.pipeline.run import Pipeline
    from mockexport.pipeline.streams import Source
    from mockexport.reducers import Counts, Distinct, GroupReducer, Reducer, Result, Selection, Statistics, Summary
    from mockexport.reducers.rules import read_rules
    from mockexport.report.account import Account
    from mockexport.report.csv import to_csv
    from mockexport.report.html import to_html
    from mockexport.report.report import Report
    from mockexport.report.table import to_table
    from mockexport.resuming.retrying import RetryPolicy, TimeLimits
    from mockexport.server.faults import Faults
    from mockexport.server.run import MockServer
    from mockexport.sources.export_api import ExportApi
    from mockexport.sources.files import Files
    from mockexport.sources.http import Access
    from mockexport.sources.piped import Piped

__version__ = "0.1.0"

__all__ = [
    "Access",
    "Account",
    "AnomalyRule",
    "Batch",
    "Counts",
    "Coverage",
    "Distinct",
    "Download",
    "Export",
    "ExportApi",
    "Faults",
    "FhirObservations",
    "Files",
    "Filter",
    "GroupReducer",
    "IncompleteReport",
    "MockExportError",
    "MockServer",
    "Piped",
    "Pipeline",
    "Reducer",
    "Report",
    "Result",
    "RetryPolicy",
    "Row",
    "Run",
    "Schema",
    "Selection",
    "SizeLimits",
    "Source",
    "Statistics",
    "Summary",
    "TimeLimits",
    "Verdict",
    "analyze",
    "read_rules",
    "run",
    "to_csv",
    "to_html",
    "to_table",
]

_HOMES = {
    "analysis": (
        "analyze",
        "run",
    ),
    "errors": (
        "IncompleteReport",
        "MockExportError",
    ),
    "formats": (
        "Batch",
        "Row",
    ),
    "formats.coverage": ("Coverage",),
    "formats.fhir": ("FhirObservations",),
    "formats.filters": ("Filter",),
    "formats.schema": ("Schema",),
    "live": ("Run",),
    "model": (
        "AnomalyRule",
        "Download",
        "Export",
        "SizeLimits",
        "Verdict",
    ),
    "pipeline.run": ("Pipeline",),
    "pipeline.streams": ("Source",),
    "reducers": (
        "Counts",
        "Distinct",
        "GroupReducer",
        "Reducer",
        "Result",
        "Selection",
        "Statistics",
        "Summary",
    ),
    "reducers.rules": ("read_rules",),
    "report.account": ("Account",),
    "report.csv": ("to_csv",),
    "report.html": ("to_html",),
    "report.report": ("Report",),
    "report.table": ("to_table",),
    "resuming.retrying": (
        "RetryPolicy",
        "TimeLimits",
    ),
    "server.faults": ("Faults",),
    "server.run": ("MockServer",),
    "sources.export_api": ("ExportApi",),
    "sources.files": ("Files",),
    "sources.http": ("Access",),
    "sources.piped": ("Piped",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


if not TYPE_CHECKING:  # which would take any name for one that there is

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            problem = f"module {__name__!r} has no attribute {name!r}"
            if hasattr(import_module(f"{__name__}.errors"), name):
                problem += f"; import it from {__name__}.errors"
            raise AttributeError(problem, name=name, obj=sys.modules[__name__])
        return getattr(import_module(f"{__name__}.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
