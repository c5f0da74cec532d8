"""Where rows end and what their fields are, quotes considered (RFC 4180): bytes and texts, no columns, no meaning.

A quoted field may hold delimiters and line breaks. A row whose quotes make no sense, or are not closed within the
length of a row, ends with its first line: that is the bad row, and the next line begins another one. So how far one
stray quote reaches is bounded, and where rows end depends on no header.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

from mockexport.formats.cutting import MAX_ROW_BYTES
from mockexport.formats.fields import BadField, BadRowReason

__all__ = ["Quoting", "Rows", "row_end", "rows_in"]


@dataclass(frozen=True, slots=True)
class Quoting:
    """What separates fields, what encloses them, and what begins a line that is to be left out; ASCII characters.

    Without a `quote`, quotes are data. `escape` makes the character behind it one like all others.
    """

    delimiter: str = ","
    quote: str | None = '"'
    escape: str | None = None
    comment: str | None = None

    @property
    def blanks(self) -> str:
        """What may stand around a field without being part of it."""
        return " \t".replace(self.delimiter, "")

    def split(self, text: str) -> list[str]:
        """Return the fields of a row, without quotes, and without blanks around them outside quotes.

        Raises:
            BadField: a quote stands where none may, or is not closed.
        """
        blanks = self.blanks
        if (self.quote is None or self.quote not in text) and (self.escape is None or self.escape not in text):
            return [field.strip(blanks) for field in text.split(self.delimiter)]
        grammar = _grammar(self)
        fields, position = [], 0
        while True:
            field, position = grammar.field(text, position)
            fields.append(field)
            if position == len(text):
                return fields
            position += 1


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows as (line number, bytes without the line end), and where the first begins that has not ended.

    `line` is the number of the line that begins there.
    """

    rows: list[tuple[int, bytes]]
    rest: int
    line: int


def rows_in(data: bytes, quoting: Quoting, line: int, *, ended: bool, most: int | None = None) -> Rows:
    """Return the rows of `data`, which begins with one: line number `line`. A final CR is part of a row's bytes.

    Without `ended` the data goes on after its last line end, and a row that may end there is not among the rows.
    `most` is how many rows are wanted.
    """
    if (quoting.quote is None or quoting.quote.encode() not in data) and most is None:
        lines = data.split(b"\n")
        if not lines[-1]:
            lines.pop()
        return Rows(list(enumerate(lines, line)), len(data), line + len(lines))
    found: list[tuple[int, bytes]] = []
    start = 0
    while start < len(data) and (most is None or len(found) < most):
        end = row_end(data, start, quoting, ended=ended)
        if end is None:
            break
        row = data[start:end]
        found.append((line, row))
        line += 1 + row.count(b"\n")
        start = end + 1
    return Rows(found, min(start, len(data)), line)


def row_end(data: bytes, start: int, quoting: Quoting, *, ended: bool) -> int | None:
    """Return where the row ends that begins at `start`, at its line end or the data's; None if nobody knows yet."""
    end = data.find(b"\n", start)
    end = len(data) if end < 0 else end
    if quoting.quote is None or (quoting.comment is not None and data.startswith(quoting.comment.encode(), start)):
        return end
    quotes = data.count(quoting.quote.encode(), start, end)
    # Read from its beginning, a line with an even number of quotes leaves none open, if nothing else is wrong with it.
    if quotes % 2 == 0 and (quoting.escape is None or not quotes):
        return end
    return _grammar(quoting).end(data, start, end, ended=ended)


