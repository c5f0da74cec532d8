"""`--dask` from a terminal: Ctrl-C reaches every process of it, and a scheduler may be lost."""

import os
import pty
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.cli.test_process import MODULE, clean

# Makes the terminal that its stdin is the controlling one, and becomes a command.
_ON_TERMINAL = (
    "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); os.execv(sys.argv[1], sys.argv[1:])"
)


@contextmanager
def on_terminal(*words: str) -> Iterator[tuple["subprocess.Popen[bytes]", int]]:
    """Run the command in the foreground of a terminal of its own, without bars; yield it and the terminal."""
    mine, theirs = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", _ON_TERMINAL, *MODULE, *words], start_new_session=True,
        stdin=theirs, stdout=subprocess.DEVNULL, stderr=theirs, env=clean() | {"TERM": "dumb"},
    ) as process:  # fmt: skip
        os.close(theirs)
        try:
            yield process, mine
        finally:
            process.kill()
            os.close(mine)


def read_until(terminal: int, text: str | None) -> str:
    """Return what a terminal gets up to a text, or to the end."""
    told = b""
    while text is None or text.encode() not in told:
        try:
            told += os.read(terminal, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
    return told.decode()


def descendants(pid: int) -> list[int]:
    children = [int(i) for task in Path(f"/proc/{pid}/task").iterdir() for i in (task / "children").read_text().split()]
    return children + [below for child in children for below in descendants(child)]


@contextmanager
def machine() -> Iterator[tuple["subprocess.Popen[bytes]", str]]:
    """Run a scheduler and a worker in another process; yield it and the scheduler's address."""
    command = [sys.executable, "-m", "tests.distributed.machine"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield process, process.stdout.readline().decode().strip()
        process.communicate()


def interrupt(dask: str, *, processes: int) -> None:
    """See that Ctrl-C ends a run on a cluster, and all its processes, and that nobody complains."""
    with on_terminal("large", "--dask", dask) as (process, terminal):
        told = read_until(terminal, "rows announced\r\n")
        running = descendants(process.pid)
        os.write(terminal, b"\x03")
        told += read_until(terminal, None)
        assert process.wait(timeout=30) == 130
    lines = [line.removeprefix("^C") for line in told.split("\r\n") if line not in ("", "^C")]
    assert all(line.startswith("mockexport: ") for line in lines), told
    assert lines[-1] == "mockexport: interrupted"
    assert len(running) >= processes
    for pid in running:
        ended(pid)


def ended(pid: int) -> None:
    """Wait for a process to end: Python's own resource tracker leaves a moment after the last of its clients."""
    try:
        watched = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        assert select.select([watched], [], [], 10)[0], pid
    finally:
        os.close(watched)


def test_ctrl_c_ends_the_run_and_the_processes_of_a_local_cluster() -> None:
    interrupt("local:2", processes=2 + 1)  # two workers, and the mock server


def test_ctrl_c_leaves_a_cluster_at_rest_and_a_lost_scheduler_is_told_in_a_line() -> None:
    with machine() as (cluster, address):
        interrupt(address, processes=1)
        with on_terminal("large", "--dask", address) as (process, terminal):
            told = read_until(terminal, "rows announced\r\n")
            cluster.kill()
            told += read_until(terminal, None)
            assert process.wait(timeout=30) == 1
    lines = told.split("\r\n")
    assert lines[-2:] == ["mockexport: error: the cluster: the connection to the scheduler was lost", ""]
    assert all(line.startswith("mockexport: ") for line in lines[:-1])
