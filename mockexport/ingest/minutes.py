"""From readings to minute averages: whose device counts, and an exact mean. Pure Polars.

Within a minute the device of the highest priority that reported in it is used, and the mean is of its readings alone:
the device named is the device measured. Rates are whole numbers, so the mean is a division of integers, done exactly
and rounded half to even; no float takes part until the result is printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import polars as pl

from mockexport.ingest.columns import latest
from mockexport.ingest.readings import MINUTE_US

__all__ = ["Minutes", "exact_mean", "minute_means"]

# A device without a rank comes after all that have one; ranks are at most nine digits (see `parse_priority`).
_UNRANKED = 10**9


@dataclass(frozen=True, slots=True)
class Minutes:
    """Minute averages, ascending, as columns: the minute's start in text, hundredths of a beat, the device."""

    timestamps: list[str]
    hundredths: list[int]
    devices: list[str]

    def __len__(self) -> int:
        return len(self.timestamps)

    def __add__(self, later: "Minutes") -> "Minutes":
        """Append the minutes of a later span."""
        return Minutes(
            self.timestamps + later.timestamps, self.hundredths + later.hundredths, self.devices + later.devices
        )

    def entries(self) -> list[dict[str, object]]:
        """Return what the reply lists; a whole average is printed as an integer."""
        return [
            {"timestamp": time, "heart_rate": mean // 100 if mean % 100 == 0 else mean / 100, "device_id": device}
            for time, mean, device in zip(self.timestamps, self.hundredths, self.devices, strict=True)
        ]


def exact_mean(total: int, count: int) -> float | int:
    """Return total / count rounded half to even to two places: the reference for the expression below."""
    rounded = round(Fraction(total * 100, count))
    return rounded // 100 if rounded % 100 == 0 else rounded / 100


def minute_means(rows: pl.LazyFrame, priority: Mapping[str, int]) -> Minutes:
    """Reduce one user's rows (see `columns`) to one entry per minute that has any."""
    rank = (
        pl.col("device_id").replace_strict(dict(priority), default=_UNRANKED, return_dtype=pl.Int64)
        if priority
        else pl.lit(_UNRANKED)
    )
    hundred = pl.col("total") * 100
    doubled_rest = hundred % pl.col("count") * 2
    whole = hundred // pl.col("count")
    half_up = (doubled_rest > pl.col("count")) | ((doubled_rest == pl.col("count")) & (whole % 2 == 1))
    result = (
        latest(rows)
        .group_by(minute=pl.col("timestamp").to_physical() // MINUTE_US, device_id=pl.col("device_id"))
        .agg(total=pl.col("heart_rate").cast(pl.Int64).sum(), count=pl.len().cast(pl.Int64))
        .with_columns(rank=rank)
        .sort("minute", "rank", "device_id")
        .unique("minute", keep="first", maintain_order=True)
        .select(
            (pl.col("minute") * MINUTE_US).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("timestamp"),
            (whole + half_up.cast(pl.Int64)).alias("hundredths"),
            "device_id",
        )
        .collect()
    )
    return Minutes(result["timestamp"].to_list(), result["hundredths"].to_list(), result["device_id"].to_list())
