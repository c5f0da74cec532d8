"""The kernel's crew: threads of its own that scan and read while Python does something else."""

import asyncio
import errno
import gc
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mockexport import Schema
from mockexport.engine.choosing import kernel_problem
from mockexport.formats import CsvDecoder
from mockexport.model import Chunk, Span

if kernel_problem() is not None:
    pytest.skip("there is no kernel here", allow_module_level=True)

from mockexport import _kernel
from mockexport._kernel import Crew, State
from mockexport.engine import kernel

HEADER = b"patient_id,event_time,event_type,value\n"
Begin = Callable[[int], Crew]


@pytest.fixture(params=["eventfd", "socket pair"])
def begin(request: pytest.FixtureRequest) -> Iterator[Begin]:
    """Begin a crew of as many threads as asked for, which is closed at the end; with either way of waking."""
    crews: list[Crew] = []

    def new(threads: int) -> Crew:
        crews.append(Crew(threads, eventfd=request.param == "eventfd"))
        return crews[-1]

    yield new
    for crew in crews:
        crew.close()


def rows(number: int, seed: int = 0) -> bytes:
    draw = random.Random(seed)
    return b"".join(
        b"P%d,2025-08-26T00:%02d:%02dZ,spo2,%d\n" % (draw.randrange(20), n // 60 % 60, n % 60, draw.randrange(200))
        for n in range(number)
    )


def new_state() -> State:
    return State([], ())


def new_scan(kind: type[_kernel.Scan] = _kernel.Scan) -> _kernel.Scan:
    decoder = CsvDecoder(Schema())
    decoder.take(Chunk(Span("d"), HEADER, 0, len(HEADER), 1))
    return kernel.new_scan(kind, new_state(), decoder, Schema(), None)


def folded(*chunks: bytes) -> bytes:
    """What the reference makes of rows."""
    scan = new_scan()
    for chunk in chunks:
        scan.feed(chunk, 0, 1)
    return scan.state.dump()


def collect(crew: Crew, number: int) -> dict[Any, Any]:
    """Wait for so many results as a loop does: by watching the descriptor."""
    found: dict[Any, Any] = {}
    while len(found) < number:
        assert select.select([crew.fileno()], [], [], 20)[0], "nobody was woken"
        found.update(crew.collect())
    return found


def test_a_crew_makes_of_rows_what_the_calling_thread_would(begin: Begin) -> None:
    data = rows(5_000)
    odd = b'"P1",2025-08-26T00:00:00Z,spo2,1\nP2,nonsense,spo2,1\n'
    crew, scan, alone = begin(2), new_scan(), new_scan()
    # A part of a buffer, whose first row is line 7.
    buffer = bytearray(b"x" * 11 + data + odd + b"junk")
    crew.scan(scan, buffer, 11, 11 + len(data + odd), 7, "ticket")
    found = collect(crew, 1)
    assert found == {"ticket": alone.feed(data + odd, 0, 7)}
    assert found["ticket"] == [(7 + 5_001, b"P2,nonsense,spo2,1")]
    assert scan.state.dump() == alone.state.dump()
    assert (scan.rows, scan.lines) == (5_001, 5_002)


@pytest.mark.parametrize("threads", [1, 2, 5])
def test_many_scans_in_flight_are_each_done_once(begin: Begin, threads: int) -> None:
    crew, scans, chunks = begin(threads), [new_scan() for _ in range(40)], 12
    data = {(n, step): rows(50 + n, seed=1000 * n + step) for n in range(len(scans)) for step in range(chunks)}
    for n, scan in enumerate(scans):
        crew.scan(scan, data[n, 0], 0, len(data[n, 0]), 1, (n, 0))
    left = len(data)
    while left:
        assert select.select([crew.fileno()], [], [], 20)[0]
        for (n, step), aside in crew.collect():
            assert aside == []
            left -= 1
            if step + 1 < chunks:
                crew.scan(scans[n], data[n, step + 1], 0, len(data[n, step + 1]), 1, (n, step + 1))
    assert crew.pending == 0
    for n, scan in enumerate(scans):
        assert scan.state.dump() == folded(*(data[n, step] for step in range(chunks)))


async def test_an_event_loop_watches_a_crew(begin: Begin) -> None:
    crew, scan, done = begin(1), new_scan(), asyncio.Event()
    loop = asyncio.get_running_loop()
    found: list[tuple[Any, Any]] = []

    def look() -> None:
        found.extend(crew.collect())
        done.set()

    loop.add_reader(crew.fileno(), look)
    data = rows(100)
    crew.scan(scan, data, 0, len(data), 1, 5)
    await asyncio.wait_for(done.wait(), 20)
    loop.remove_reader(crew.fileno())
    assert found == [(5, [])]
    # What has been collected wakes nobody again.
    assert crew.collect() == []
    assert not select.select([crew.fileno()], [], [], 0)[0]


def test_a_read_fills_its_part_of_the_buffer_and_leaves_the_rest(begin: Begin, tmp_path: Path) -> None:
    content = random.Random(1).randbytes(300_000)
    (tmp_path / "file").write_bytes(content)
    crew, buffer = begin(2), bytearray(b"-" * 250_000)
    with (tmp_path / "file").open("rb") as file:
        crew.read(file.fileno(), buffer, 10, 200_000, 70_000, "whole")
        crew.read(file.fileno(), bytearray(9), 0, 9, 299_996, "the end")
        crew.read(file.fileno(), bytearray(9), 0, 9, 300_000, "beyond")
        crew.read(file.fileno(), bytearray(9), 0, 0, 0, "nothing")
        assert collect(crew, 4) == {"whole": 200_000, "the end": 4, "beyond": 0, "nothing": 0}
        assert file.tell() == 0
    assert buffer[:10] + buffer[200_010:] == b"-" * 50_000
    assert buffer[10:200_010] == content[70_000:270_000]


def test_what_cannot_be_read_is_an_error_number(begin: Begin, tmp_path: Path) -> None:
    crew = begin(1)
    reading, writing = os.pipe()
    folder = os.open(tmp_path, os.O_RDONLY)
    for fd, ticket in ((reading, "pipe"), (folder, "folder"), (2**30, "closed")):
        crew.read(fd, bytearray(5), 0, 5, 0, ticket)
    assert collect(crew, 3) == {"pipe": -errno.ESPIPE, "folder": -errno.EISDIR, "closed": -errno.EBADF}
    for fd in (reading, writing, folder):
        os.close(fd)


def test_a_state_is_busy_until_its_scan_is_collected(begin: Begin) -> None:
    crew, scan = begin(1), new_scan(_kernel.ColumnScan)
    data = rows(1_000)
    crew.scan(scan, data, 0, len(data), 1, 1)
    assert select.select([crew.fileno()], [], [], 20)[0]
    state = scan.state
    busy = [state.is_busy]
    refused: list[Callable[[], object]] = [
        lambda: crew.scan(scan, data, 0, len(data), 1, 2),
        lambda: scan.feed(data, 0, 1),
        state.dump,
        lambda: state.row(0),
        lambda: new_state().merge(state),
        lambda: state.merge(new_state()),
        lambda: state.add_rows(["P"], [0], ["t"], [1]),
        scan.missing,
    ]
    for act in refused:
        with pytest.raises(RuntimeError, match="in use"):
            act()
    assert crew.pending == 1
    assert collect(crew, 1) == {1: []}
    assert scan.rows == 1_000
    assert [*busy, state.is_busy] == [True, False]
    scan.feed(data, 0, 1)


def test_a_buffer_is_kept_as_it_is_until_its_job_is_collected(begin: Begin, tmp_path: Path) -> None:
    crew, scan = begin(1), new_scan()
    buffer = bytearray(rows(1_000))
    crew.scan(scan, buffer, 0, len(buffer), 1, 1)
    with pytest.raises(BufferError):
        buffer.clear()
    collect(crew, 1)
    buffer.clear()
    # Nobody else holds these.
    crew.scan(scan, bytes(rows(1_000)), 0, len(rows(1_000)), 1, 2)
    scan_only_there = new_scan()
    crew.scan(scan_only_there, rows(1_000), 0, len(rows(1_000)), 1, 3)
    del scan_only_there
    gc.collect()
    assert collect(crew, 2) == {2: [], 3: []}


def test_what_is_queued_is_done_before_a_crew_ends_and_can_still_be_collected(begin: Begin) -> None:
    crew, scans, data = begin(1), [new_scan() for _ in range(30)], rows(3_000)
    for n, scan in enumerate(scans):
        crew.scan(scan, data, 0, len(data), 1, n)
    crew.close()
    crew.close()
    assert crew.threads == 0
    with pytest.raises(RuntimeError, match="closed"):
        crew.scan(new_scan(), data, 0, len(data), 1, 99)
    with pytest.raises(RuntimeError, match="closed"):
        crew.read(0, bytearray(1), 0, 1, 0, 99)
    assert sorted(crew.collect()) == [(n, []) for n in range(30)]
    assert {scan.state.dump() for scan in scans} == {folded(data)}


def test_a_crew_that_is_dropped_with_jobs_at_hand_ends_them_first() -> None:
    buffer = bytearray(rows(20_000))
    crew = Crew(2)
    watched = crew.fileno()
    scans = [new_scan() for _ in range(20)]
    for scan in scans:
        crew.scan(scan, buffer, 0, len(buffer), 1, None)
    del crew
    buffer.clear()  # nobody holds it
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(watched)
    # How far these got, nobody knows.
    assert all(scan.state.is_busy for scan in scans)


def test_a_refused_job_leaves_nothing_behind(begin: Begin) -> None:
    crew, scan, buffer = begin(1), new_scan(), bytearray(rows(10))
    for start, stop in ((5, 4), (0, len(buffer) + 1), (len(buffer) + 1, len(buffer) + 1)):
        with pytest.raises(ValueError, match="beyond"):
            crew.scan(scan, buffer, start, stop, 1, None)
        with pytest.raises(ValueError, match=r"beyond|place"):
            crew.read(0, buffer, start, stop - start if stop > start else 2**64 - 1, 0, None)
    with pytest.raises(ValueError, match="place"):
        crew.read(0, buffer, 0, 1, -1, None)
    with pytest.raises((BufferError, TypeError, ValueError)):
        crew.read(0, bytes(5), 0, 5, 0, None)
    with pytest.raises(ValueError, match="at least one"):
        Crew(0)
    crew.close()
    with pytest.raises(RuntimeError, match="closed"):
        crew.scan(scan, buffer, 0, len(buffer), 1, None)
    buffer.clear()
    assert not scan.state.is_busy


def test_more_jobs_than_a_crew_holds_are_refused(begin: Begin) -> None:
    crew, buffer = begin(1), bytearray(1)
    for n in range(1024):
        crew.read(2**30, buffer, 0, 1, 0, n)
    scan = new_scan()
    with pytest.raises(RuntimeError, match="1024 jobs"):
        crew.scan(scan, b"", 0, 0, 1, None)
    assert not scan.state.is_busy
    assert len(collect(crew, 1024)) == 1024
    crew.scan(scan, b"", 0, 0, 1, None)
    collect(crew, 1)


def test_a_crew_works_while_the_interpreter_is_held(begin: Begin) -> None:
    crew, scan, data = begin(1), new_scan(), rows(2_000)
    crew.scan(scan, data, 0, len(data), 1, None)
    switch = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # this thread never lets go of the interpreter's lock
    try:
        while scan.lines < 2_000:
            pass
    finally:
        sys.setswitchinterval(switch)
    collect(crew, 1)


def test_signals_reach_python_and_not_the_crew(begin: Begin) -> None:
    begin(4)
    seen: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda *_: seen.append(threading.get_ident()))
    try:
        for _ in range(50):
            os.kill(os.getpid(), signal.SIGUSR1)
        # A blocking call of the main thread is interrupted, which it is not if another thread takes the signal.
        ours, theirs = socket.socketpair()
        threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGUSR1)).start()
        threading.Timer(0.2, theirs.send, (b"x",)).start()
        assert ours.recv(1) == b"x"
        ours.close()
        theirs.close()
    finally:
        signal.signal(signal.SIGUSR1, before)
    assert set(seen) == {threading.main_thread().ident}


def test_a_fork_can_let_go_of_a_crew() -> None:
    code = """
import os, sys
from mockexport._kernel import Crew
crew = Crew(3)
if os.fork() == 0:
    crew.collect()
    crew.close()
    del crew
    os._exit(7)
_, status = os.wait()
assert os.waitstatus_to_exitcode(status) == 7, status
crew.read(2**30, bytearray(1), 0, 1, 0, "still there")
crew.close()
print(crew.collect())
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, timeout=30)
    assert (ran.stdout, ran.stderr) == (f"[('still there', {-errno.EBADF})]\n", "")


def test_cycles_through_a_ticket_are_no_danger() -> None:
    class Ticket:
        pass

    for _ in range(20):
        crew, scan, ticket = Crew(2), new_scan(), Ticket()
        ticket.all = (crew, scan)  # type: ignore[attr-defined]
        data = bytearray(rows(2_000))
        crew.scan(scan, data, 0, len(data), 1, ticket)
        held = crew
        del crew, scan, ticket, data
        gc.collect()
        assert len(collect(held, 1)) == 1
        held.close()
