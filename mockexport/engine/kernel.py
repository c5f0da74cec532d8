"""The compiled engine: the twins of `Summary` and `Selection`, and their fold, over `_kernel`, for those who have it;
importing this fails for others.

The fast path proves, the slow path decides: what the kernel does not take for a plainly well-formed row it hands back,
once per chunk, and the reference says what it is. So the two never disagree, and reasons have one home.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Generic, TypeVar

from mockexport._kernel import FAMILIES, Groups, Offsets, RowFilter, Scan, State
from mockexport._kernel import path as instructions
from mockexport.engine.plan import new_plan, signs_of
from mockexport.errors import BadRowError
from mockexport.formats import Batch, CsvDecoder, Decoded
from mockexport.formats.coverage import HourCounts
from mockexport.formats.filters import Filter
from mockexport.formats.layout import Layout
from mockexport.formats.noted import Noted
from mockexport.formats.quoting import Quoting
from mockexport.formats.resources import PackedRows
from mockexport.formats.schema import Schema
from mockexport.formats.tally import Tally
from mockexport.formats.values import null_numbers
from mockexport.formats.zones import spans, zone_named
from mockexport.model import Chunk, Span
from mockexport.reducers import Result, Selection, Statistics, Summary
from mockexport.reducers.packed import PackedPatients
from mockexport.reducers.reach import Reach
from mockexport.reducers.selection import Chosen
from mockexport.reducers.summary import statistics_of

__all__ = [
    "KernelFold",
    "KernelSelection",
    "KernelSummary",
    "begin_samples",
    "end_samples",
    "give_plan",
    "instructions",
    "is_ended",
    "line_after",
    "new_scan",
    "offsets_of",
    "tally_of",
    "twin_of",
    "unended_line",
]

AnyScan = TypeVar("AnyScan", bound=Scan)
# Later than all times.
_NO_TIME_US = 2**61
# What a scan notes, in its order.
_NOTED = (Noted.DATES_ONLY, Noted.CENSORED, Noted.CENSORED_BOUND, Noted.TEXT)


def twin_of(reducer: object) -> "KernelSummary | KernelSelection | None":
    """Return the compiled twin of a reducer; None if it has none: a user's own, a family in Python."""
    if type(reducer) is Summary:
        return KernelSummary(reducer)
    if type(reducer) is Selection and all(family.kept in FAMILIES for family in reducer.families):
        return KernelSelection(reducer)
    return None


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
        return State(self._rules, self._kept())

    @cached_property
    def _rules(self) -> list[tuple[bytes, int, int]]:
        return [(name.encode(), *rule.normal) for name, rule in self.reference.rules.items()]

    def _kept(self) -> Sequence[str]:
        return ()

    def update(self, state: State, batch: Batch) -> State:
        """Add a batch's rows to `state` and return it."""
        if isinstance(batch, PackedRows):
            state.add_packed(batch.columns, batch.names)
            return state
        state.add_rows(batch.patient_ids, batch.event_times, batch.event_types, batch.values)
        return state

    def merge(self, earlier: State, later: State) -> State:
        """Add the groups of `later` to `earlier` and return it."""
        earlier.merge(later)
        return earlier

    def dump(self, state: State) -> bytes:
        """Return the bytes that the reference writes."""
        return state.dump()

    def reach(self, state: State) -> Reach | None:
        """Return how far all groups reach, as the reference does."""
        return state.reach()

    def reaches(self, state: State) -> bytes:
        """Return how far each group reaches, as the reference does."""
        return state.reaches()

    def load(self, data: bytes) -> State:
        """Return the state that `dump`, of either engine, wrote."""
        state = self.empty()
        state.load(data)
        return state


class KernelSummary(_Twin[Summary]):
    """`Summary`, as compiled code."""

    def result(self, state: State) -> Result[Statistics]:
        """Divide, as `Summary.result` does; what is of single patients, when it is asked for."""
        totals = {
            event_type: statistics_of(groups, count, total, low, high, anomalies, waited_us)
            for event_type, groups, waited_us, count, total, low, high, anomalies, *_ in state.totals()
        }
        return Result(PackedPatients(Groups(state)), totals)


class KernelSelection(_Twin[Selection]):
    """`Selection`, as compiled code."""

    def _kept(self) -> Sequence[str]:
        return [family.kept for family in self.reference.families]

    def result(self, state: State) -> Result[Chosen]:
        """Divide, as `Selection.result` does."""
        cell = self.reference.cell
        rows = (state.row(number) for number in range(len(state)))
        return self.reference.result_of(
            ((patient_id, event_type, cell(numbers)) for patient_id, event_type, *numbers in rows if numbers[0]),
            (
                (event_type, groups, waited_us, cell(numbers))
                for event_type, groups, waited_us, *numbers in state.totals()
            ),
        )


