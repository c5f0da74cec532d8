"""The result of a run: a reducer's result and the account in, the report and its JSON out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, cast

from mockexport.errors import IncompleteReport
from mockexport.reducers import Result, Statistics
from mockexport.reducers.packed import PackedPatients
from mockexport.report.account import Account
from mockexport.report.json import json_pieces
from mockexport.report.keyed import ByEventType, ByPatient
from mockexport.report.notes import STATISTICS, Note, notes_of
from mockexport.report.plain import counted

__all__ = ["R", "Report", "in_order"]

if TYPE_CHECKING:
    from typing_extensions import TypeVar

    # What a reducer makes of a group: without one, that is Summary's.
    R = TypeVar("R", default=Statistics)
else:
    from typing import TypeVar

    R = TypeVar("R")


def in_order(result: Result[R]) -> tuple[Mapping[str, Mapping[str, R]], ByEventType[R]]:
    """Return a result's patients and totals in the report's order: ids and event types by code point."""
    totals = ByEventType(sorted(result.totals.items()))
    if isinstance(result.patients, PackedPatients):
        return cast("Mapping[str, Mapping[str, R]]", result.patients), totals
    patients = ((patient, dict(sorted(result.patients[patient].items()))) for patient in sorted(result.patients))
    return ByPatient(patients), totals


@dataclass(frozen=True, slots=True, repr=False)
class Report(Generic[R]):
    """Statistics per patient and event type in `patients`, and per event type in `totals`.

    `incomplete` holds the ids of downloads that failed or mismatched, in time order: empty for a whole report. Figures
    of an incomplete one are given to those only who allow it, by `analyze(…, allow_incomplete=True)`; its JSON and its
    other faces say that it is incomplete. `notes` are what a reader must know of the figures, such as bad rows,
    values left out, or that quantiles are approximate: mostly nothing.
    """

    _patients: Mapping[str, Mapping[str, R]]
    _totals: Mapping[str, R]
    incomplete: tuple[str, ...]
    account: Account
    notes: tuple[Note, ...] = ()
    allow_incomplete: bool = False

    @classmethod
    def of(cls, result: Result[R], account: Account, *, allow_incomplete: bool = False) -> "Report[R]":
        """Make the report of a run's result and account."""
        incomplete = tuple(d.download_id for d in account.downloads if not d.verdict.complete)
        patients, totals = in_order(result)
        notes = notes_of(account, patients, totals, result.notes, repeated=result.repeated, outdated=result.outdated)
        kept = tuple(replace(download, reached=None) for download in account.downloads)  # it has done its service
        return cls(patients, totals, incomplete, replace(account, downloads=kept), notes, allow_incomplete)

    def __repr__(self) -> str:
        told = f"{counted(len(self._patients), 'patient')}, {counted(len(self._totals), 'event type')}"
        return f"<Report of {self.account.export_id}: {told}{', incomplete' if self.incomplete else ''}>"

    def _repr_html_(self) -> str:
        """Return what a notebook shows under the cell: the totals, and whether the report is whole."""
        from mockexport.report.cell import report_cell  # no sooner: most runs are in no notebook

        told = f"{counted(len(self._patients), 'patient')}, {counted(self.account.rows, 'row')}"
        if self.incomplete:
            number = counted(len(self.incomplete), "download")
            told = f"INCOMPLETE, {number} failed or not as announced; the others: {told}"
        return report_cell(self.account.export_id, told, self._totals, self.notes)

    @property
    def patients(self) -> Mapping[str, Mapping[str, R]]:
        """The results, by patient and event type, in the report's order: by code point.

        Raises:
            IncompleteReport: see raise_if_incomplete; unless it was allowed.
        """
        if not self.allow_incomplete:
            self.raise_if_incomplete()
        return self._patients

    @property
    def totals(self) -> Mapping[str, R]:
        """The results of all patients together, by event type.

        Raises:
            IncompleteReport: see raise_if_incomplete; unless it was allowed.
        """
        if not self.allow_incomplete:
            self.raise_if_incomplete()
        return self._totals

    def raise_if_incomplete(self) -> None:
        """Return if every download is in the report and is what its metadata say.

        Raises:
            IncompleteReport: one has failed or mismatched; the error says how many, and of the first why.
        """
        if self.incomplete:
            verdicts = {download.download_id: download.verdict for download in self.account.downloads}
            first = verdicts.get(self.incomplete[0])
            why = "it is not finished" if first is None else f"{first.kind}: {'; '.join(first.reasons)}"
            raise IncompleteReport(self.account.export_id, self.incomplete, why)

    def allowing_incomplete(self) -> "Report[R]":
        """Return the same report, whose figures are given though it is incomplete."""
        return replace(self, allow_incomplete=True)

    def counts(self: "Report[Statistics]") -> "Report[int]":
        """Return the report with every statistic reduced to its count."""
        patients = ByPatient(
            (patient_id, {event_type: statistics.count for event_type, statistics in types.items()})
            for patient_id, types in self._patients.items()
        )
        totals = ByEventType((event_type, statistics.count) for event_type, statistics in self._totals.items())
        notes = tuple(note for note in self.notes if note.kind != STATISTICS)
        return Report(patients, totals, self.incomplete, self.account, notes, self.allow_incomplete)

    def rows(self, *, totals: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the report as flat rows, in order: `patient_id`, `event_type`, and the fields of the result.

        With `totals`, the totals follow, with None for a patient. A result that is no dataclass and no mapping is one
        field, called `result`.

        Raises:
            OptionError: if a field has one of the two names.
            IncompleteReport: see raise_if_incomplete; unless it was allowed.
        """
        from mockexport.report.frame import flat_rows  # no sooner: most runs want JSON alone

        for patient_id, types in self.patients.items():
            yield from flat_rows(patient_id, types)
        if totals:
            yield from flat_rows(None, self.totals)

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Return all patients' rows as columns, by the Arrow PyCapsule interface: `polars.DataFrame(report)`.

        Integers take 64 bits, fractions are doubles, texts, instants (UTC) and maps of numbers stay what they are.

        Raises:
            OptionError: if a field is nothing that a column can hold.
            ArrowUnavailable: where the compiled parts were not built.
        """
        from mockexport.report.frame import table_of

        kinds = {type(result) for results in self.patients.values() for result in results.values()}
        return table_of(list(self.rows()), kinds).stream_capsule()

    def to_json(self, *, round_to: int | None = None) -> str:
        """Return the report as JSON text: keys sorted, indent 2, ASCII, a final newline.

        Results that are dataclasses or `msgspec.Struct`s become objects of their fields; notes are there where there
        are any. `round_to` rounds every fraction to so many decimal places; by default they are in full precision. The
        text depends on the data alone.
        """
        return "".join(self.json_pieces(round_to=round_to))

    def json_pieces(self, *, round_to: int | None = None) -> Iterator[str]:
        """Yield the text of `to_json`, some patients at a time: what writes it has no more of it in memory.

        Raises:
            ValueError: a result holds what JSON cannot, such as a fraction that is no number.
        """
        yield from json_pieces(self._patients, self._totals, self.incomplete, self.notes, round_to=round_to)
        yield "\n"
