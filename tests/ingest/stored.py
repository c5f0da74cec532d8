"""A store in a test: opened, filled, asked, against the dict that says what must come out."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import Any

from mockexport.ingest.devices import time_text
from mockexport.ingest.disk import Disk
from mockexport.ingest.readings import DAY_US, MINUTE_US, Reading
from mockexport.ingest.settings import DEFAULT_PRIORITY, Settings
from mockexport.ingest.snapshots import Wanted
from mockexport.ingest.store import Store

__all__ = ["DAY", "NOON_US", "Rates", "all_rows", "answer", "expected_minutes", "opened", "some", "write"]

DAY = 19_737  # 2024-01-15
NOON_US = DAY * DAY_US + DAY_US // 2

Rates = dict[tuple[str, str, int], int]


@contextmanager
def opened(folder: Path, disk: Disk | None = None, **arguments: Any) -> Iterator[Store]:
    """Open a store whose compaction runs only when it is called."""
    store = Store(Settings(data=folder), disk=disk, **arguments)
    try:
        yield store
    finally:
        store.close()


def write(store: Store, readings: Iterable[Reading]) -> None:
    """Store readings from outside any event loop."""
    asyncio.run(store.journal.write(list(readings)))


def some(
    count: int, *, user: str = "user", device: str = "device_a", start_us: int = NOON_US, step_us: int = 10**6
) -> list[Reading]:
    return [Reading(user, device, start_us + index * step_us, 60 + index % 100) for index in range(count)]


def rates_of(readings: Iterable[Reading]) -> Rates:
    return {(each.user_id, each.device_id, each.time_us): each.heart_rate for each in readings}


def all_rows(store: Store, first_day: int = DAY - 40, last_day: int = DAY + 40) -> Rates:
    """Return everything the store would answer with, one rate per key; a key twice is an error."""
    rows = store.queries.rows(Wanted(first_day * DAY_US, (last_day + 1) * DAY_US - 1))
    found: Rates = {}
    times = rows["timestamp"].to_physical().to_list()
    for user, device, time_us, rate in zip(rows["user_id"], rows["device_id"], times, rows["heart_rate"], strict=True):
        assert (user, device, time_us) not in found, "a reading twice"
        found[user, device, time_us] = rate
    return found


def answer(
    store: Store,
    user: str,
    first_us: int,
    last_us: int,
    device: str | None = None,
    priority: Mapping[str, int] = DEFAULT_PRIORITY,
) -> list[dict[str, object]]:
    minutes = store.queries.minutes(Wanted(first_us, last_us, user, device), priority)
    entries: list[dict[str, object]] = json.loads(b"[" + minutes.json() + b"]")
    return entries


def expected_minutes(
    rates: Rates,
    user: str,
    first_us: int,
    last_us: int,
    device: str | None = None,
    priority: Mapping[str, int] = DEFAULT_PRIORITY,
) -> list[dict[str, object]]:
    """Say the same from a dict, in plain Python: the reference that the queries are held to."""
    minutes: dict[int, dict[str, list[int]]] = {}
    for (owner, name, time_us), rate in rates.items():
        if owner == user and device in (None, name) and first_us <= time_us <= last_us:
            minutes.setdefault(time_us // MINUTE_US, {}).setdefault(name, []).append(rate)
    entries: list[dict[str, object]] = []
    for minute, devices in sorted(minutes.items()):
        best = min(devices, key=lambda name: (priority.get(name, 10**9), name))
        entries.append(
            {
                "timestamp": time_text(minute * MINUTE_US),
                "heart_rate": mean(devices[best]),
                "device_id": best,
            }
        )
    return entries


def mean(rates: Sequence[int]) -> int | float:
    hundredths = round(Fraction(100 * sum(rates), len(rates)))
    return hundredths // 100 if hundredths % 100 == 0 else hundredths / 100
