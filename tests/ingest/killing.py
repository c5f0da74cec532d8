"""The service killed with SIGKILL again and again under load, and what it promised held against what it then answers.

    python -m tests.ingest.killing --kills 1000 [--seed 1]

A warm process imports everything once and forks a service for every life, so that a life costs milliseconds and most
kills meet work instead of an import. Compactions run all the time (every 300 readings), and so do deletions, so they
are met as well; snapshots of the bridge are taken and looked at again.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import aiohttp

from mockexport.ingest.devices import Account, Played, plan, play, time_text, verify
from mockexport.ingest.readings import DAY_US, Reading
from mockexport.ingest.settings import Settings
from mockexport.ingest.snapshots import Wanted
from mockexport.ingest.store import Store

__all__ = ["Killed", "WarmService", "kill_often"]

# Run in the warm process: a life per line on stdin; its process id on stdout.
_WARM = """
import os, sys
from pathlib import Path
from mockexport.ingest import application, wire, service
from mockexport.ingest.settings import Settings
import uvicorn, uvloop
settings = Settings(data=Path(sys.argv[1]), port=int(sys.argv[2]), compact_rows=int(sys.argv[3]),
                    compact_age_s=float(sys.argv[4]))
print("warm", flush=True)
while sys.stdin.readline():
    child = os.fork()
    if child == 0:
        os.dup2(2, 1)
        os._exit(service.serve(settings))
    print(child, flush=True)
    os.waitpid(child, 0)
    print("dead", flush=True)
