"""Where a header puts the columns that a schema describes: names in, places out."""

from dataclasses import dataclass
from functools import lru_cache

from mockexport.errors import HeaderError
from mockexport.formats.fields import BadField, check_id
from mockexport.formats.guessing import role_names
from mockexport.formats.hints import instead
from mockexport.formats.quoting import Quoting
from mockexport.formats.sampled import SAMPLED
from mockexport.formats.schema import Schema

__all__ = ["Condition", "Layout", "Part", "Value", "file_names", "names_again", "read_header"]

# Where a text comes from: the columns that are joined by spaces, or a constant.
Part = tuple[int, ...] | str


@dataclass(frozen=True, slots=True)
class Value:
    """Where a value is; `event_type` is its type in a wide table."""

    columns: tuple[int, ...]
    event_type: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """What rows must have in a column: one of these texts, if there are any, and none of those."""

    column: int
    any_of: frozenset[str]
    none_of: frozenset[str]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a header puts the columns, and how many fields a row has; `names` are those of the columns with a role.

    `units_unread`: there is a column that is called as units are, and nothing looks at it.
    """

    patient_id: Part
    event_time: Part
    event_type: Part | None
    unit: Part | None
    values: tuple[Value, ...]
    where: tuple[Condition, ...]
    fields: int
    names: frozenset[str]
    units_unread: bool = False

    @property
    def plain(self) -> tuple[int, int, int, int] | None:
        """The places of patient, time, type and value, if each is one column, and there is nothing else to it."""
        parts = (self.patient_id, self.event_time, self.event_type, self.values[0].columns)
        if self.unit is not None or self.where or len(self.values) > 1 or self.values[0].event_type is not None:
            return None
        places = [part[0] for part in parts if isinstance(part, tuple) and len(part) == 1]
        return (places[0], places[1], places[2], places[3]) if len(set(places)) == 4 == len(places) else None


def names_again(fields: list[str], layout: Layout) -> bool:
    """Tell whether a row names the columns again: it has the name of each that has a role, once."""
    return bool(layout.names) and all(fields.count(name) == 1 for name in layout.names)


def read_header(text: str, schema: Schema, *, download_id: str, line: int, quoting: Quoting | None = None) -> Layout:
    """Return where the header `text` puts the columns of `schema`; further columns are ignored.

    Raises:
        HeaderError: naming the column that is missing or repeated, and what came instead.
    """
    try:
        # Only a constant may speak of the file.
        return _layout(text, schema, quoting or schema.quoting, download_id if schema.constants else "")
    except HeaderError as error:
        raise HeaderError(download_id, line, error.problem) from None


# The files of a run are mostly alike.
@lru_cache(maxsize=4)
def _layout(text: str, schema: Schema, quoting: Quoting, download_id: str) -> Layout:
    try:
        names = quoting.split(text)
    except BadField as bad:
        raise HeaderError(download_id, 1, f"{bad.reason}; {instead(text, schema)}") from None
    return _Finding(names, text, schema, download_id).layout()


class _Finding:
    """Looks the columns of a schema up in a header."""

    def __init__(self, names: list[str], text: str, schema: Schema, download_id: str) -> None:
        self._names = names
        self._text = text
        self._schema = schema
        self._download_id = download_id
        self._used: dict[int, str] = {}

    def _fault(self, problem: str) -> HeaderError:
        return HeaderError(self._download_id, 1, f"{problem}; {instead(self._text, self._schema)}")

    def layout(self) -> Layout:
        schema = self._schema
        constants = dict(schema.constants)
        file = file_names(self._download_id)
        parts: dict[str, Part] = {role: self._columns(name) for role, name in schema.named}
        for role, text in constants.items():
            parts[role] = self._constant(role, text, file)
        if schema.is_sampled:
            parts["event_time"] = (self._names.index(SAMPLED),)
        wide = [Value((self._place(name),), kind or name) for name, kind in schema.values if name != "*"]
        named = frozenset(name for name in self._used.values() if name)
        where = self._conditions()  # before what is left is a type each: a column that is looked at has a role
        values = self._types(wide) if schema.values else (Value(self._as_columns(parts["value"])),)
        others = [name for place, name in enumerate(self._names) if place not in self._used]
        return Layout(
            parts["patient_id"],
            parts["event_time"],
            parts.get("event_type"),
            parts.get("unit") or None,  # said to be none: it is the same for all values of a type
            values,
            where,
            self._width(),
            named,
            "unit" not in parts and bool(role_names(others, "unit")),
        )

    def _width(self) -> int:
        """Return how many fields a row has: names that are missing at the end name nothing."""
        width = len(self._names)
        least = max(self._used, default=-1) + 1
        while width > least and not self._names[width - 1]:
            width -= 1
        return width

    def _as_columns(self, part: Part) -> tuple[int, ...]:
        return part if isinstance(part, tuple) else ()

    def _columns(self, name: str) -> tuple[int, ...]:
        """Return the places of what a role is called: a column, `#N`, or several of them, joined by `+`."""
        if self._names.count(name) != 1 and "+" in name:
            return tuple(place for part in name.split("+") for place in self._columns(part.strip()))
        return (self._place(name),)

    def _place(self, name: str) -> int:
        number = name[1:]
        if name.startswith("#") and number.isascii() and number.isdecimal() and len(number) < 7:
            place = int(number) - 1
            if not 0 <= place < len(self._names):
                raise self._fault(f"column {name} is missing: there are {len(self._names)}")
            self._used.setdefault(place, "")
            return place
        if self._names.count(name) != 1:
            fault = "repeated" if name in self._names else "missing"
            raise self._fault(f"column {name} is {fault}")
        place = self._names.index(name)
        self._used[place] = name
        return place

    def _constant(self, role: str, text: str, file: dict[str, str]) -> str:
        for key, name in file.items():
            text = text.replace(f"{{{key}}}", name)
        if role in ("patient_id", "event_type"):
            try:
                check_id(text)
            except BadField as bad:
                problem = f"the constant {role} is no id ({bad.reason}); say what it is: --constant {role}=NAME"
                problem = f"{problem}, or Schema(constants=[('{role}', 'NAME')])"
                raise HeaderError(self._download_id, 1, problem) from None
        return text

    def _types(self, found: list[Value]) -> tuple[Value, ...]:
        """Return the columns that are a type each: those that are named, and with `*` all that have no role."""
        if any(name == "*" for name, _ in self._schema.values):
            names = [(place, name) for place, name in enumerate(self._names) if name and name != SAMPLED]
            found = [*found, *(Value((place,), name) for place, name in names if place not in self._used)]
        types = [value.event_type for value in found]
        if not found or len(set(types)) != len(types):
            raise self._fault("no column has values" if not found else "two columns have the same type")
        for event_type in types:
            try:
                check_id(event_type or "")
            except BadField as bad:
                raise self._fault(f"a column's name is no type: {bad.reason}") from None
        return tuple(found)

    def _conditions(self) -> tuple[Condition, ...]:
        wanted: dict[int, tuple[set[str], set[str]]] = {}
        for condition in self._schema.where:
            name, _, text = condition.partition("=")
            place = self._place(name.removesuffix("!").strip())
            any_of, none_of = wanted.setdefault(place, (set(), set()))
            (none_of if name.endswith("!") else any_of).add(text)
        return tuple(
            Condition(place, frozenset(any_of), frozenset(none_of)) for place, (any_of, none_of) in wanted.items()
        )


def file_names(download_id: str) -> dict[str, str]:
    """Return what the name of a download's file says: its stem, itself, and the folder that it is in."""
    *above, name = download_id.replace("\\", "/").split("/")
    stem = name
    for suffix in (".gz", ".zst", ".csv", ".tsv", ".txt", ".xml"):
        if stem.lower().endswith(suffix) and len(stem) > len(suffix):
            stem = stem[: -len(suffix)]
    return {"stem": stem, "name": name, "parent": above[-1] if above else ""}
