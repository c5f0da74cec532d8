"""Turns the XML that Apple's Health app exports into CSV as it arrives: a row for each record.

Rules: a stream, in bounded memory. Entities are refused, whatever they say: no export has any, and bombs are made of
them. A record within another element comes again on its own, so only those on their own count.
"""

from collections.abc import Iterator
from typing import Any
from xml.parsers import expat

from mockexport.unpacking.compression import BadCompression

__all__ = ["COLUMNS", "HealthExport"]

COLUMNS = ("type", "sourceName", "unit", "creationDate", "startDate", "endDate", "value")
_ROOT, _RECORD = "HealthData", "Record"
# What the parser holds of an element that has not ended; real ones have some hundred bytes, the list of types 20 KiB.
_MOST_HELD = 2**20
# Looked at at once.
_BITE_BYTES = 64 * 1024
_TO_BE_QUOTED = frozenset('",\n\r')


class HealthExport:
    """Takes an export.xml piece by piece (compression.Decoder)."""

    def __init__(self) -> None:
        self._parser: Any = expat.ParserCreate()
        self._parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser.StartElementHandler = self._begin
        self._parser.EndElementHandler = self._end
        self._parser.EntityDeclHandler = self._refuse
        self._depth = 0
        self._fed = 0
        self._rows: list[str] = [",".join(COLUMNS) + "\n"]

    def feed(self, piece: bytes | memoryview) -> Iterator[bytes]:
        """Yield what `piece` holds, as CSV.

        Raises:
            BadCompression: it is no XML, not from Apple's Health app, or not as such an export is.
        """
        view = memoryview(piece)
        for at in range(0, len(view), _BITE_BYTES):
            bite = bytes(view[at : at + _BITE_BYTES])
            self._fed += len(bite)
            self._parse(bite, last=False)
            if self._fed - max(0, self._parser.CurrentByteIndex) > _MOST_HELD:
                raise BadCompression("an element of the XML has no end", passing=False)
            if made := "".join(self._rows).encode():
                self._rows.clear()
                yield made

    def finish(self) -> None:
        """Make sure that the document is whole.

        Raises:
            BadCompression: it is not.
        """
        self._parse(b"", last=True)

    def _parse(self, bite: bytes, *, last: bool) -> None:
        try:
            self._parser.Parse(bite, last)
        except expat.ExpatError as error:
            problem = "the XML was cut off before its end" if last else f"the XML is damaged at line {error.lineno}"
            raise BadCompression(problem, passing=True) from error

    def _begin(self, name: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        if self._depth == 1 and name != _ROOT:
            raise BadCompression("it is XML, and no export of Apple's Health app; save it as CSV", passing=False)
        if self._depth == 2 and name == _RECORD:
            self._rows.append(",".join([_field(attributes.get(column, "")) for column in COLUMNS]) + "\n")

    def _end(self, name: str) -> None:
        self._depth -= 1

    def _refuse(self, *told: object) -> None:
        raise BadCompression("the XML declares entities, which no export of Apple's Health app does", passing=False)


def _field(text: str) -> str:
    if _TO_BE_QUOTED.isdisjoint(text) and text == text.strip(" \t"):
        return text
    return '"' + text.replace('"', '""') + '"'