"""
_PATIENCE_S = 120.0


class WarmService:
    """`start` a life, `kill` it, `start` the next."""

    def __init__(self, folder: Path, *, compact_rows: int = 300, compact_age_s: float = 0.2) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.data, self.log = folder / "data", folder / "service.log"
        self._arguments = [str(self.data), str(self.port), str(compact_rows), str(compact_age_s)]
        self._child = 0

    def __enter__(self) -> "WarmService":
        with self.log.open("ab") as log:
            self._warm = subprocess.Popen(
                [sys.executable, "-c", _WARM, *self._arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        self._expect("warm")
        return self

    def _read(self) -> str:
        assert self._warm.stdout is not None
        return self._warm.stdout.readline().strip()

    def _expect(self, word: str) -> None:
        if (found := self._read()) != word:
            raise RuntimeError(f"the warm process says {found!r}; its log: {self.log.read_text()[-2000:]}")

    def start(self) -> None:
        """Begin a life and wait until it listens."""
        assert self._warm.stdin is not None
        self._warm.stdin.write("\n")
        self._warm.stdin.flush()
        self._child = int(self._read())
        deadline = time.monotonic() + _PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                if time.monotonic() > deadline:
                    raise RuntimeError(f"no life: {self.log.read_text()[-2000:]}") from None
                time.sleep(0.002)
            else:
                return

    def kill(self) -> None:
        """SIGKILL."""
        os.kill(self._child, signal.SIGKILL)
        self._expect("dead")
        self._child = 0

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._child:
            os.kill(self._child, signal.SIGKILL)
        assert self._warm.stdin is not None
        assert self._warm.stdout is not None
        self._warm.stdin.close()
        self._warm.wait(_PATIENCE_S)
        self._warm.stdout.close()


@dataclass(slots=True)
class Killed:
    """What came of it. `snapshots` were looked at again and again; `changes` are those that gave other bytes."""

    account: Account = field(default_factory=Account)
    kills: int = 0
    files: int = 0
    deletions: int = 0
    deleted: int = 0
    keys: int = 0
    snapshots: int = 0
    gone: int = 0
    asked: int = 0
    changes: list[str] = field(default_factory=list)

    @property
    def right(self) -> bool:
        """Whether every promise was kept."""
        return self.account.right and not self.changes

    def __str__(self) -> str:
        account = self.account
        return (
            f"{self.kills} kills: {account.accepted} readings accepted, {account.retried} requests sent again,"
            f" {account.checked_visible} looked at at once, {self.deletions} deletions of {self.deleted} readings,"
            f" {self.keys} keys and {account.checked_minutes} minutes checked, {self.files} files;"
            f" {self.snapshots} snapshots, {self.gone} of them gone by a deletion:"
            f" lost {account.lost}, stale {account.stale}, doubled {account.doubled},"
            f" undeleted {account.undeleted}, changed {len(self.changes)} {self.changes[:3] or ''}"
        )


class _Patient:
    """Asks until there is an answer that is no 503."""

    def __init__(self, session: aiohttp.ClientSession, url: str) -> None:
        self._session, self._url = session, url

    async def ask(self, method: str, path: str, **query: str) -> tuple[int, bytes]:
        give_up = time.monotonic() + 2 * _PATIENCE_S
        said: object = None
        while True:
            try:
                async with self._session.request(method, self._url + path, params=query) as reply:
                    body = await reply.read()
                    if reply.status != 503:
                        return reply.status, body
                    said = body
            except (aiohttp.ClientError, TimeoutError, ConnectionError) as error:
                said = error
            if time.monotonic() > give_up:
                raise TimeoutError(f"no answer to {method} {path}, at last {said!r}")
            await asyncio.sleep(0.02)


async def kill_often(folder: Path, kills: int, seed: int, *, life_s: float = 0.3, tell: int = 0) -> Killed:
    """Kill the service so often while devices send, readings are deleted and snapshots looked at; then check it all.

    What each turn of the devices has sent is there for the deletions of the next ones: half of them of a user's span,
    half of the whole user, who is the turn's own; some of what was deleted is then sent once more.
    """
    draw = random.Random(seed)
    found = Killed()
    account = found.account
    expected: dict[tuple[str, str, int], int] = {}
    finished: list[list[Reading]] = []
    done = False

    async def devices(url: str) -> None:
        turn = 0
        while not done:
            # Each turn has users and days of its own, so that minutes do not mix between turns.
            start_us = (1_705_276_800 + 86_400 * (turn % 3650)) * 10**6
            steps = [
                Played(tuple(each._replace(user_id=f"turn{turn}_{each.user_id}") for each in step.readings))
                for step in plan(120, seed * 100_003 + turn, users=2, start_us=start_us)
            ]
            turn += 1
            await play(url, steps, at_once=6, look_every=7, account=account)
            readings = [reading for step in steps for reading in step.readings]
            expected.update({each[:3]: each.heart_rate for each in readings})
            finished.append(readings)

    async def deleter(url: str, patient: _Patient) -> None:
        while not done:
            if not finished:
                await asyncio.sleep(0.01)
                continue
            readings = finished.pop(draw.randrange(len(finished)))
            user = draw.choice(readings).user_id
            times = sorted(each.time_us for each in readings if each.user_id == user)
            first, last = (times[len(times) // 4], times[len(times) // 2]) if draw.random() < 0.5 else (0, times[-1])
            span = {"user_id": user, "start": time_text(first), "end": time_text(last)}
            if not first:
                del span["start"], span["end"]
            found.asked += 1
            status, _ = await patient.ask("DELETE", "/metrics/heart-rate", **span)
            assert status == 202, status
            gone = {each[:3]: each for each in readings if each.user_id == user and first <= each.time_us <= last}
            found.deletions += 1
            found.deleted += len(gone)
            for key in gone:
                expected.pop(key, None)
            span = {"user_id": user, "start": time_text(first or times[0]), "end": time_text(last)}
            status, _ = await patient.ask("GET", "/metrics/heart-rate", **span)
            account.undeleted += status != 404
            # Some come back, the very same: they were sent after the deletion, and count.
            again = [gone[key] for key in sorted(gone)[:5]]
            await play(url, [Played((each,)) for each in again], at_once=2, look_every=1, account=account)
            expected.update({each[:3]: each.heart_rate for each in again})

    async def watcher(patient: _Patient) -> None:
        kept: dict[str, bytes | None] = {}
        path = "/api/export/heart-rate"
        while not done:
            listed = json.loads((await patient.ask("GET", path))[1])["data"]["download_ids"]
            for name in draw.sample(listed, min(3, len(listed))) + draw.sample(sorted(kept), min(6, len(kept))):
                status, metadata = await patient.ask("GET", f"{path}/{name}")
                data = b""
                if status == 200:
                    status, data = await patient.ask("GET", f"{path}/{name}/data")
                if status != 200:
                    # Gone, as it may be once something was deleted, and then for good.
                    assert status == 404, status
                    found.gone += kept.get(name) is not None
                    if not found.asked:
                        found.changes.append(f"{name} is gone without a deletion")
                    kept[name] = None
                    continue
                if name in kept and kept[name] != metadata + data:
                    found.changes.append(f"{name}: {'came back' if kept[name] is None else 'other bytes'}")
                if json.loads(metadata)["data"]["rows"] != data.count(b"\n") - 1:
                    found.changes.append(f"{name}: its metadata are of other bytes")
                kept[name] = metadata + data
            found.snapshots = len(kept)
            await asyncio.sleep(0.05)

    with WarmService(folder) as service:
        await asyncio.to_thread(service.start)

        async def killer() -> None:
            nonlocal done
            for number in range(kills):
                await asyncio.sleep(draw.uniform(0.01, life_s))
                await asyncio.to_thread(service.kill)
                await asyncio.to_thread(service.start)
                if tell and (number + 1) % tell == 0:
                    print(f"{number + 1} kills, {account.accepted} readings, {found.deletions} deletions", flush=True)
            # On a busy machine lives may be too short for that.
            while not (found.deletions and found.snapshots and _files(service.data)):  # noqa: ASYNC110 - counts, no event
                await asyncio.sleep(0.02)
            done = True

        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30)) as session:
            patient = _Patient(session, service.url)
            async with asyncio.TaskGroup() as group:
                group.create_task(devices(service.url))
                group.create_task(deleter(service.url, patient))
                group.create_task(watcher(patient))
                group.create_task(killer())
        await verify(service.url, [Reading(*key, rate) for key, rate in expected.items()], account)
    found.kills = kills
    found.files = _files(service.data)
    _check_keys(service.data, expected, found)
    return found


def _files(data: Path) -> int:
    return len(list(data.glob("readings/*/*.parquet")))


def _check_keys(data: Path, expected: Mapping[tuple[str, str, int], int], found: Killed) -> None:
    """Hold what is stored after the last kill against what was acknowledged, key by key."""
    store = Store(Settings(data=data))
    try:
        rates: dict[tuple[str, str, int], int] = {}
        for day in store.queries.days().highest:
            rows = store.queries.rows(Wanted(day * DAY_US, (day + 1) * DAY_US - 1))
            times = rows["timestamp"].to_physical()
            for key in zip(rows["user_id"], rows["device_id"], times, rows["heart_rate"], strict=True):
                found.account.doubled += key[:3] in rates
                rates[key[:3]] = key[3]
    finally:
        store.close()
    found.keys = len(expected)
    found.account.lost += sum(rates.get(key) != rate for key, rate in expected.items())
    found.account.undeleted += len(rates.keys() - expected.keys())


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the heart-rate service under load and check its promises.")
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--life", type=float, default=0.3, help="how long a life may be, in seconds")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = asyncio.run(kill_often(Path(folder), options.kills, options.seed, life_s=options.life, tell=50))
        print(f"{found}; {time.monotonic() - began:.0f} s")
    return 0 if found.right else 1


if __name__ == "__main__":
    raise SystemExit(main())
