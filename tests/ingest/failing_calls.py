"""Run with `failing_calls.c` preloaded: for every place, a life in which that system call fails, and a life after it.

Prints one JSON line per place: what failed, what was acknowledged, what the next life finds. Lives are forked from this
process, which has imported everything once. Used by `test_failing_calls`.
"""

import asyncio
import contextlib
import ctypes
import errno
import json
import os
import sys
from pathlib import Path

from mockexport.ingest.errors import IngestError, Unavailable
from mockexport.ingest.readings import Reading
from mockexport.ingest.settings import Settings
from mockexport.ingest.store import Store
from mockexport.ingest.writing import JournalState
from tests.ingest.stored import NOON_US, all_rows

STEPS = 6


def story(folder: Path) -> dict[str, object]:
    """Store readings one by one, compact twice, read; return what was promised and what became of the service."""
    acknowledged: list[int] = []
    told: dict[str, object] = {"acknowledged": acknowledged, "opened": False, "state": None, "readable": None}
    try:
        store = Store(Settings(data=folder))
    except IngestError as error:
        return told | {"refused": type(error).__name__}
    told["opened"] = True

    async def write(index: int) -> None:
        await store.journal.write([Reading("user", "device_a", NOON_US + index, 60 + index)])

    for index in range(STEPS):
        try:
            asyncio.run(write(index))
            acknowledged.append(index)
        except Unavailable:
            pass
        if index % 3 == 2:
            with contextlib.suppress(Unavailable):
                store.compactor.compact()
    told["state"] = store.journal.state
    rows = all_rows(store)
    told["readable"] = all(rows.get(("user", "device_a", NOON_US + index)) == 60 + index for index in acknowledged)
    if store.journal.state is JournalState.FAILED:
        try:
            asyncio.run(write(99))
            told["accepted_after_failure"] = True
        except Unavailable:
            pass
    return told


def after(folder: Path) -> dict[str, object]:
    """Open the folder again; return which readings are there, and whether it takes new ones."""
    store = Store(Settings(data=folder))
    rows = all_rows(store)
    asyncio.run(store.journal.write([Reading("user", "device_a", NOON_US + 1_000, 99)]))
    store.compactor.compact()
    again = all_rows(store)
    store.close()
    return {"found": sorted(key[2] - NOON_US for key in rows), "grows": len(again) == len(rows) + 1}


def life(work, folder: Path, arm) -> dict[str, object]:  # type: ignore[no-untyped-def]
    """Do `work` in a forked process that then dies without a goodbye; return what it told."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        found: dict[str, object] = {}
        try:
            arm()
            found = work(folder)
        except BaseException as error:
            found = {"crashed": repr(error)}
        finally:
            found |= {"failed": library.failing_calls_failed().decode(), "count": library.failing_calls_count()}
            os.write(writing, json.dumps(found).encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        told = pipe.read()
    os.waitpid(child, 0)
    return dict(json.loads(told)) if told else {"crashed": "died"}


library = ctypes.CDLL(sys.argv[2])
library.failing_calls_failed.restype = ctypes.c_char_p
library.failing_calls_count.restype = ctypes.c_long
library.failing_calls_arm.argtypes = [ctypes.c_char_p, ctypes.c_long, ctypes.c_int]


def main() -> None:
    root, number = Path(sys.argv[1]), getattr(errno, sys.argv[3])

    def armed(folder: Path, place: int):  # type: ignore[no-untyped-def]
        return lambda: library.failing_calls_arm(str(folder).encode(), place, number)

    counted = life(story, root / "counted", armed(root / "counted", -1))
    total = counted["count"]
    assert isinstance(total, int), counted
    for place in range(int(sys.argv[4]), total, int(sys.argv[5])):
        folder = root / str(place)
        told = life(story, folder, armed(folder, place))
        print(
            json.dumps({"place": place, "total": total, **told, "after": life(after, folder, lambda: None)}), flush=True
        )


if __name__ == "__main__":
    main()