class _Grammar:
    """The grammar of rows with quotes, as patterns."""

    def __init__(self, quoting: Quoting) -> None:
        self._quoting = quoting
        delimiter = re.escape(quoting.delimiter)
        blanks = f"[{re.escape(quoting.blanks)}]*+"
        escape = "" if quoting.escape is None else re.escape(quoting.escape)
        escaped = f"|{escape}." if escape else ""
        literal = f"(?:[^{escape}{{ends}}]{escaped})*+" if escape else "[^{ends}]*+"
        quote = "" if quoting.quote is None else re.escape(quoting.quote)
        inside = literal.format(ends=quote)
        if quote:
            self._quoted = f"{blanks}{quote}({inside}(?:{quote}{quote}{inside})*+)"
            self._closed = re.compile(f"{self._quoted}{quote}{blanks}", re.DOTALL)
            self._open = re.compile(f"{blanks}{quote}")
            self._open_bytes = re.compile(f"{blanks}{quote}".encode())
            self._quoted_bytes = re.compile(self._quoted.encode(), re.DOTALL)
            self._blanks_bytes = re.compile(blanks.encode())
        self._plain = re.compile(literal.format(ends=f"{delimiter}{quote}"), re.DOTALL)
        self._plain_bytes = re.compile(literal.format(ends=f"{delimiter}{quote}\\n").encode())
        self._escapes = re.compile(f"{escape}(.)", re.DOTALL) if escape else None

    def field(self, text: str, position: int) -> tuple[str, int]:
        """Return the field that begins there, and the position of what ends it."""
        quoting = self._quoting
        if quoting.quote is not None and self._open.match(text, position):
            match = self._closed.match(text, position)
            if match is None:
                raise BadField(BadRowReason.QUOTE)
            if match.end() < len(text) and text[match.end()] != quoting.delimiter:
                raise BadField(BadRowReason.AFTER_QUOTE)
            field = self._unescaped(match[1], quoted=True)
            return field, match.end()
        match = self._plain.match(text, position)
        assert match is not None  # noqa: S101 - it matches nothing, too
        end = match.end()
        if end < len(text) and text[end] != quoting.delimiter:
            raise BadField(BadRowReason.QUOTE)
        return self._unescaped(match[0].strip(quoting.blanks), quoted=False), end

    def _unescaped(self, field: str, *, quoted: bool) -> str:
        quote = self._quoting.quote
        if self._escapes is None or self._escapes.search(field) is None:
            return field.replace(quote + quote, quote) if quoted and quote is not None else field
        parts, at = [], 0
        for match in self._escapes.finditer(field):
            parts += [self._doubled(field[at : match.start()], quoted=quoted), match[1]]
            at = match.end()
        return "".join([*parts, self._doubled(field[at:], quoted=quoted)])

    def _doubled(self, part: str, *, quoted: bool) -> str:
        quote = self._quoting.quote
        return part.replace(quote + quote, quote) if quoted and quote is not None else part

    def end(self, data: bytes, start: int, first_end: int, *, ended: bool) -> int | None:
        """Return where a row ends, of which quotes must be read to tell (see row_end)."""
        delimiter = ord(self._quoting.delimiter)
        limit = min(len(data), start + MAX_ROW_BYTES + 1)  # a longer row is none: its first line is one
        cut_off = limit == len(data) and not ended and limit <= start + MAX_ROW_BYTES
        position = start
        while True:
            quoted = self._open_bytes.match(data, position, limit)
            if quoted:
                match = self._quoted_bytes.match(data, position, limit)
                assert match is not None  # noqa: S101 - it needs no more than the quote
                position = match.end()
                if position == limit:  # no closing quote
                    return None if cut_off else first_end
                if data[position] != ord(self._quoting.quote or ""):  # an escape at the very end
                    return None if cut_off else first_end
                blanks = self._blanks_bytes.match(data, position + 1, limit)
                position = blanks.end() if blanks else position + 1
                if data.startswith(b"\r\n", position) or (ended and data[position:] == b"\r"):
                    position += 1
            else:
                match = self._plain_bytes.match(data, position, limit)
                assert match is not None  # noqa: S101
                position = match.end()
            if position >= limit:
                whole = ended and limit == len(data) and limit <= start + MAX_ROW_BYTES
                return limit if whole else None if cut_off else first_end
            if data[position] == ord("\n"):
                return position
            if data[position] != delimiter:
                return first_end
            position += 1


_grammar = lru_cache(maxsize=16)(_Grammar)
