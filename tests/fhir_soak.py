"""FHIR Bulk Data by the command line, under every fault in turn and mixed, each schedule from its seed:

    python -m tests.fhir_soak --schedules 2000 [--first SEED] [--processes N] [--export demo]

The law: exit code 0 means the bytes of the report of the same export as CSV (but for the notes, where Observations come
again), and a job that is ended; 3 a report that says what it lacks, and any other an error in words and no report, and
the job is left with a word on how to take it up. Nothing hangs. Only what nobody can see is beyond it: a manifest
without counts, and a file that is framed well and ends with a whole line too early; then the run must say that its
downloads could not be verified. A schedule that breaks the law is named; exit code 1 if any.
"""

import argparse
import asyncio
import io
import json
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Coroutine, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from types import FrameType
from typing import Any, TypeVar

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mockexport import MockServer
from mockexport.cli import main as mockexport
from mockexport.server.kinds import FHIR_KINDS
from mockexport.sources.fhir.authorizing import read_key

T = TypeVar("T")

KINDS = sorted(FHIR_KINDS)
# Each of these is a wait of a second or more: enough in the schedules of one kind, and seldom in mixtures.
SLOW = frozenset({"fhir-kickoff-429", "fhir-poll-429", "fhir-file-429", "fhir-slow-job", "fhir-retry-date"})
# What fails every time, and may pass, is tried until there is no time left; so these are seldom certain.
PASSING = SLOW | {"fhir-500", "fhir-html-503", "fhir-expired-token"}
# Without a count nobody can tell that lines are missing at the end.
UNSEEN = frozenset({"fhir-stu1", "fhir-short-file"})
# These come with notes beside the figures: what came again, what was left out, or accepted.
NOTED = frozenset({"fhir-duplicates", "fhir-days", "fhir-orders", "fhir-units"})
HANGS_S = 300


@dataclass(frozen=True)
class Schedule:
    """What a seed means: the first are each kind alone, with three probabilities; the others mixtures of two to six."""

    seed: int
    faults: dict[str, float]
    with_token: bool
    options: tuple[str, ...]

    @classmethod
    def of(cls, seed: int) -> "Schedule":
        draw = random.Random(f"fhir {seed}")
        round_, place = divmod(seed, len(KINDS))
        if round_ < 3:
            kind = KINDS[place]
            faults = {kind: (0.3, 0.6, 1.0)[round_]}
        else:
            usual = sorted(set(KINDS) - SLOW)
            chosen = draw.sample(usual, draw.randint(2, 6)) + draw.sample(sorted(SLOW), draw.random() < 0.1)
            faults = {kind: draw.choice((0.1, 0.3, 0.4 if kind in PASSING else 1.0)) for kind in chosen}
        options = (
            "--concurrency", draw.choice("1248"), "--chunk-size", draw.choice(("16K", "100K", "512K")),
            "--attempts", "5", "--time-limit", "10", *draw.choice(((), (), (), ("--split", "1M"))),
        )  # fmt: skip
        return cls(seed, faults, "fhir-expired-token" in faults or draw.random() < 0.3, options)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """The loop in which servers run, in a thread of its own: the command line wants the main one."""
    loop = asyncio.new_event_loop()
    Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _there(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run_coroutine_threadsafe(work, _loop()).result(HANGS_S)


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="fhir-soak-"))


@cache
def _client() -> tuple[Path, dict[str, Any]]:
    """A private key's file, and what the server knows of it."""
    path = _folder() / "key.pem"
    private = ec.generate_private_key(ec.SECP384R1())
    path.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    key = read_key(path)
    jwk = jwt.get_algorithm_by_name(key.algorithm).to_jwk(private.public_key(), as_dict=True)
    return path, {"keys": [{**jwk, "kid": key.kid, "alg": key.algorithm}]}


@contextmanager
def _server(**options: Any) -> Iterator[MockServer]:
    async def made() -> MockServer:
        return await MockServer(**options).__aenter__()

    server = _there(made())
    try:
        yield server
    finally:
        _there(server.__aexit__(None, None, None))


