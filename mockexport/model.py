"""The frozen values that every other room speaks of. Nothing here computes more than its own validity.

Times are integer microseconds of UTC since 1970 (`…_us`), sizes and offsets are bytes, values are integers in units
of 10⁻¹⁸ (see `VALUE_SCALE`), so that sums are exact.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from decimal import Context, Decimal, Inexact, InvalidOperation
from enum import StrEnum
from types import MappingProxyType

from mockexport.errors import LimitError, OptionError

__all__ = [
    "ANOMALY_RULES",
    "VALUE_SCALE",
    "AnomalyRule",
    "Chunk",
    "Download",
    "Export",
    "MaxBad",
    "SizeLimits",
    "Span",
    "Verdict",
    "VerdictKind",
]

# A value is held exactly to eighteen decimal places: the integer `value × VALUE_SCALE`. Nine would
# leave nothing of a hormone in mol/l.
VALUE_SCALE = 10**18


@dataclass(frozen=True, slots=True)
class Download:
    """One file of an export, with what its source announces about it; None where it announces nothing.

    `start_us` is inclusive, `end_us` exclusive. `size_bytes` is the length of the body, where known beforehand.
    """

    id: str
    rows: int | None = None
    event_types: tuple[str, ...] | None = None
    patients: tuple[str, ...] | None = None
    start_us: int | None = None
    end_us: int | None = None
    size_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.rows is not None and self.rows < 0:
            raise ValueError("rows is negative")
        if self.start_us is not None and self.end_us is not None and self.end_us < self.start_us:
            raise ValueError("end_time is before start_time")


@dataclass(frozen=True, slots=True)
class Export:
    """What a source offers under one id: its downloads, each once, in time order (see `Export.of`)."""

    id: str
    downloads: tuple[Download, ...]

    @classmethod
    def of(cls, export_id: str, downloads: Iterable[Download]) -> "Export":
        """Make an export of downloads in any order; one listed twice counts once.

        Where the times of all are known, the order is (start, end, id); otherwise it stays as given.
        """
        unique = list({download.id: download for download in downloads}.values())
        if all(download.start_us is not None for download in unique):
            unique.sort(key=lambda download: (download.start_us, download.end_us or download.start_us, download.id))
        return cls(export_id, tuple(unique))


@dataclass(frozen=True, slots=True)
class Span:
    """The byte range [start, end) of a download; `end` None is the download's end. By default all of it.

    It owns the rows whose first byte lies in it, to their ends. So the spans of a download own every row, each once,
    wherever the borders are.
    """

    download_id: str
    start: int = 0
    end: int | None = None

    @property
    def read_from(self) -> int:
        """The first byte to read: only the one before the span tells whether a row begins with the span."""
        return max(0, self.start - 1)


@dataclass(frozen=True, slots=True)
class Reading:
    """How a download is read on from a byte: by which header, None at its start; and what is there of a row already."""

    header: str | None = None
    pending: bytes = b""


@dataclass(frozen=True, slots=True)
class Chunk:
    """A run of whole rows of one span, as bytes or as a view of the buffer that they were received into.

    `offset` is the download's byte at which it begins, `end` the one after its last, `line` the 1-based line number of
    its first row. `end - offset` exceeds `len(data)` where an overlong row was cut short (see formats.cutting).
    """

    span: Span
    data: bytes | memoryview
    offset: int
    end: int
    line: int


@dataclass(frozen=True, slots=True)
class SizeLimits:
    """How much there may be of what does not grow with the rows, but with what a server, a file or the data says.

    Args:
        downloads: exports that a source lists; downloads of one export.
        announced: patients and event types that the metadata of an export's downloads names, all in all.
        groups: pairs of a patient and an event type, over all downloads; and patients of one download.
        types: event types.
        resources: rows of resources with ids, which are kept until the latest version of each is known.
        distinct: different rows, where each counts once (reducers.Distinct).
        window_bytes: the memory that a zstd body may ask for; counted as the power of two below.
        reply_bytes: one reply of a server about exports and downloads.
        list_bytes: a list of URLs, a manifest, or an `export.json`.
        checkpoint_bytes: a checkpoint.

    Raises:
        OptionError: if one is below 1.
    """

    downloads: int = 100_000
    announced: int = 5_000_000
    # A group takes some hundred bytes in the kernel, and as much again for each of its results.
    groups: int = 1_000_000
    types: int = 10_000
    # Of 66 bytes each on disk, and at the end 27 in memory: half a gigabyte.
    resources: int = 20_000_000
    # At up to 48 bytes: half a gigabyte.
    distinct: int = 10_000_000
    # What the `zstd` program, too, accepts unasked.
    window_bytes: int = 2**27
    # A million patients of one download.
    reply_bytes: int = 16 * 2**20
    # As many signed URLs as there may be downloads.
    list_bytes: int = 64 * 2**20
    # Ten million groups.
    checkpoint_bytes: int = 2**31

    def __post_init__(self) -> None:
        for field in fields(self):
            if getattr(self, field.name) < 1:
                raise OptionError("size_limits", f"{field.name} must be at least 1")

    def check(self, name: str, number: int, what: str) -> None:
        """Raise LimitError if a number of something is beyond the limit of that name; `what` says of what, in words."""
        limit: int = getattr(self, name)
        if number > limit:
            raise LimitError(what, limit, name)

    def told(self, name: str) -> str:
        """Say a limit of bytes, as part of a message: what it is, and how it is called."""
        return f"{getattr(self, name):,} bytes, which is the limit (SizeLimits.{name})"


@dataclass(frozen=True, slots=True)
class MaxBad:
    """How many bad rows a download may have: a number, or a percentage of its rows. All of them are always too many.

    Args:
        number: of rows, or percent.
        percent: which of the two it is.

    Raises:
        OptionError: if it is below 0, or above 100 percent.
    """

    number: Decimal
    percent: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.number <= (100 if self.percent else 2**63):
            raise OptionError("max_bad", f"{self} is neither a number of rows nor a share from 0% to 100%")

    @classmethod
    def of(cls, said: int | str) -> "MaxBad":
        """Return what somebody says: a number of rows, or text that is one, or a share such as `10%`.

        Raises:
            OptionError: it is nothing of the kind.
        """
        text = str(said)
        match = None if isinstance(said, bool) else _MAX_BAD.fullmatch(text)
        if match is None:
            raise OptionError("max_bad", f"{text[:40]!a} is neither a number of rows nor a share such as 10%")
        return cls(Decimal(match[1]), match[2] is not None)

    def exceeded(self, bad: int, rows: int) -> bool:
        """Tell whether `bad` of `rows` rows are too many."""
        if not bad:
            return False
        return bad >= rows or (bad * 100 > self.number * rows if self.percent else bad > self.number)

    def __str__(self) -> str:
        return f"{self.number:f}%" if self.percent else f"{self.number:,}"


_MAX_BAD = re.compile(r"(\d{1,18}|\d{1,3}\.\d{1,9}(?=%))(%)?", re.ASCII)


# Bounds may lie far beyond all values, but not so far that to write them out would fill memory.
_BOUNDS = Context(prec=50, traps=[Inexact, InvalidOperation])
_BEYOND_ALL_VALUES = 10**50


@dataclass(frozen=True, slots=True)
class AnomalyRule:
    """A value is an anomaly below `low` or above `high`; the bounds themselves are normal, and None is no bound.

    A bound is an integer or a decimal of up to eighteen places; text and a float mean what they show. Kept are integers
    where integral, and Decimals.

    Raises:
        OptionError: if there is no bound at all, one is no such number, or `low` is above `high`.
    """

    low: int | float | str | Decimal | None = None
    high: int | float | str | Decimal | None = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise OptionError("rule", "there is neither low nor high")
        for name in ("low", "high"):
            bound = getattr(self, name)
            if bound is not None:
                object.__setattr__(self, name, _bound(name, bound))
        lowest, highest = self.normal
        if lowest > highest:
            raise OptionError("rule", f"low, {self.low}, is above high, {self.high}")

    @property
    def normal(self) -> tuple[int, int]:
        """The lowest and the highest normal value in units of 10⁻¹⁸; where there is no bound, one beyond all values."""
        return (
            -_BEYOND_ALL_VALUES if self.low is None else _scaled(self.low),
            _BEYOND_ALL_VALUES if self.high is None else _scaled(self.high),
        )

    def __str__(self) -> str:
        return f"{'' if self.low is None else self.low}..{'' if self.high is None else self.high}"


def _bound(name: str, bound: object) -> int | Decimal:
    if isinstance(bound, bool) or not isinstance(bound, int | float | str | Decimal):
        raise OptionError("rule", f"{name} is neither a number nor text that is one")
    try:
        scaled = _scaled(bound)
    except (InvalidOperation, Inexact, ValueError, OverflowError):
        raise OptionError("rule", f"{name} is no decimal number of up to eighteen places and a sensible size") from None
    whole, rest = divmod(scaled, VALUE_SCALE)
    return _BOUNDS.normalize(_BOUNDS.scaleb(Decimal(scaled), -18)) if rest else whole


def _scaled(bound: int | float | str | Decimal) -> int:
    # A float's text is its shortest, so 36.6 is what was meant by it and not the nearest double.
    return int(_BOUNDS.quantize(_BOUNDS.scaleb(Decimal(str(bound)), 18), Decimal(1)))


# Clinical plausibility bounds per event type; a type without a rule has no anomalies.
ANOMALY_RULES: Mapping[str, AnomalyRule] = MappingProxyType(
    {
        "heart_rate": AnomalyRule(40, 180),
        "spo2": AnomalyRule(85, 100),
        "bp_sys": AnomalyRule(90, 200),
        "bp_dia": AnomalyRule(60, 120),
    }
)


class VerdictKind(StrEnum):
    """What came of a download once its rows were held against its metadata."""

    VERIFIED = "verified"
    MISMATCH = "mismatch"
    UNVERIFIABLE = "unverifiable"
    FAILED = "failed"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Verdict:
    """A kind, and in words what differs or why. `unasked`: skipped because nothing in it is asked for (see Filter)."""

    kind: VerdictKind
    reasons: tuple[str, ...] = ()
    unasked: bool = False

    @property
    def counts(self) -> bool:
        """Whether the download's rows are part of the report."""
        return self.kind in (VerdictKind.VERIFIED, VerdictKind.MISMATCH, VerdictKind.UNVERIFIABLE)

    @property
    def complete(self) -> bool:
        """Whether nothing of the download is missing or in doubt."""
        return self.unasked or self.kind in (VerdictKind.VERIFIED, VerdictKind.UNVERIFIABLE)

    def __str__(self) -> str:
        return f"{self.kind}: {'; '.join(self.reasons)}" if self.reasons else str(self.kind)