class _Part:
    """What came of some consecutive chunks: the kernel's state and counts, and the tally of what it handed back."""

    def __init__(
        self,
        reducer: KernelSummary | KernelSelection,
        schema: Schema,
        decoder: CsvDecoder,
        asked: Filter | None,
        coverage: bool,
    ) -> None:
        self.state: State = reducer.empty()
        self.handed_back: Tally = Tally(coverage=coverage)
        self._schema = schema
        self._decoder = decoder
        self._asked = asked
        self._coverage = coverage
        self._scans: list[Scan] = []  # one for each header that was in force; the last is in use
        self._layout: Layout | None = None
        self._known = (0, 0)

    @property
    def scan(self) -> Scan:
        """The scan of rows under the header that is in force."""
        layout = self._decoder.layout
        if not self._scans or (layout is not self._layout and layout != self._layout):
            self._layout = layout
            self._scans.append(new_scan(Scan, self.state, self._decoder, self._schema, self._asked, self._coverage))
        return self._scans[-1]

    @property
    def rows(self) -> int:
        return sum(scan.rows for scan in self._scans) + self.handed_back.rows

    @property
    def known(self) -> tuple[int, int]:
        """How many patients and event types there are: those of the rows handed back may be others, or the same."""
        patients, types = self.state.known
        return max(patients, len(self.handed_back.patients)), max(types, len(self.handed_back.event_types))

    def judge(self, decoded: Decoded, download_id: str, offset: int, *, strict: bool) -> None:
        """Take in rows that the reference has decoded."""
        if strict and (bad := decoded.first_fault) is not None:
            raise BadRowError(download_id, bad.line, offset, bad.reason)
        self.handed_back.update(decoded)
        batch = decoded.batch
        if self._asked is not None:
            batch = self._asked.take(batch)
            self.handed_back.filtered += len(decoded.batch) - len(batch)
        self.state.add_rows(batch.patient_ids, batch.event_times, batch.event_types, batch.values)

    def settle(self) -> None:
        """Take note that a chunk is through: what is merged into the state later on is not this part's."""
        self._known = self.state.known

    def tally(self) -> Tally:
        scans = iter(self._scans)
        first = next(scans, None)
        taken = Tally() if first is None else tally_of(first)
        for scan in scans:
            taken.merge(tally_of(scan))
        patients, types = self._known
        taken.event_types = set(self.state.types(types))
        taken.name_later(partial(self.state.patients, patients))
        taken.merge(self.handed_back)
        return taken


def tally_of(scan: Scan) -> Tally:
    """Return the counts of a scan, but for ids."""
    taken = Tally()
    taken.rows, taken.filtered = scan.rows, scan.filtered
    taken.missing.update(scan.missing())
    taken.noted.update({name: count for name, count in zip(_NOTED, scan.noted(), strict=True) if count})
    taken.first_us, taken.last_us = scan.first_us, scan.last_us
    if (covered := scan.covered()) is not None:
        taken.coverage = HourCounts(*covered)
    return taken


@dataclass(frozen=True, slots=True)
class Scanning:
    """A scan to be done: of `data`, the chunk's or what it was turned into, from byte `start` on.

    The first row there is line number `line`.
    """

    chunk: Chunk
    data: bytes | memoryview
    start: int
    line: int
    scan: Scan
    part: _Part


