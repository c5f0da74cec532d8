"""A description as it is drawn: which columns a table has, how they are referred to, and which rows are wanted."""

import random
from dataclasses import dataclass
from typing import Any

from mockexport import Schema
from tests.tables.times import Times
from tests.tables.values import Values
from tests.tables.writing import Writer

__all__ = ["NAME", "Column", "Description"]

# What the file is called.
NAME = "ward 7/Bett 3.csv"
_TYPES = ("crp", "temperature", "größe", "a,b", 'x "y"', "it's", "spo2 ", "sauer;stoff", "two words", "#3", "p|q")
_PATIENTS = (
    "P1", "P2", "007", "7", "Jörg", "A, B", 'C"D', "o'H", " E", "病人", "#9", "a;b", "a|b", "back\\slash", "tab\tbed",
)  # fmt: skip
_UNITS = ("", "mmol/L", "mg/dL", "%", "10*9/l, x")
_NOTES = (
    "", "ok", "a, b", "two\nlines", 'said "no"', "#1", "it's;so|", "tab\there", "ü", " padded ", "\\n", "P1,2024",
    "\n\nx", "sep=;",
)  # fmt: skip
_POOLS = {"patient": _PATIENTS, "type": _TYPES, "unit": _UNITS, "extra": _NOTES}
_ROLE = {"patient": "patient_id", "time": "event_time", "type": "event_type", "value": "value"}
_NAMES = {
    "patient": ("patient_id", "Patient", "subject;id", " id", "Nr.", "pat+id"),
    "time": ("event_time", "Time", "charttime", "Zeit (Uhr)", "when, exactly"),
    "hour": ("hour", "Uhrzeit"),
    "type": ("event_type", "parameter", 'the "type"'),
    "value": ("value", "Wert", "result,num", "valuenum"),
    "scan": ("scan value", "scan"),
    "unit": ("unit", "Einheit", "uom"),
}
_EXTRAS = ("note", "ward", "comment, long", "", "", "device", "x", "x")


@dataclass
class Column:
    """A column: its name, and what its cells are."""

    name: str
    holds: str  # patient, time, hour, type, value, scan, unit, extra, or wide
    event_type: str = ""


