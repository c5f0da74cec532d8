"""The compiled decoder: chunks into columns of numbers, which a reducer written in Python sees as a Batch.

As in kernel.py, rows that are not plainly well formed are judged by the reference; those that are good are put back
where they belong, so that a reducer is given the rows of a file in the file's order, whoever decoded them.
"""

from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mockexport._kernel import ColumnScan, State, integers
from mockexport.engine.kernel import is_ended, line_after, new_scan
from mockexport.errors import BadRowError, ReducerError, reducer_at_work
from mockexport.formats import Batch, CsvDecoder
from mockexport.formats.batch import table, with_missing
from mockexport.formats.coverage import HourCounts
from mockexport.formats.filters import Filter
from mockexport.formats.schema import Schema
from mockexport.formats.tally import Tally
from mockexport.model import Chunk, Span
from mockexport.reducers import Reducer

if TYPE_CHECKING:
    from mockexport.formats.arrow import Table

__all__ = ["ColumnsFold", "NumberedBatch"]

S = TypeVar("S")


class NumberedBatch(Batch):
    """A Batch whose ids are numbers, places in a list of names; its four lists are made when they are asked for.

    `patients` and `types` are 32-bit numbers, `times` and `scaled` (the values) integers of 64 and 128 bits, as bytes.
    The lists of names grow at their end as rows come; what is in them stays.
    """

    patients: bytes
    types: bytes
    times: bytes
    scaled: bytes
    patient_names: list[str]
    type_names: list[str]

    def __init__(
        self,
        patients: bytes,
        types: bytes,
        times: bytes,
        scaled: bytes,
        patient_names: list[str],
        type_names: list[str],
    ) -> None:
        numbers = {"patients": patients, "types": types, "times": times, "scaled": scaled}
        self.__dict__.update(numbers, patient_names=patient_names, type_names=type_names)

    @cached_property
    def patient_ids(self) -> list[str]:
        """The patient of each row."""
        return _named(self.patients, self.patient_names)

    @cached_property
    def event_times(self) -> list[int]:
        """The time of each row, in microseconds of UTC since 1970."""
        return memoryview(self.times).cast("q").tolist()

    @cached_property
    def event_types(self) -> list[str]:
        """The event type of each row."""
        return _named(self.types, self.type_names)

    @cached_property
    def values(self) -> list[int]:
        """The value of each row, in units of 10⁻¹⁸."""
        return integers(self.scaled)

    def __len__(self) -> int:
        return len(self.times) // 8

    def _table(self) -> "Table":
        return table(self.patients, self.patient_names, self.types, self.type_names, self.times, self.scaled)

    def __reduce__(self) -> tuple[type[Batch], tuple[list[Any], ...]]:
        return Batch, (self.patient_ids, self.event_times, self.event_types, self.values)


def _named(numbers: bytes, names: list[str]) -> list[str]:
    return list(map(names.__getitem__, memoryview(numbers).cast("I")))


class ColumnsFold(Generic[S]):
    """The fold (engine.Fold) of any reducer, over the compiled decoder.

    With `keep_missing` the batches hold the rows without a value too, in their places, with batch.NO_VALUE for one;
    that is for those who keep rows, and does not go with `asked`.
    """

    def __init__(
        self,
        span: Span,
        schema: Schema,
        reducer: Reducer[S, Any],
        *,
        asked: Filter | None = None,
        coverage: bool = False,
        strict: bool,
        header: str | None = None,
        keep_missing: bool = False,
    ) -> None:
        self.offset: int = span.start
        self.download_id: str = span.download_id
        self.line: int = 1
        self.tally: Tally = Tally(coverage=coverage)
        with reducer_at_work(reducer, "empty"):
            self.state: S = reducer.empty()
        self._schema = schema
        self._reducer = reducer
        self._asked = asked
        self._strict = strict
        self._keep_missing = keep_missing
        self._decoder = CsvDecoder(schema, header=header)
        self._ids = State([])  # it numbers them; its groups stay empty
        self._scan: ColumnScan | None = None
        self._patients: list[str] = []  # by number
        self._types: list[str] = []

    @property
    def header(self) -> str | None:
        """The header line (see engine.Fold.header)."""
        return self._decoder.header

    @property
    def known(self) -> tuple[int, int]:
        """How many patients and event types there are (see engine.Fold.known)."""
        return len(self.tally.patients), len(self.tally.event_types)

    @property
    def rows(self) -> int:
        """The number of rows so far."""
        return self.tally.rows

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk (see engine.Fold.feed)."""
        start, line = self._decoder.skip_header(chunk)
        if self._decoder.layout is not None:
            batch, line = self._decode(chunk, start, line)
            if batch:
                try:
                    self.state = self._reducer.update(self.state, batch)
                except Exception as error:
                    name = type(self._reducer).__name__
                    raise ReducerError(name, chunk.span.download_id, chunk.offset, error) from error
        self.offset, self.line = chunk.end, line

    def _decode(self, chunk: Chunk, start: int, line: int) -> tuple[Batch, int]:
        """Count and return the chunk's rows from byte `start` of its data on, and the number of the line after them.

        The first of them is line number `line`.
        """
        if self._scan is None:
            self._scan = new_scan(
                ColumnScan, self._ids, self._decoder, self._schema, self._asked, self.tally.coverage is not None
            )
            if self._keep_missing:
                self._scan.keep_missing()
        scan = self._scan
        aside = scan.feed(chunk.data, start, line)
        next_line = line_after(chunk, line, scan)
        judged = self._decoder.decode_rows(aside, unended_line=None if is_ended(chunk) else next_line)
        if self._strict and (bad := judged.first_fault) is not None:
            raise BadRowError(chunk.span.download_id, bad.line, chunk.offset, bad.reason)
        good, lines, filtered = judged.batch, judged.lines, scan.filtered
        if self._asked is not None:
            lines = list(compress(lines, self._asked.admits(good)))
            good = self._asked.take(good)
            filtered += len(judged.batch) - len(good)
        if self._keep_missing and judged.missing:
            good, lines = with_missing(judged)
        if good:
            scan.insert(line, lines, good.patient_ids, good.event_times, good.event_types, good.values)
        taken = Tally()
        taken.rows, taken.filtered = scan.rows, filtered
        taken.missing.update(scan.missing())
        taken.first_us, taken.last_us = scan.first_us, scan.last_us
        if (counted := scan.covered()) is not None:
            taken.coverage = HourCounts(*counted)
        taken.patients, taken.event_types = self._new_names()
        self.tally.merge(taken)
        self.tally.update(judged)
        return NumberedBatch(*scan.columns(), self._patients, self._types), next_line

    def _new_names(self) -> tuple[set[str], set[str]]:
        """Return the ids that were not there before, and remember them."""
        patients, types = self._ids.known
        new_patients = self._ids.patients(patients, len(self._patients))
        new_types = self._ids.types(types, len(self._types))
        self._patients += new_patients
        self._types += new_types
        return set(new_patients), set(new_types)
