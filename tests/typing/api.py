"""The public names as a user's type checker sees them. mypy reads this file with all others; nothing runs it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import mockexport
from mockexport.events import DownloadFinished, Event
from mockexport.model import VerdictKind
from mockexport.pipeline.run import RunStatistics
from mockexport.pipeline.streams import ByteStream, StartOver
from mockexport.reducers import pack_state, unpack_state
from mockexport.report.account import DownloadAccount
from mockexport.sources.folder import Folder
from mockexport.sources.scripted import Scripted


class Longest:
    """A reducer of a user's, which inherits nothing: the longest patient id, as a number of characters."""

    fingerprint = "longest 1"

    def empty(self) -> int:
        return 0

    def update(self, state: int, batch: mockexport.Batch) -> int:
        return max([state, *map(len, batch.patient_ids)])

    def merge(self, earlier: int, later: int) -> int:
        return max(earlier, later)

    def dump(self, state: int) -> bytes:
        return b"%d" % state

    def load(self, data: bytes) -> int:
        return int(data)

    def result(self, state: int) -> mockexport.Result[str]:
        return mockexport.Result({}, {"longest": str(state)})


class Spread(mockexport.GroupReducer[list[int], float]):
    """A reducer of a user's, row by row."""

    fingerprint = "spread 1"

    def start(self) -> list[int]:
        return []

    def add(self, group: list[int], row: mockexport.Row) -> list[int]:
        return self.combine(group, [row.value])

    def combine(self, earlier: list[int], later: list[int]) -> list[int]:
        both = [*earlier, *later]
        return [min(both), max(both)]

    def finish(self, group: list[int]) -> float:
        return (group[1] - group[0]) / 10**18


def listen(event: Event) -> None:
    if isinstance(event, DownloadFinished):
        assert_type(event.verdict, mockexport.Verdict)
        assert_type(event.verdict.kind, VerdictKind)


async def analysing() -> None:
    report = await mockexport.analyze("small", url="http://127.0.0.1:8000", concurrency=2, listener=listen)
    assert_type(report, mockexport.Report[mockexport.Statistics])
    assert_type(report.totals, Mapping[str, mockexport.Statistics])
    assert_type(report.patients["S001"]["spo2"].latency, float | None)
    assert_type(report.totals["spo2"].count, int)
    assert_type(report.incomplete, tuple[str, ...])
    assert_type(report.counts(), mockexport.Report[int])
    assert_type(report.to_json(round_to=2), str)
    assert_type(report.account.downloads[0], DownloadAccount)

    own = await mockexport.analyze(folder=Path("files"), reducer=Longest(), schema=mockexport.Schema(value="valuenum"))
    assert_type(own, mockexport.Report[str])
    counts = await mockexport.analyze("demo", reducer=mockexport.Counts(), retry=mockexport.RetryPolicy(attempts=2))
    assert_type(counts, mockexport.Report[int])

    named = await mockexport.analyze("demo", reducer=mockexport.Selection(["count", "p95"]))
    assert_type(named.totals["bp_sys"]["p95"], int | float | str | dict[str, int] | None)
    asked = mockexport.Filter.of(since="2025-08-26", patients=["P001"])
    spread = await mockexport.analyze("demo", reducer=Spread(), filter=asked)
    assert_type(spread, mockexport.Report[float])
    for row in report.rows(totals=True):
        assert_type(row, dict[str, Any])


def without_asyncio() -> None:
    assert_type(mockexport.run("demo"), mockexport.Report[mockexport.Statistics])
    assert_type(mockexport.run("demo", reducer=mockexport.Counts()), mockexport.Report[int])


async def the_parts(source: mockexport.Source, reducer: mockexport.Reducer[int, str]) -> None:
    pipeline = mockexport.Pipeline(source, reducer, concurrency=1)
    outcome = await pipeline.run("demo")
    assert_type(outcome.result(), mockexport.Result[Any])
    assert_type(pipeline.statistics(), RunStatistics)
    assert_type(unpack_state(reducer, pack_state(reducer, 1)), int)

    export = await source.discover("demo")
    assert_type(export, mockexport.Export)
    assert_type(export.downloads, tuple[mockexport.Download, ...])
    stream = source.stream("demo", export.downloads[0])
    async for piece in stream.pieces():
        if isinstance(piece, bytes):
            assert_type(piece, bytes)
        elif isinstance(piece, StartOver):
            assert_type(piece.reason, str)


def what_is_a_source(api: mockexport.ExportApi, folder: Folder, scripted: Scripted) -> None:
    sources: list[mockexport.Source] = [api, folder, scripted]
    reducers: list[mockexport.Reducer[int, str]] = [Longest()]
    streams: list[ByteStream] = [source.stream("x", mockexport.Download("a")) for source in sources]
    del reducers, streams


async def serving() -> None:
    async with mockexport.MockServer(faults={"reset": 0.2}, seed=7) as server:
        assert_type(server.url, str)
        assert_type(server.faults, mockexport.Faults)
        assert_type(server.ca_file, Path | None)
        assert_type(server.requests[0].range, str | None)
    script: list[dict[str, object]] = [{"download": 2, "kind": "cut", "at": 4096, "times": "always"}]
    mockexport.MockServer(faults=script, tls=True, exports={"ward": "tables", "more": [Path("a.csv"), "b.csv"]})