class Description:
    """What is said of a table, and its columns; `schema` says the same to the program."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.arguments: dict[str, Any] = {}
        self.values = Values.drawn(draw)
        self.times = Times.drawn(draw)
        self.pen = Writer(draw)
        self.header = draw.random() < 0.8
        self.skip = draw.choice([0, 0, 0, 1, 3])
        self.arguments |= self.pen.arguments | {"header": self.header, "skip": self.skip}
        self._columns()
        self._conditions()
        self.arguments |= self.values.arguments | self.times.arguments
        self.schema = Schema(**self.arguments)

    def _columns(self) -> None:
        draw = self.draw
        roles: dict[str, str] = {}  # role → how the description refers to it
        constants: dict[str, str] = {}
        self.columns: list[Column] = []
        self.constant: dict[str, str] = {}
        wide = self.wide = draw.random() < 0.3
        names = {holds: draw.choice(self.pen.writable(texts)) for holds, texts in _NAMES.items()}
        parts = ["patient", "time"] if wide else ["patient", "time", "type", "value"]
        for holds in parts:
            if holds in ("patient", "type") and draw.random() < 0.15:
                text, meant = draw.choice(
                    [("{stem}", "Bett 3"), ("{parent}", "ward 7"), ("x {name}", "x Bett 3.csv"), ("c", "c")]
                )
                constants[_ROLE[holds]] = text
                self.constant[holds] = meant
            else:
                self.columns.append(Column(names[holds], holds))
        self.joined_time = draw.random() < 0.2
        if self.joined_time:
            self.columns.append(Column(names["hour"], "hour"))
        self.joined_value = not wide and draw.random() < 0.15 and self.values.thousands != " "
        if self.joined_value:
            self.columns.append(Column(names["scan"], "scan"))
        self.units_unread = False
        if draw.random() < 0.3:
            if draw.random() < 0.3:
                constants["unit"] = self.constant["unit"] = draw.choice(["", "mmol/L"])
            else:
                self.columns.append(Column(names["unit"], "unit"))
                if draw.random() < 0.7:
                    roles["unit"] = "unit"
                else:
                    self.units_unread = self.header
        if wide:
            kinds = draw.sample(self.pen.writable(_TYPES), draw.randrange(1, 5))
            self.columns += [Column(kind, "wide", kind) for kind in kinds]
        self.star = wide and draw.random() < 0.3 and self.header and not self.units_unread
        extras = draw.sample(self.pen.writable(_EXTRAS), draw.choice([0, 1, 2, 3]))
        if self.star:
            extras = [name for name in extras if extras.count(name) == 1 or not name]
        self.columns += [Column(name, "extra") for name in extras]
        draw.shuffle(self.columns)
        self._refer(roles, constants, wide=wide)

    def _refer(self, roles: dict[str, str], constants: dict[str, str], *, wide: bool) -> None:
        """Say which columns are which."""
        draw = self.draw
        self.by_position = self.named = False
        texts: dict[str, str] = {}
        for at, column in enumerate(self.columns):
            if self.header and draw.random() < 0.85 and not column.name.startswith("#"):
                texts[column.holds + column.event_type] = column.name
                self.named = self.named or column.holds not in ("extra", "wide", "unit")
            else:
                texts[column.holds + column.event_type] = f"#{at + 1}"
                self.by_position = True
        for holds in ("patient", "time", "type", "value"):
            if holds in texts:
                roles[_ROLE[holds]] = texts[holds]
        if self.joined_time:
            roles["event_time"] += f"+{texts['hour']}"
        if self.joined_value:
            roles["value"] += draw.choice(["+", " + "]) + texts["scan"]
        if "unit" in roles:
            roles["unit"] = texts["unit"]
            self.named = self.named or not texts["unit"].startswith("#")
        if wide:
            values: list[tuple[str, str | None]] = []
            for column in self.columns:
                if column.holds == "wide":
                    text = texts["wide" + column.event_type]
                    if self.star and draw.random() < 0.7:
                        continue
                    self.named = self.named or not text.startswith("#")
                    named = text if text.startswith("#") else None
                    if text.startswith("#") or draw.random() < 0.3:
                        column.event_type = named = draw.choice(["hr", "rr", "sys", "dia"]) + f" {len(values)}"
                    values.append((text, named))
            if self.star:
                values.append(("*", None))
            self.arguments["values"] = tuple(values)
        self.arguments |= roles
        self.arguments["constants"] = tuple(constants.items())

    def _conditions(self) -> None:
        draw = self.draw
        self.where: list[tuple[int, set[str], set[str]]] = []
        choices = [
            (at, column) for at, column in enumerate(self.columns)
            if column.holds in ("extra", "type", "unit", "patient")
            and (column.name.strip() == column.name and column.name)
            and [each.name for each in self.columns].count(column.name) == 1
        ]  # fmt: skip
        told: list[str] = []
        chosen = draw.sample(choices, min(len(choices), draw.choice([0, 0, 0, 1, 2])))
        if self.star:  # all others are types
            chosen += [each for each in choices if each[1].holds == "extra" and each not in chosen]
        for at, column in chosen:
            texts = draw.sample(self.pool(column.holds), draw.choice([1, 2]))
            name = f"#{at + 1}" if not self.header else column.name
            if "=" in name or name.endswith("!"):
                continue
            without = draw.random() < 0.4
            told += [f"{name}{'!=' if without else '='}{text}" for text in texts]
            self.units_unread = self.units_unread and column.holds != "unit"
            self.where.append((at, set() if without else set(texts), set(texts) if without else set()))
            self.by_position = self.by_position or not self.header
        draw.shuffle(told)
        self.arguments["where"] = tuple(told)

    def pool(self, holds: str) -> list[str]:
        """Return the texts from which cells of such a column are drawn."""
        return self.pen.writable(_POOLS[holds])
