"""The result of a run: a reducer's result and the account in, the report and its JSON out."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from mockexport.reducers import Result, Statistics
from mockexport.report.account import Account
from mockexport.report.json import json_pieces

__all__ = ["Report"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Report(Generic[R]):
    """Statistics per patient and event type, and per event type in `totals`.

    `incomplete` holds the ids of downloads that failed or mismatched, in time order: empty for a whole report. `notes`
    are what a reader must know of the figures, such as that quantiles are approximate: mostly nothing.
    """

    patients: Mapping[str, Mapping[str, R]]
    totals: Mapping[str, R]
    incomplete: tuple[str, ...]
    account: Account
    notes: tuple[str, ...] = ()

    @classmethod
    def of(cls, result: Result[R], account: Account) -> "Report[R]":
        """Make the report of a run's result and account."""
        incomplete = tuple(d.download_id for d in account.downloads if not d.verdict.complete)
        return cls(result.patients, result.totals, incomplete, account, result.notes)

    def counts(self: "Report[Statistics]") -> "Report[int]":
        """Return the report with every statistic reduced to its count."""
        patients = {
            patient_id: {event_type: statistics.count for event_type, statistics in types.items()}
            for patient_id, types in self.patients.items()
        }
        totals = {event_type: statistics.count for event_type, statistics in self.totals.items()}
        return Report(patients, totals, self.incomplete, self.account)

    def rows(self, *, totals: bool = False) -> Iterator[dict[str, Any]]:
        """Yield the report as flat rows, in order: `patient_id`, `event_type`, and the fields of the result.

        With `totals`, the totals follow, with None for a patient. A result that is no dataclass and no mapping is one
        field, called `result`.

        Raises:
            OptionError: if a field has one of the two names.
        """
        from mockexport.report.frame import flat_rows  # no sooner: most runs want JSON alone

        for patient_id in sorted(self.patients):
            yield from flat_rows(patient_id, self.patients[patient_id])
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

        Results that are dataclasses become objects of their fields; notes are there where there are any. `round_to`
        rounds every fraction to so many decimal places; by default they are in full precision. The text depends on the
        data alone.
        """
        return "".join(self.json_pieces(round_to=round_to))

    def json_pieces(self, *, round_to: int | None = None) -> Iterator[str]:
        """Yield the text of `to_json`, a patient at a time: what writes it has no more of it in memory.

        Raises:
            ValueError: a result holds what JSON cannot, such as a fraction that is no number.
        """
        yield from json_pieces(self, round_to=round_to)
        yield "\n"