class KernelFold:
    """The fold (engine.Fold) of a compiled twin. Its scans can be done by whoever can: a crew, without Python."""

    def __init__(
        self,
        span: Span,
        schema: Schema,
        reducer: KernelSummary | KernelSelection,
        *,
        asked: Filter | None = None,
        coverage: bool = False,
        strict: bool,
        header: str | None = None,
        pending: bytes = b"",
    ) -> None:
        self.offset: int = span.start
        self.download_id: str = span.download_id
        self.line: int = 1
        self.rows: int = 0
        self.judged: int = 0  # rows, and lines, that were handed to the reference
        self._schema = schema
        self._reducer = reducer
        self._asked = asked
        self._coverage = coverage
        self._strict = strict
        self._decoder = schema.decoder(header, pending=pending, download_id=span.download_id)
        self._part: _Part | None = None
        self._tally: Tally | None = None  # as long as it is up to date

    @property
    def header(self) -> str | None:
        """The header line (see engine.Fold.header)."""
        return self._decoder.header

    @property
    def pending(self) -> bytes:
        """The beginning of a row that may go on (see engine.Fold.pending)."""
        return self._decoder.pending

    @property
    def known(self) -> tuple[int, int]:
        """How many patients and event types there are (see engine.Fold.known)."""
        return (0, 0) if self._part is None else self._part.known

    @property
    def state(self) -> State:
        """The kernel's state of the rows so far."""
        return self._reducer.empty() if self._part is None else self._part.state

    @property
    def tally(self) -> Tally:
        """The counts of the rows so far; made when asked for, so not to be asked for after every chunk."""
        if self._tally is None:
            self._tally = Tally(coverage=self._coverage) if self._part is None else self._part.tally()
        return self._tally

    def feed(self, chunk: Chunk) -> None:
        """Take in the span's next chunk (see engine.Fold.feed)."""
        scanning = self.begin(chunk)
        if scanning is not None:
            self.end(scanning, scanning.scan.feed(scanning.data, scanning.start, scanning.line))

    def begin(self, chunk: Chunk) -> Scanning | None:
        """Return the scan that takes in the span's next chunk, to be told to `end`; None if it has no rows.

        Raises:
            HeaderError: if the first row does not name the columns.
        """
        taken = self._decoder.take(chunk)
        if self._decoder.layout is None:
            self.offset, self.line = chunk.end, chunk.line + bytes(chunk.data).count(b"\n")
            return None
        # All of a chunk or nothing, if strict: a bad row that ends the run leaves the state as it was before.
        part = self._new_part() if self._part is None or self._strict else self._part
        part.handed_back.cut_off = False
        if taken.rows or self._decoder.has_untold:  # a header may be among them, so what follows is scanned afterwards
            last = taken.rows[-1][0] if taken.rows and taken.start == len(taken.data) and not is_ended(chunk) else None
            decoded = self._decoder.decode_rows(taken.rows, unended_line=last)
            self.judged += len(taken.rows)
            part.judge(decoded, self.download_id, chunk.offset, strict=self._strict)
        begin_samples(part.scan, self._decoder)
        return Scanning(chunk, taken.data, taken.start, taken.line, part.scan, part)

    def end(self, scanning: Scanning, rows: list[tuple[int, bytes]]) -> None:
        """Take in a chunk whose scan has handed these rows back.

        Raises:
            HeaderError: if a row names the columns again, and not all that are needed.
            BadRowError: for the first bad row, where none is allowed.
        """
        chunk, part = scanning.chunk, scanning.part
        data, start, line, scan = scanning.data, scanning.start, scanning.line, scanning.scan
        give_plan(scan, self._decoder, self._schema)
        while True:
            end_samples(scan, self._decoder)
            if rows:
                self.judged += len(rows)
                decoded = self._decoder.decode_rows(rows, unended_line=unended_line(chunk, rows, line, scan))
                part.judge(decoded, self.download_id, chunk.offset, strict=self._strict)
            if scan.stopped_at is None:
                break
            # Behind what may have been a header, or for a plan; what is left is scanned here, as both are rare.
            start, line = start + scan.stopped_at, line + scan.lines
            scan = part.scan
            begin_samples(scan, self._decoder)
            rows = scan.feed(data, start, line)
        if scan.open_at is not None:
            self._decoder.pending = bytes(data[start + scan.open_at :])
        part.settle()
        self._join(part)
        self.offset, self.line = chunk.end, line_after(chunk, line, scan, self._decoder)

    def finish(self) -> None:
        """Take in what is pending (see engine.Fold.finish)."""
        if not self._decoder.pending:
            return
        decoded = self._decoder.finish(self.line)
        if self._decoder.layout is None:
            return
        part = self._new_part() if self._part is None or self._strict else self._part
        part.judge(decoded, self.download_id, self.offset, strict=self._strict)
        part.settle()
        self._join(part)

    def _join(self, part: _Part) -> None:
        if self._part is None or self._part is part:
            self._part, self._tally, self.rows = part, None, part.rows
        else:
            tally = self.tally
            tally.merge(part.tally())
            self._part.state.merge(part.state)
            self.rows = tally.rows

    def _new_part(self) -> _Part:
        return _Part(self._reducer, self._schema, self._decoder, self._asked, self._coverage)


