"""The service killed with SIGKILL again and again under load, and what it promised held against what it then answers.

    python -m tests.ingest.killing --kills 1000 [--seed 1]

A warm process imports everything once and forks a service for every life, so that a life costs milliseconds and most
kills meet work instead of an import. Compactions run all the time (every 300 readings), so they are met as well.
"""

import argparse
import asyncio
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

from mockexport.ingest.devices import Account, plan, play, verify
from mockexport.ingest.readings import Reading

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
_PATIENCE_S = 30.0


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


@dataclass(frozen=True, slots=True)
class Killed:
    """What came of it."""

    kills: int
    account: Account
    files: int


async def kill_often(folder: Path, kills: int, seed: int, *, tell: int = 0) -> Killed:
    """Kill the service so often while devices send; then check everything that was ever acknowledged."""
    draw = random.Random(seed)
    account = Account()
    with WarmService(folder) as service:
        await asyncio.to_thread(service.start)
        done = False
        sent: list[Reading] = []

        async def devices() -> None:
            turn = 0
            while not done:
                # Each turn has a day of its own, so that minutes do not mix between turns.
                steps = plan(
                    400, seed * 100_003 + turn, users=2, start_us=(1_705_276_800 + 86_400 * (turn % 3650)) * 10**6
                )
                turn += 1
                await play(service.url, steps, at_once=6, look_every=7, account=account)
                sent.extend(reading for step in steps for reading in step.readings)

        async def killer() -> None:
            nonlocal done
            for number in range(kills):
                await asyncio.sleep(draw.uniform(0.01, 0.3))
                await asyncio.to_thread(service.kill)
                await asyncio.to_thread(service.start)
                if tell and (number + 1) % tell == 0:
                    print(f"{number + 1} kills, {account.accepted} readings, {account.stale} stale", flush=True)
            done = True

        async with asyncio.TaskGroup() as group:
            group.create_task(devices())
            group.create_task(killer())
        await verify(service.url, sent, account)
    return Killed(kills, account, len(list(service.data.glob("readings/*/*.parquet"))))


def main() -> int:
    parser = argparse.ArgumentParser(description="Kill the heart-rate service under load and check its promises.")
    parser.add_argument("--kills", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        found = asyncio.run(kill_often(Path(folder), options.kills, options.seed, tell=50))
        account = found.account
        print(
            f"{found.kills} kills in {time.monotonic() - began:.0f} s: {account.accepted} readings accepted,"
            f" {account.retried} requests sent again, {account.checked_visible} looked at at once,"
            f" {account.checked_minutes} minutes checked, {found.files} files:"
            f" lost {account.lost}, stale {account.stale}, doubled {account.doubled}"
        )
    return 0 if account.right else 1


if __name__ == "__main__":
    raise SystemExit(main())
