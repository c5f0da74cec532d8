"""How a table is described: what its columns are called, and what in them has which meaning."""

import codecs
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Any, Literal, get_args

from mockexport.errors import OptionError
from mockexport.formats.cutting import Cutter
from mockexport.formats.fields import BadField, parse_value
from mockexport.formats.quoting import Quoting
from mockexport.formats.times import check_time_formats
from mockexport.formats.zones import zone_named
from mockexport.model import Span

if TYPE_CHECKING:
    from mockexport.formats.csv import CsvDecoder

__all__ = ["CENSORED", "ROLES", "TEXT", "THOUSANDS", "Schema"]

ROLES = ("patient_id", "event_time", "event_type", "value", "unit")
# What is done with a value like <0.6, and with one that is a word.
Censored = Literal["leave-out", "bound", "bad"]
Text = Literal["bad", "missing"]
CENSORED, TEXT = get_args(Censored), get_args(Text)
# What may group digits, by the names that --thousands has for it.
THOUSANDS = {"point": ".", "comma": ",", "space": " ", "apostrophe": "'"}

_ASCII = bytes(range(128))
# In these, what a byte means depends on others far before it.
_WITH_STATES = ("iso2022", "hz", "utf-7", "unicode_escape", "raw_unicode_escape", "idna", "punycode", "mbcs", "oem")
_CONVERT = "convert it: iconv -t UTF-8 FILE | mockexport --from -"

# What no field can hold beside others, whatever encloses it.
_NO_SIGN = '\r\n\0"'


