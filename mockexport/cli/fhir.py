"""The options about FHIR: arguments in, values of the library out."""

import argparse
import glob
from pathlib import Path
from typing import TYPE_CHECKING

from mockexport.sources.files import is_ndjson

if TYPE_CHECKING:
    from mockexport.formats.fhir import FhirObservations

__all__ = ["observations"]


def observations(options: argparse.Namespace) -> "FhirObservations | None":
    """Return how to read Observations, None where the data is something else: by --input, or by the files' names."""
    wanted = getattr(options, "input", None)
    if wanted == "csv" or (wanted is None and not _are_named_so(getattr(options, "origin", None))):
        return None
    from mockexport.formats.fhir import FhirObservations  # no sooner: most data is tables
    from mockexport.formats.fhir.codes import read_codes

    return FhirObservations(
        codes={} if options.fhir_codes is None else read_codes(options.fhir_codes),
        base=options.fhir_base,
        timezone=options.timezone,
        preliminary=options.fhir_preliminary,
        issued=options.fhir_issued,
        unitless=options.fhir_unitless,
        censored=getattr(options, "censored", None) or "leave-out",
    )


def _are_named_so(origin: str | None) -> bool:
    """Tell whether what --from names are files of resources; whoever reads them says what is wrong with them."""
    if not origin or origin == "-":
        return False
    path = Path(origin)
    if path.is_dir():
        return not (path / "export.json").exists() and any(map(is_ndjson, path.iterdir()))
    if path.exists() or not glob.has_magic(origin):
        return is_ndjson(path)
    return any(is_ndjson(Path(name)) for name in glob.iglob(origin, recursive=True))
