"""Who folds chunks and reads files beside the event loop: native threads where the engine has them, else Python's.

Rules: a fold's chunk is taken in whole or not at all, also if the task that waits for it is cancelled. So it is taken
in where the scan's end is heard of, and at the latest when the workers end; after that, folds are at rest.
"""

import asyncio
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from io import FileIO
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, cast

from mockexport.engine.choosing import Engine
from mockexport.engine.fold import Fold
from mockexport.model import Chunk

if TYPE_CHECKING:
    from mockexport._kernel import Crew
    from mockexport.engine.kernel import KernelFold

__all__ = ["Workers"]

# More rows than this are judged in a thread: the event loop has others to serve.
FEW_ROWS = 100
# A chunk of this size is scanned in less time than a thread takes to be woken.
FEW_BYTES = 16 * 1024

# What is left of a file is read in less time, too, if it is this little.
FEW_LEFT_BYTES = 64 * 1024

# More a crew does not hold (native/crew.h); what is beyond is done by Python's threads.
MOST_JOBS = 1024

# What is done natively: what to make of its result, and who waits for that.
_Ticket = tuple[Callable[[Any], Any], "asyncio.Future[Any]"]


class Workers:
    """The workers of one run, as a context; Python's threads (`threads`) are there in any case.

    Args:
        engine: whose folds they are.
        number: how many work at once.
    """

    def __init__(self, engine: Engine[Any], number: int) -> None:
        self._engine = engine
        self._number = number
        self._crew: Crew | None = None
        self.threads: ThreadPoolExecutor = ThreadPoolExecutor(number, thread_name_prefix="mockexport")

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if self._engine.new_crew is not None:
            # Without: no threads are to be had, or the event loop watches no files.
            with suppress(OSError, NotImplementedError):
                crew = self._engine.new_crew(self._number)
                self._loop.add_reader(crew.fileno(), self._collect)
                self._crew = crew
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._crew is not None:
            self._loop.remove_reader(self._crew.fileno())
            self._crew.close()
            for (finish, done), result in self._crew.collect():
                _settle(finish, done, result)
        self.threads.shutdown()

    @property
    def pending(self) -> int:
        """How much is being done natively, or is done and was not heard of yet."""
        return 0 if self._crew is None else self._crew.pending

    def _crew_with_room(self) -> "Crew | None":
        return self._crew if self.pending < MOST_JOBS else None

    async def feed(self, fold: Fold[Any], chunk: Chunk) -> None:
        """Have a fold take in its next chunk (see Fold.feed)."""
        crew = self._crew_with_room()
        if crew is None or not self._engine.folds_natively:
            await self._loop.run_in_executor(self.threads, fold.feed, chunk)
            return
        if len(chunk.data) <= FEW_BYTES:
            fold.feed(chunk)
            return
        native = cast("KernelFold", fold)
        scanning = native.begin(chunk)
        if scanning is not None:
            done = self._loop.create_future()
            data = scanning.data
            ticket: _Ticket = (partial(native.end, scanning), done)
            crew.scan(scanning.scan, data, scanning.start, len(data), scanning.line, ticket)
            await done

    async def read(self, file: FileIO, into: memoryview, offset: int) -> int:
        """Read a file from `offset` on; return how many bytes came, fewer than there is room for only at its end.

        Raises:
            OSError: it cannot be read.
        """
        if _is_at_its_end(file, offset):
            return _read_whole(file, into, offset)
        crew = self._crew_with_room()
        if crew is None:
            return await asyncio.to_thread(_read_whole, file, into, offset)
        done = self._loop.create_future()
        crew.read(file.fileno(), into, 0, len(into), offset, (_size_read, done))
        size: int = await done
        return size

    async def call(self, pour: Callable[[memoryview], int], into: memoryview) -> int:
        """Have a function put bytes into memory; return how many."""
        return await self._loop.run_in_executor(self.threads, pour, into)

    def _collect(self) -> None:
        assert self._crew is not None  # noqa: S101 - it is watched
        for (finish, done), result in self._crew.collect():
            if isinstance(result, list) and len(result) > FEW_ROWS:
                self._loop.run_in_executor(self.threads, _settle, finish, done, result, self._loop)
            else:
                _settle(finish, done, result)


def _settle(
    finish: Callable[[Any], Any],
    done: "asyncio.Future[Any]",
    result: Any,
    loop: asyncio.AbstractEventLoop | None = None,
) -> None:
    """Make of a result what is to be made of it, and say so, to the event loop if this is another thread."""
    error: BaseException | None = None
    try:
        if isinstance(result, BaseException):
            raise result
        result = finish(result)
    except BaseException as raised:
        error = raised
    if loop is None:
        _say(done, result, error)
    else:
        loop.call_soon_threadsafe(_say, done, result, error)


def _say(done: "asyncio.Future[Any]", result: Any, error: BaseException | None) -> None:
    if done.done():  # cancelled
        return
    if error is None:
        done.set_result(result)
    else:
        done.set_exception(error)


def _size_read(result: int) -> int:
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def _is_at_its_end(file: FileIO, offset: int) -> bool:
    """Tell whether little is left of a file on disk; of others nobody knows how long reading takes."""
    found = os.fstat(file.fileno())
    return stat.S_ISREG(found.st_mode) and found.st_size - offset <= FEW_LEFT_BYTES


def _read_whole(file: FileIO, into: memoryview, offset: int) -> int:
    file.seek(offset)
    size = 0
    while size < len(into) and (got := file.readinto(into[size:])):
        size += got
    return size
