"""The mock server's three exports: what defines them, and what follows for their downloads.

Rules: pure arithmetic on constants, done when first asked for; no rows here (see generation), no HTTP. Everything is
drawn from `random.Random` in the order that the contract fixes, so a change of order is a change of the data.
"""

import hashlib
import random
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from mockexport.formats.fields import parse_time
from mockexport.sources.metadata import DownloadMetadata, format_api_time

__all__ = ["EXPORTS", "EventType", "ExportDefinition", "GeneratedDownload", "downloads_of"]


@dataclass(frozen=True, slots=True)
class EventType:
    """An event type's values: drawn from a normal distribution, cut to integers, clamped to bounds."""

    name: str
    mean: int
    deviation: int
    lowest: int
    highest: int


@dataclass(frozen=True, slots=True)
class ExportDefinition:
    """What an export is made from: its downloads, ids and times all follow from this."""

    id: str
    downloads: int
    min_rows: int
    max_rows: int
    patients: tuple[str, ...]
    event_types: tuple[EventType, ...]
    start_time: str
    step_us: int


@dataclass(frozen=True, slots=True)
class GeneratedDownload:
    """All that determines one download's bytes; the order of `patients` and `event_types` is part of it.

    One row per step: row i falls somewhere in [start_us + i * step_us, start_us + (i + 1) * step_us].
    """

    id: uuid.UUID
    rows: int
    patients: tuple[str, ...]
    event_types: tuple[EventType, ...]
    start_us: int
    step_us: int

    @property
    def end_us(self) -> int:
        """The end of the last row's slot."""
        return self.start_us + self.rows * self.step_us

    def metadata(self) -> DownloadMetadata:
        """Return what the API tells of this download."""
        return DownloadMetadata(
            id=str(self.id),
            rows=self.rows,
            event_types=tuple(event_type.name for event_type in self.event_types),
            patients=self.patients,
            start_time=format_api_time(self.start_us),
            end_time=format_api_time(self.end_us),
        )


HEART_RATE = EventType("heart_rate", 75, 15, 30, 200)
SPO2 = EventType("spo2", 97, 2, 70, 100)
BP_SYS = EventType("bp_sys", 120, 20, 60, 250)
BP_DIA = EventType("bp_dia", 80, 15, 30, 150)

START = "2025-08-26T00:00:00"

EXPORTS: Mapping[str, ExportDefinition] = MappingProxyType(
    {
        "demo": ExportDefinition(
            id="demo",
            downloads=2,
            min_rows=5_000,
            max_rows=10_000,
            patients=tuple(f"P{number:03}" for number in range(1, 5)),
            event_types=(BP_SYS, BP_DIA),
            start_time=START,
            step_us=7_000_000,
        ),
        "small": ExportDefinition(
            id="small",
            downloads=10,
            min_rows=500_000,
            max_rows=1_000_000,
            patients=tuple(f"S{number:03}" for number in range(1, 7)),
            event_types=(HEART_RATE, SPO2),
            start_time=START,
            step_us=3_000_000,
        ),
        "large": ExportDefinition(
            id="large",
            downloads=20,
            min_rows=5_000_000,
            max_rows=10_000_000,
            patients=tuple(f"L{number:03}" for number in range(1, 21)),
            event_types=(HEART_RATE, SPO2, BP_SYS, BP_DIA),
            start_time=START,
            step_us=300_000,
        ),
    }
)


@cache
def downloads_of(export_id: str) -> tuple[GeneratedDownload, ...]:
    """Return the downloads of an export of `EXPORTS`, in time order.

    Raises:
        KeyError: there is no such export.
    """
    export = EXPORTS[export_id]
    draw = random.Random(export.id)  # noqa: S311 - the contract's generator, nothing to keep secret
    clock_us = parse_time(export.start_time)
    downloads = []
    for number in range(export.downloads):
        digest = hashlib.sha256(f"{export.id}_{number}".encode()).digest()
        rows = draw.randint(export.min_rows, export.max_rows)
        several = min(len(export.patients), draw.randint(2, len(export.patients)))
        download = GeneratedDownload(
            id=uuid.UUID(bytes=digest[:16], version=4),
            rows=rows,
            patients=tuple(draw.sample(export.patients, several)),
            event_types=export.event_types,
            start_us=clock_us,
            step_us=export.step_us,
        )
        downloads.append(download)
        clock_us = download.end_us
    return tuple(downloads)
