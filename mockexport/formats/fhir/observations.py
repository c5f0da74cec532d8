"""What describes files of FHIR Observations: a format (format.Format), beside the Schema of a table."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mockexport.errors import OptionError
from mockexport.formats.cutting import Cutter
from mockexport.formats.fhir.codes import CODES, Measure
from mockexport.formats.fhir.decoding import ObservationDecoder
from mockexport.formats.fhir.json_lines import MAX_LINE_BYTES
from mockexport.formats.fhir.mapping import Rules
from mockexport.formats.fhir.plain import remembered
from mockexport.formats.zones import zone_named
from mockexport.model import Span

__all__ = ["FhirObservations"]


@dataclass(frozen=True, slots=True)
class FhirObservations:
    """NDJSON of FHIR Observations: which of them count, and as what.

    Args:
        codes: further LOINC codes, or other meanings of those that are known (see fhir.codes).
        base: the server's URL: a patient referred to by it is the same as one referred to without.
        timezone: what times without an offset are local to, by its IANA name; without, such a time is a bad row.
        preliminary: let preliminary observations count.
        issued: where there is no effective time, take the one at which an observation was issued.
        unitless: take a number without any unit for one in the usual unit.
        censored: what becomes of values that are only known to lie below or above a number: "leave-out", "bound" (they
            count as that number) or "bad".

    Raises:
        OptionError: if there is no such zone, or no such way with censored values.
    """

    codes: Mapping[str, Measure] = field(default_factory=dict)
    base: str | None = None
    timezone: str | None = None
    preliminary: bool = False
    issued: bool = False
    unitless: bool = False
    censored: str = "leave-out"

    def __post_init__(self) -> None:
        if self.timezone is not None:
            zone_named(self.timezone)
        if self.censored not in ("leave-out", "bound", "bad"):
            raise OptionError("censored", f"{self.censored!a} is none of leave-out, bound and bad")

    @property
    def fingerprint(self) -> str:
        """All that says how lines are read (see format.Format)."""
        codes = sorted((code, repr(measure)) for code, measure in self.codes.items())
        options = (self.base, self.timezone, self.preliminary, self.issued, self.unitless, self.censored)
        return f"fhir 1 {options!r} {codes!r}"

    @property
    def versioned(self) -> bool:
        """An Observation may come again, amended."""
        return True

    @property
    def rules(self) -> Rules:
        """What the options come to."""
        return Rules(
            codes={**CODES, **self.codes},
            base=self.base,
            zone=None if self.timezone is None else zone_named(self.timezone),
            preliminary=self.preliminary,
            issued=self.issued,
            unitless=self.unitless,
            censored=self.censored,
        )

    def cutter(self, span: Span, *, offset: int = 0) -> Cutter:
        """Return what cuts a span's bytes into chunks of whole lines (see format.Format)."""
        return Cutter(span, offset=offset, max_row_bytes=MAX_LINE_BYTES)

    def decoder(self, header: str | None = None, *, pending: bytes = b"", download_id: str = "") -> ObservationDecoder:
        """Return what decodes a span's chunks (see format.Format)."""
        return ObservationDecoder(self.rules, remembered(self.fingerprint))
