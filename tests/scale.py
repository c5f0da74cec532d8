"""The proofs and figures of a cluster on this machine, with real worker processes:

    python -m tests.scale proofs [--exports demo,small,large] [--kills N] [--rounds N] [--seed N] [--limit SECONDS]
    python -m tests.scale handover [--export large] [--seed N]
    python -m tests.scale bench [--export small] [--rounds N]
    python -m tests.scale worker [--export small] [--rounds N]
    python -m tests.scale overhead [--tasks N] [--rounds N]
    python -m tests.scale merge [--patients N]

`proofs`: report bytes and accounts equal to those of one machine with 1, 2 and 4 worker processes, divided and not, and
with workers killed, kill -9, at random while they run. `handover`: a run with a checkpoint, killed again and again,
goes on by turns on a cluster and on one machine. `bench`: one worker process and two, in turns, from a served folder.
`worker`: the CPU seconds of a worker for each gigabyte. `overhead`: trivial tasks on the real scheduler. `merge`: what
it costs the client to take a state in. Figures are medians. Exit code 1 if a report is not the right one.
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
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

from mockexport import Account, MockServer, Summary, analyze, distributed
from mockexport.engine.choosing import choose_engine
from mockexport.events import DownloadFinished, DownloadStarted, Event, WorkerLost
from mockexport.formats.schema import Schema
from mockexport.pipeline.ranges import RangeMerger, merging
from mockexport.reducers import pack_state, unpack_state
from mockexport.reducers.summary import Group
from mockexport.server.folder import generate
from mockexport.sources.embedded import embedded


def say(text: str) -> None:
    """Tell a line at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


async def killing(client: Any, draw: random.Random, kills: int, within_s: float) -> None:
    """Kill so many worker processes at random moments; others are started in their place."""
    started_s = time.monotonic()
    for at_s in sorted(draw.uniform(0, within_s) for _ in range(kills)):
        await asyncio.sleep(max(0.0, started_s + at_s - time.monotonic()))
        pids = list((await client.run(os.getpid, on_error="ignore")).values())
        if pids:
            with suppress(ProcessLookupError):
                os.kill(draw.choice(pids), signal.SIGKILL)


def counted(account: Account) -> list[Any]:
    """Return what an account says of the data, without how it was come by."""
    return [replace(download, attempts=0, fetched_bytes=0) for download in account.downloads]


async def prove(options: argparse.Namespace) -> int:
    """Compare reports; return how many differ."""
    draw, wrong, started_s = random.Random(options.seed), 0, time.monotonic()
    async with embedded() as url:
        for export in options.exports.split(","):
            alone = await analyze(export, url=url)
            for workers in (1, 2, 4):
                took_s: dict[int | None, float] = {}
                for split, kills in [(None, 0), (options.split, 0), *[(None, 1), (options.split, 1)] * options.rounds]:
                    if time.monotonic() - started_s > options.limit:
                        say("the time limit is reached; what follows was not run")
                        return wrong
                    events: list[Event] = []
                    async with distributed.local_cluster(workers) as client:
                        begun_s = time.monotonic()
                        killer = asyncio.create_task(killing(client, draw, kills * options.kills, took_s.get(split, 0)))
                        report = await distributed.analyze(
                            export, client=client, url=url, split=split, listener=events.append
                        )
                        took_s.setdefault(split, time.monotonic() - begun_s)
                        killer.cancel()
                        await asyncio.gather(killer, return_exceptions=True)
                    ids = sorted(download.download_id for download in alone.account.downloads)
                    same = (
                        report.to_json() == alone.to_json()
                        and counted(report.account) == counted(alone.account)
                        and sorted(event.download_id for event in events if isinstance(event, DownloadStarted)) == ids
                        and sorted(event.download_id for event in events if isinstance(event, DownloadFinished)) == ids
                    )
                    wrong += not same
                    lost = sum(isinstance(event, WorkerLost) for event in events)
                    how = "in spans" if split else "whole"
                    say(
                        f"{export}, {workers} workers, {how}, {lost} lost with work in hand:"
                        f" {'the same' if same else 'DIFFERS'}, {time.monotonic() - begun_s:.1f} s"
                    )
    say(f"{wrong} differ")
    return wrong


