"""The compiled engine: the twins of `Summary` and `Selection`, and their fold, over `_kernel`, for those who have it;
importing this fails for others.

The fast path proves, the slow path decides: what the kernel does not take for a plainly well-formed row it hands back,
once per chunk, and the reference says what it is. So the two never disagree, and reasons have one home.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mockexport._kernel import Scan, State, count_lines
from mockexport._kernel import path as instructions
from mockexport.errors import BadRowError
from mockexport.formats import Batch, CsvDecoder
from mockexport.model import Chunk, Schema, Span
from mockexport.reducers import Result, Selection, Statistics, Summary
from mockexport.reducers.selection import Chosen
from mockexport.reducers.summary import statistics_of
from mockexport.tally import Tally

__all__ = ["KernelFold", "KernelSelection", "KernelSummary", "count_lines", "instructions", "supports", "twin_of"]


def supports(reducer: object) -> bool:
    """Tell whether there is a compiled twin of `reducer`: of `Summary` and `Selection` themselves."""
    return type(reducer) in (Summary, Selection)


def twin_of(reducer: Summary | Selection) -> "KernelSummary | KernelSelection":
    """Return the compiled twin of a reducer that has one."""
    return KernelSelection(reducer) if isinstance(reducer, Selection) else KernelSummary(reducer)


R = TypeVar("R", bound=Summary | Selection)


@dataclass(frozen=True)
class _Twin(Generic[R]):
    """A reducer as compiled code: the same laws, the same results, and states that are the same as bytes."""

    reference: R

    @property
    def fingerprint(self) -> str:
        """That of the reference: states travel between the two."""
        return self.reference.fingerprint

    def empty(self) -> State:
        """Return the state of no rows."""
        return State([(name.encode(), *rule.normal) for name, rule in self.reference.rules.items()], self._kept())

    def _kept(self) -> Sequence[str]:
        return ()

    def update(self, state: State, batch: Batch) -> State:
        """Add a batch's rows to `state` and return it."""
        state.add_rows(batch.patient_ids, batch.event_times, batch.event_types, batch.values)
        return state

    def merge(self, earlier: State, later: State) -> State:
        """Add the groups of `later` to `earlier` and return it."""
        earlier.merge(later)
        return earlier

    def dump(self, state: State) -> bytes:
        """Return the bytes that the reference writes."""
        return state.dump()

    def load(self, data: bytes) -> State:
        """Return the state that `dump`, of either engine, wrote."""
        state = self.empty()
        try:
            for patient_id, event_type, *numbers in json.loads(data):
                if not all(type(number) is int for number in numbers[:7]):
                    raise ValueError("a number is no integer")
                state.put(patient_id, event_type, *numbers)
        except OverflowError as error:
            raise ValueError("a number is beyond what a state holds") from error
        return state


class KernelSummary(_Twin[Summary]):
    """`Summary`, as compiled code."""

    def result(self, state: State) -> Result[Statistics]:
        """Divide, as `Summary.result` does."""
        patients: dict[str, dict[str, Statistics]] = {}
        for number in range(len(state)):
            patient_id, event_type, count, total, low, high, anomalies, first_us, last_us = state.row(number)
            statistics = statistics_of(1, count, total, low, high, anomalies, last_us - first_us)
            patients.setdefault(patient_id, {})[event_type] = statistics
        totals = {
            event_type: statistics_of(groups, count, total, low, high, anomalies, waited_us)
            for event_type, groups, waited_us, count, total, low, high, anomalies, *_ in state.totals()
        }
        return Result(patients, totals)


class KernelSelection(_Twin[Selection]):
    """`Selection`, as compiled code."""

    def _kept(self) -> Sequence[str]:
        return [family.kept for family in self.reference.families]

    def result(self, state: State) -> Result[Chosen]:
        """Divide, as `Selection.result` does."""
        cell = self.reference.cell
        rows = (state.row(number) for number in range(len(state)))
        return self.reference.result_of(
            ((patient_id, event_type, cell(numbers)) for patient_id, event_type, *numbers in rows),
            (
                (event_type, groups, waited_us, cell(numbers))
                for event_type, groups, waited_us, *numbers in state.totals()
            ),
        )


