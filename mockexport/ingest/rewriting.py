"""What becomes of files when rows arrive, days are joined or split, and readings are deleted. No thread, no commit.

Everything here publishes new files and says which ones they replace (`Change`); only the caller's transaction puts that
into effect. Until then the new files are in no list, and what failed halfway is removed at the next start.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from mockexport.ingest.catalogue import Catalogue, StoredFile
from mockexport.ingest.columns import SCHEMA, day_number, encode, highest_by_day, merged
from mockexport.ingest.deletions import DELETED_BY, Deletion, with_deletions
from mockexport.ingest.disk import Disk
from mockexport.ingest.periods import SPLIT_ROWS, Period, spread
from mockexport.ingest.publishing import publish

__all__ = ["MAX_FILE_ROWS", "Change", "Rewriter", "to_merge"]

# A file of this size is not merged any further: the cost of a merge stays bounded, and ten million readings of one day
# are five files and a few small ones.
MAX_FILE_ROWS = 2_000_000
# A file is merged with what is at least this fraction of it, so that every row is rewritten a few times at most.
_GROWTH = 4


def to_merge(rows: Sequence[int], arrived: int) -> int:
    """Decide how many of a period's newest files are merged with new rows; `rows` are the files', oldest first."""
    total, count = arrived, 0
    for size in reversed(rows):
        if size > _GROWTH * total or size + total > MAX_FILE_ROWS:
            break
        total, count = total + size, count + 1
    return count


@dataclass(slots=True)
class Change:
    """Files that were written and those they replace, to be put into effect at once; and what was met on the way."""

    added: list[StoredFile] = field(default_factory=list)
    dropped: list[StoredFile] = field(default_factory=list)
    # By day, the number of the last deletion by which rows were left out.
    erased: dict[int, int] = field(default_factory=dict)
    duplicates: int = 0
    conflicts: int = 0


class Rewriter:
    """Rewrites files. `deletions` are those that are pending: what they hide goes with every rewriting."""

    def __init__(self, catalogue: Catalogue, disk: Disk, deletions: Sequence[Deletion], keep_from_us: int) -> None:
        self.deletions: Sequence[Deletion] = deletions
        self._catalogue, self._disk = catalogue, disk
        self._keep_from_us = keep_from_us
        self._erased_seq = deletions[-1].seq if deletions else 0

    def arrive(self, period: Period, files: Sequence[StoredFile], arrived: pl.DataFrame, change: Change) -> None:
        """Store rows that arrived for a period; `files` are all that lie within it, oldest first."""
        joins = any(file.period != period for file in files)
        sound = self._newest_sound(files)
        rows = arrived.height + sum(file.rows for file in sound)
        splits = not period.is_day and rows > SPLIT_ROWS and len(sound) == len(files)
        count = len(sound) if joins or splits else to_merge([file.rows for file in sound], arrived.height)
        self._replace(period, sound[len(sound) - count :], arrived, change, splits=splits)

    def join(self, period: Period, files: Sequence[StoredFile], change: Change) -> None:
        """Make one of all files that lie within a period."""
        self._replace(period, files, pl.DataFrame(schema=SCHEMA), change)

    def sift(self, file: StoredFile, change: Change) -> None:
        """Rewrite one file without what is deleted or too old."""
        if file.last_us >= self._keep_from_us:
            self._replace(file.period, [file], pl.DataFrame(schema=SCHEMA), change)
        else:
            change.dropped.append(file)

    def may_join(self, files: Sequence[StoredFile]) -> bool:
        """Tell whether files can be rewritten: a damaged one stays listed and is left alone until somebody looks."""
        return all(self._catalogue.is_sound(file) for file in files)

    def _newest_sound(self, files: Sequence[StoredFile]) -> list[StoredFile]:
        """Return the files that are newer than any damaged one.

        Merged across a damaged file, a reading that contradicts one of its own would be taken for a repeated one.
        """
        sound: list[StoredFile] = []
        for file in reversed(files):
            if not self._catalogue.is_sound(file):
                break
            sound.insert(0, file)
        return sound

    def _replace(
        self,
        period: Period,
        replaced: Sequence[StoredFile],
        arrived: pl.DataFrame,
        change: Change,
        *,
        splits: bool = False,
    ) -> None:
        stored = [self._read(file, change) for file in replaced]
        rows, duplicates, conflicts = merged(stored, arrived)
        highest = highest_by_day(arrived)
        for file in replaced:
            for each in file.day_rows():
                highest[each.day] = max(each.highest_seq, highest.get(each.day, 0))
        counts = rows.group_by(day_number()).len().sort("day")
        by_day = dict(zip(counts["day"].to_list(), counts["len"].to_list(), strict=True))
        large = splits and rows.height > SPLIT_ROWS
        for part in spread(period, by_day) if large else [period]:
            held = rows.filter(day_number().is_between(part.first_day, part.last_day)) if large else rows
            if held.height:
                content = encode(part, held, highest, self._erased_seq)
                change.added.append(publish(content, self._catalogue.folder, self._disk))
        change.dropped += replaced
        change.duplicates += duplicates
        change.conflicts += conflicts

    def _read(self, file: StoredFile, change: Change) -> pl.DataFrame:
        (path,) = self._catalogue.verified([file])
        rows = pl.read_parquet(path, schema=SCHEMA, hive_partitioning=False, glob=False)
        if file.first_us < self._keep_from_us:
            rows = rows.filter(pl.col("timestamp").to_physical() >= self._keep_from_us)
        mine = [each for each in self.deletions if each.seq > file.erased_seq]
        if mine:
            marked = with_deletions(rows.lazy(), mine).collect()
            gone = marked.filter(pl.col(DELETED_BY).is_not_null())
            for day, seq in gone.group_by(day_number()).agg(pl.col(DELETED_BY).max()).iter_rows():
                change.erased[day] = max(seq, change.erased.get(day, 0))
            rows = marked.filter(pl.col(DELETED_BY).is_null()).select(*SCHEMA)
        return rows