async def hand_over(options: argparse.Namespace) -> int:
    """Kill runs with a checkpoint at random, by turns of a cluster's and of one machine's; return 1 if it differs."""
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        async with embedded() as url:
            wanted = (await analyze(options.export, url=url)).to_json()
            path, output = Path(folder, "checkpoint"), Path(folder, "report.json")
            for turn in range(100):
                cluster = turn % 2 == options.seed % 2
                command = [sys.executable, "-m", "mockexport", options.export, "--url", url, "--output", str(output)]
                command += ["--checkpoint", str(path), "--split", str(options.split)]
                command += ["--dask", "local:2"] if cluster else []
                process = await asyncio.create_subprocess_exec(*command, stderr=asyncio.subprocess.PIPE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(draw.uniform(options.least_s, 2 * options.least_s)):
                        await process.wait()
                if process.returncode is None:
                    process.kill()
                _, told = await process.communicate()
                spared = told.decode().count("from the checkpoint")
                where = "a cluster" if cluster else "one machine"
                say(f"{where}: goes on with {spared} downloads, ends with {process.returncode}")
                if process.returncode != -signal.SIGKILL:
                    break
            same = process.returncode == 0 and await asyncio.to_thread(output.read_text) == wanted
    say("the same bytes" if same else "DIFFERS")
    return 0 if same else 1


async def bench(options: argparse.Namespace) -> int:
    """Time one worker process and two, in turns, over a served folder."""
    took_s: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        await asyncio.to_thread(generate, options.export, Path(folder, options.export))
        async with (
            MockServer(data=Path(folder)) as server,
            distributed.local_cluster(1) as one,
            distributed.local_cluster(2) as two,
        ):
            for _ in range(options.rounds):
                for workers, client in ((1, one), (2, two)):
                    started_s = time.monotonic()
                    report = await distributed.analyze(options.export, client=client, url=server.url)
                    took_s[workers].append(time.monotonic() - started_s)
    for workers, times in took_s.items():
        rate = report.account.rows / median(times)
        say(f"{options.export}, {workers} worker processes: {told(times, 's')}, {rate:,.0f} rows/s")
    return 0


def told(figures: list[float], unit: str) -> str:
    """Return the median of some figures, and their range."""
    return f"{median(figures):.2f} {unit} (median of {len(figures)}; {min(figures):.2f} to {max(figures):.2f})"


async def worker(options: argparse.Namespace) -> int:
    """Measure the CPU time of a worker process, all its threads, for what it brings from a server in another."""
    cpu_s: list[float] = []
    async with embedded() as url, distributed.local_cluster(1) as client:
        for _ in range(options.rounds + 1):
            (before_s,) = (await client.run(time.process_time)).values()
            report = await distributed.analyze(options.export, client=client, url=url)
            (after_s,) = (await client.run(time.process_time)).values()
            gigabytes = sum(download.received_bytes for download in report.account.downloads) / 1e9
            cpu_s.append((after_s - before_s) / gigabytes)
    rate = 1000 / median(cpu_s[1:])
    say(f"{options.export}, {gigabytes:.2f} GB: {told(cpu_s[1:], 'CPU s/GB')}, so {rate:,.0f} MB/s for each core")
    return 0


def nothing(number: int) -> bytes:
    """Be a task that does nothing."""
    return b"%d" % number


async def overhead(options: argparse.Namespace) -> int:
    """Time trivial tasks, submitted and collected as shares are."""
    from distributed import as_completed

    each_ms: list[float] = []
    async with distributed.local_cluster(2) as client:
        await client.submit(nothing, 0, pure=False)
        for turn in range(options.rounds):
            started_s = time.monotonic()
            done: Any = as_completed(loop=client.loop)  # type: ignore[no-untyped-call]
            for number in range(options.tasks):
                done.add(client.submit(nothing, number, key=f"nothing-{turn}-{number}", pure=False))
            for _ in range(options.tasks):
                future = await anext(done)
                await future.result()
                future.release()
            each_ms.append(1000 * (time.monotonic() - started_s) / options.tasks)
    say(f"{options.tasks:,} tasks that do nothing, two worker processes: {told(each_ms, 'ms')} each")
    return 0


async def merge(options: argparse.Namespace) -> int:
    """Time the taking in of states of four groups for each patient."""
    reducer = Summary()
    groups = {(f"P{n:06}", kind): Group(9, 9, 1, 2, 0, 1, 2) for n in range(options.patients) for kind in "abcd"}
    engine = choose_engine(reducer, Schema())
    data = pack_state(reducer, groups)
    merger: RangeMerger[Any] = RangeMerger(merging(engine.reducer))
    took_ms: list[float] = []
    for position in range(51):
        started_s = time.perf_counter()
        merger.add(position, position + 1, unpack_state(engine.reducer, data))
        took_ms.append(1000 * (time.perf_counter() - started_s))
    say(f"{len(groups):,} groups, {len(data):,} bytes ({engine.name}): {told(took_ms[1:], 'ms')} a state")
    return 0


def main() -> int:
    """Do what is asked for."""
    parser = argparse.ArgumentParser(description="Proofs and figures of a cluster on this machine.")
    commands = parser.add_subparsers(dest="command", required=True)
    command = commands.add_parser("proofs")
    command.add_argument("--exports", default="demo,small,large")
    command.add_argument("--kills", type=int, default=2)
    command.add_argument("--rounds", type=int, default=1)
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--split", type=int, default=5_000_000)
    command.add_argument("--limit", type=float, default=3600)
    command = commands.add_parser("handover")
    command.add_argument("--export", default="large")
    command.add_argument("--seed", type=int, default=0)
    command.add_argument("--split", type=int, default=50_000_000)
    command.add_argument("--least-s", type=float, default=8.0)
    for name in ("bench", "worker"):
        command = commands.add_parser(name)
        command.add_argument("--export", default="small")
        command.add_argument("--rounds", type=int, default=7)
    command = commands.add_parser("overhead")
    command.add_argument("--tasks", type=int, default=1000)
    command.add_argument("--rounds", type=int, default=5)
    command = commands.add_parser("merge")
    command.add_argument("--patients", type=int, default=1000)
    options = parser.parse_args()
    work = {
        "proofs": prove, "handover": hand_over, "bench": bench, "worker": worker, "overhead": overhead, "merge": merge
    }[options.command]  # fmt: skip
    return 1 if asyncio.run(work(options)) else 0


if __name__ == "__main__":
    sys.exit(main())
