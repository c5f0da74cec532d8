"""How the texts of a table are written: fields and lines by the signs of its description, which are drawn."""

import random
from collections.abc import Sequence
from typing import Any

from mockexport.formats.fields import BadRowReason

__all__ = ["Writer"]


class Writer:
    """Signs as drawn, and texts written by them: with quotes, escapes and blanks where these must be, or may."""

    def __init__(self, draw: random.Random) -> None:
        self.draw = draw
        self.delimiter: str = draw.choice(",,,,;;\t\t| ")
        self.quote: str | None = draw.choice(['"', '"', '"', '"', "'", None])
        self.escape: str | None = draw.choice([None, None, None, None, "\\", '"'])
        self.comment: str | None = draw.choice([None, None, "#", "!"])
        self.encoding: str | None = draw.choice([None, None, None, "cp1252", "latin-1", "koi8-r"])
        self.separator: str | None = draw.choice([None, None, None, None, *";|\t"])  # named by a line of its own
        if self.separator in (self.quote, self.escape, self.comment):
            self.separator = None
        self.arguments: dict[str, Any] = {
            "delimiter": draw.choice(",;|\t") if self.separator else self.delimiter,
            "quote": self.quote,
            "escape": self.escape,
            "comment": self.comment,
            "encoding": self.encoding,
        }
        if self.separator:
            self.delimiter = self.separator
        if self.escape == self.quote:
            self.escape = None
        self.blanks = " \t".replace(self.delimiter, "")

    def writable(self, texts: Sequence[str]) -> list[str]:
        """Return those of some texts that can be written."""
        return [text for text in texts if self.can_write(text)]

    def can_write(self, text: str) -> bool:
        """Tell whether there is a way to write a text."""
        try:
            text.encode(self.encoding or "utf-8")
        except UnicodeEncodeError:
            return False
        if self.quote is not None:
            return True
        padded = text != text.strip(self.blanks)
        return not padded and "\n" not in text and (self.escape is not None or self.delimiter not in text)

    def line(self, fields: Sequence[str]) -> str:
        """Write fields as a line."""
        return self.delimiter.join([self.field(text, first=not at) for at, text in enumerate(fields)])

    def field(self, text: str, *, first: bool = False) -> str:
        """Write a field, quoted where it must be, or now and then."""
        draw, quote, escape = self.draw, self.quote, self.escape
        pad = draw.choice(["", "", "", "", "", *self.blanks]) if self.blanks else ""
        special = [sign for sign in (self.delimiter, quote, escape) if sign is not None and sign in text]
        padded = text != text.strip(self.blanks)
        like_comment = first and self.comment is not None and text.startswith(self.comment)
        like_separator = first and text.lower().startswith("sep=")
        must = bool(special) or padded or "\n" in text or like_comment or like_separator
        if quote is None:
            pad = pad or (self.blanks[:1] if like_comment or like_separator else "")
            return pad + self._escaped(text, [self.delimiter, escape]) + draw.choice(["", pad])
        if special and escape is not None and not padded and "\n" not in text and not like_comment:
            if draw.random() < 0.5:
                return pad + self._escaped(text, [self.delimiter, quote, escape]) + pad
        elif not must and draw.random() < 0.8:
            return pad + text + draw.choice(["", pad])
        if escape is not None and draw.random() < 0.5:
            inside = self._escaped(text, [quote, escape])
        else:
            inside = self._escaped(text, [escape]).replace(quote, quote * 2)
        return f"{pad}{quote}{inside}{quote}{draw.choice(['', pad])}"

    def _escaped(self, text: str, signs: Sequence[str | None]) -> str:
        if self.escape is None:
            return text
        return "".join([f"{self.escape}{each}" if each in signs else each for each in text])

    def faulty(self, fault: BadRowReason) -> str | None:
        """Return a field, as it is written, that has a fault; None if none has it here."""
        if fault is BadRowReason.NUL:
            return "a\0b"
        if fault is BadRowReason.ENCODING:
            return {None: "a\udcffb", "cp1252": "a\udc81b"}.get(self.encoding)
        if self.quote is None:
            return None
        if fault is BadRowReason.QUOTE:
            return f"a{self.quote}b"
        return f"{self.quote}a{self.quote}b"

    def line_of_no_meaning(self) -> str:
        """Return a comment, or a blank line."""
        remarks = ["", " by hand", '"', "',;\t|", "a,b,c,d"]
        if self.comment is not None and self.draw.random() < 0.7:
            return self.comment + self.draw.choice(remarks)
        return self.draw.choice(["", self.blanks])