def new_scan(
    kind: type[AnyScan], state: State, decoder: CsvDecoder, schema: Schema, asked: Filter | None, coverage: bool = False
) -> AnyScan:
    """Return a scan of the rows `asked` for, as the header that `decoder` has read, and the schema, describe them."""
    layout = decoder.layout
    if layout is None:
        raise RuntimeError("there is no scan before the header")
    plain, fields, signs, null_tokens, numbers, names = _described(schema, layout, decoder.quoting)
    return kind(
        state,
        plain,
        fields,
        signs,
        null_tokens,
        numbers,
        names,
        None if schema.timezone is None else offsets_of(schema.timezone),
        None if asked is None else _row_filter(asked),
        coverage,
        new_plan(schema, layout, decoder.quoting) if plain is None else None,
    )


# The files of a run are mostly alike.
@lru_cache(maxsize=4)
def _described(
    schema: Schema, layout: Layout, quoting: Quoting
) -> tuple[
    tuple[int, int, int, int] | None,
    int,
    tuple[bytes, bytes, bytes, bytes],
    Sequence[bytes],
    Sequence[bytes],
    Sequence[bytes | None],
]:
    """Return what a scan needs to know of the table (see Scan): `plain`, `fields`, `signs`, and so on to `names`."""
    return (
        layout.plain if schema.is_plain else None,
        layout.fields,
        signs_of(quoting),
        [token.encode() for token in schema.null_tokens if _can_be_plain(token)],
        [number.encode() for number in null_numbers(schema)],
        [name.encode() if _can_be_found(name, schema) else None for name in layout.names],
    )


def give_plan(scan: Scan, decoder: CsvDecoder, schema: Schema) -> None:
    """Let a scan to which many rows are not plain read the next ones by a plan."""
    if scan.wants_plan and decoder.layout is not None:
        scan.use(new_plan(schema, decoder.layout, decoder.quoting))


def begin_samples(scan: Scan, decoder: CsvDecoder) -> None:
    """Tell a scan, before it begins, the time of the next row, where that follows from the rows' places."""
    if scan.samples is not None and decoder.samples is not None:
        next_us, *pace = decoder.samples.pace()
        scan.start_samples(min(next_us, _NO_TIME_US), *pace)


def end_samples(scan: Scan, decoder: CsvDecoder) -> None:
    """Count the rows that a scan has taken, before those that it has handed back are decoded."""
    if scan.samples is not None and decoder.samples is not None:
        decoder.samples.count += scan.samples


def is_ended(chunk: Chunk) -> bool:
    """Tell whether the chunk's last line has an end."""
    return chunk.data[-1:] == b"\n"


def line_after(chunk: Chunk, line: int, scan: Scan, decoder: CsvDecoder) -> int:
    """Return the number of the line that follows the chunk's last line end; it was scanned from number `line` on."""
    if decoder.pending:
        return line + scan.lines + decoder.pending.count(b"\n")
    return line + scan.lines - (not is_ended(chunk))


def unended_line(chunk: Chunk, rows: list[tuple[int, bytes]], line: int, scan: Scan) -> int | None:
    """Return the number of the line that the last of `rows` begins with, if it ends with the chunk, and no line end.

    The rows are of what was scanned from line number `line` on.
    """
    if is_ended(chunk) or scan.stopped_at is not None:
        return None
    number, row = rows[-1]
    return number if number + row.count(b"\n") == line + scan.lines - 1 else None


def _can_be_plain(token: str) -> bool:
    """Tell whether a null token can stand in a row that the kernel takes: others are left to the reference."""
    return token.strip(" \t") == token != "" and '"' not in token and "\0" not in token and _encoded(token) is not None


def _can_be_found(name: str, schema: Schema) -> bool:
    """Tell whether a row that has this name in a field has its bytes: an escape can stand between any two of them."""
    return _can_be_plain(name) and schema.escape is None and (schema.quote is None or schema.quote not in name)


def _encoded(text: str) -> bytes | None:
    """Return text as UTF-8; None for what no row can hold."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None


# One for all the downloads of a run.
@lru_cache(maxsize=4)
def _row_filter(asked: Filter) -> RowFilter:
    return RowFilter(asked.since_us, asked.until_us, _ids(asked.patients), _ids(asked.event_types))


def _ids(ids: Iterable[str] | None) -> list[bytes] | None:
    return None if ids is None else [encoded for text in ids if (encoded := _encoded(text)) is not None]


@lru_cache(maxsize=4)
def offsets_of(timezone: str) -> Offsets:
    """Return a zone's offsets by whole minutes, slowly; the reference judges those in which an offset changes."""
    found: dict[int, int | None] = {}
    for from_s, ahead in spans(zone_named(timezone)):
        minute, second = divmod(from_s, 60)
        if second:
            found[minute] = None
            minute += 1
        found[minute] = ahead
    return Offsets([(minute * 60_000_000, None if a is None else a * 1_000_000) for minute, a in found.items()])
