"""Cells that hold values: drawn as numbers, written by a description, with what each comes to by arithmetic alone."""

import random
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Context, Decimal
from fractions import Fraction
from typing import Any

from mockexport.formats.fields import BadRowReason
from mockexport.formats.noted import Noted

__all__ = ["Cell", "Values"]

_PLACES = Decimal(1).scaleb(-18)
_EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN)
_GROUPS = {".": ".", ",": ",", " ": " \u00a0\u202f", "'": "'\u2019"}
# What is no number in any description drawn here.
_WORDS = (
    "uta",
    "see note",
    "nan",
    "inf",
    "-",
    "+",
    "--5",
    "1e",
    "e5",
    "0x10",
    "1_000",
    "٣",
    "72 bpm",
    "7²",
    " 72",
    "5 ",
)


@dataclass(frozen=True)
class Cell:
    """A cell's text and what it is: a number, nothing, or a bad row."""

    text: str
    number: Fraction | None = None
    bad: BadRowReason | None = None
    noted: Noted | None = None


@dataclass
class Values:
    """How values are written in one table."""

    decimal: str = "."
    thousands: str | None = None
    nulls: list[str] = field(default_factory=list)
    replace: dict[str, str] = field(default_factory=dict)
    censored: str = "leave-out"
    text: str = "bad"

    @classmethod
    def drawn(cls, draw: random.Random) -> "Values":
        decimal = draw.choice("....,,")
        grouping = [sign for sign in _GROUPS if sign != decimal]
        words = draw.sample(["Low", "High", "NEG", "größer", "n/a", "NA", "NULL", ".."], 4)
        numbers = ["-999", f"-1{decimal}0", "0", f"99{decimal}5"]
        return cls(
            decimal,
            draw.choice([None, None, *grouping]),
            [*words[: draw.choice([0, 0, 1, 2])], *draw.sample(numbers, draw.choice([0, 0, 1]))],
            {word: draw.choice(["40", "4e2", "-0.5", "1.25"]) for word in words[2 : 2 + draw.choice([0, 0, 1, 2])]},
            draw.choice(["leave-out", "leave-out", "bound", "bad"]),
            draw.choice(["bad", "bad", "missing"]),
        )

    @property
    def arguments(self) -> dict[str, Any]:
        """What says so in a Schema."""
        return {
            "decimal": self.decimal,
            "thousands": self.thousands,
            "null_tokens": frozenset(self.nulls),
            "replace": tuple(self.replace.items()),
            "censored": self.censored,
            "text": self.text,
        }

    def cell(self, draw: random.Random) -> Cell:
        """Draw a cell that is not empty."""
        kind = draw.choices(["number", "null", "replaced", "censored", "word", "rounded", "large"], _WEIGHTS)[0]
        if kind == "null" and self.nulls:
            return self._null(draw)
        if kind == "replaced" and self.replace:
            word, number = draw.choice(list(self.replace.items()))
            return Cell(word, Fraction(number))
        if kind == "censored":
            return self._censored(draw)
        if kind == "word":
            return self._word(draw.choice([*_WORDS, *self._other_dialects()]))
        if kind == "rounded":
            return self._rounded(draw)
        if kind == "large":
            text = draw.choice(["1000000000000001", "-2e15", "1e16", "1e999999999999", "99999999999999999999"])
            return Cell(text, bad=BadRowReason.VALUE_RANGE)
        return self._number(draw)

    def _number(self, draw: random.Random) -> Cell:
        text, number = self._written(draw)
        return Cell(text) if self._is_null(number) else Cell(text, number)

    def _is_null(self, number: Fraction) -> bool:
        return any(number == Fraction(null.replace(",", ".")) for null in self.nulls if null[-1:].isdigit())

    def _written(self, draw: random.Random) -> tuple[str, Fraction]:
        sign = draw.choice(["", "", "", "", "-", "+"])
        whole = str(
            draw.choice([draw.randrange(10), draw.randrange(30, 200), draw.randrange(10**6), draw.randrange(10**12)])
        )
        decimals = draw.choice(["", "", "", str(draw.randrange(10)), f"{draw.randrange(10**5):05}"])
        if draw.random() < 0.1:
            decimals = f"{draw.randrange(10**18):018}"
        exponent = draw.choice([0, 0, 0, 0, 0, 0, 0, 0, 0, 2, -2])
        number = Fraction(int(whole + decimals), 10 ** len(decimals)) * Fraction(10) ** exponent
        if len(decimals) == 18 and exponent < 0:
            number, exponent = number * Fraction(10) ** -exponent, 0
        written = whole
        if self.thousands is not None and draw.random() < 0.7:
            written = self._grouped(draw, whole)
        elif draw.random() < 0.1:
            written = "00" + whole
        if decimals or draw.random() < 0.05:
            written += self.decimal + decimals
        if decimals and whole == "0" and draw.random() < 0.5:
            written = self.decimal + decimals
        if exponent or draw.random() < 0.05:
            written += draw.choice("eE") + draw.choice(["", "+"] if exponent >= 0 else [""]) + str(exponent)
        return sign + written, -number if sign == "-" else number

    def _grouped(self, draw: random.Random, whole: str) -> str:
        groups = []
        while len(whole) > 3:
            groups.append(whole[-3:])
            whole = whole[:-3]
        sign = draw.choice(_GROUPS[self.thousands or ""])
        return sign.join([whole, *reversed(groups)])

    def _null(self, draw: random.Random) -> Cell:
        token = draw.choice(self.nulls)
        if token[-1:].isdigit() and draw.random() < 0.5:  # the same number, written otherwise
            token += "0" if self.decimal in token else f"{self.decimal}00"
        return Cell(token)

    def _censored(self, draw: random.Random) -> Cell:
        text, number = self._written(draw)
        text = draw.choice(["<", ">", "<=", ">=", "≤", "≥"]) + draw.choice(["", "", " ", "\t "]) + text
        if self.censored == "bound":
            return Cell(text, number, noted=Noted.CENSORED_BOUND)
        return Cell(text, noted=Noted.CENSORED) if self.censored == "leave-out" else self._word(text)

    def _word(self, text: str) -> Cell:
        if self.text == "missing":
            return Cell(text, noted=Noted.TEXT)
        return Cell(text, bad=BadRowReason.VALUE)

    def _other_dialects(self) -> list[str]:
        """Numbers as others write them: none here."""
        signs = (self.decimal, self.thousands)
        found = ["1.2.3.4", "1.23,4.5", "1,2345,6"]
        if "." not in signs:
            found += ["2.521", "1.5", "1.234,5"]
        if "," not in signs:
            found += ["2,521", "1,5", "1,234.5"]
        if " " not in signs:
            found += ["1 234", "1\u00a0234"]
        if "'" not in signs:
            found += ["1'234", "1\u2019234"]
        if self.thousands is not None:
            sign = self.thousands
            found += [
                f"12{sign}34",
                f"1234{sign}567",
                f"1{sign}2345",
                f"{sign}123",
                f"1{sign}{sign}234",
                f"1{sign}234{sign}",
            ]
            found.append(f"1{self.decimal}234{sign}567")
        return found

    def _rounded(self, draw: random.Random) -> Cell:
        digits = draw.choice(["5", "50", "51", "4999", "6", f"{draw.randrange(1, 10**6):06}"])
        whole, decimals = draw.randrange(1000), f"{draw.randrange(10**18):018}{digits}"
        exact = Decimal(f"{whole}.{decimals}")
        number = Fraction(exact.quantize(_PLACES, context=_EXACT))
        return Cell(f"{whole}{self.decimal}{decimals}", number, noted=Noted.ROUNDED)


_WEIGHTS = (70, 8, 6, 6, 5, 3, 2)
