"""Rows as columns: out of SQLite, out of Parquet, and the rules by which rows of one key become one. Polars, no I/O.

A reading in a frame is `user_id`, `device_id`, `timestamp` (microseconds, UTC), `heart_rate` and `seq`. Of several with
one key (user, device, timestamp) the highest sequence wins. A reading sent again with the same rate adds nothing and is
dropped when files are merged; one with another rate is kept beside the earlier one, so that what was true at a sequence
number stays reproducible: the snapshots of the bridge rest on that.
"""

from collections.abc import Mapping, Sequence
from io import BytesIO

import msgspec
import polars as pl

from mockexport.ingest.catalogue import DayRows
from mockexport.ingest.checksums import row_checksum_polars
from mockexport.ingest.errors import Damaged
from mockexport.ingest.holders import holders_of
from mockexport.ingest.periods import Period
from mockexport.ingest.publishing import ParquetBytes
from mockexport.ingest.readings import DAY_US

__all__ = [
    "JOURNAL_COLUMNS",
    "KEY",
    "SCHEMA",
    "day_number",
    "encode",
    "highest_by_day",
    "journal_frame",
    "latest",
    "merged",
    "named",
]

SCHEMA: dict[str, pl.DataType] = {
    "user_id": pl.String(),
    "device_id": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "heart_rate": pl.Int16(),
    "seq": pl.Int64(),
}
KEY = ("user_id", "timestamp", "device_id")

JOURNAL_COLUMNS = ("seq", "stream", "time_us", "heart_rate", "checksum")

# One user's day of readings once a second from two devices is three of these; a query reads little else.
_ROW_GROUP_ROWS = 32_768


def journal_frame(columns: Sequence[str]) -> pl.DataFrame:
    """Make a frame of `JOURNAL_COLUMNS` as SQLite gives them: one JSON list per column.

    Raises:
        Damaged: a row is not what was written; names its day.
    """
    try:
        lists = [msgspec.json.decode(column, type=list[int]) for column in columns]
    except msgspec.ValidationError:
        raise Damaged([], "a journal row") from None
    frame = pl.DataFrame(
        [pl.Series(name, values, pl.Int64) for name, values in zip(JOURNAL_COLUMNS, lists, strict=True)]
    )
    bad = frame.filter(pl.col("checksum") != row_checksum_polars())
    if bad.height:
        raise Damaged((bad["time_us"] // DAY_US).to_list(), "a journal row")
    return frame


def named(frame: pl.DataFrame, streams: pl.DataFrame) -> pl.DataFrame:
    """Replace the number of a stream by its user and device."""
    return frame.join(streams, on="stream", how="inner").select(
        "user_id",
        "device_id",
        pl.col("time_us").cast(SCHEMA["timestamp"]).alias("timestamp"),
        pl.col("heart_rate").cast(SCHEMA["heart_rate"]),
        "seq",
    )


def _same_key(shift: int) -> pl.Expr:
    """Tell whether the row `shift` places before has the same key; the rows are sorted."""
    return pl.all_horizontal(pl.col(name) == pl.col(name).shift(shift) for name in KEY).fill_null(value=False)


def latest(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Return one row per key, that of the highest sequence, sorted by user, time and device."""
    return rows.sort(*KEY, "seq").filter(~_same_key(-1))


def merged(stored: Sequence[pl.DataFrame], arrived: pl.DataFrame) -> tuple[pl.DataFrame, int, int]:
    """Merge stored rows with those from the journal, in the order in which a file holds them.

    Returns:
        The rows to store, and how many of those that arrived repeated or contradicted a stored one.
    """
    frames = [frame.with_columns(arrived=pl.lit(value=False)) for frame in stored]
    frames.append(arrived.with_columns(arrived=pl.lit(value=True)))
    rows = (
        pl.concat(frames)
        .sort(*KEY, "seq")
        .with_columns(
            again=_same_key(1),
            repeats=_same_key(1) & (pl.col("heart_rate") == pl.col("heart_rate").shift(1)),
            # Against one another the journal's rows were judged when they came in.
            news=pl.col("arrived") & ~pl.col("arrived").shift(1),
        )
    )
    duplicates = rows.filter("news", "repeats").height
    conflicts = rows.filter("news", "again", ~pl.col("repeats")).height
    return rows.filter(~pl.col("repeats")).select(*SCHEMA), duplicates, conflicts


def highest_by_day(rows: pl.DataFrame) -> dict[int, int]:
    """Return the highest sequence number of each day."""
    found = rows.group_by(day_number()).agg(pl.col("seq").max())
    return dict(zip(found["day"].to_list(), found["seq"].to_list(), strict=True))


def day_number() -> pl.Expr:
    """Return the expression for the day number of a reading."""
    return (pl.col("timestamp").to_physical() // DAY_US).alias("day")


def encode(period: Period, rows: pl.DataFrame, highest: Mapping[int, int], erased_seq: int) -> ParquetBytes:
    """Encode rows of one period, sorted as `merged` returns them.

    `highest` has the highest sequence number that went into each of its days: also those of repeated readings, which
    were dropped, since a snapshot of the bridge may have been named by one.
    """
    buffer = BytesIO()
    rows.write_parquet(buffer, compression="zstd", row_group_size=_ROW_GROUP_ROWS, statistics=True)
    times = rows["timestamp"].to_physical()
    days = rows.group_by(day_number()).len().sort("day")
    users = rows["user_id"].unique()
    held = [DayRows(day, count, highest[day]) for day, count in days.iter_rows()]
    return ParquetBytes(
        period=period,
        data=buffer.getvalue(),
        rows=rows.height,
        first_us=int(times.min()),  # type: ignore[arg-type]  # an integer column that is not empty
        last_us=int(times.max()),  # type: ignore[arg-type]
        highest_seq=max(each.highest_seq for each in held),
        erased_seq=erased_seq,
        days=msgspec.json.encode(held).decode(),
        users=len(users),
        holders=holders_of(users),
    )
