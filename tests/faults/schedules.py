"""A schedule: a small export, a run's options and faults at random points, all of it from one seed, played and judged.

The law: the report's bytes are those of an undisturbed run over the downloads that count, what does not count is listed
as incomplete and says why, and nothing is left behind. Where the schedule interrupts the run, the run that goes on from
its checkpoint is held to the same.
"""

import asyncio
import itertools
import random
from dataclasses import dataclass

from mockexport.model import Download, VerdictKind
from mockexport.pipeline.checkpoint import Belonging, Checkpoint, Saved, from_bytes, to_bytes
from mockexport.pipeline.run import Pipeline
from mockexport.reducers import Summary
from mockexport.report.account import Account
from mockexport.report.report import Report
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.server.faults import KINDS, Faults
from tests.faults.clock import run
from tests.faults.memory import MemorySource, edited

__all__ = ["MemoryCheckpoint", "Schedule", "expected", "export_of", "play", "report_of"]

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
    """What a seed means; `cancel_at` lists the steps at which runs are interrupted, one after the other."""

    seed: int
    bodies: dict[Download, bytes]
    probabilities: dict[str, float]
    attempts: int
    compress: bool
    etags: bool
    concurrency: int
    chunk_bytes: int
    piece_bytes: int
    cancel_at: tuple[int, ...]
    split: int | None

    @classmethod
    def of(cls, seed: int) -> "Schedule":
        draw = random.Random(seed)
        kinds = draw.sample(sorted(KINDS), draw.randint(1, 6))
        share = draw.choice((0.3, 0.6, 0.9)) / len(kinds)
        return cls(
            seed=seed,
            bodies=export_of(draw, draw.randint(1, 4), 25),
            probabilities=dict.fromkeys(kinds, share),
            attempts=draw.choice((2, 4, 8)),
            compress=draw.random() < 0.2,
            etags=draw.random() < 0.8,
            concurrency=draw.randint(1, 4),
            chunk_bytes=draw.choice((1, 50, 300, 10_000)),
            piece_bytes=draw.choice((7, 60, 1000)),
            cancel_at=tuple(draw.randint(2, 120) for _ in range(draw.choice((0, 0, 1, 2, 3)))),
            split=draw.choice((None, None, 50, 200)),
        )

    def source(self, faults: Faults) -> MemorySource:
        return MemorySource(
            "x",
            self.bodies,
            faults,
            policy=RetryPolicy(attempts=self.attempts),
            limits=TimeLimits(total_s=7200),
            compress=self.compress,
            etags=self.etags,
            piece_bytes=self.piece_bytes,
        )


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
    """Return the report's bytes as `analyze` would write them."""
    account = Account("x", "memory", False, "python", "0", 0.0, downloads)  # type: ignore[arg-type]
    return Report.of(Summary().result(outcome_state), account).to_json()  # type: ignore[arg-type]


def expected(bodies: dict[Download, bytes]) -> str:
    """Return the report of an undisturbed run over these bodies, whatever they announce."""
    told = {Download(download.id, start_us=download.start_us): body for download, body in bodies.items()}

    async def work() -> str:
        outcome = await Pipeline(MemorySource("x", told), Summary()).run("x")
        return report_of(outcome.state, outcome.downloads)

    result, _ = run(work)
    assert isinstance(result, str), result
    return result


def play(schedule: Schedule) -> str:
    """Play a schedule and hold it to the law; return in a word what came of it."""
    random.seed(schedule.seed)  # the waits between attempts
    faults = Faults(schedule.probabilities, seed=schedule.seed)
    checkpoint = MemoryCheckpoint()
    sources = []

    async def work() -> tuple[object, object, tuple[object, ...]]:
        source = schedule.source(faults)
        sources.append(source)
        pipeline = Pipeline(
            source, Summary(), concurrency=schedule.concurrency, chunk_bytes=schedule.chunk_bytes,
            split=schedule.split,
            checkpoint=checkpoint if schedule.cancel_at else None, checkpoint_every_s=0.01,
        )  # fmt: skip
        outcome = await pipeline.run("x")
        return outcome.state, outcome.downloads, ()

    for cancel_at in (*schedule.cancel_at, None):
        result, _ = run(work, cancel_at=cancel_at)
        assert all(source.open == 0 for source in sources), "a body was left open"
        if not isinstance(result, asyncio.CancelledError):
            break
        if random.random() < 0.5 and len(checkpoint.history) > 1:
            checkpoint.data = checkpoint.history[-2]  # as if it had been killed: there was no time for the last
    if isinstance(result, BaseException):
        raise AssertionError("a run must end with a report") from result
    state, accounts, _ = result
    return _judge(schedule, sources, state, accounts, checkpoint)


def _judge(
    schedule: Schedule, sources: list[MemorySource], state: object, accounts: object, checkpoint: MemoryCheckpoint
) -> str:
    report = report_of(state, accounts)
    of_id = {account.download_id: account for account in accounts}  # type: ignore[attr-defined]
    choices: list[list[tuple[Download, bytes]]] = []
    for download, body in schedule.bodies.items():
        account = of_id[download.id]
        if not account.verdict.counts:
            assert account.verdict.kind is VerdictKind.FAILED
            assert account.verdict.reasons[0], "a failure says why"
            continue
        kinds = {kind for source in sources for kind in source.sent.get(download.id, [])}
        candidates = [body, *(edited(body, kind) for kind in sorted(kinds))]
        if account.verdict.kind is VerdictKind.VERIFIED and not account.bad_rows:
            candidates = [body]
        choices.append([(download, candidate) for candidate in candidates])
    if checkpoint.history and all(account.verdict.complete for account in of_id.values()):
        assert checkpoint.data is None, "a complete run removes its checkpoint"
    incomplete = [i for i, account in of_id.items() if not account.verdict.complete]
    reports = {expected(dict(choice)) for choice in itertools.product(*choices)}
    wanted = {_with_incomplete(text, incomplete) for text in reports}
    assert report in wanted, f"the report is not that of the downloads that count: {report}"
    if any(account.verdict.kind is VerdictKind.FAILED for account in of_id.values()):
        return "incomplete"
    return "differs" if incomplete else "same"


def _with_incomplete(text: str, ids: list[str]) -> str:
    import json

    plain = json.loads(text)
    if ids:
        plain["incomplete"] = ids
    return json.dumps(plain, sort_keys=True, indent=2) + "\n"
