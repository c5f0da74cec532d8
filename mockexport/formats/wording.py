"""How a description is said: as options of the command line, and as arguments of Schema."""

import shlex
from collections.abc import Iterator
from dataclasses import fields

from mockexport.formats.descriptions import known_schemas
from mockexport.formats.schema import ROLES, THOUSANDS, Schema

__all__ = ["as_arguments", "as_options", "reasons_for"]

_DELIMITERS = {",": "comma", ";": "semicolon", "|": "pipe", "\t": "tab"}


def as_options(schema: Schema, base: Schema) -> str:
    """Return the options that say what `schema` has other than `base`."""
    if (name := known_schemas().get(schema)) is not None:
        return f"--like {name}"
    return " ".join(f"{option} {shlex.quote(text)}" if text else option for option, text in _options(schema, base))


def _options(schema: Schema, base: Schema) -> Iterator[tuple[str, str]]:
    columns = [(role, getattr(schema, role)) for role in ROLES]
    named = [f"{role}={name}" for role, name in columns if name is not None and name != getattr(base, role)]
    if named:
        yield "--columns", ",".join(f'"{each}"' if "," in each else each for each in named)
    for role, text in schema.constants:
        if (role, text) not in base.constants:
            yield "--constant", f"{role}={text}"
    if schema.values != base.values:
        yield "--values", ",".join(name if kind is None else f"{name}={kind}" for name, kind in schema.values)
    if schema.delimiter != base.delimiter:
        yield "--delimiter", _DELIMITERS.get(schema.delimiter, schema.delimiter)
    if schema.decimal != base.decimal:
        yield "--decimal", "comma" if schema.decimal == "," else "point"
    if schema.thousands != base.thousands and schema.thousands is not None:
        yield "--thousands", next(name for name, sign in THOUSANDS.items() if sign == schema.thousands)
    if schema.time_formats != base.time_formats:
        yield from (("--time-format", name) for name in schema.time_formats or ("iso",))
    if schema.skip != base.skip:
        yield "--skip", str(schema.skip)
    if schema.header != base.header:
        yield "--no-header", ""
    if schema.comment != base.comment and schema.comment is not None:
        yield "--comment", schema.comment
    if schema.quote != base.quote:
        yield "--quote", "none" if schema.quote is None else schema.quote
    if schema.escape != base.escape and schema.escape is not None:
        yield "--escape", schema.escape
    if schema.encoding != base.encoding:
        yield "--encoding", schema.encoding or "utf-8"
    yield from (("--null", token) for token in sorted(schema.null_tokens - base.null_tokens))
    if schema.text != base.text:
        yield "--text", schema.text


def as_arguments(schema: Schema, base: Schema) -> str:
    """Return the arguments of Schema that say the same."""
    changed = [
        (item.name, getattr(schema, item.name))
        for item in fields(schema)
        if getattr(schema, item.name) != getattr(base, item.name)
    ]
    return ", ".join(
        f"{name}={{{str(sorted(value))[1:-1]}}}" if isinstance(value, frozenset) else f"{name}={value!r}"
        for name, value in changed
    )


def reasons_for(schema: Schema, base: Schema) -> list[str]:
    """Say what of the table the differences are for; no text of a row is in it."""
    found: list[str] = []
    if schema in known_schemas():
        return found
    if schema.skip != base.skip:
        found.append(f"line {schema.skip + 1} has the names")
    if schema.comment != base.comment:
        found.append(f"lines begin with {schema.comment}")
    if schema.header != base.header:
        found.append("no line names the columns")
    if (schema.decimal, schema.thousands) != (base.decimal, base.thousands):
        sample = f"1{schema.thousands or ''}234{schema.decimal}5"
        found.append(f'values are written like "{sample}"')
    if schema.time_formats != base.time_formats:
        found.append(f"times are written like {' or '.join(schema.time_formats or ('iso',))}")
    if schema.encoding != base.encoding:
        found.append("the text is not UTF-8")
    if schema.null_tokens != base.null_tokens:
        found.append(f"values are {', '.join(sorted(schema.null_tokens - base.null_tokens))}")
    if schema.text != base.text:
        found.append("values are texts")
    if schema.unit != base.unit:
        found.append(f"there are several units in {schema.unit}")
    return found
