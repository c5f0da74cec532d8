"""A schedule: a small export, a run's options and faults at random points, all of it from one seed, played and judged.

The law: the report's bytes are those of an undisturbed run over the downloads that count, what does not count is listed
as incomplete and says why, and nothing is left behind. Where the schedule interrupts the run, the run that goes on from
its checkpoint is held to the same. Where the content changes meanwhile, each download is of one version, and, as far as
the server tells them apart, of none that was gone when the last run began.
"""

import asyncio
import itertools
import json
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from mockexport.engine.reference import ReferenceFold
from mockexport.errors import TransferError
from mockexport.formats import Cutter
from mockexport.formats.schema import Schema
from mockexport.model import Download, Span, VerdictKind
from mockexport.pipeline.checkpoint import Belonging, Checkpoint, Saved, from_bytes, to_bytes
from mockexport.pipeline.run import Pipeline
from mockexport.reducers import Summary
from mockexport.reducers.summary import SummaryState
from mockexport.report.account import Account
from mockexport.report.report import Report
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.server.faults import Faults
from mockexport.server.kinds import KINDS
from tests.faults.clock import run
from tests.faults.memory import MemorySource, edited, versioned

# A length that lies shows in rows that lack, but for one that ends inside the last value's digits: that shows nowhere.
DRAWN = sorted({*KINDS} - {"short-length"})

__all__ = ["MemoryCheckpoint", "Schedule", "expected", "export_of", "play", "report_of"]

START_S = 1000.0  # of the virtual loop
HEADER = b"patient_id,event_time,event_type,value\n"


class MemoryCheckpoint(Checkpoint):
    """A checkpoint whose file is in memory; each save goes through its bytes."""

    def __init__(self) -> None:
        super().__init__("memory")
        self.data: bytes | None = None
        self.history: list[bytes] = []

    def load(self, belonging: Belonging) -> Saved:
        return Saved() if self.data is None else from_bytes(self.data, belonging)

    def save(self, belonging: Belonging, saved: Saved) -> None:
        self.data = to_bytes(belonging, saved)
        self.history.append(self.data)

    def remove(self) -> None:
        self.data = None


@dataclass(frozen=True)
class Schedule:
    """What a seed means; `cancel_at` lists the steps at which runs are interrupted, one after the other.

    Times are of the loop, in each run anew: when the server is gone, or answers 429, and when its bodies change.
    """

    seed: int
    bodies: dict[Download, bytes]
    probabilities: dict[str, float]
    attempts: int | None
    compress: bool
    etags: bool
    concurrency: int
    chunk_bytes: int
    piece_bytes: int
    cancel_at: tuple[int, ...]
    split: int | None
    dates: bool
    outages: tuple[tuple[float, float], ...]
    slow_downs: tuple[tuple[float, float], ...]
    changes_at: tuple[float, ...]

    @classmethod
    def of(cls, seed: int) -> "Schedule":
        draw = random.Random(seed)
        gone, slow = (tuple(_while(draw, lengths_s)) for lengths_s in ((1, 8, 45), (2, 20)))
        kinds = draw.sample(DRAWN, draw.randint(1, 6))
        share = draw.choice((0.3, 0.6, 0.9)) / len(kinds)
        return cls(
            seed=seed,
            bodies=export_of(draw, draw.randint(1, 4), 25),
            probabilities=dict.fromkeys(kinds, share),
            attempts=draw.choice((None, None, 2, 4, 8)),
            compress=draw.random() < 0.2,
            etags=draw.random() < 0.8,
            concurrency=draw.randint(1, 4),
            chunk_bytes=draw.choice((1, 50, 300, 10_000)),
            piece_bytes=draw.choice((7, 60, 1000)),
            cancel_at=tuple(draw.randint(2, 120) for _ in range(draw.choice((0, 0, 1, 2, 3)))),
            split=draw.choice((None, None, 50, 200)),
            dates=draw.random() < 0.5,
            outages=gone,
            slow_downs=slow,
            changes_at=tuple(START_S + draw.uniform(0, 0.3) for _ in range(draw.choice((0, 0, 0, 1, 2)))),
        )

    def source(self, faults: Faults, first_version: int) -> MemorySource:
        return MemorySource(
            "x",
            self.bodies,
            faults,
            policy=RetryPolicy(attempts=self.attempts),
            limits=TimeLimits(total_s=7200),
            compress=self.compress,
            etags=self.etags,
            piece_bytes=self.piece_bytes,
            dates=self.dates,
            first_version=first_version,
            outages=self.outages,
            slow_downs=self.slow_downs,
            changes_at=self.changes_at,
        )

    @property
    def tells_versions(self) -> bool:
        """Whether the server says which version its bodies are."""
        return self.dates or (self.etags and not self.compress)


def _while(draw: random.Random, lengths_s: tuple[int, ...]) -> Iterator[tuple[float, float]]:
    if draw.random() < 0.3:
        begin = START_S + draw.uniform(0, 0.3)
        yield begin, begin + draw.choice(lengths_s)


