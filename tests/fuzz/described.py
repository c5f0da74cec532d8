"""Descriptions and tables that fit them, from a seed: well-formed rows, near misses, and bytes without sense."""

import random
from datetime import datetime, timedelta
from typing import Literal

from mockexport.formats.schema import Schema
from tests.fuzz.rows import ZONES, local_time

__all__ = ["description", "table"]

_FORMATS = (
    "%d/%m/%Y %H:%M",
    "%m/%d/%Y %I:%M:%S %p",
    "%Y%m%d%H%M%S",
    "%d.%m.%y %H:%M:%S",
    "%d-%b-%Y %H:%M:%S.%f",
    "%B %d, %Y %I:%M%p",
    "%Y-%m-%d %H:%M:%S %z",
    "%Y-%m-%dT%H:%M:%S%z",
    "%d/%m/%Y",
    "%y%m%d",
    "%%%Y  %m %d",
    "%d %b %Y é",
    "epoch",
    "epoch-ms",
    "epoch-us",
    "days",
    "hours",
    "minutes",
    "seconds",
    "iso",
)
_WIDE = ((("hr", None), ("spo2", "SpO2")), (("*", None),), (("hr", "x" * 240), ("*", None)))
_CONSTANTS = (("patient_id", "{stem}é"), ("event_time", "2025-08-26"), ("event_type", "hr"), ("unit", "bpm"))
_ELAPSED = ("days", "hours", "minutes", "seconds")
_THOUSANDS = {".": (".",), ",": (",",), " ": (" ", "\u00a0", "\u202f"), "'": ("'", "\u2019")}
_ODD = [
    "", " ", "x", "-", "+", ".", ",", "e5", "12 mg", "120/80", "Low", "HIGH", "NA", "<0.6", "<=0,6", "> 250", "≤5",
    "≥ 7", "<", "<x", "<-1e3", "1.234,5", "1,234.5", "1 234,5", "12 34", "1'234", "1.2.3", "1e3", "1,5e3",
    "0.1234567891", "1e-11", "0,1234567890123456789", "1e15", "1e16", "-999", "-999,0", "-999.0", "0", "00072",
    "9" * 40, "9" * 70, "٣", "\0", "é", 'a"b', "a'b", "a\\b", "\\", "a\\ ", '"', "'", "#", "a\nb", "\r", "a\r\nb",
    "2025-08-26", "2025-08-26T10:00", "26/08/2025", "26/8/2025  1:02", "31/02/2025 10:00", "13/13/2025 25:61",
    "08/26/2025 12:00:00 AM", "8/6/2025 0:00:00 am", "20250826100000", "1756202400", "1756202400.25", "-12.5",
    "47:30", "47:30:15", "47:60", "1:2", "0000-00-00", "9999-12-31", "26-Aug-2025 10:00:00.5",
    "26-aug-2025 10:00:00.123456789", "May 1, 2025 1:00PM", "mai 1, 2025 1:00PM", "010169",
    "2025-08-26 10:00:00 +0200", "2025-08-26T10:00:00z", "2025-08-26T10:00:00utc", "2025-08-26 10:00:00 +99:99",
    "x" * 300, "patient", "time", "when", "type", "value", "unit", "ward", "hr",
]  # fmt: skip