def _run(*arguments: str) -> tuple[int, bytes | None, str]:
    """The command line's exit code, the report if one was written, and what it said."""
    path = _folder() / "report.json"
    path.unlink(missing_ok=True)
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(said):
        code = mockexport([*arguments, "-o", str(path)])
    return code, path.read_bytes() if path.exists() else None, said.getvalue()


@cache
def _right(export_id: str) -> bytes:
    with _server() as server:
        code, report, said = _run(export_id, "--url", server.url)
    assert code == 0, said
    assert report is not None
    return report


def play(schedule: Schedule, export_id: str) -> str:
    """Play a schedule; return what came of it, or raise AssertionError if it breaks the law."""
    right = _right(export_id)
    key, known = _client()
    client = ("me", known) if schedule.with_token else None
    with _server(faults=schedule.faults, seed=schedule.seed, fhir_client=client) as server:
        own = ("--fhir-client-id", "me", "--fhir-key", str(key)) if client else ()
        asked = ("--fhir", f"{server.url}/fhir", "--group", export_id)
        code, report, said = _run(*asked, *own, *schedule.options)
        jobs = server.fhir_jobs
    assert "Traceback" not in said, said
    if code != 0:
        assert jobs == 0 or "--fhir-status" in said, f"exit code {code}: the job is left without a word: {said}"
        if code == 3 and report is not None:
            assert json.loads(report)["incomplete"], "exit code 3, and nothing is incomplete"
            return "incomplete, and says so"
        assert report is None, f"exit code {code}, and a report: {said}"
        assert said.strip(), f"exit code {code} without a word"
        return f"an error, exit code {code}"
    assert report is not None
    assert jobs == 0 or "could not be ended" in said, "the job was not ended"
    plain = json.loads(report)
    if NOTED & schedule.faults.keys():
        plain.pop("notes", None)
        report = (json.dumps(plain, indent=2) + "\n").encode()
    if report == right:
        return "right"
    assert schedule.faults.keys() >= UNSEEN, f"a wrong report: {said}"
    assert "unverifiable" in said, f"a wrong report: {said}"
    return "short without a count, and says that it is unverified"


def attempt(place: tuple[int, str]) -> tuple[int, str]:
    """Play one schedule; return its seed and what came of it."""

    def hangs(number: int, frame: FrameType | None) -> None:
        raise TimeoutError(f"not over after {HANGS_S} s")

    seed, export_id = place
    signal.signal(signal.SIGALRM, hangs)
    signal.alarm(HANGS_S)
    try:
        return seed, play(Schedule.of(seed), export_id)
    except BaseException as error:
        return seed, f"BROKEN: {type(error).__name__}: {str(error)[:300]} … {str(error)[-900:]}"
    finally:
        signal.alarm(0)


def main() -> int:
    """Play as many schedules as are asked for."""
    parser = argparse.ArgumentParser(description="Play fault schedules of FHIR Bulk Data.")
    parser.add_argument("--schedules", type=int, default=2_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--processes", type=int, default=10, help="mostly they wait")
    parser.add_argument("--export", default="demo")
    parser.add_argument("--verbose", action="store_true")
    options = parser.parse_args()
    started = time.monotonic()
    came: Counter[str] = Counter()
    broken = 0
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        seeds = range(options.first, options.first + options.schedules)
        for seed, what in pool.map(attempt, [(seed, options.export) for seed in seeds]):
            if what.startswith("BROKEN"):
                broken += 1
                sys.stdout.write(f"seed {seed}, {Schedule.of(seed).faults}: {what}\n")
                sys.stdout.flush()
            if options.verbose:
                sys.stdout.write(f"{seed} {Schedule.of(seed)}: {what}\n")
                sys.stdout.flush()
            came[what.split(":")[0]] += 1
            if sum(came.values()) % 100 == 0:
                sys.stdout.write(f"{sum(came.values()):,} in {time.monotonic() - started:.0f} s: {dict(came)}\n")
                sys.stdout.flush()
    sys.stdout.write(f"{options.schedules:,} schedules in {time.monotonic() - started:.0f} s: {dict(came)}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