class _Part:
    """What came of some consecutive chunks: the kernel's state and counts, and the tally of what it handed back."""

    def __init__(self, reducer: KernelSummary | KernelSelection, schema: Schema, decoder: CsvDecoder) -> None:
        if decoder.layout is None:
            raise RuntimeError("there is no scan before the header")
        layout = decoder.layout
        self.state = reducer.empty()
        self.handed_back = Tally()
        self._decoder = decoder
        self._scan = Scan(
            self.state,
            layout.patient_id,
            layout.event_time,
            layout.event_type,
            layout.value,
            layout.fields,
            schema.delimiter.encode(),
            [token.encode() for token in schema.null_tokens if _can_be_plain(token)],
        )
        self._known = (0, 0)

    @property
    def rows(self) -> int:
        return self._scan.rows + self.handed_back.rows

    def feed(self, chunk: Chunk, start: int, line: int, *, strict: bool) -> None:
        """Take in the chunk's rows from byte `start` of its data on, the first of which is line number `line`."""
        rows = self._scan.feed(chunk.data, start, line)
        self.handed_back.cut_off = False
        if rows:
            ended = chunk.data.endswith(b"\n")
            decoded = self._decoder.decode_rows(rows, unended_line=None if ended else line + self._scan.lines - 1)
            if strict and (bad := decoded.first_fault) is not None:
                raise BadRowError(chunk.span.download_id, bad.line, chunk.offset, bad.reason)
            self.handed_back.update(decoded)
            batch = decoded.batch
            self.state.add_rows(batch.patient_ids, batch.event_times, batch.event_types, batch.values)
        # What is merged into the state later on is not this part's.
        self._known = self.state.known

    def tally(self) -> Tally:
        taken = Tally()
        taken.rows = self._scan.rows
        taken.missing.update(self._scan.missing())
        taken.first_us, taken.last_us = self._scan.first_us, self._scan.last_us
        patients, types = self._known
        taken.patients = set(self.state.patients(patients))
        taken.event_types = set(self.state.types(types))
        taken.merge(self.handed_back)
        return taken


class KernelFold:
    """The fold (engine.Fold) of a compiled twin."""

    def __init__(
        self,
        span: Span,
        schema: Schema,
        reducer: KernelSummary | KernelSelection,
        *,
        strict: bool,
        header: str | None = None,
    ) -> None:
        self.offset = span.start
        self.rows = 0
        self._schema = schema
        self._reducer = reducer
        self._strict = strict
        self._decoder = CsvDecoder(schema, header=header)
        self._part: _Part | None = None
        self._empty = reducer.empty()
        self._tally: Tally | None = None  # as long as it is up to date

    @property
    def header(self) -> str | None:
        """The header line (see engine.Fold.header)."""
        return self._decoder.header

    @property
    def state(self) -> State:
        """The kernel's state of the rows so far."""
        return self._empty if self._part is None else self._part.state

    @property
    def tally(self) -> Tally:
        """The counts of the rows so far; made when asked for, so not to be asked for after every chunk."""
        if self._tally is None:
            self._tally = Tally() if self._part is None else self._part.tally()
        return self._tally

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk (see engine.Fold.feed)."""
        start, line = self._decoder.skip_header(chunk)
        if self._decoder.layout is not None:
            if self._strict:
                self._feed_strictly(chunk, start, line)
            else:
                if self._part is None:
                    self._part = self._new_part()
                self._part.feed(chunk, start, line, strict=False)
                self.rows = self._part.rows
                self._tally = None
        self.offset = chunk.end

    def _feed_strictly(self, chunk: Chunk, start: int, line: int) -> None:
        """Take in all of a chunk or nothing: a bad row that ends the run leaves the state as it was before."""
        part = self._new_part()
        part.feed(chunk, start, line, strict=True)
        if self._part is None:
            self._part, self._tally = part, part.tally()
        else:
            tally = self.tally
            tally.merge(part.tally())
            self._part.state.merge(part.state)
        self.rows = self.tally.rows

    def _new_part(self) -> _Part:
        return _Part(self._reducer, self._schema, self._decoder)


def _can_be_plain(token: str) -> bool:
    """Tell whether a null token can stand in a row that the kernel takes: others are left to the reference."""
    if not token or '"' in token or "\0" in token:
        return False
    try:
        token.encode()
    except UnicodeEncodeError:
        return False
    return True