def description(draw: random.Random) -> Schema:
    """A description that says something of a table, mostly several things."""
    quote = draw.choice(['"', '"', '"', "'", None])
    delimiter = draw.choice(",,,,;;\t\t|| ")
    thousands = draw.choice([*[None] * 8, ".", ",", " ", "'"])
    decimal: Literal[".", ","] = "," if draw.random() < 0.3 else "."
    wide = draw.random() < 0.4
    constants = {
        role: text
        for role, text in (
            ("patient_id", "{stem}é"),
            ("event_time", "2025-08-26"),
            ("event_type", "hr"),
            ("unit", "bpm"),
        )
        if draw.random() < 0.12 and not (wide and role == "event_type")
    }
    formats: tuple[str, ...] = ()
    if draw.random() < 0.6:
        formats = tuple(dict.fromkeys(draw.choice(_FORMATS) for _ in range(draw.choice([1, 1, 1, 2, 3]))))
    tokens = draw.choice([(), (), ("NA", "-999"), (" x", "Low", 'a"b', "\ud800")])
    return Schema(
        "patient",
        draw.choice(["when", "when", "date+time"]),
        "type",
        draw.choice(["value", "value", "value+more"]),
        unit="unit" if draw.random() < 0.2 and "unit" not in constants else None,
        delimiter=delimiter,
        null_tokens=frozenset(tokens),
        timezone=draw.choice(ZONES) if draw.random() < 0.2 else None,
        constants=tuple(constants.items()),
        values=draw.choice(_WIDE) if wide else (),
        time_formats=formats,
        origin=draw.choice(["2000-01-01", "2025-08-26T10:00:00+02:00"]) if set(formats) & set(_ELAPSED) else None,
        decimal=decimal,
        thousands=None if thousands == decimal else thousands,
        skip=draw.choice([0, 0, 0, 2]),
        comment=draw.choice([None, None, None, "#"]),
        quote=quote,
        escape=draw.choice([*[None] * 5, "\\"]),
        replace=draw.choice([(), (), (("Low", "40"), ("NA", "1e12"), ("HIGH", "4.5"))]),
        censored=draw.choice(["leave-out", "bound", "bad"]),
        text=draw.choice(["bad", "missing"]),
        where=draw.choice([(), (), (), ("ward=A", "ward=B"), ("ward!=B", "ward!="), ("ward=A", "patient!=P1")]),
    )  # fmt: skip


def _time(draw: random.Random, schema: Schema, number: int) -> str:
    name = draw.choice(schema.time_formats or ("iso",))
    at = datetime(2025, 8, 26) + timedelta(seconds=37 * number, microseconds=draw.choice([0, draw.randrange(10**6)]))
    seconds = (at - datetime(1970, 1, 1)) / timedelta(seconds=1)
    if name == "iso":
        if schema.timezone is not None:
            return local_time(draw, schema.timezone).decode()
        if "+" in schema.event_time:
            return f"{at:%Y-%m-%d}"
        return draw.choice([f"{at.isoformat()}Z", f"{at:%Y-%m-%d %H:%M:%S}", f"{at:%Y-%m-%d}"])
    if name.startswith("epoch"):
        scale = {"epoch": 1, "epoch-ms": 1000, "epoch-us": 10**6}[name]
        return draw.choice([f"{seconds * scale:.0f}", f"{seconds * scale:.3f}", f"{seconds * scale:.9f}"])
    if name in _ELAPSED:
        return draw.choice([f"{number * 0.37:.4f}", f"{number}", f"-{number}", f"{number // 60}:{number % 60:02}"])
    text = at.strftime(name.replace("%z", draw.choice(["Z", "+02:00", "-0330", "+05", "utc"])))
    if draw.random() < 0.1:
        text = text.replace("PM", "p.\u00a0m.").replace(" ", draw.choice(["\u202f", "\t", "  "]))
    return text if draw.random() < 0.7 else text.replace("0", "", 1).swapcase()


def _number(draw: random.Random, schema: Schema) -> str:
    places = draw.choice([0, 0, 1, 2, 6])
    text = f"{draw.gauss(90, 20) * draw.choice([1, 1, 1000, 1e6]):,.{places}f}"
    group = "" if schema.thousands is None else draw.choice([*_THOUSANDS[schema.thousands], ""])
    return text.translate({ord(","): group, ord("."): schema.decimal})


