"""The result of a run, and the account of how it went: states and verdicts in, the report and its JSON out."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any, Generic, TypeVar

from mockexport.coverage import Coverage
from mockexport.formats import BadRow
from mockexport.model import Verdict, VerdictKind
from mockexport.reducers import Result, Statistics

__all__ = ["Account", "DownloadAccount", "Report"]

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class DownloadAccount:
    """How one download went.

    `rows` counts all but blank lines, `bad_rows` by reason, `first_bad_rows` are the first few; `missing_values` counts
    by event type, `filtered_rows` are rows with a value that were not asked for (see Filter). `attempts` begins at 1;
    `received_bytes` are those of the last attempt, `fetched_bytes` of all. `coverage` is None where it was not
    asked for.
    """

    download_id: str
    verdict: Verdict
    rows: int
    bad_rows: Mapping[str, int]
    first_bad_rows: tuple[BadRow, ...]
    missing_values: Mapping[str, int]
    attempts: int
    received_bytes: int
    fetched_bytes: int
    filtered_rows: int = 0
    coverage: Coverage | None = None

    def to_plain(self) -> dict[str, Any]:
        """Return the account as what JSON can hold."""
        plain = {
            "id": self.download_id,
            "verdict": self.verdict.kind,
            "reasons": list(self.verdict.reasons),
            "rows": self.rows,
            "bad_rows": dict(self.bad_rows),
            "first_bad_rows": [{"line": bad.line, "reason": bad.reason} for bad in self.first_bad_rows],
            "missing_values": dict(self.missing_values),
            "filtered_rows": self.filtered_rows,
            "attempts": self.attempts,
            "received_bytes": self.received_bytes,
            "fetched_bytes": self.fetched_bytes,
        }
        if self.coverage is not None:
            plain["coverage"] = self.coverage.to_plain()
        return plain


@dataclass(frozen=True, slots=True)
class Account:
    """How a run went: from where, with what, and what came of every download (in time order).

    `engine` is "kernel", "python", or, where the kernel reads the rows for a reducer in Python, "kernel+python".
    """

    export_id: str
    source: str
    synthetic: bool
    engine: str
    version: str
    elapsed_s: float
    downloads: tuple[DownloadAccount, ...]

    @property
    def rows(self) -> int:
        """The rows of all downloads that count."""
        return sum(download.rows for download in self.downloads if download.verdict.counts)

    @property
    def bad_rows(self) -> int:
        """The bad rows of all downloads that count."""
        return sum(sum(download.bad_rows.values()) for download in self.downloads if download.verdict.counts)

    @property
    def filtered_rows(self) -> int:
        """The rows with a value that were not asked for, of all downloads that count."""
        return sum(download.filtered_rows for download in self.downloads if download.verdict.counts)

    @property
    def missing_values(self) -> int:
        """The rows without a value of all downloads that count; they are part of no statistic."""
        return sum(sum(download.missing_values.values()) for download in self.downloads if download.verdict.counts)

    @property
    def verdicts(self) -> dict[VerdictKind, int]:
        """How many downloads have which verdict."""
        return dict(Counter(download.verdict.kind for download in self.downloads))

    def to_json(self) -> str:
        """Return the account as JSON text; names are stable, and no patient is named."""
        plain = {
            "export_id": self.export_id,
            "source": self.source,
            "synthetic": self.synthetic,
            "engine": self.engine,
            "version": self.version,
            "elapsed_s": round(self.elapsed_s, 3),
            "rows": self.rows,
            "bad_rows": self.bad_rows,
            "filtered_rows": self.filtered_rows,
            "downloads": [download.to_plain() for download in self.downloads],
        }
        return json.dumps(plain, indent=2) + "\n"

    def of_kind(self, kind: VerdictKind) -> tuple[DownloadAccount, ...]:
        """Return the downloads whose verdict is of `kind`."""
        return tuple(download for download in self.downloads if download.verdict.kind is kind)


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
        from mockexport.frame import flat_rows  # no sooner: most runs want JSON alone

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
        from mockexport.frame import table_of

        kinds = {type(result) for results in self.patients.values() for result in results.values()}
        return table_of(list(self.rows()), kinds).stream_capsule()

    def to_json(self, *, round_to: int | None = None) -> str:
        """Return the report as JSON text: keys sorted, indent 2, ASCII, a final newline.

        Results that are dataclasses become objects of their fields; notes are there where there are any. `round_to`
        rounds every fraction to so many decimal places; by default they are in full precision. The text depends on the
        data alone.
        """
        plain: dict[str, Any] = {
            "patients": {
                patient_id: {event_type: _plain(result, round_to) for event_type, result in types.items()}
                for patient_id, types in self.patients.items()
            },
            "totals": {event_type: _plain(result, round_to) for event_type, result in self.totals.items()},
        }
        if self.incomplete:
            plain["incomplete"] = list(self.incomplete)
        if self.notes:
            plain["notes"] = list(self.notes)
        return json.dumps(plain, sort_keys=True, indent=2, allow_nan=False) + "\n"


def _plain(result: Any, round_to: int | None) -> Any:
    if isinstance(result, float) and round_to is not None:
        return round(result, round_to)
    if is_dataclass(result):
        return {field.name: _plain(getattr(result, field.name), round_to) for field in fields(result)}
    if isinstance(result, Mapping):
        return {name: _plain(value, round_to) for name, value in result.items()}
    return result