def export_of(draw: random.Random, downloads: int, most_rows: int) -> dict[Download, bytes]:
    """Return an export's downloads, in time order, with their bodies."""
    bodies = {}
    minute = 0
    for number in range(downloads):
        rows = [
            f"P{draw.randint(1, 3)},2025-08-26T{(minute + i) // 60:02}:{(minute + i) % 60:02}:59Z,"
            f"{draw.choice(('heart_rate', 'spo2'))},{draw.randint(30, 220)}\n"
            for i in range(draw.randint(0, most_rows))
        ]
        download = Download(
            f"d{number}", rows=len(rows), start_us=1_756_166_400_000_000 + minute * 60_000_000,
            end_us=1_756_166_400_000_000 + (minute + len(rows)) * 60_000_000,
        )  # fmt: skip
        bodies[download] = HEADER + "".join(rows).encode()
        minute += len(rows)
    return bodies


def report_of(outcome_state: object, downloads: object) -> str:
    """Return the report's bytes as `analyze` would write them, but for its notes, which tell the account again."""
    account = Account("x", "memory", False, "python", "0", 0.0, downloads)  # type: ignore[arg-type]
    return replace(Report.of(Summary().result(outcome_state), account), notes=()).to_json()  # type: ignore[arg-type]


def expected(bodies: Mapping[Download, bytes]) -> str:
    """Return the report of an undisturbed run over these bodies, whatever they announce."""
    return report_of(_state_of(bodies), ())


def _state_of(bodies: Mapping[Download, bytes]) -> SummaryState:
    """Return what the rows come to by the reference, without a pipeline."""
    merged = Summary().empty()
    for download, body in bodies.items():
        fold = ReferenceFold(Span(download.id), Schema(), Summary(), strict=False)
        cutter = Cutter(Span(download.id), len(body) + 1)
        for chunk in [*cutter.feed(body), *cutter.finish()]:
            fold.feed(chunk)
        fold.finish()
        merged = Summary().merge(merged, fold.state)
    return merged


def play(schedule: Schedule) -> str:
    """Play a schedule and hold it to the law; return in a word what came of it."""
    random.seed(schedule.seed)  # the waits between attempts
    faults = Faults(schedule.probabilities, seed=schedule.seed)
    checkpoint = MemoryCheckpoint()
    sources: list[MemorySource] = []
    versions = [0]  # at the beginning of each run, and now

    async def work() -> tuple[object, object]:
        source = schedule.source(faults, versions[-1])
        sources.append(source)
        pipeline = Pipeline(
            source, Summary(), concurrency=schedule.concurrency, chunk_bytes=schedule.chunk_bytes,
            split=schedule.split,
            checkpoint=checkpoint if schedule.cancel_at else None,
            checkpoint_every_s=0.01 if interrupted else 1.0,
        )  # fmt: skip
        try:
            outcome = await pipeline.run("x")
        finally:
            versions.append(source.version)
        return outcome.state, outcome.downloads

    for cancel_at in (*schedule.cancel_at, None):
        interrupted = cancel_at is not None
        before = checkpoint.data
        result, _ = run(work, cancel_at=cancel_at)
        assert all(source.open == 0 for source in sources), "a body was left open"
        if not isinstance(result, asyncio.CancelledError):
            break
        if random.random() < 0.5 and len(checkpoint.history) > 1:
            checkpoint.data = checkpoint.history[-2]  # as if it had been killed: there was no time for the last
    if isinstance(result, TransferError):
        # Whether what is finished still is what the server has could not be asked; nothing is lost of it.
        assert before is not None
        assert checkpoint.data == before
        return "unreachable"
    if isinstance(result, BaseException):
        raise AssertionError("a run must end with a report") from result
    state, accounts = result
    return _judge(schedule, sources, range(versions[-2], versions[-1] + 1), state, accounts, checkpoint)


def _judge(
    schedule: Schedule, sources: list[MemorySource], versions: range, state: object, accounts: object,
    checkpoint: MemoryCheckpoint,
) -> str:  # fmt: skip
    report = report_of(state, accounts)
    of_id = {account.download_id: account for account in accounts}  # type: ignore[attr-defined]
    choices: list[list[SummaryState]] = []
    for download, body in schedule.bodies.items():
        account = of_id[download.id]
        if not account.verdict.counts:
            assert account.verdict.kind is VerdictKind.FAILED
            assert account.verdict.reasons[0], "a failure says why"
            continue
        kinds = {kind for source in sources for kind in source.sent.get(download.id, [])}
        told = account.version is not None
        assert told or kinds or not schedule.tells_versions  # what was edited came without a tag
        bodies = [versioned(body, version) for version in range(versions.start if told else 0, versions.stop)]
        if account.verdict.kind is not VerdictKind.VERIFIED or account.bad_rows:
            bodies += [edited(body, kind) for body in bodies for kind in sorted(kinds)]
        choices.append([_state_of({download: body}) for body in dict.fromkeys(bodies)])
    if checkpoint.history and all(account.verdict.complete for account in of_id.values()):
        assert checkpoint.data is None, "a complete run removes its checkpoint"
    incomplete = [i for i, account in of_id.items() if not account.verdict.complete]
    merged = (reduce(Summary().merge, choice, Summary().empty()) for choice in itertools.product(*choices))
    right = next((choice for choice in merged if choice == state), None)
    assert right is not None, f"the report is not that of the downloads that count: {report}"
    assert report == _with_incomplete(report_of(right, ()), incomplete)
    if any(account.verdict.kind is VerdictKind.FAILED for account in of_id.values()):
        return "incomplete"
    return "differs" if incomplete else "same"


def _with_incomplete(text: str, ids: list[str]) -> str:
    plain = json.loads(text)
    if ids:
        plain["incomplete"] = ids
    return json.dumps(plain, sort_keys=True, indent=2) + "\n"
