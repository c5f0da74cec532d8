"""From readings to minute averages: whose device counts, and an exact mean. Pure Polars.

Within a minute the device of the highest priority that reported in it is used, and the mean is of its readings alone:
the device named is the device measured. Rates are whole numbers, so the mean is a division of integers, done exactly
and rounded half to even; no float takes part until the result is printed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

import msgspec
import polars as pl

from mockexport.ingest.readings import MINUTE_US

__all__ = ["Minutes", "exact_mean", "minute_means"]

_SCHEMA = {"minute": pl.Int64(), "hundredths": pl.Int64(), "device_id": pl.String()}
_STAMP = (pl.col("minute") * MINUTE_US).cast(pl.Datetime("us")).dt.strftime("%Y-%m-%dT%H:%M:%SZ")
# In as few digits as it takes, as JSON's numbers are usually printed: 70, 70.5, 70.12.
_CENTS = pl.col("hundredths") % 100
_RATE = (pl.col("hundredths") // 100).cast(pl.String) + (
    pl.when(_CENTS == 0)
    .then(pl.lit(""))
    .when(_CENTS % 10 == 0)
    .then(pl.lit(".") + (_CENTS // 10).cast(pl.String))
    .otherwise(pl.lit(".") + _CENTS.cast(pl.String).str.zfill(2))
)

# A device without a rank comes after all that have one; ranks are at most nine digits (see `parse_priority`).
_UNRANKED = 10**9


@dataclass(frozen=True, slots=True)
class Minutes:
    """Minute averages, ascending, as columns: the minute (counted from 1970), hundredths of a beat, the device."""

    frame: pl.DataFrame

    @classmethod
    def none(cls) -> "Minutes":
        """Return no minutes."""
        return cls(pl.DataFrame(schema=_SCHEMA))

    def __len__(self) -> int:
        return self.frame.height

    def __add__(self, later: "Minutes") -> "Minutes":
        """Append the minutes of a later span."""
        return Minutes(pl.concat([self.frame, later.frame], rechunk=False)) if len(self) else later

    def minute(self, place: int) -> int:
        """Return the number of the minute at a place."""
        return int(self.frame["minute"][place])

    def first(self, count: int) -> "Minutes":
        """Return the first `count`."""
        return Minutes(self.frame.head(count))

    def slice(self, offset: int, count: int) -> "Minutes":
        """Return `count` from a place on."""
        return Minutes(self.frame.slice(offset, count))

    def json(self) -> bytes:
        """Return what the reply lists, without its brackets; a whole average is printed as an integer."""
        devices = self.frame["device_id"].unique()
        quoted = [msgspec.json.encode(device).decode() for device in devices]
        text = pl.concat_str(
            pl.lit('{"timestamp":"'),
            _STAMP,
            pl.lit('","heart_rate":'),
            _RATE,
            pl.lit(',"device_id":'),
            pl.col("device_id").replace_strict(devices, quoted, return_dtype=pl.String),
            pl.lit("}"),
        )
        joined = self.frame.lazy().select(text.str.join(",")).collect().item()
        return str(joined or "").encode("utf-8")

    def csv(self) -> bytes:
        """Return the rows as CSV (RFC 4180), without a header."""
        rows = self.frame.lazy().select(_STAMP.alias("timestamp"), _RATE.alias("heart_rate"), "device_id").collect()
        return rows.write_csv(include_header=False, quote_style="necessary").encode("utf-8")


def exact_mean(total: int, count: int) -> float | int:
    """Return total / count rounded half to even to two places: the reference for the expression below."""
    rounded = round(Fraction(total * 100, count))
    return rounded // 100 if rounded % 100 == 0 else rounded / 100


def minute_means(rows: pl.LazyFrame, priority: Mapping[str, int]) -> Minutes:
    """Reduce one user's rows (see `columns`) of some weeks at most to one entry per minute that has any."""
    found = rows.select("device_id", "heart_rate", "seq", time_us=pl.col("timestamp").to_physical()).collect()
    if found.height == 0:
        return Minutes.none()
    # Comparing texts would be most of the work, so a device is a number here: its place among the names.
    names = sorted(found["device_id"].unique())
    number = pl.col("device_id").cast(pl.Enum(names)).to_physical().cast(pl.Int64)
    readings = _latest(found.select("time_us", "heart_rate", "seq", device=number), len(names))
    ranks = [(priority.get(name, _UNRANKED), name) for name in names]
    preference = [sorted(ranks).index(rank) for rank in ranks]

    hundred = pl.col("total") * 100
    doubled_rest = hundred % pl.col("count") * 2
    whole = hundred // pl.col("count")
    half_up = (doubled_rest > pl.col("count")) | ((doubled_rest == pl.col("count")) & (whole % 2 == 1))
    result = (
        readings.lazy()
        .group_by(minute=pl.col("time_us") // MINUTE_US, device=pl.col("device"))
        .agg(total=pl.col("heart_rate").cast(pl.Int64).sum(), count=pl.len().cast(pl.Int64))
        .with_columns(rank=pl.col("device").replace_strict(range(len(names)), preference, return_dtype=pl.Int64))
        .sort("minute", "rank")
        .unique("minute", keep="first", maintain_order=True)
        .select(
            "minute",
            (whole + half_up.cast(pl.Int64)).alias("hundredths"),
            pl.col("device").replace_strict(range(len(names)), names, return_dtype=pl.String).alias("device_id"),
        )
        .collect()
    )
    return Minutes(result)


def _latest(readings: pl.DataFrame, devices: int) -> pl.DataFrame:
    """Keep one reading per time and device, that of the highest sequence; the order is not kept."""
    first, last = readings["time_us"].min(), readings["time_us"].max()
    if not isinstance(first, int) or not isinstance(last, int):
        return readings
    order = ["time_us", "device", "seq"]
    if (last - first + 1) * devices < 1 << 63:
        # Time and device as one number: sorting by one column is ten times as fast as by three, and nearly always no
        # reading was sent twice, so that nothing is left to decide.
        readings = readings.with_columns(key=(pl.col("time_us") - first) * devices + pl.col("device")).sort("key")
        if not (readings["key"].diff() == 0).any():
            return readings
        order = ["key", "seq"]
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift(-1) for name in order[:-1])
    return readings.sort(order).filter(~again.fill_null(value=False))
