"""The export API over what is stored: one export, `heart-rate`, a download per day, for our own pipeline to analyse.

A download's id names a snapshot: the day and the highest sequence number in it. Its rows are the readings up to that
number, one per key, in time order. Compaction keeps what is needed to tell (see `columns`), so the same id gives the
same bytes as long as the data folder lives, however many devices write meanwhile; nothing is held for a slow client.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

import polars as pl
from fastapi import APIRouter, Response
from fastapi.responses import StreamingResponse

from mockexport.ingest.documents import Detail, DownloadIds, DownloadMetadata, ExportIds
from mockexport.ingest.errors import NothingThere, day_text
from mockexport.ingest.queries import Queries
from mockexport.ingest.readings import DAY_US
from mockexport.ingest.replies import BadId, json_reply
from mockexport.ingest.snapshots import Wanted
from mockexport.ingest.store import Store

__all__ = ["EXPORT_ID", "SnapshotId", "cut", "router"]

EXPORT_ID = "heart-rate"
_EVENT_TYPE = "heart_rate"
_HEADER = b"patient_id,event_time,event_type,value\n"
# A slice of a day that is worked on at once: some forty megabytes as columns and text together.
_ROWS_AT_ONCE = 250_000
# What such a slice costs, in rows of a question for minutes (see `lanes`): sorted and printed, it is always a long one.
_ROWS_COST = 4 * _ROWS_AT_ONCE
_PIECE_BYTES = 64 << 10
# Metadata of a snapshot never changes, so the last few are kept: a page and a client ask for the same ones.
_KEPT_METADATA = 512

_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE | re.ASCII)
_ID = re.compile(r"(\d{4})(\d\d)(\d\d)-0000-8000-8000-([0-9a-f]{12})", re.ASCII)


@dataclass(frozen=True, slots=True)
class SnapshotId:
    """A day and a sequence number, written as a UUID (RFC 9562, version 8): the date in its first eight digits."""

    day: int
    seq: int

    def __str__(self) -> str:
        return f"{day_text(self.day).replace('-', '')}-0000-8000-8000-{self.seq:012x}"

    @classmethod
    def parse(cls, text: str) -> "SnapshotId":
        """Read an id.

        Raises:
            BadId: it is no UUID.
            NothingThere: it is one, but never one of ours.
        """
        if not _UUID.fullmatch(text):
            raise BadId
        match = _ID.fullmatch(text.lower())
        if match is None:
            raise NothingThere("Download not found")
        year, month, day, seq = match.groups()
        try:
            days = (date(int(year), int(month), int(day)) - date(1970, 1, 1)).days
        except ValueError:
            raise NothingThere("Download not found") from None
        return cls(days, int(seq, 16))

    @property
    def wanted(self) -> Wanted:
        """Which readings the snapshot holds."""
        return Wanted(self.day * DAY_US, (self.day + 1) * DAY_US - 1, up_to_seq=self.seq)


def cut(wanted: Wanted, rows: int, at_once: int) -> list[Wanted]:
    """Cut a time span into equal pieces of about `at_once` rows each. Pure."""
    pieces = max(1, -(-rows // at_once))
    span = wanted.last_us - wanted.first_us + 1
    edges = [wanted.first_us + span * index // pieces for index in range(pieces + 1)]
    return [replace(wanted, first_us=first, last_us=end - 1) for first, end in pairwise(edges)]


def _csv(rows: pl.DataFrame) -> bytes:
    """Return rows as the export API's CSV; the fraction of a second is six digits, or absent when it is zero."""
    time = pl.col("timestamp")
    text = (
        pl.when(time.to_physical() % 10**6 == 0)
        .then(time.dt.strftime("%Y-%m-%dT%H:%M:%SZ"))
        .otherwise(time.dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))
    )
    columns = rows.select(
        pl.col("user_id").alias("patient_id"),
        text.alias("event_time"),
        pl.lit(_EVENT_TYPE).alias("event_type"),
        pl.col("heart_rate").alias("value"),
    )
    return columns.write_csv(include_header=False, quote_style="necessary").encode("utf-8")


def _describe(queries: Queries, snapshot: SnapshotId) -> dict[str, object]:
    rows = 0
    patients: set[str] = set()
    for piece in cut(snapshot.wanted, queries.size(snapshot.day), _ROWS_AT_ONCE):
        frame = queries.rows(piece)
        rows += frame.height
        patients.update(frame["user_id"].unique())
    return {
        "id": str(snapshot),
        "rows": rows,
        "event_types": [_EVENT_TYPE] if rows else [],
        "patients": sorted(patients),
        "start_time": f"{day_text(snapshot.day)}T00:00:00",
        "end_time": f"{day_text(snapshot.day + 1)}T00:00:00",
    }


