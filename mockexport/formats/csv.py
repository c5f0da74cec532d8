"""CSV, the reference: finds the header, decodes rows into columns, and names what is wrong with the others.

The rules are in DESIGN.md under "Rows". Whatever another engine does faster, this one's word is law.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mockexport.errors import HeaderError
from mockexport.formats.batch import BadRow, Batch, Decoded, MissingValue
from mockexport.formats.cutting import MAX_ROW_BYTES
from mockexport.formats.fields import BadField, BadRowReason, check_id, parse_time, parse_value
from mockexport.formats.noted import Noted
from mockexport.formats.schema import Schema
from mockexport.formats.zones import zone_named
from mockexport.model import Chunk

__all__ = ["INTO_UTF8", "CsvDecoder", "Layout", "read_header"]

# What to do with a table in another encoding.
INTO_UTF8 = "save it as UTF-8, or convert it: iconv -f LATIN1 -t UTF-8 FILE | mockexport --from -"

_BOM = b"\xef\xbb\xbf"
# What separates fields, here or elsewhere, with the names that --delimiter has for them; and how a number or a time
# begins, whatever its format.
_DELIMITERS = {",": "comma", ";": "semicolon", "|": "pipe", "\t": "tab"}
_ANY_DELIMITER = re.compile(r"[,;|\t]")
# One space, not several: tried from each of a line's spaces, a repetition takes quadratic time.
_RARE_DELIMITER = re.compile(r"[:^~]|\s(?=\d{4}-\d)")
_BEGINS_WITH_A_DIGIT = re.compile(r"[\s\"'.+-]*\d")
# Names that can be shown as part of an option, without quotes.
_PLAIN_NAME = re.compile(r"\w+")
# Of a line that should have been the header, so much is shown: enough to know a login page, or one's own columns.
_SHOWN_OF_HEADER = 80
_SHOWN_OF_COLUMNS = 400
# And in so much of it, fields like those of a row of data are looked for.
_LOOKED_INTO = 4096


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a header puts the four columns, and how many fields a row has."""

    patient_id: int
    event_time: int
    event_type: int
    value: int
    fields: int


class CsvDecoder:
    """Decodes the chunks of one span, in order.

    The first row of a download is its header; a span that begins later is given the header of the first.
    """

    def __init__(self, schema: Schema, *, header: str | None = None) -> None:
        self._schema = schema
        self._layout: Layout | None = None
        self.header = header
        if header is not None:
            self._layout = read_header(header, schema, download_id="", line=1)

    @property
    def layout(self) -> Layout | None:
        """Where the header puts the columns; None before it came."""
        return self._layout

    def decode(self, chunk: Chunk) -> Decoded:
        """Return the chunk's rows as columns, missing values and bad rows.

        Raises:
            HeaderError: if the first row does not name the columns.
        """
        start, first_line = self.skip_header(chunk)
        lines = bytes(chunk.data[start:]).split(b"\n")
        unended_line = first_line + len(lines) - 1 if lines[-1] else None
        if not lines[-1]:
            lines.pop()
        return self.decode_rows(enumerate(lines, first_line), unended_line=unended_line)

    def skip_header(self, chunk: Chunk) -> tuple[int, int]:
        """Return where in the chunk's data the rows begin, and the number of that line; read the header if it is here.

        Raises:
            HeaderError: if the first row does not name the columns.
        """
        if self._layout is not None and chunk.offset:
            return 0, chunk.line
        data, line = bytes(chunk.data), chunk.line
        start = len(_BOM) if chunk.offset == 0 and data.startswith(_BOM) else 0
        while self._layout is None and start < len(data):
            end = data.find(b"\n", start)
            end = len(data) if end < 0 else end
            if row := data[start:end].removesuffix(b"\r"):
                self._take_header(row, chunk.span.download_id, line)
            start, line = end + 1, line + 1
        return min(start, len(data)), line

    def decode_rows(self, rows: Iterable[tuple[int, bytes]], *, unended_line: int | None = None) -> Decoded:
        """Return rows, given as line numbers and bytes without their line ends, in order, as `decode` would.

        `unended_line` is the number of the line, the chunk's last, that had no line end.
        """
        decoded = Decoded(Batch(), [], [])
        if self._layout is None:
            return decoded
        _decode_rows(rows, self._schema, self._layout, decoded)
        return replace(decoded, cut_off=bool(decoded.bad) and decoded.bad[-1].line == unended_line)

    def _take_header(self, row: bytes, download_id: str, line: int) -> None:
        if len(row) > MAX_ROW_BYTES:
            raise HeaderError(download_id, line, f"the line is longer than {MAX_ROW_BYTES:,} bytes")
        try:
            text = row.decode()
        except UnicodeDecodeError:
            if 0 in row:
                raise HeaderError(download_id, line, "the line is no text") from None
            raise HeaderError(download_id, line, f"the line is not UTF-8; {INTO_UTF8}") from None
        self._layout = read_header(text, self._schema, download_id=download_id, line=line)
        self.header = text


