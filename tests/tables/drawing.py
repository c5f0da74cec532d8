"""A description and a table that fits it, drawn together, and what is in the table: by the cells drawn, not by reading.

Each row is drawn as cells by the columns' roles, its fate is told from the cells, and only then it is written: with
quotes, escapes, blanks, line ends and lines between the rows as the description allows.
"""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from mockexport import Schema
from mockexport.formats.fields import BadRowReason
from mockexport.formats.noted import Noted
from tests.tables.describing import NAME, Description
from tests.tables.times import Moment
from tests.tables.values import Cell

__all__ = ["Drawn", "Expected", "Group", "draw_table"]

_FAULTS = (
    BadRowReason.TOO_FEW_FIELDS, BadRowReason.TOO_MANY_FIELDS, BadRowReason.NUL, BadRowReason.ENCODING,
    BadRowReason.QUOTE, BadRowReason.AFTER_QUOTE,
)  # fmt: skip
_MOST_TRIES = 200


@dataclass
class Group:
    """The figures of one patient's type."""

    count: int = 0
    sum: Fraction = Fraction(0)
    min: Fraction = Fraction(0)
    max: Fraction = Fraction(0)
    first_us: int = 0
    last_us: int = 0

    def add(self, number: Fraction, time_us: int) -> None:
        if not self.count:
            self.min = self.max = number
            self.first_us = self.last_us = time_us
        self.count += 1
        self.sum += number
        self.min, self.max = min(self.min, number), max(self.max, number)
        self.first_us, self.last_us = min(self.first_us, time_us), max(self.last_us, time_us)


@dataclass
class Expected:
    """What a careful person would make of the table."""

    groups: dict[tuple[str, str], Group] = field(default_factory=dict)
    missing: Counter[str] = field(default_factory=Counter)
    bad: list[tuple[int, BadRowReason]] = field(default_factory=list)
    noted: Counter[str] = field(default_factory=Counter)
    left_out: int = 0


@dataclass(frozen=True)
class Drawn:
    """A description, a table as bytes, and what is in it."""

    schema: Schema
    data: bytes
    expected: Expected
    name: str = NAME


class _UnfitError(Exception):
    """What was drawn does not go together, such as texts with spaces between spaces, and no quotes."""


