"""Makes a data folder that holds many readings, by the service's own rooms, faster than by posting them."""

from pathlib import Path

import polars as pl

from mockexport.ingest.catalogue import READINGS_FOLDER, add_files
from mockexport.ingest.columns import KEY, SCHEMA, encode
from mockexport.ingest.disk import RealDisk
from mockexport.ingest.periods import Period
from mockexport.ingest.publishing import publish
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.settings import Settings
from mockexport.ingest.store import Store

__all__ = ["FIRST_DAY", "fill"]

FIRST_DAY = 19_737  # 2024-01-15


def fill(data: Path, days: int, users: int, readings_per_user: int = 86_400) -> int:
    """Store so many days of so many users, each with two devices that take turns; return how many readings."""
    store = Store(Settings(data=data))
    total = 0
    step_us = DAY_US // readings_per_user
    for day in range(FIRST_DAY, FIRST_DAY + days):
        place = pl.int_range(0, users * readings_per_user, eager=True)
        turn = place % readings_per_user
        rows = pl.DataFrame(
            {
                "user_id": "user_" + (place // readings_per_user).cast(pl.String).str.zfill(3),
                "device_id": pl.select(
                    pl.when(pl.lit(turn) % 2 == 0).then(pl.lit("device_a")).otherwise(pl.lit("device_b"))
                ).to_series(),
                "timestamp": (day * DAY_US + turn * step_us).cast(SCHEMA["timestamp"]),
                "heart_rate": (60 + (turn * 7 % 83)).cast(pl.Int16),
                "seq": total + 1 + place,
            }
        ).sort(*KEY, "seq")
        total += rows.height
        file = publish(encode(Period(day, day), rows, {day: total}, 0), data / READINGS_FOLDER, RealDisk())
        store.journal.run(lambda connection, file=file: add_files(connection, [file]))  # type: ignore[misc]
    store.close()
    return total