class _Bridge:
    """The four questions of the export API, put to a store."""

    def __init__(self, store: Store) -> None:
        self._queries, self._lanes = store.queries, store.queries.lanes
        self._kept: dict[SnapshotId, dict[str, object]] = {}
        self._describing = asyncio.Lock()

    async def downloads(self) -> list[str]:
        days = await self._lanes.plan(self._queries.days)
        return [str(SnapshotId(day, seq)) for day, seq in days.highest.items()]

    async def described(self, text: str) -> tuple[SnapshotId, dict[str, object]]:
        """Return the snapshot that an id names, and its metadata.

        Raises:
            NothingThere: it was never one, or something of it was deleted since.
        """
        snapshot = SnapshotId.parse(text)
        days = await self._lanes.plan(self._queries.days)
        day, seq, deleted_at = snapshot.day, snapshot.seq, days.deleted_at(snapshot.day)
        # A number that was not given yet would name rows that are still to come.
        if not 0 < seq <= days.last_seq or day not in days.highest or seq < days.erased.get(day, 0):
            raise NothingThere("Download not found")
        if seq < deleted_at:
            # It may have lost something just now: to be looked at again.
            self._kept.pop(snapshot, None)
        if snapshot not in self._kept:
            async with self._describing:
                size = await self._lanes.plan(self._queries.size, day)
                found = await self._lanes.run(_ROWS_COST + size, _describe, self._queries, snapshot)
            # All of a day may be deleted and not yet gone from the files: until then it is listed, and empty.
            if not found["rows"] and not deleted_at:
                raise NothingThere("Download not found")
            if len(self._kept) >= _KEPT_METADATA:
                self._kept.pop(next(iter(self._kept)))
            self._kept[snapshot] = found
        return snapshot, self._kept[snapshot]

    async def csv(self, pieces: Sequence[Wanted], first: bytes) -> AsyncIterator[bytes]:
        yield _HEADER
        data = first
        for index in range(len(pieces)):
            if index:
                data = await self.slice(pieces[index])
            for offset in range(0, len(data), _PIECE_BYTES):
                yield data[offset : offset + _PIECE_BYTES]

    async def slice(self, piece: Wanted) -> bytes:
        return await self._lanes.run(_ROWS_COST, lambda: _csv(self._queries.rows(piece)))

    async def begin(self, snapshot: SnapshotId) -> StreamingResponse:
        size = await self._lanes.plan(self._queries.size, snapshot.day)
        pieces = cut(snapshot.wanted, size, _ROWS_AT_ONCE)
        # Before the status is sent, so that damage is a 503 and not a body that breaks off.
        first = await self.slice(pieces[0])
        return StreamingResponse(self.csv(pieces, first), media_type="text/csv; charset=utf-8")


def router(store: Callable[[], Store]) -> APIRouter:
    """Return the routes; `store` gives the open store."""
    routes = APIRouter(prefix="/api/export", tags=["export API"])
    bridges: dict[int, _Bridge] = {}

    def bridge() -> _Bridge:
        opened = store()
        if id(opened) not in bridges:
            bridges.clear()
            bridges[id(opened)] = _Bridge(opened)
        return bridges[id(opened)]

    def check_export(export_id: str) -> None:
        if export_id != EXPORT_ID:
            raise NothingThere("Export not found")

    missing: dict[int | str, dict[str, Any]] = {404: {"model": Detail}, 503: {"model": Detail}}
    one: dict[int | str, dict[str, Any]] = {**missing, 422: {"model": Detail}}

    @routes.get("", response_model=ExportIds, responses={503: {"model": Detail}})
    async def exports() -> Response:
        return json_reply({"data": {"export_ids": [EXPORT_ID]}})

    @routes.get("/{export_id}", response_model=DownloadIds, responses=missing)
    async def downloads(export_id: str) -> Response:
        check_export(export_id)
        return json_reply({"data": {"id": export_id, "download_ids": await bridge().downloads()}})

    @routes.get("/{export_id}/{download_id}", response_model=DownloadMetadata, responses=one)
    async def metadata(export_id: str, download_id: str) -> Response:
        check_export(export_id)
        return json_reply({"data": (await bridge().described(download_id))[1]})

    @routes.get(
        "/{export_id}/{download_id}/data",
        response_class=Response,
        responses={**one, 200: {"content": {"text/csv": {"schema": {"type": "string"}}}}},
    )
    async def data(export_id: str, download_id: str) -> Response:
        check_export(export_id)
        snapshot, _ = await bridge().described(download_id)
        return await bridge().begin(snapshot)

    return routes