@dataclass(frozen=True, slots=True)
class Schema:
    """How a table is described: everything that says how its bytes become rows; belongs to the format.

    Args:
        patient_id, event_time, event_type, value, unit: the name of the column that has this role; `#3` is the third
            column, `A+B` two columns joined by a space. With a unit, the type is `type [unit]`.
        delimiter: what separates fields, an ASCII character.
        null_tokens: texts that, beside the empty field, mean "no value"; one that is a number means all texts of that
            number.
        timezone: what times without an offset are local to, by its IANA name, such as Europe/Berlin; None is UTC.
        constants: for roles that no column has, their text, in which `{stem}`, `{name}` and `{parent}` of the file's
            name are replaced; an empty `unit` says that all values of a type have the same.
        values: of a wide table, the columns that are a type each, as names or pairs (name, type); `*` is all those
            without a role. An empty cell is no row.
        time_formats: how times are written, the first that fits: `iso`, what strptime understands, `epoch`, `epoch-ms`,
            `epoch-us`, or an elapsed `days`, `hours`, `minutes` or `seconds` since `origin`. By default `iso`. Where no
            column has times, `sampled`: the first line is when values begin, the second how many there are a second.
        origin: the time from which elapsed ones count.
        decimal: what separates decimal places, `.` or `,`; `thousands`: what may group digits before it, if anything.
        skip: the number of lines before the header; `header`: whether there is one, else columns are `#1`, `#2`.
        comment: the character that begins a line that is to be left out.
        quote: what encloses fields; None if quotes are data. `escape`: what makes the next character one like others.
        encoding: the name of the text's encoding; None is UTF-8.
        replace: for values that are words, the number that each stands for.
        censored: what is done with values such as <0.6 and >250: one of CENSORED.
        text: what is done with values that are no numbers: one of TEXT.
        where: which rows are wanted, as `COLUMN=TEXT` or `COLUMN!=TEXT`: of one column any, of several all.

    Raises:
        OptionError: for what describes no table; it names the argument.
    """

    patient_id: str = "patient_id"
    event_time: str = "event_time"
    event_type: str = "event_type"
    value: str = "value"
    delimiter: str = ","
    null_tokens: frozenset[str] = field(default_factory=frozenset)
    timezone: str | None = None
    unit: str | None = None
    constants: tuple[tuple[str, str], ...] = ()
    values: tuple[tuple[str, str | None], ...] = ()
    time_formats: tuple[str, ...] = ()
    origin: str | None = None
    decimal: Literal[".", ","] = "."
    thousands: str | None = None
    skip: int = 0
    header: bool = True
    comment: str | None = None
    quote: str | None = '"'
    escape: str | None = None
    encoding: str | None = None
    replace: tuple[tuple[str, str], ...] = ()
    censored: Censored = "leave-out"
    text: Text = "bad"
    where: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not _is_sign(self.delimiter):
            raise OptionError("delimiter", "must be one ASCII character other than a quote, NUL or line end")
        for name in ("null_tokens", "time_formats", "where"):  # a text's characters are hardly meant
            if isinstance(getattr(self, name), str):
                what = "a set of texts, not a text" if name == "null_tokens" else "a sequence of texts, not a text"
                raise OptionError(name, f"is {what}")
        self._set("null_tokens", frozenset(self.null_tokens))
        self._set("constants", _pairs("constants", self.constants))
        self._set("replace", _pairs("replace", self.replace))
        self._set("values", _columns(self.values))
        self._set("time_formats", tuple(self.time_formats))
        self._set("where", tuple(self.where))
        self._check_roles()
        self._check_signs()
        check_time_formats(self.time_formats, self.origin, self.timezone)
        if self.encoding is not None:
            self._set("encoding", _encoding(self.encoding))
        for given, choices, name in ((self.censored, CENSORED, "censored"), (self.text, TEXT, "text")):
            if given not in choices:
                raise OptionError(name, f"{given!a} is none of {', '.join(choices)}")
        for word, number in self.replace:
            try:
                parse_value(number)
            except BadField as bad:
                raise OptionError("replace", f"what {word!a} stands for is no number: {bad.reason}") from None
        for condition in self.where:
            if not condition.partition("=")[0].removesuffix("!") or "=" not in condition:
                raise OptionError("where", f"{condition!a} is neither COLUMN=TEXT nor COLUMN!=TEXT")
        if self.timezone is not None:
            zone_named(self.timezone)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def _check_roles(self) -> None:
        for role, _ in self.constants:
            if role not in ROLES or role == "value":
                raise OptionError("constant", f"{role!a} is none of patient_id, event_time, event_type, unit")
        if self.is_sampled and (len(self.time_formats) > 1 or self.header or "event_time" in dict(self.constants)):
            raise OptionError("time-format", "sampled goes with no header, and with no other time")
        if self.values and "event_type" in dict(self.constants):
            raise OptionError("constant", "the types of a wide table are its columns' names")
        named = [name for _, name in self.named]
        if len(set(named)) != len(named) or not all(named):
            raise OptionError("columns", "the columns need different, non-empty names")

    def _check_signs(self) -> None:
        for name in ("quote", "escape", "comment"):
            sign = getattr(self, name)
            if sign is not None and not (_is_sign(sign) or (sign == '"' and name != "comment")):
                raise OptionError(name, "must be one ASCII character other than NUL or a line end")
        if self.escape == self.quote:
            self._set("escape", None)  # a doubled quote is one anyway
        signs = [sign for sign in (self.delimiter, self.quote, self.escape, self.comment) if sign is not None]
        if len(set(signs)) != len(signs):
            raise OptionError("delimiter", "delimiter, quote, escape and comment must be different characters")
        if self.decimal not in (".", ","):
            raise OptionError("decimal", f"{self.decimal!a} is neither point nor comma")
        if self.thousands is not None and self.thousands not in THOUSANDS.values():
            raise OptionError("thousands", f"{self.thousands!a} is none of {', '.join(THOUSANDS)}")
        if self.thousands == self.decimal:
            raise OptionError("thousands", "cannot be what separates decimal places")
        if self.skip < 0:
            raise OptionError("skip", f"must be at least 0, not {self.skip}")

    @property
    def named(self) -> list[tuple[str, str]]:
        """The roles that a column has, each with the column's name, in the order of ROLES."""
        constant = {role for role, _ in self.constants}
        wide = {"event_type", "value"} if self.values else set()
        if self.is_sampled:
            wide.add("event_time")
        pairs = [(role, getattr(self, role)) for role in ROLES if role not in constant and role not in wide]
        return [(role, name) for role, name in pairs if name is not None]

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns that have a role."""
        return tuple(name for _, name in self.named)

    @property
    def is_sampled(self) -> bool:
        """Whether times follow from the rows' places (see formats.sampled)."""
        return "sampled" in self.time_formats

    @property
    def is_plain(self) -> bool:
        """Whether each role is one column, and times, numbers, quotes and text are as they are by default."""
        usual = Schema()
        names = ("unit", "values", "time_formats", "decimal", "thousands", "comment", "quote", "escape")
        same = all(getattr(self, name) == getattr(usual, name) for name in (*names, "replace", "where"))
        return (
            same
            and all(pair == ("unit", "") for pair in self.constants)
            and not any("+" in name for name in self.columns)
        )

    @property
    def quoting(self) -> Quoting:
        """Where fields and rows end."""
        return Quoting(self.delimiter, self.quote, self.escape, self.comment)

    @property
    def fingerprint(self) -> str:
        """All that says how bytes are read (see format.Format)."""
        parts = [(item.name, getattr(self, item.name)) for item in fields(self)]
        return repr([(name, sorted(part) if isinstance(part, frozenset) else part) for name, part in parts])

    @property
    def versioned(self) -> bool:
        """A row of a table is itself alone."""
        return False

    def in_folder(self, name: str) -> "Schema":
        """Return the schema for files that are all in the folder of this name, which their own names do not tell."""
        return replace(self, constants=tuple((role, text.replace("{parent}", name)) for role, text in self.constants))

    def cutter(self, span: Span, *, offset: int = 0) -> Cutter:
        """Return what cuts a span's bytes into chunks of whole lines (see format.Format)."""
        return Cutter(span, offset=offset)

    def decoder(self, header: str | None = None, *, pending: bytes = b"", download_id: str = "") -> "CsvDecoder":
        """Return what decodes a span's chunks (see format.Format)."""
        from mockexport.formats.csv import CsvDecoder  # it is described by this

        return CsvDecoder(self, header=header, pending=pending, download_id=download_id)


