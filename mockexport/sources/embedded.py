"""The mock server as a child process for one run: started, asked for its address, stopped.

Rules: the child never outlives its parent. It is in a session of its own, so that Ctrl-C reaches the parent alone, and
it ends when its standard input closes, which the system sees to even where the parent is killed.
"""

import asyncio
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from mockexport.errors import SourceError

__all__ = ["EMBEDDED", "embedded"]

# The exports that it has (server/exports.py makes them).
EMBEDDED = ("demo", "small", "large")

# Starting takes half a second; a machine that is twenty times as slow still gets its server.
START_S = 20.0

# -P: no module of the folder that the user happens to be in takes the place of ours.
COMMAND = (sys.executable, "-P", "-m", "mockexport.server")


@asynccontextmanager
async def embedded(*, _command: Sequence[str] = COMMAND, _start_s: float = START_S) -> AsyncIterator[str]:
    """Run the mock server in a process of its own and yield its address, `http://127.0.0.1:…`.

    Raises:
        SourceError: it could not be started, or did not tell its address in time.
    """
    try:
        process = await asyncio.create_subprocess_exec(*_command, stdin=PIPE, stdout=PIPE, start_new_session=True)
    except OSError as error:
        raise SourceError(f"the embedded mock server cannot be started: {error.strerror}") from error
    try:
        yield await _address(process, _start_s)
    finally:
        # It holds nothing that a gentler end could save.
        with suppress(ProcessLookupError):
            process.kill()
        if process.stdin is not None:
            process.stdin.close()
        await process.communicate()


async def _address(process: Process, start_s: float) -> str:
    if process.stdout is None:
        raise RuntimeError("the child has no standard output")
    try:
        async with asyncio.timeout(start_s):
            line = await process.stdout.readline()
    except (TimeoutError, ValueError) as error:  # ValueError: no end of line in 64 KiB
        raise SourceError(f"the embedded mock server did not tell its address within {start_s:g} s") from error
    address = line.decode(errors="replace").strip()
    if not address.startswith("http://"):
        raise SourceError("the embedded mock server ended, or said something else, before it told its address")
    return address
