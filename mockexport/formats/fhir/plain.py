"""The fast path of the decoder: lines that are plainly well formed, and say what others have said before.

What an Observation comes to follows from the members that say what was measured, whose it is, and when. The compiled
scan (`_lines`) proves that a line is one JSON object, and finds these members as bytes. The first line that has some is
given to the reference, and what it says is remembered by those very bytes; so the two cannot disagree, and the next
line with the same bytes costs a look-up, without any Python. Lines that are not plain, and those of which anything is
bad, are the reference's.
"""

from bisect import bisect_left
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from operator import itemgetter
from typing import TYPE_CHECKING

from mockexport.formats.batch import Decoded, Identified, MissingValue
from mockexport.formats.fhir.json_lines import read_object
from mockexport.formats.fhir.mapping import Rules
from mockexport.formats.fhir.patients import NoPatient, patient_of
from mockexport.formats.fields import BadField
from mockexport.formats.resources import Columns, PackedRows

if TYPE_CHECKING:
    from mockexport.formats.fhir._lines import Shapes

__all__ = ["MAX_LEARNT_BYTES", "MAX_REMEMBERED_BYTES", "PlainLines", "Remembered", "remembered"]

# Of each kind of bytes this many are remembered, but none that are longer, such as those with samples in them: some
# ten megabytes, and never more than a hundred. Of others the reference decides each time.
MAX_REMEMBERED = 20_000
MAX_REMEMBERED_BYTES = 4096
# What the scan of a span has learnt is forgotten when it takes more bytes.
MAX_LEARNT_BYTES = 16 * 2**20


def _new_shapes() -> "Shapes | None":
    """Return what the compiled scan remembers of lines, nothing yet; None where it was not built."""
    try:
        from mockexport.formats.fhir._lines import Shapes
    except ImportError:
        return None
    return Shapes()


@dataclass(slots=True)
class _Known:
    """What some members come to, for any patient at any time: rows and missing values, by type, and what is noted.

    `has_values`: something of it is somebody's, at some time; otherwise these do not matter.
    """

    rows: list[tuple[str, int]]
    missing: list[str]
    noted: Counter[str]
    has_values: bool
    types: frozenset[str]  # of the rows


@dataclass(slots=True)
class Remembered:
    """What the reference has said of some bytes, None where it is to be asked each time; and the shapes of lines."""

    shapes: "Shapes | None" = field(default_factory=_new_shapes)
    known: dict[bytes, _Known | None] = field(default_factory=dict)
    patients: dict[bytes, str | None] = field(default_factory=dict)


@lru_cache(maxsize=4)
def remembered(fingerprint: str) -> Remembered:
    """Return what is remembered of the format of that fingerprint, by all spans of a run together."""
    return Remembered()


