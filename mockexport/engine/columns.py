"""The compiled decoder: chunks into columns of numbers, which a reducer written in Python sees as a Batch.

As in kernel.py, rows that are not plainly well formed are judged by the reference; those that are good are put back
where they belong, so that a reducer is given the rows of a file in the file's order, whoever decoded them.
"""

from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from mockexport._kernel import ColumnScan, State, integers
from mockexport.engine.kernel import (
    begin_samples,
    end_samples,
    give_plan,
    is_ended,
    line_after,
    new_scan,
    tally_of,
    unended_line,
)
from mockexport.errors import BadRowError, ReducerError, reducer_at_work
from mockexport.formats import Batch, Decoded
from mockexport.formats.batch import table, with_missing
from mockexport.formats.filters import Filter
from mockexport.formats.layout import Layout
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
        pending: bytes = b"",
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
        self._decoder = schema.decoder(header, pending=pending, download_id=span.download_id)
        self._ids = State([])  # it numbers them; its groups stay empty
        self._scan: ColumnScan | None = None  # of the header in force, which is `_layout`
        self._layout: Layout | None = None
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

    @property
    def pending(self) -> bytes:
        """The beginning of a row that may go on (see engine.Fold.pending)."""
        return self._decoder.pending

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk (see engine.Fold.feed)."""
        taken = self._decoder.take(chunk)
        if self._decoder.layout is None:
            self.offset, self.line = chunk.end, chunk.line + bytes(chunk.data).count(b"\n")
            return
        if taken.rows:
            last = taken.rows[-1][0] if taken.start == len(taken.data) and not is_ended(chunk) else None
            self._take_decoded(self._decoder.decode_rows(taken.rows, unended_line=last), chunk.offset)
        start, line = taken.start, taken.line
        while True:
            scan = self._scan_in_force()
            begin_samples(scan, self._decoder)
            aside = scan.feed(taken.data, start, line)
            end_samples(scan, self._decoder)
            give_plan(scan, self._decoder, self._schema)
            stopped_at, open_at, lines = scan.stopped_at, scan.open_at, scan.lines
            last = unended_line(chunk, aside, line, scan) if aside else None
            judged = self._decoder.decode_rows(aside, unended_line=last)
            self._update(self._batch(scan, judged, line, chunk.offset), chunk.offset)
            if stopped_at is None:
                break
            start, line = start + stopped_at, line + lines
        if open_at is not None:
            self._decoder.pending = bytes(taken.data[start + open_at :])
        self.offset, self.line = chunk.end, line_after(chunk, line, scan, self._decoder)

    def finish(self) -> None:
        """Take in what is pending (see engine.Fold.finish)."""
        if self._decoder.pending:
            decoded = self._decoder.finish(self.line)
            if self._decoder.layout is not None:
                self._take_decoded(decoded, self.offset)

    def _scan_in_force(self) -> ColumnScan:
        if self._scan is None or self._decoder.layout != self._layout:
            self._layout = self._decoder.layout
            self._scan = new_scan(
                ColumnScan, self._ids, self._decoder, self._schema, self._asked, self.tally.coverage is not None
            )
            if self._keep_missing:
                self._scan.keep_missing()
        return self._scan

    def _update(self, batch: Batch, offset: int) -> None:
        if not batch:
            return
        try:
            self.state = self._reducer.update(self.state, batch)
        except Exception as error:
            name = type(self._reducer).__name__
            raise ReducerError(name, self.download_id, offset, error) from error

    def _check(self, judged: Decoded, offset: int) -> None:
        if self._strict and (bad := judged.first_fault) is not None:
            raise BadRowError(self.download_id, bad.line, offset, bad.reason)

    def _take_decoded(self, judged: Decoded, offset: int) -> None:
        """Count and take rows that the reference alone has decoded."""
        self._check(judged, offset)
        good = judged.batch
        if self._asked is not None:
            good = self._asked.take(good)
            self.tally.filtered += len(judged.batch) - len(good)
        elif self._keep_missing and judged.missing:
            good, _ = with_missing(judged)
        self.tally.update(judged)
        self._update(good, offset)

    def _batch(self, scan: ColumnScan, judged: Decoded, line: int, offset: int) -> Batch:
        """Count and return the rows of a scan, from number `line` on, with those that the reference has judged."""
        self._check(judged, offset)
        good, lines, filtered = judged.batch, judged.lines, 0
        if self._asked is not None:
            lines = list(compress(lines, self._asked.admits(good)))
            good = self._asked.take(good)
            filtered = len(judged.batch) - len(good)
        if self._keep_missing and judged.missing:
            good, lines = with_missing(judged)
        if good:
            scan.insert(line, lines, good.patient_ids, good.event_times, good.event_types, good.values)
        taken = tally_of(scan)
        taken.filtered += filtered
        self.tally.merge(taken)
        self._note_new_names()
        if taken.rows or judged.rows or judged.noted:  # nothing says nothing of how the rows before it have ended
            self.tally.update(judged)
        return NumberedBatch(*scan.columns(), self._patients, self._types)

    def _note_new_names(self) -> None:
        """Remember the ids that were not there before, and count them in."""
        patients, types = self._ids.known
        new_patients = self._ids.patients(patients, len(self._patients))
        new_types = self._ids.types(types, len(self._types))
        self._patients += new_patients
        self._types += new_types
        self.tally.patients.update(new_patients)
        self.tally.event_types.update(new_types)