class _Table(Description):
    """The rows of a table, with what they come to."""

    def __init__(self, draw: random.Random) -> None:
        super().__init__(draw)
        self.expected = Expected()
        self.order = list(range(len(self.columns)))  # in which the columns are written; it may change on the way

    def _cell(self) -> Cell:
        for _ in range(_MOST_TRIES):
            cell = self.values.cell(self.draw)
            if self.pen.can_write(cell.text):
                return cell
        raise _UnfitError

    def _moment(self) -> Moment:
        for _ in range(_MOST_TRIES):
            moment = self.times.moment(self.draw)
            parts = moment.text.partition(" ")[::2] if self.joined_time else (moment.text,)
            if all(map(self.pen.can_write, parts)):
                return moment
        raise _UnfitError

    def row(self, line: int) -> str:
        """Draw a row, take note of what it comes to, and return it as it is written, without its line end."""
        draw, fields = self.draw, [""] * len(self.columns)
        ids = {"patient": draw.choice(self.pool("patient")), "type": draw.choice(self.pool("type"))}
        ids["unit"] = draw.choice(self.pool("unit"))
        for name, share in (("patient", 0.02), ("type", 0.01)):
            if draw.random() < share and name not in self.constant:
                ids[name] = draw.choice(["", "é" * 129 if self.pen.can_write("é") else "y" * 257])
        moment, cell = self._moment(), self._cell()
        if draw.random() < 0.08:
            cell = Cell("")
        cells: list[tuple[str, Cell]] = []
        scanned = self.joined_value and draw.random() < 0.5
        for at, column in enumerate(self.columns):
            if column.holds in ids:
                fields[at] = ids[column.holds]
            elif column.holds == "extra":
                fields[at] = draw.choice(self.pool("extra"))
            elif column.holds == "time":
                fields[at] = moment.text.partition(" ")[0] if self.joined_time else moment.text
            elif column.holds == "hour":
                fields[at] = moment.text.partition(" ")[2]
            elif column.holds == "wide":
                one = Cell("") if draw.random() < 0.3 else self._cell()
                fields[at] = one.text
                cells.append((column.event_type, one))
            elif column.holds == ("scan" if scanned else "value"):
                fields[at] = cell.text
        for at in self.order[self.width :]:
            fields[at] = ""
        ids |= self.constant
        if not self.wide:
            cells = [(ids["type"], cell)]
        if "unit" not in self.arguments and "unit" not in self.constant:
            ids["unit"] = ""
        written, fault = self._written(fields)
        if fault is None and not self._is_wanted(fields):
            self.expected.left_out += 1
            return written
        wrong = fault or _id_fault(ids["patient"])
        if wrong is None and not self.wide:
            wrong = _id_fault(ids["type"])
        wrong = wrong or moment.bad
        if wrong is not None:
            self.expected.bad.append((line, wrong))
            return written
        self._take(ids, moment, cells, line)
        return written

    def _take(self, ids: dict[str, str], moment: Moment, cells: list[tuple[str, Cell]], line: int) -> None:
        if moment.date_only:
            self.expected.noted[Noted.DATES_ONLY] += 1
        for event_type, cell in cells:
            if self.wide and not cell.text:
                continue
            kind = f"{event_type} [{ids['unit']}]" if ids["unit"] else event_type
            if cell.bad is not None:
                self.expected.bad.append((line, cell.bad))
                continue
            if cell.noted is not None:
                self.expected.noted[cell.noted] += 1
            if cell.number is None:
                self.expected.missing[kind] += 1
                continue
            self.expected.groups.setdefault((ids["patient"], kind), Group()).add(cell.number, moment.time_us)

    def _is_wanted(self, fields: Sequence[str]) -> bool:
        return all(
            (not any_of or fields[at] in any_of) and fields[at] not in none_of for at, any_of, none_of in self.where
        )

    def _written(self, fields: Sequence[str]) -> tuple[str, BadRowReason | None]:
        """Write a row; now and then one that no description allows: then also say why it is none."""
        draw, ordered = self.draw, [fields[at] for at in self.order]
        if self.sound:
            return self.pen.line(ordered), None
        fault = draw.choice(_FAULTS) if draw.random() < 0.1 else None
        if fault is BadRowReason.TOO_FEW_FIELDS:
            if len(ordered) < 3 or not ordered[0].strip():
                fault = None
            else:
                return self.pen.line(ordered[: draw.randrange(1, self.width)]), fault
        if fault is BadRowReason.TOO_MANY_FIELDS:
            return self.pen.line([*ordered, *[""] * draw.randrange(2), "x"]), fault
        if fault is not None:
            at, text = draw.randrange(len(ordered)), self.pen.faulty(fault)
            if text is not None:
                pieces = [self.pen.field(each, first=not place) for place, each in enumerate(ordered)]
                pieces[at] = text
                line = self.pen.delimiter.join(pieces)
                if "\n" not in line:  # else only its first line is bad
                    return line, fault
        after = draw.choice([0, 0, 0, 0, 1, 2])
        return self.pen.line([*ordered, *[""] * after]), None

    # ---- the table

    @property
    def width(self) -> int:
        """How many fields a row has at least: names that are missing at the end name nothing."""
        if not self.header:
            return len(self.columns)
        named = {at for at, column in enumerate(self.columns) if column.holds != "extra"} | {
            at for at, *_ in self.where
        }
        width = len(self.order)
        while self.order[width - 1] not in named and not self.columns[self.order[width - 1]].name:
            width -= 1
        return width

    def text(self, rows: int) -> str:
        """Write the table."""
        draw, expected = self.draw, self.expected
        self.parts: list[str] = []
        if self.pen.encoding is None and draw.random() < 0.2:
            self.parts.append("\ufeff")
        if self.pen.separator:
            self._end(f"sep={self.pen.separator}")
        for _ in range(self.skip):
            self._end(draw.choice(["", "Monitor v3", 'ward "7', "a,b;c", "# x", "'"]))
        self._between()
        if self.header:
            self._end(self._names())
        if self.units_unread:
            expected.noted[Noted.UNITS_UNREAD] += 1
        for number in range(rows):
            if number and draw.random() < 0.05 and self.header and self.named:
                if not self.by_position and draw.random() < 0.7:
                    draw.shuffle(self.order)
                self._end(self._names())
                expected.noted[Noted.HEADER_LINES] += 1
            self.sound = not number and not self.header  # says how many columns there are
            self._end(self.row(self._line))
            if number or self.header:
                self._between()
        if self.pen.quote is not None and draw.random() < 0.1:
            expected.bad.append((self._line, BadRowReason.QUOTE))
            self._end(f"{self.pen.quote}open{self.pen.delimiter}")
        text = "".join(self.parts)
        return text.removesuffix("\n").removesuffix("\r") if draw.random() < 0.3 else text

    @property
    def _line(self) -> int:
        return 1 + sum(part.count("\n") for part in self.parts)

    def _end(self, line: str) -> None:
        self.parts += (line, self.draw.choice(["\n", "\n", "\n", "\r\n"]))

    def _names(self) -> str:
        return self.pen.line([self.columns[at].name for at in self.order])

    def _between(self) -> None:
        if self.draw.random() < 0.1:
            self._end(self.pen.line_of_no_meaning())


def _id_fault(text: str) -> BadRowReason | None:
    if not text:
        return BadRowReason.EMPTY_ID
    return BadRowReason.LONG_ID if len(text) > 100 else None


def draw_table(draw: random.Random, rows: int) -> Drawn:
    """Draw a description, and a table of about so many rows that fits it."""
    while True:
        try:
            table = _Table(draw)
            text = table.text(rows)
        except _UnfitError:
            continue
        return Drawn(table.schema, text.encode(table.pen.encoding or "utf-8", "surrogateescape"), table.expected)
