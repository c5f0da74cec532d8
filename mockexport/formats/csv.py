"""CSV, the reference: finds the header, decodes rows into columns, and names what is wrong with the others.

The rules are in DESIGN.md under "Rows". Whatever another engine does faster, this one's word is law.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace

from mockexport.errors import HeaderError
from mockexport.formats.batch import Batch, Decoded
from mockexport.formats.cutting import MAX_ROW_BYTES
from mockexport.formats.decoding import decode_until_header
from mockexport.formats.fields import BadField
from mockexport.formats.hints import INTO_UTF8
from mockexport.formats.layout import Layout, read_header
from mockexport.formats.noted import Noted
from mockexport.formats.quoting import Quoting, row_end, rows_in
from mockexport.formats.sampled import SAMPLED, Samples
from mockexport.formats.schema import Schema
from mockexport.model import Chunk

__all__ = ["CsvDecoder", "Taken"]

_BOM = b"\xef\xbb\xbf"
# What a spreadsheet writes as a first line, with the character that separates fields.
_SEPARATOR = b"sep="


@dataclass(frozen=True, slots=True)
class Taken:
    """A chunk as a compiled engine is to take it: from byte `start` of `data` on, where line number `line` begins.

    `rows` are those before it, as (line number, bytes without the line end).
    """

    rows: list[tuple[int, bytes]]
    data: bytes | memoryview
    start: int
    line: int


class CsvDecoder:
    """Decodes the chunks of one span, in order.

    The first row of a download is its header; a span that begins later is given the header that is in force there, and
    the beginning of the row, if any, that is not ended (`pending`).
    """

    def __init__(
        self, schema: Schema, *, header: str | None = None, pending: bytes = b"", download_id: str = ""
    ) -> None:
        self._schema = schema
        self._quoting = schema.quoting
        self._layout: Layout | None = None
        self._download_id = download_id
        self._lines_to_skip = schema.skip
        self._at_start = True
        self._text = ""
        self._first: list[str] = []  # of a table without times, the first line's fields
        self._samples: Samples | None = None
        self._untold: Counter[str] = Counter()  # what is noted of the header, and goes with the next rows
        self.pending: bytes = pending
        if header is not None:
            self._begin_with(header)

    @property
    def layout(self) -> Layout | None:
        """Where the header puts the columns; None before it came."""
        return self._layout

    @property
    def samples(self) -> Samples | None:
        """What times follow from, where the rows' places say them; who reads rows by itself has to count them there."""
        return self._samples

    @property
    def has_untold(self) -> bool:
        """Whether `decode_rows` has something to tell, if there are no rows, too."""
        return bool(self._untold)

    @property
    def quoting(self) -> Quoting:
        """Where fields and rows end, as the table itself says."""
        return self._quoting

    @property
    def header(self) -> str | None:
        """The header in force, with what else another decoder needs to know; None before it came."""
        if self._samples is not None:
            return self._samples.to_text()
        if self._layout is None or self._quoting.delimiter == self._schema.delimiter:
            return None if self._layout is None else self._text
        return f"{_SEPARATOR.decode()}{self._quoting.delimiter}\n{self._text}"

    def _begin_with(self, header: str) -> None:
        first, line_end, rest = header.partition("\n")
        if line_end and _separator_in(first.encode()) is not None:
            self._quoting = replace(self._quoting, delimiter=first[-1])
            header = rest
        self._at_start = False
        if self._schema.is_sampled and (samples := Samples.from_text(header)) is not None:
            self._sample(samples, 1)
            return
        self._read(header, 1)

    def decode(self, chunk: Chunk) -> Decoded:
        """Return the chunk's rows as columns, missing values and bad rows.

        Raises:
            HeaderError: if the first row does not name the columns.
        """
        taken = self.take(chunk)
        data = bytes(taken.data[taken.start :])
        ended = chunk.data[-1:] != b"\n"
        found = taken.rows
        if data:
            rows = rows_in(data, self._quoting, taken.line, ended=ended)
            self.pending = data[rows.rest :]
            found = [*found, *rows.rows]
        return self.decode_rows(found, unended_line=found[-1][0] if ended and found else None)

    def take(self, chunk: Chunk) -> Taken:
        """Return the chunk for an engine that finds rows itself; the header is read if it is here.

        Raises:
            HeaderError: if the first row does not name the columns.
        """
        if self._schema.encoding is not None:
            chunk = replace(chunk, data=_as_utf8(bytes(chunk.data), self._schema.encoding))
        data = chunk.data
        if self._layout is not None and not self.pending:
            return Taken([], data, 0, chunk.line)
        if self._layout is None:
            data = self.pending + bytes(data)
            line = chunk.line - self.pending.count(b"\n")
            start, line = self._find_header(data, line, ended=not data.endswith(b"\n"))
            return Taken([], data, start, line)
        return self._join(chunk)

    def _join(self, chunk: Chunk) -> Taken:
        """Put the row that was not ended together with the chunk, whose bytes are not copied but for its end."""
        size, ended = len(self.pending), chunk.data[-1:] != b"\n"
        line = chunk.line - self.pending.count(b"\n")
        whole = len(chunk.data) <= MAX_ROW_BYTES + 2
        data = self.pending + bytes(chunk.data[: MAX_ROW_BYTES + 2])
        rows: list[tuple[int, bytes]] = []
        start = 0
        while start < size:
            end = row_end(data, start, self._quoting, ended=ended and whole)
            if end is None:  # and so in all of the chunk
                self.pending = data[start:]
                return Taken(rows, b"", 0, line)
            row = data[start:end]
            rows.append((line, row))
            line += 1 + row.count(b"\n")
            start = end + 1
        self.pending = b""
        return Taken(rows, chunk.data, min(start - size, len(chunk.data)), line)

    def finish(self, line: int) -> Decoded:
        """Return the rows of a span, the download's last, that could not be told to have ended before it has.

        `line` is the number of the line that would follow.
        """
        data, self.pending = self.pending, b""
        if self._layout is None:
            self._find_header(data, line - data.count(b"\n"), ended=True)
            return Decoded(Batch(), [], [])
        found = rows_in(data, self._quoting, line - data.count(b"\n"), ended=True)
        return self.decode_rows(found.rows)

    def _find_header(self, data: bytes, line: int, *, ended: bool) -> tuple[int, int]:
        """Return where in the data the rows begin, and the number of that line; read the header if it is here."""
        start = 0
        self.pending = b""
        if self._at_start and data:
            start = len(_BOM) if data.startswith(_BOM) else 0
        while self._layout is None and start < len(data):
            end = data.find(b"\n", start)
            end = len(data) if end < 0 else end
            row = data[start:end].removesuffix(b"\r")
            delimiter = _separator_in(row) if self._at_start else None
            self._at_start = False
            if delimiter is not None:
                self._quoting = replace(self._quoting, delimiter=delimiter)
            elif self._lines_to_skip:
                self._lines_to_skip -= 1
            elif row.strip(self._quoting.blanks.encode()) and not self._is_comment(row):
                found = row_end(data, start, self._quoting, ended=ended)
                if found is None:
                    self.pending = data[start:]
                    return len(data), line + self.pending.count(b"\n")
                end = found
                self._take_header(data[start:end].removesuffix(b"\r"), line)
                if not self._schema.header and not self._schema.is_sampled:
                    return start, line
            line += 1 + data.count(b"\n", start, end)
            start = end + 1
        return min(start, len(data)), line

    def _is_comment(self, row: bytes) -> bool:
        return self._quoting.comment is not None and row.startswith(self._quoting.comment.encode())

    def _take_header(self, row: bytes, line: int) -> None:
        if len(row) > MAX_ROW_BYTES:
            raise HeaderError(self._download_id, line, f"the line is longer than {MAX_ROW_BYTES:,} bytes")
        try:
            text = row.decode()
        except UnicodeDecodeError:
            if 0 in row:
                raise HeaderError(self._download_id, line, "the line is no text") from None
            problem = "the line is not UTF-8" if self._schema.encoding is None else "the line is in another encoding"
            raise HeaderError(self._download_id, line, f"{problem}; {INTO_UTF8}") from None
        if not self._schema.header:
            try:
                fields = self._quoting.split(text)
            except BadField as bad:
                raise HeaderError(self._download_id, line, str(bad)) from None
            if self._schema.is_sampled:
                self._take_samples(fields, line)
                return
            text = self._numbered(len(fields))
        self._read(text, line)
        if self._layout is not None and self._layout.units_unread:
            self._untold[Noted.UNITS_UNREAD] += 1

    def _numbered(self, fields: int) -> str:
        return self._quoting.delimiter.join(f"#{number}" for number in range(1, fields + 1))

    def _take_samples(self, fields: list[str], line: int) -> None:
        """Take the first or the second line of a table without times."""
        if not self._first:
            self._first = fields
            return
        samples = Samples.of(self._first, fields)
        if samples is None:
            told = "the first two lines do not say when values begin, in seconds since 1970, and how many come a second"
            raise HeaderError(self._download_id, line, told)
        self._sample(samples, line)

    def _sample(self, samples: Samples, line: int) -> None:
        self._samples = samples
        names = f"{self._numbered(samples.columns)}{self._quoting.delimiter}{SAMPLED}"
        self._read(names, line)

    def _read(self, text: str, line: int) -> None:
        self._layout = read_header(text, self._schema, download_id=self._download_id, line=line, quoting=self._quoting)
        self._text = text

    def decode_rows(self, rows: Iterable[tuple[int, bytes]], *, unended_line: int | None = None) -> Decoded:
        """Return rows, given as line numbers and bytes without their line ends, in order, as `decode` would.

        `unended_line` is the number of the line, the chunk's last, that had no line end.

        Raises:
            HeaderError: a row names the columns again, and not all that are needed.
        """
        decoded = Decoded(Batch(), [], [], noted=self._untold)
        self._untold = Counter()
        rest = iter(rows if self._samples is None else self._samples.timed(rows, self._quoting.delimiter))
        while self._layout is not None:
            again = decode_until_header(rest, self._schema, self._quoting, self._layout, decoded)
            if again is None:
                break
            line, text = again
            self._read(text, line)
        return replace(decoded, cut_off=bool(decoded.bad) and decoded.bad[-1].line == unended_line)


def _as_utf8(data: bytes, encoding: str) -> bytes:
    """Return text in another encoding, in which ASCII is itself, as UTF-8; what is no text stays, and is none."""
    if data.isascii():
        return data
    return data.decode(encoding, "surrogateescape").encode("utf-8", "surrogateescape")


def _separator_in(line: bytes) -> str | None:
    """Return the delimiter that a first line `sep=;` names; None if it is another line."""
    if len(line) != len(_SEPARATOR) + 1 or line[:-1].lower() != _SEPARATOR or line[-1:] in b'\r\n\0"':
        return None
    return chr(line[-1]) if line[-1] < 128 else None