def read_header(text: str, schema: Schema, *, download_id: str, line: int) -> Layout:
    """Return where the header `text` puts the columns of `schema`; further columns are ignored.

    Raises:
        HeaderError: naming the column that is missing or repeated, and what came instead.
    """
    try:
        names = _split(text, schema.delimiter)
    except BadField as bad:
        raise HeaderError(download_id, line, f"{bad.reason}; {_instead(text, schema)}") from None
    positions = []
    for column in schema.columns:
        if names.count(column) != 1:
            fault = "repeated" if column in names else "missing"
            raise HeaderError(download_id, line, f"column {column} is {fault}; {_instead(text, schema)}")
        positions.append(names.index(column))
    patient_id, event_time, event_type, value = positions
    return Layout(patient_id, event_time, event_type, value, len(names))


def _instead(text: str, schema: Schema) -> str:
    """Say what came where the header should be, unless that may be a row of data; and how to read a table by it."""
    if "\r" in text:
        return "lines end in CR alone; let them end in LF, or in CR and LF"
    if "\0" in text:
        return "the line is no text; an archive is to be unpacked first"
    if text.lstrip().startswith(("{", "[{", '["')):
        return "the line looks like JSON"
    # Columns are not called by numbers or times: one such field, by any delimiter that is in use, will do. A login page
    # has such things after colons.
    start = text[:_LOOKED_INTO]
    fields = {*start.split(schema.delimiter), *_ANY_DELIMITER.split(start)}
    if not start.startswith("<"):
        fields.update(_RARE_DELIMITER.split(start))
    if any(_BEGINS_WITH_A_DIGIT.match(field) for field in fields):
        return "the line looks like a row of data, so the header is missing; put a line above it that names the columns"
    delimiter = _delimiter_of(text, schema.delimiter)
    shown = text[: _SHOWN_OF_HEADER if delimiter is None else _SHOWN_OF_COLUMNS]
    told = f"there came {shown!r}{'…' if len(text) > len(shown) else ''}"
    return told if delimiter is None else told + _what_to_do(text, delimiter, schema)


def _what_to_do(text: str, delimiter: str, schema: Schema) -> str:
    options, arguments = [], []
    if delimiter != schema.delimiter:
        options.append(f"--delimiter {_DELIMITERS[delimiter]}")
        arguments.append(f"delimiter={delimiter!r}")
    names = [name.strip('"') for name in text.split(delimiter)]
    if not set(names).issuperset(schema.columns):
        called = {role: _called(name, names) for role, name in zip(Schema().columns, schema.columns, strict=True)}
        others = {role: name for role, name in called.items() if name != role}
        options.append("--columns " + ",".join(f"{role}={name}" for role, name in others.items()))
        arguments += [f'{role}="{name}"' for role, name in others.items()]
    return f"; say how to read it: {' '.join(options)}, or Schema({', '.join(arguments)})" if options else ""


