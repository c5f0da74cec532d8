"""What came where a header should be, and how to read a table by it: words for errors."""

import re

from mockexport.formats.schema import Schema

__all__ = ["INTO_UTF8", "instead"]

# What to do with a table in another encoding.
INTO_UTF8 = "save it as UTF-8, or convert it: iconv -f LATIN1 -t UTF-8 FILE | mockexport --from -"

# What separates fields, here or elsewhere, with the names that --delimiter has for them; and how a number or a time
# begins, whatever its format.
_DELIMITERS = {",": "comma", ";": "semicolon", "|": "pipe", "\t": "tab"}
_ANY_DELIMITER = re.compile(r"[,;|\t]")
# One space, not several: tried from each of a line's spaces, a repetition takes quadratic time.
_RARE_DELIMITER = re.compile(r"[:^~]|\s(?=\d{4}-\d)")
_BEGINS_WITH_A_DIGIT = re.compile(r"[\s\"'.+-]*\d")
# Of a line that should have been the header, so much is shown: enough to know a login page, or one's own columns.
_SHOWN_OF_HEADER = 80
_SHOWN_OF_COLUMNS = 400
# And in so much of it, fields like those of a row of data are looked for.
_LOOKED_INTO = 4096


def instead(text: str, schema: Schema) -> str:
    """Say what came where the header should be, unless that may be a row of data."""
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
        told = "the line looks like a row of data, so the header is missing; put a line above it that names the columns"
        return f"{told}, or say that there is none (--no-header)"
    delimiter = _delimiter_of(text, schema.delimiter)
    shown = text[: _SHOWN_OF_HEADER if delimiter is None else _SHOWN_OF_COLUMNS]
    told = f"there came {shown!r}{'…' if len(text) > len(shown) else ''}"
    return told if delimiter is None else f"{told}; say which columns are which (--columns, --like, or Schema)"


def _delimiter_of(text: str, expected: str) -> str | None:
    """Return what separates the names in a header of at least four, None if it does not look like one."""
    delimiter = max([expected, *_DELIMITERS], key=text.count)
    return delimiter if text.count(delimiter) >= 3 and "<" not in text else None
