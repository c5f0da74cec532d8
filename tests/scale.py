"""The proofs and figures of a cluster on this machine, with real worker processes:

    python -m tests.scale proofs [--exports demo,small] [--kills N] [--seed N] [--limit SECONDS]
    python -m tests.scale bench [--export small] [--rounds N]
    python -m tests.scale overhead [--tasks N]
    python -m tests.scale merge [--patients N]

`proofs`: report bytes equal to those of one machine with 1, 2 and 4 worker processes, divided and not, and with workers
killed, kill -9, at random while they run. `bench`: one worker process and two, in turns, from a served folder.
`overhead`: trivial tasks on the real scheduler. `merge`: what it costs the client to take a state in. Exit code 1 if a
report is not the right one.
"""

import argparse
import asyncio
import os
import random
import signal
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from mockexport import MockServer, Summary, analyze, distributed, pack_state, unpack_state
from mockexport.engine import choose_engine
from mockexport.merging import Merger
from mockexport.model import Schema
from mockexport.reducers.summary import Group
from mockexport.server.embedded import embedded
from mockexport.server.folder import generate


def say(text: str) -> None:
    """Tell a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def killing(client: Any, draw: random.Random, kills: int, over: asyncio.Event) -> int:
    """Kill a worker process now and then, never while there is but one; return how many."""
    killed = 0
    while killed < kills and not over.is_set():
        with suppress(TimeoutError):
            async with asyncio.timeout(draw.uniform(0.2, 1.5)):
                await over.wait()
        pids = list((await client.run(os.getpid, on_error="ignore")).values()) if not over.is_set() else []
        if len(pids) > 1:
            with suppress(ProcessLookupError):
                os.kill(draw.choice(pids), signal.SIGKILL)
                killed += 1
    return killed


async def prove(options: argparse.Namespace) -> int:
    """Compare reports; return how many differ."""
    draw, wrong, started_s = random.Random(options.seed), 0, time.monotonic()
    async with embedded() as url:
        for export in options.exports.split(","):
            wanted = (await analyze(export, url=url)).to_json()
            for workers in (1, 2, 4):
                for split, kills in ((None, 0), (options.split, 0), (options.split, options.kills)):
                    if time.monotonic() - started_s > options.limit:
                        say("the time limit is reached; what follows was not run")
                        return wrong
                    if kills and workers == 1:
                        continue
                    over = asyncio.Event()
                    async with distributed.local_cluster(workers) as client:
                        killer = asyncio.create_task(killing(client, draw, kills, over))
                        report = await distributed.analyze(export, client=client, url=url, split=split)
                        over.set()
                        killed = await killer
                    same = report.to_json() == wanted
                    wrong += not same
                    how = "in spans" if split else "whole"
                    say(f"{export}, {workers} workers, {how}, {killed} killed: {'same bytes' if same else 'DIFFERS'}")
    return wrong


async def bench(options: argparse.Namespace) -> int:
    """Time one worker process and two, in turns, over a served folder."""
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(generate, options.export, Path(folder, options.export))
        best: dict[int, float] = {}
        async with (
            MockServer(data=Path(folder)) as server,
            distributed.local_cluster(1) as one,
            distributed.local_cluster(2) as two,
        ):
            for _ in range(options.rounds):
                for workers, client in ((1, one), (2, two)):
                    started_s = time.monotonic()
                    report = await distributed.analyze(options.export, client=client, url=server.url)
                    took_s = time.monotonic() - started_s
                    best[workers] = min(best.get(workers, took_s), took_s)
        rows = report.account.rows
        for workers, took_s in best.items():
            say(f"{options.export}, {workers} worker processes: {took_s:.2f} s, {rows / took_s:,.0f} rows/s")
    return 0


def nothing(number: int) -> bytes:
    """Be a task that does nothing."""
    return b"%d" % number


async def overhead(options: argparse.Namespace) -> int:
    """Time trivial tasks, submitted and collected as shares are."""
    from distributed import as_completed

    async with distributed.local_cluster(2) as client:
        await client.submit(nothing, 0, pure=False)
        started_s = time.monotonic()
        futures = [
            client.submit(nothing, number, key=f"nothing-{number}", pure=False) for number in range(options.tasks)
        ]
        done: Any = as_completed(futures, loop=client.loop)  # type: ignore[no-untyped-call]
        async for future in done:
            await future.result()
            future.release()
        took_s = time.monotonic() - started_s
    say(f"{options.tasks:,} tasks: {took_s:.2f} s, {1000 * took_s / options.tasks:.2f} ms each")
    return 0


async def merge(options: argparse.Namespace) -> int:
    """Time the taking in of states of four groups for each patient."""
    reducer = Summary()
    groups = {(f"P{n:06}", kind): Group(9, 9, 1, 2, 0, 1, 2) for n in range(options.patients) for kind in "abcd"}
    engine = choose_engine(reducer, Schema())
    data = pack_state(reducer, groups)
    merger: Merger[Any] = Merger(engine.reducer)
    best_s = float("inf")
    for position in range(10):
        started_s = time.perf_counter()
        merger.add(position, unpack_state(engine.reducer, data))
        best_s = min(best_s, time.perf_counter() - started_s)
    say(f"{len(groups):,} groups, {len(data):,} bytes ({engine.name}): {1000 * best_s:.1f} ms a state")
    return 0


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description="Proofs and figures of a cluster on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("proofs")
    command.add_argument("--exports", default="demo,small")
    command.add_argument("--kills", type=int, default=3)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--split", type=int, default=5_000_000)
    command.add_argument("--limit", type=float, default=600)
    command = commands.add_parser("bench")
    command.add_argument("--export", default="small")
    command.add_argument("--rounds", type=int, default=3)
    command = commands.add_parser("overhead")
    command.add_argument("--tasks", type=int, default=1000)
    command = commands.add_parser("merge")
    command.add_argument("--patients", type=int, default=1000)
    options = parser.parse_args()
    work = {"proofs": prove, "bench": bench, "overhead": overhead, "merge": merge}[options.command]
    return 1 if asyncio.run(work(options)) else 0


if __name__ == "__main__":
    sys.exit(main())