def _called(name: str, names: list[str]) -> str:
    """Return what a column is called in a header, but for upper and lower case; "…" if that cannot be told."""
    found = name if name in names else next((other for other in names if other.lower() == name.lower()), "…")
    return found if _PLAIN_NAME.fullmatch(found) else "…"


def _delimiter_of(text: str, expected: str) -> str | None:
    """Return what separates the names in a header of at least four, None if it does not look like one."""
    delimiter = max([expected, *_DELIMITERS], key=text.count)
    return delimiter if text.count(delimiter) >= 3 and "<" not in text else None


def _decode_rows(rows: Iterable[tuple[int, bytes]], schema: Schema, layout: Layout, into: Decoded) -> None:
    """Decode `rows` (without their "\\n") and append each to the part of `into` where it belongs."""
    batch, missing, bad = into.batch, into.missing, into.bad
    add_patient, add_type = batch.patient_ids.append, batch.event_types.append
    add_time, add_value, add_line = batch.event_times.append, batch.values.append, into.lines.append
    delimiter, null_tokens = schema.delimiter, schema.null_tokens
    at_patient, at_time, at_type, at_value = layout.patient_id, layout.event_time, layout.event_type, layout.value
    width = layout.fields
    zone = None if schema.timezone is None else zone_named(schema.timezone)
    for number, raw in rows:
        if raw.endswith(b"\r"):
            raw = raw[:-1]
        if not raw:
            continue
        try:
            fields = _fields(raw, delimiter)
            if len(fields) != width:
                few = len(fields) < width
                raise BadField(BadRowReason.TOO_FEW_FIELDS if few else BadRowReason.TOO_MANY_FIELDS)
            patient_id, event_type, value = fields[at_patient], fields[at_type], fields[at_value]
            check_id(patient_id)
            check_id(event_type)
            event_time = parse_time(fields[at_time], zone)
            if not value or value in null_tokens:
                missing.append(MissingValue(patient_id, event_time, event_type))
                into.missing_lines.append(number)
                continue
            scaled, rounded = parse_value(value)
        except BadField as fault:
            bad.append(BadRow(number, fault.reason))
            continue
        add_patient(patient_id)
        add_time(event_time)
        add_type(event_type)
        add_value(scaled)
        add_line(number)
        if rounded:
            into.noted[Noted.ROUNDED] += 1


def _fields(raw: bytes, delimiter: str) -> list[str]:
    if len(raw) > MAX_ROW_BYTES:
        raise BadField(BadRowReason.TOO_LONG)
    if 0 in raw:
        raise BadField(BadRowReason.NUL)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadField(BadRowReason.ENCODING) from None
    return _split(text, delimiter)


def _split(text: str, delimiter: str) -> list[str]:
    """Split a row at its delimiters, quotes taken off (RFC 4180, section 2, rules 5 to 7, without line breaks)."""
    if '"' not in text:
        return text.split(delimiter)
    fields = []
    position = 0
    while True:
        if text.startswith('"', position):
            field, position = _quoted(text, position + 1)
            if position < len(text) and text[position] != delimiter:
                raise BadField(BadRowReason.AFTER_QUOTE)
        else:
            end = text.find(delimiter, position)
            end = len(text) if end < 0 else end
            field, position = text[position:end], end
            if '"' in field:
                raise BadField(BadRowReason.QUOTE)
        fields.append(field)
        if position == len(text):
            return fields
        position += 1


def _quoted(text: str, start: int) -> tuple[str, int]:
    """Return the field whose opening quote is just before `start`, and the position after its closing quote."""
    parts = []
    while True:
        end = text.find('"', start)
        if end < 0:
            raise BadField(BadRowReason.QUOTE)
        parts.append(text[start:end])
        if not text.startswith('""', end):
            return "".join(parts), end + 1
        parts.append('"')
        start = end + 2
