"""Runs parties in turn, each in a process of its own, and takes medians: a slow minute of the machine is everybody's.

A party prints one line of JSON with what it measured itself; wall time, CPU and memory of its whole process are added.
As a program, this module runs one party: what starts a process lends it its own peak memory, so a small one has to.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["Figures", "Measured", "in_turn", "median", "paired", "party", "serving"]

Measured = dict[str, list[dict[str, float]]]
Figures = dict[str, float]


def party(name: str, *arguments: str) -> list[str]:
    """Return the command of a party (parties.py)."""
    return [sys.executable, "-m", "tests.benchmarks.parties", name, *arguments]


def run(command: Sequence[str]) -> dict[str, float]:
    """Run one party once, from a small process; return what it says, and what its process took."""
    output = subprocess.run([sys.executable, "-I", __file__, *command], stdout=subprocess.PIPE, check=True).stdout
    said: dict[str, float] = json.loads(output)
    return said


def once(command: Sequence[str]) -> dict[str, float]:
    """Run one party once, from this process."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        output = process.stdout.read() if process.stdout else b""
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: exit code {process.returncode}")
    took = time.perf_counter() - started
    said: dict[str, float] = json.loads(output.splitlines()[-1]) if output.strip().endswith(b"}") else {}
    said.setdefault("seconds", took)
    return said | {
        "process_seconds": took,
        "process_cpu_s": usage.ru_utime + usage.ru_stime,
        "process_peak_mb": usage.ru_maxrss / 1024,
    }


def in_turn(parties: Mapping[str, Sequence[str]], rounds: int) -> Measured:
    """Run each party once to warm up, then all of them in turn, `rounds` times."""
    measured: Measured = {name: [] for name in parties}
    for number in range(rounds + 1):
        for name, command in parties.items():
            result = run(command)
            if number:
                measured[name].append(result)
            sys.stderr.write(f"  {name}: {result['seconds']:.3f} s{'' if number else ' (warm-up)'}\n")
    return measured


def median(measured: Measured, party: str, figure: str = "seconds") -> float:
    """Return the median of a party's figure."""
    return statistics.median(result[figure] for result in measured[party])


def paired(measured: Measured, over: str, under: str, figure: str = "seconds") -> float:
    """Return the median of the ratios of two parties' figures, round by round."""
    pairs = zip(measured[over], measured[under], strict=True)
    return statistics.median(a[figure] / b[figure] for a, b in pairs)


@contextmanager
def serving(data: Path | None = None) -> Iterator[str]:
    """Run the mock server as a process; yield its URL."""
    command: list[Any] = [sys.executable, "-m", "mockexport", "serve", "--port", "0"]
    command += [] if data is None else ["--data", str(data)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        try:
            yield process.stdout.readline().strip() if process.stdout else ""
        finally:
            process.terminate()


if __name__ == "__main__":
    sys.stdout.write(json.dumps(once(sys.argv[1:])))
