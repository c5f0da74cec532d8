"""The heart-rate service: devices post readings, callers ask for a user's minute averages. A map, from the outside in:

    settings, service, application   what may be set; a process; the FastAPI application and its routes
    hosting, accepting, wire, sweep, bodies   connections and bodies against clients that are slow, large or gone
    plain, shortway       what a request's bytes say by themselves; a reading's way past parser and application
    entrance, admission, refusals   overload: how much may be under way, and 503 for the rest at next to no cost
    errors, replies, documents   the error tree; what an error becomes on the wire; the shapes in /openapi.json
    requests, metrics, logs   ids and counts of requests; the numbers of /metrics; JSON lines without health data
    backup                a folder of one moment, and the check of one
    bridge, page          the export API over what is stored; the page for people (page.html, docs.html)
    readings              what a reading is, and what is wrong with one that is none
    store                 joins the rooms below: opened once per data folder, under a lock
    journal, insertion, writing   one writer thread, one commit for all who wait: what a 202 stands on
    compaction, passes    when journal rows become Parquet files, and what a pass does
    rewriting, publishing   files for files, in an order that survives a power cut
    periods               which days share a file
    catalogue, holders, leases   which files there are, whose, whether they are whole, who still reads them
    deletions             what was deleted and is not yet gone from every file
    averages, lanes       a question for minutes and the forms of its answer; who waits behind whom
    queries, snapshots, columns, minutes   one read transaction, then Polars
    database, checksums, disk, lock   SQLite, the arithmetic that finds a flipped bit, the system calls, the holder
    devices               plays the devices and checks afterwards that nothing was lost, stale or doubled

An extra, `mockexport[ingest]`: importing this package loads none of it; `mockexport.ingest:app` does.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mockexport.ingest.application import Service

    app: Service

__all__ = ["app"]


def __getattr__(name: str) -> object:
    """Make `app` when a server first asks for it: settings come from the environment (see `settings`)."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from mockexport.ingest.extra import explained

    with explained():
        from mockexport.ingest.application import create_app
    from mockexport.ingest.settings import Settings

    globals()["app"] = made = create_app(Settings.from_environment())
    return made
