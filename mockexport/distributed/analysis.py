"""`mockexport.distributed.analyze`: as `mockexport.analyze`, with a crew that brings the downloads in."""

from typing import TYPE_CHECKING, Any, Unpack

from mockexport.analysis import AnalyzeKeywords, run_export
from mockexport.distributed.crew import WORKERS_S, ClusterCrew
from mockexport.errors import OptionError
from mockexport.reducers import Reducer, Summary
from mockexport.report.report import R, Report
from mockexport.sources.opening import SourceOptions
from mockexport.sources.piped import Piped

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["analyze"]


async def analyze(
    export_id: str | None = None,
    *,
    client: "Client",
    reducer: Reducer[Any, R] | None = None,
    workers_s: float = WORKERS_S,
    **options: Unpack[AnalyzeKeywords],
) -> Report[R]:
    """Fetch, reduce, verify and merge an export on the workers of a cluster, and return its report.

    The report is the one of `mockexport.analyze`, to the byte. `concurrency` bounds the streams of one task; `split` is
    the length of a span, by default such that no download is more than a worker's share.

    Args:
        export_id: the export; by default a folder's own, and `demo` elsewhere.
        client: an asynchronous Dask client; it is left open.
        reducer: what becomes of the rows; the workers must be able to import it, or cloudpickle to take it along.
        workers_s: how long to wait for workers, at the start and when all are lost, in seconds; a cluster that starts
            its workers when they are needed may take a while.
        **options: as for `mockexport.analyze`, but for `session` and `save`. Folders and files must be the workers',
            too; without `url`, the workers must be on this machine.

    Returns:
        The report (see mockexport.analyze).

    Raises:
        ClusterError: if there are no workers, or they or the scheduler are lost, or are of another version.
        MockExportError: what mockexport.analyze raises.
    """
    for name in ("session", "save"):
        if options.get(name) is not None:
            raise OptionError(name, "does not go with a cluster: it is this process's own")
    if isinstance(options.get("source"), Piped):
        raise OptionError("source", "standard input is this process's own: a cluster cannot read it")
    if not client.asynchronous:
        raise OptionError("client", "must be asynchronous: Client(…, asynchronous=True)")
    reduced_by: Reducer[Any, Any] = Summary() if reducer is None else reducer
    where = {name: value for name, value in options.items() if name in SourceOptions.__annotations__ and value}
    crew = ClusterCrew(client, reduced_by, where, workers_s=workers_s)
    return await run_export(export_id, reduced_by, crew=crew, **options)
