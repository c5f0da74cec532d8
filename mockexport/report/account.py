"""The account of a run: how it went, download by download, and its JSON. No patient is named in it."""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mockexport.formats import BadRow
from mockexport.formats.coverage import Coverage
from mockexport.model import Verdict, VerdictKind
from mockexport.report.overlaps import Reached

__all__ = ["Account", "DownloadAccount"]


@dataclass(frozen=True, slots=True)
class DownloadAccount:
    """How one download went.

    `rows` counts all but blank lines, `bad_rows` by reason, `first_bad_rows` are the first few; `missing_values` counts
    by event type, `noted` what else is worth knowing of its rows (see noted.Noted), `filtered_rows` are rows with a
    value that were not asked for (see Filter). `attempts` begins at 1; `received_bytes` are those of the last attempt,
    `fetched_bytes` of all. `coverage` is None where it was not asked for. `version` is the content's entity tag, or
    else its date and length, None if it came with neither. `reached` is for the notes on overlaps.
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
    version: str | None = None
    noted: Mapping[str, int] = field(default_factory=dict)
    reached: Reached | None = None

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
            "noted": dict(self.noted),
            "filtered_rows": self.filtered_rows,
            "attempts": self.attempts,
            "received_bytes": self.received_bytes,
            "fetched_bytes": self.fetched_bytes,
        }
        if self.version is not None:
            plain["version"] = self.version
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
