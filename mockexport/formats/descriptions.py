"""Descriptions of tables as people write them: the options' own names as keys, in a TOML file or on a command line.

The known ones lie in `known/` as data; a user's own is given by its path. `about` and `source` say what it is.
"""

from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mockexport.errors import OptionError, nearest
from mockexport.formats.schema import ROLES, THOUSANDS, Schema

__all__ = [
    "DELIMITERS", "described", "known_names", "known_schemas", "known_text", "pairs_of", "read_description",
]  # fmt: skip

DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|", "space": " "}
_SIGNS = {"point": ".", "comma": ","}
# A description is a page at most.
MAX_DESCRIPTION_BYTES = 64 * 1024
_TOLD = ("about", "source")
# Keys whose value is a text that is an argument of Schema as it is.
_TEXTS = ("timezone", "origin", "comment", "escape", "encoding", "censored", "text")
_KEYS = (
    *_TEXTS, "columns", "constant", "values", "time-format", "decimal", "thousands", "skip", "no-header", "quote",
    "null", "replace", "where", "delimiter",
)  # fmt: skip


def known_names() -> list[str]:
    """Return the names of the descriptions that come with the package."""
    return sorted(entry.name.removesuffix(".toml") for entry in _known().iterdir() if entry.name.endswith(".toml"))


def known_text(name: str) -> str:
    """Return a known description as TOML.

    Raises:
        OptionError: there is none of that name.
    """
    names = known_names()
    if name not in names:
        raise OptionError("like", f"{name!a} is none of {', '.join(names)}", given=name, known=names)
    text: str = (_known() / f"{name}.toml").read_text(encoding="utf-8")
    return text


@cache
def known_schemas() -> Mapping[Schema, str]:
    """Return the schemas of the known descriptions, with their names."""
    return {described(read_description(name)): name for name in reversed(known_names())}


def _known() -> Any:
    from importlib.resources import files  # no sooner: most runs want none of them

    return files("mockexport.formats") / "known"


def read_description(name: str) -> dict[str, Any]:
    """Return the settings of a known description, or of a TOML file if `name` is a path to one.

    Raises:
        OptionError: there is none, or it cannot be read, or says what no description does.
    """
    if not name.endswith(".toml") and "/" not in name:
        text = known_text(name)
    else:
        try:
            with Path(name).open("rb") as file:
                data = file.read(MAX_DESCRIPTION_BYTES + 1)
            text = data.decode()
        except OSError as error:
            raise OptionError("like", f"{name} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise OptionError("like", f"{name} is not UTF-8") from error
        if len(data) > MAX_DESCRIPTION_BYTES:
            raise OptionError("like", f"{name} is longer than {MAX_DESCRIPTION_BYTES:,} bytes")
    import tomllib  # no sooner, as above

    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise OptionError("like", f"{name} is no TOML: {error}") from error
    for key in settings:
        if key not in (*_KEYS, *_TOLD):
            meant = nearest(key, _KEYS)
            raise OptionError("like", f"{name}: there is no {key!a}{f'; did you mean {meant}?' if meant else ''}")
    return {key: value for key, value in settings.items() if key not in _TOLD}


def described(settings: Mapping[str, Any]) -> Schema:
    """Return the schema that settings describe: the options' names and what is said with them.

    Raises:
        OptionError: it is none; the message names the option.
    """
    arguments: dict[str, Any] = {key: _text(key, settings[key]) for key in _TEXTS if key in settings}
    if "delimiter" in settings:
        sign = _text("delimiter", settings["delimiter"])
        arguments["delimiter"] = DELIMITERS.get(sign, sign)
    for role, name in pairs_of("columns", settings.get("columns", {})).items():
        if role not in ROLES:
            meant = nearest(role, ROLES)
            more = f"; did you mean {meant}?" if meant else ""
            raise OptionError("columns", f"{role!a} is none of {', '.join(ROLES)}{more}")
        arguments[role] = name
    for key, name in (("constant", "constants"), ("replace", "replace")):
        if key in settings:
            arguments[name] = tuple(pairs_of(key, settings[key]).items())
    for key, name in (("time-format", "time_formats"), ("where", "where")):
        if key in settings:
            arguments[name] = _texts(key, settings[key])
    if "values" in settings:
        arguments["values"] = tuple(_column(text) for text in _texts("values", settings["values"]))
    if "null" in settings:
        arguments["null_tokens"] = frozenset(_texts("null", settings["null"]))
    if "decimal" in settings:
        arguments["decimal"] = _chosen("decimal", settings["decimal"], _SIGNS)
    if "thousands" in settings:
        arguments["thousands"] = _chosen("thousands", settings["thousands"], THOUSANDS)
    if "skip" in settings:
        if type(settings["skip"]) is not int:
            raise OptionError("skip", "is not a whole number")
        arguments["skip"] = settings["skip"]
    if settings.get("no-header"):
        arguments["header"] = False
    if "quote" in settings:
        quote = _text("quote", settings["quote"])
        arguments["quote"] = None if quote == "none" else quote
    return Schema(**arguments)


def _text(key: str, value: object) -> str:
    if not isinstance(value, str):
        raise OptionError(key, "is not a text")
    return value


def _texts(key: str, value: object) -> tuple[str, ...]:
    """Return a text, or several, as several."""
    found = (value,) if isinstance(value, str) else tuple(value) if isinstance(value, Iterable) else None
    if found is None or not all(isinstance(text, str) for text in found):
        raise OptionError(key, "is neither a text nor a list of such")
    return found


def pairs_of(key: str, value: object) -> dict[str, str]:
    """Return pairs, said as a table or as texts like NAME=TEXT."""
    if isinstance(value, Mapping):
        return {str(name): str(text) for name, text in value.items()}
    pairs: dict[str, str] = {}
    for entry in _texts(key, value):
        name, sign, text = entry.partition("=")
        if not sign or not name or name in pairs:
            raise OptionError(key, f"{entry!a} is not like NAME=TEXT, or says {name} twice")
        pairs[name] = text
    return pairs


def _column(text: str) -> tuple[str, str | None]:
    name, sign, kind = text.partition("=")
    return (name, kind if sign else None)


def _chosen(key: str, value: object, choices: Mapping[str, str]) -> str:
    if value not in choices:
        raise OptionError(key, f"{value!a} is none of {', '.join(choices)}")
    return choices[str(value)]
