"""How a table is described: what its columns are called, and what in them has which meaning."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mockexport.errors import OptionError
from mockexport.formats.cutting import Cutter
from mockexport.formats.zones import zone_named
from mockexport.model import Span

if TYPE_CHECKING:
    from mockexport.formats.csv import CsvDecoder

__all__ = ["Schema"]


@dataclass(frozen=True, slots=True)
class Schema:
    """How the columns of a CSV are called and what separates them; belongs to the format.

    `null_tokens` are the texts that, beside the empty field, mean "no value". `timezone` is what event times without an
    offset are local to, by its IANA name, such as Europe/Berlin; None is UTC.

    Raises:
        OptionError: if two columns have one name, the delimiter is no single ASCII character, or there is no such zone.
    """

    patient_id: str = "patient_id"
    event_time: str = "event_time"
    event_type: str = "event_type"
    value: str = "value"
    delimiter: str = ","
    null_tokens: frozenset[str] = field(default_factory=frozenset)
    timezone: str | None = None

    def __post_init__(self) -> None:
        if len(self.delimiter) != 1 or not self.delimiter.isascii() or self.delimiter in '"\r\n\0':
            raise OptionError("delimiter", "must be one ASCII character other than a quote, NUL or line end")
        tokens: object = self.null_tokens
        if isinstance(tokens, str):  # its characters are hardly meant, and "9" would be a part of "-999"
            raise OptionError("null_tokens", "is a set of texts, not a text")
        object.__setattr__(self, "null_tokens", frozenset(self.null_tokens))
        names = self.columns
        if len(set(names)) != len(names) or not all(names):
            raise OptionError("columns", "the four columns need four different, non-empty names")
        if self.timezone is not None:
            zone_named(self.timezone)

    @property
    def columns(self) -> tuple[str, str, str, str]:
        """The names of the columns, in the order patient, time, type, value."""
        return (self.patient_id, self.event_time, self.event_type, self.value)

    @property
    def fingerprint(self) -> str:
        """All that says how bytes are read (see format.Format)."""
        return repr((*self.columns, self.delimiter, sorted(self.null_tokens), self.timezone))

    @property
    def versioned(self) -> bool:
        """A row of a table is itself alone."""
        return False

    def cutter(self, span: Span, *, offset: int = 0) -> Cutter:
        """Return what cuts a span's bytes into chunks of whole rows (see format.Format)."""
        return Cutter(span, offset=offset)

    def decoder(self, header: str | None = None) -> "CsvDecoder":
        """Return what decodes a span's chunks (see format.Format)."""
        from mockexport.formats.csv import CsvDecoder  # it is described by this

        return CsvDecoder(self, header=header)
