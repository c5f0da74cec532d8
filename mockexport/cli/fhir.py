"""The options about FHIR: arguments in, values of the library out."""

import argparse
import glob
import shlex
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from mockexport.analysis import AnalyzeKeywords
from mockexport.cli.text import inform, say
from mockexport.errors import OptionError
from mockexport.sources.files import is_ndjson

if TYPE_CHECKING:
    from mockexport.formats.fhir import FhirObservations
    from mockexport.formats.fhir.codes import Measure
    from mockexport.sources.fhir import FhirServer

__all__ = ["end_job", "fhir_server", "observations", "telling_of_job"]


def observations(options: argparse.Namespace) -> "FhirObservations | None":
    """Return how to read Observations, None where the data is something else: by --input, or by the files' names."""
    wanted = getattr(options, "input", None)
    is_server = any(getattr(options, name, None) for name in ("fhir", "fhir_status", "fhir_manifest"))
    if wanted == "csv" or (wanted is None and not is_server and not _are_named_so(getattr(options, "origin", None))):
        return None
    from mockexport.formats.fhir import FhirObservations  # no sooner: most data is tables
    from mockexport.formats.fhir.codes import read_codes

    return FhirObservations(
        codes={} if options.fhir_codes is None else read_codes(options.fhir_codes),
        base=options.fhir_base or options.fhir,
        timezone=options.timezone,
        preliminary=options.fhir_preliminary,
        issued=options.fhir_issued,
        unitless=options.fhir_unitless,
        censored=getattr(options, "censored", None) or "leave-out",
    )


def _are_named_so(origin: str | None) -> bool:
    """Tell whether what --from names are files of resources; their reader says what is wrong with them."""
    if not origin or origin == "-":
        return False
    path = Path(origin)
    if path.is_dir():
        return any(map(is_ndjson, path.iterdir())) and not any(path.glob("*.csv"))
    if path.exists() or not glob.has_magic(origin):
        return is_ndjson(path)
    return any(is_ndjson(Path(name)) for name in glob.iglob(origin, recursive=True))


def fhir_server(options: argparse.Namespace) -> "FhirServer | None":
    """Return which FHIR server is asked for what; None if none is."""
    url, group, status, manifest, client_id, key = (
        getattr(options, name, None)
        for name in ("fhir", "group", "fhir_status", "fhir_manifest", "fhir_client_id", "fhir_key")
    )
    if not any((url, status, manifest)):
        for name, given in (("group", group), ("fhir-client-id", client_id), ("fhir-key", key)):
            if given is not None:
                raise OptionError(
                    name, "goes with --fhir, --fhir-status or --fhir-manifest, which say where the data is"
                )
        return None
    from mockexport.formats.fhir.codes import CODES, read_codes  # no sooner: most data is elsewhere
    from mockexport.sources.fhir import FhirServer

    codes = {} if options.fhir_codes is None else read_codes(options.fhir_codes)
    filters = _type_filters({**CODES, **codes}, options.event_type)
    return FhirServer(
        url=url, group=group, status=status, manifest=manifest, client_id=client_id, key=key, type_filters=filters
    )


def _type_filters(codes: "Mapping[str, Measure]", event_types: list[str] | None) -> tuple[str, ...]:
    """Return a search for each code that is wanted, or for its panel; those of the laboratory are no vital signs."""
    searches = []
    for code, measure in codes.items():
        names = {measure.event_type, *map(measure.type_in, measure.units)}
        if event_types is not None and names.isdisjoint(event_types):
            continue
        wanted = "85354-9" if measure.event_type in ("bp_sys", "bp_dia") else code
        vital = "" if measure.event_type == "glucose" else "category=vital-signs&"
        searches.append(f"Observation?{vital}code=http://loinc.org|{wanted}")
        if wanted != code:
            searches.append(f"Observation?{vital}code=http://loinc.org|{code}")
    return tuple(dict.fromkeys(searches))


async def end_job(settings: AnalyzeKeywords, *, keep: bool, complete: bool) -> None:
    """Tell a FHIR server, once everything is written, that its job's files are needed no more; or how to take it up."""
    server = settings.get("fhir")
    if server is None or server.job.status_url is None:
        return
    if not complete:
        _tell_of(server)
    elif not keep:
        from mockexport.sources.fhir.bulk import delete_job

        problem = await delete_job(server, access=settings.get("access"), limits=settings.get("limits"))
        if problem is None:
            inform("the job on the FHIR server is ended, as its files are here")
        else:
            say(f"the job on the FHIR server could not be ended: {problem}")


@asynccontextmanager
async def telling_of_job(settings: AnalyzeKeywords) -> AsyncIterator[None]:
    """Say how to take up a FHIR server's job, where a run of it is broken off."""
    try:
        yield
    except BaseException:
        server = settings.get("fhir")
        if server is not None:
            _tell_of(server)
        raise


def _tell_of(server: "FhirServer") -> None:
    if server.job.status_url is not None:
        base = "" if server.url is None else f" --fhir {server.url}"
        base += "" if server.group is None else f" --group {shlex.quote(server.group)}"
        say(f"the job is still on the FHIR server; to take it up:{base} --fhir-status {server.job.status_url}")