def _cell(draw: random.Random, name: str, schema: Schema, number: int) -> str:
    match name:
        case "patient":
            return draw.choice(["P1", "P2", "Jörg", "a longer patient's id"])
        case "when" | "date":
            return _time(draw, schema, number)
        case "time":
            return "10:00:00" if schema.time_formats in ((), ("iso",)) else ""
        case "type":
            return draw.choice(["hr", "spo2", "größe"])
        case "unit":
            return draw.choice(["bpm", "%", "", "°C"])
        case "ward":
            return draw.choice(["A", "B", "C", ""])
        case "more":
            return "5" if draw.random() < 0.01 else ""
        case "value" | "hr" | "spo2" | "temp":
            return draw.choice(["", "NA", "<5", "Low"]) if draw.random() < 0.1 else _number(draw, schema)
        case _:
            return draw.choice(["", "note", "a note, with more", "two\nlines"])


def _written(draw: random.Random, text: str, schema: Schema, *, quoted: float) -> str:
    """A text as a field, quoted where it must be or may be."""
    quote, escape = schema.quote, schema.escape
    signs = [schema.delimiter, "\n", *([quote] if quote else []), *([escape] if escape else [])]
    if quote is None or (draw.random() >= quoted and not any(sign in text for sign in signs)):
        if escape is not None:
            text = "".join(escape + sign if sign in signs and sign != "\n" else sign for sign in text)
        return draw.choice(["", "", "", "", " "]) + text + draw.choice(["", "", "", "", " "])
    if escape is not None and draw.random() < 0.5:
        text = text.replace(escape, escape * 2).replace(quote, escape + quote)
    else:
        text = text.replace(escape, escape * 2) if escape else text
        text = text.replace(quote, quote * 2)
    return f"{quote}{text}{quote}"


def table(draw: random.Random, rows: int, schema: Schema) -> bytes:
    """A table with about so many rows, one in a few of them odd."""
    names = ["patient", "when", "type", "value", "unit", "ward", "date", "time", "more", "hr", "spo2", "note", "temp"]
    if ("*", None) in schema.values and draw.random() < 0.7:
        names = ["patient", "ward", "date", "time", "when", "unit", "hr", "spo2", "temp"]
        used = {
            schema.patient_id,
            *schema.event_time.split("+"),
            schema.unit,
            *(c.split("=")[0].strip("!") for c in schema.where),
        }
        names = [name for name in names if name in used or name in ("hr", "spo2", "temp")]
    if draw.random() < 0.5:
        draw.shuffle(names)
    header = schema.delimiter.join(names)
    lines = ["skipped"] * schema.skip + [header]
    oddity, quoted = draw.choice([0.0, 0.0, 0.03, 0.3]), draw.choice([0.0, 0.0, 0.05, 0.5])
    trailing = draw.choice([0, 0, 0, 1, 3])
    for number in range(rows):
        cells = [_cell(draw, name, schema, number) for name in names]
        if quoted == 0 and "note" in names:
            cells[names.index("note")] = "note"
        fields = [_written(draw, cell, schema, quoted=quoted) for cell in cells]
        if draw.random() < oddity:
            match draw.randrange(6):
                case 0 | 1:
                    odd = draw.choice(_ODD)
                    fields[draw.randrange(len(fields))] = draw.choice([odd, _written(draw, odd, schema, quoted=0.5)])
                case 2:
                    fields.pop()
                case 3:
                    fields.append(draw.choice(["x", "", '""', "' '"]))
                case 4:
                    draw.shuffle(fields)
                case _:
                    fields = [draw.choice([header, "", " ", "# a 'comment", '#"', f"#{header}", "no\\", '"open'])]
        line = schema.delimiter.join([*fields, *[""] * trailing])
        if draw.random() < oddity / 3:
            at = draw.randrange(len(line) + 1)
            line = line[:at] + draw.choice(" \t\"'\\#\n\r,;|0\0é\ud8ff") + line[at + draw.randrange(2) :]
        lines.append(line)
    ends = draw.choice([["\n"], ["\r\n"], ["\n", "\r\n", "\n\n"]])
    text = "".join(part for line in lines for part in (line, draw.choice(ends)))
    text = text.rstrip("\r\n") if draw.random() < 0.3 else text
    return text.encode(errors="surrogateescape" if "\udcff" in text else "surrogatepass")