def _is_sign(text: str) -> bool:
    return len(text) == 1 and text.isascii() and text not in _NO_SIGN


def _pairs(name: str, given: Mapping[str, str] | Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    pairs = tuple((key, str(text)) for key, text in (given.items() if isinstance(given, Mapping) else given))
    if len({key for key, _ in pairs}) != len(pairs):
        raise OptionError(name, "says something twice")
    return pairs


def _columns(given: Any) -> tuple[tuple[str, str | None], ...]:
    if isinstance(given, str):
        raise OptionError("values", "is a sequence of names, not a text")
    if isinstance(given, Mapping):
        given = given.items()
    columns = tuple((item, None) if isinstance(item, str) else (item[0], item[1]) for item in given)
    names = [name for name, _ in columns]
    if len(set(names)) != len(names) or not all(names):
        raise OptionError("values", "the columns need different, non-empty names")
    return columns


def _encoding(name: str) -> str | None:
    """Return the standard name of an encoding, None for UTF-8."""
    try:
        found = codecs.lookup(name).name
        is_wide = _ASCII.decode(found) != _ASCII.decode()
    except UnicodeError:
        is_wide = True
    except (LookupError, ValueError, AttributeError, TypeError, AssertionError):
        raise OptionError("encoding", f"there is no encoding {name!a} of text; one is called cp1252") from None
    if (is_wide and found != "utf-16") or found.startswith(_WITH_STATES):
        told = "UTF-16 is recognised by its mark, without a name" if found.startswith("utf-16") else _CONVERT
        raise OptionError("encoding", f"{name!a} is not read, as ASCII is not itself in it; {told}")
    return None if found in ("utf-8", "ascii", "utf-8-sig", "utf-16") else found