class PlainLines:
    """Takes plain lines of one span, as the reference would.

    Args:
        rules: how Observations are read.
        shapes: those of the lines.
        remembered: what the reference has said so far, by these rules.
    """

    def __init__(self, rules: Rules, shapes: "Shapes", remembered: Remembered) -> None:
        self._rules = rules
        self._shapes = shapes
        self._known, self._patients = remembered.known, remembered.patients
        self._start_over()

    def _start_over(self) -> None:
        from mockexport.formats.fhir._lines import Observations

        self._scan = Observations(self._shapes)
        self._meanings: list[_Known | None] = []  # by number, as the others
        self._names: tuple[list[str], list[str]] = ([], [])  # of patients, and of event types

    def take(self, data: bytes, line: int, by_reference: "Callable[[bytes, int], int]", into: Decoded) -> Decoded:
        """Return what a chunk's lines come to, from number `line` on.

        `by_reference` adds to `into` what a line comes to, and returns how many resources it is.
        """
        scan = self._scan
        if scan.learnt_bytes > MAX_LEARNT_BYTES:
            self._start_over()
            scan = self._scan
        resources = 0
        scan.begin(data, line)
        while (asked := scan.go_on()) is not None:
            number, start, end, key, subject = asked
            if key is not None:
                self._learn(key, data[start:end])
            elif subject is not None:
                self._learn_patient(subject)
            else:
                resources += by_reference(data[start:end], number)
        return self._added(into, scan.taken + resources)

    def _added(self, into: Decoded, resources: int) -> Decoded:
        """Return what the reference has made of some lines, and what the scan has taken, in the order of the lines."""
        scan = self._scan
        types: set[str] = set()
        for meaning, taken in scan.meanings:
            known = self._meanings[meaning]
            assert known is not None  # noqa: S101 - the reference has taken such lines
            types |= known.types
            for name, times in known.noted.items():
                into.noted[name] += times * taken
        patient_names, _ = self._names
        count, line_numbers, *columns = scan.columns()
        fresh = [patient_names[subject] for subject in scan.new_subjects]
        packed = PackedRows(count, Columns(*columns), self._names, (fresh, types))
        numbers = memoryview(line_numbers).cast("q")
        for meaning, subject, time_us, line in scan.absences:
            known = self._meanings[meaning]
            assert known is not None  # noqa: S101 - as above
            into.missing.extend(
                MissingValue(patient_names[subject], time_us, event_type) for event_type in known.missing
            )
            into.missing_lines.extend([line] * len(known.missing))
            identity = packed.identity(bisect_left(numbers, line))
            packed.absent.extend((identity, event_type) for event_type in known.missing)
        in_order = sorted(zip(into.missing_lines, into.missing, strict=True), key=itemgetter(0))
        lines = packed.chosen(numbers.tolist())
        batch, lines = _together(packed, lines, into) if into.batch else (packed, lines)
        return Decoded(
            batch,
            [missing for _, missing in in_order],
            into.bad,
            lines=lines,
            missing_lines=[line for line, _ in in_order],
            noted=into.noted,
            resources=resources,
        )

    def _learn(self, key: bytes, line: bytes) -> None:
        """Tell the scan what the members that it asks about come to; if anything is bad, the reference decides."""
        known = self._known[key] if key in self._known else self._ask(key, line)
        rows = None
        if known is not None:
            names = self._names[1]
            names += dict.fromkeys(event_type for event_type, _ in known.rows if event_type not in names)
            rows = [(names.index(event_type), value) for event_type, value in known.rows]
        self._meanings.append(known)
        self._scan.learn_meaning(
            rows, known is not None and known.has_values, known is not None and bool(known.missing)
        )

    def _ask(self, key: bytes, line: bytes) -> _Known | None:
        """Ask the reference what these members come to; None if anything of it is bad."""
        known = None
        found = read_object(line)
        mapped = self._rules.map({**found, **_SOMEBODY})
        if not mapped.bad:
            # Without a patient, whatever has one is bad.
            has_values = bool(self._rules.map({**found, **_SOMEBODY, "subject": None}).bad)
            rows = [(row.event_type, row.value) for row in mapped.rows]
            types = frozenset(row.event_type for row in mapped.rows)
            known = _Known(rows, [row.event_type for row in mapped.missing], mapped.noted, has_values, types)
        if len(self._known) < MAX_REMEMBERED:
            self._known[key] = known
        return known

    def _learn_patient(self, subject: bytes) -> None:
        """Tell the scan whether the subject that it asks about is a patient; if not, the reference decides."""
        patient_id = self._patients[subject] if subject in self._patients else self._ask_whose(subject)
        self._names[0].append(patient_id or "")
        self._scan.learn_subject(patient_id is None)

    def _ask_whose(self, subject: bytes) -> str | None:
        patient_id = None
        # One that is contained in the Observation is looked for there.
        if b"#" not in subject:
            with suppress(BadField, NoPatient):
                patient_id = patient_of(read_object(b'{"subject":%s}' % subject), self._rules.base)
        if len(self._patients) < MAX_REMEMBERED:
            self._patients[subject] = patient_id
        return patient_id


def _together(packed: Identified, packed_lines: list[int], into: Decoded) -> tuple[Identified, list[int]]:
    """Return the rows of both in the order of their lines, and those."""
    other = into.batch
    assert isinstance(other, Identified)  # noqa: S101 - it was made so
    lines = packed_lines + into.lines
    order = sorted(range(len(lines)), key=lines.__getitem__)
    columns = ("patient_ids", "event_times", "event_types", "values", "keys", "versions", "updated", "places")
    both = {column: getattr(packed, column) + getattr(other, column) for column in columns}
    ordered = {column: [cells[row] for row in order] for column, cells in both.items()}
    rowless, absent = packed.rowless + other.rowless, packed.absent + other.absent
    return Identified(**ordered, rowless=rowless, absent=absent), [lines[row] for row in order]


_SOMEBODY = {"subject": {"reference": "Patient/x"}, "effectiveDateTime": "2000-01-01T00:00:00Z"}
