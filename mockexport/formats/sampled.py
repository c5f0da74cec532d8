"""Tables without times: a first line says when values begin, a second how many there are a second, then they come.

So sensors at the wrist write them (Empatica). Each line's time follows from its place, so what must be known to read on
in the middle is how many there were before it.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from mockexport.formats.fields import BadField
from mockexport.formats.times import EPOCHS, number_reader

__all__ = ["SAMPLED", "Samples"]

# The time format of such a table.
SAMPLED = "sampled"
_MARK = "sampled="
_RATE = re.compile(r"(\d{1,9})(?:\.(\d{1,9}))?", re.ASCII)


@dataclass(slots=True)
class Samples:
    """When the values of `columns` columns began, in µs of UTC since 1970; how many there are in `per` s, and were."""

    start_us: int
    rate: int
    per: int
    columns: int
    count: int = 0

    @classmethod
    def of(cls, first: list[str], second: list[str]) -> "Samples | None":
        """Return what the first two lines say, by their fields; None if they are none."""
        match = _RATE.fullmatch(second[0])
        try:
            start_us = number_reader(EPOCHS["epoch"], 0)(first[0])
        except BadField:
            return None
        if match is None:
            return None
        decimals = match[2] or ""
        rate = int(match[1] + decimals)
        return cls(start_us, rate, int(10 ** len(decimals)), len(first)) if rate else None

    @classmethod
    def from_text(cls, text: str) -> "Samples | None":
        """Return what `to_text` wrote."""
        numbers = text.removeprefix(_MARK).split(",")
        if not text.startswith(_MARK) or len(numbers) != 5 or not all(n.lstrip("-").isdecimal() for n in numbers):
            return None
        return cls(*map(int, numbers))

    def to_text(self) -> str:
        """Return it as text, for those who go on."""
        return f"{_MARK}{self.start_us},{self.rate},{self.per},{self.columns},{self.count}"

    def pace(self) -> tuple[int, int, int, int, int]:
        """Return the next row's time, and how much later the one behind it comes: µs, and parts of `rate` of one.

        That is: the time in µs, the µs to the next one, the parts of both, and `rate`.
        """
        per_us = self.per * EPOCHS["epoch"]
        step, step_rest = divmod(per_us, self.rate)
        passed, rest = divmod(self.count * per_us, self.rate)
        return self.start_us + passed, step, rest, step_rest, self.rate

    def timed(self, rows: Iterable[tuple[int, bytes]], delimiter: str) -> Iterator[tuple[int, bytes]]:
        """Yield rows with their time as a further field, and count them."""
        for number, row in rows:
            if bare := row.rstrip(b"\r \t"):
                time_us = self.start_us + self.count * self.per * EPOCHS["epoch"] // self.rate
                self.count += 1
                yield number, bare + f"{delimiter}{time_us}".encode()
