"""Schedulers and workers: in this process, or in one of their own, of which `python -m tests.distributed.machine` tells
the address.

It ends when stdin does. To kill it is to lose the scheduler.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from distributed import Scheduler, Worker


@asynccontextmanager
async def workers_in_this_process(number: int) -> AsyncIterator[Any]:
    """A real scheduler and real workers, with connections in memory: what processes add is another test's."""
    from distributed import Client, LocalCluster

    async with (
        LocalCluster(  # type: ignore[no-untyped-call]
            n_workers=number, threads_per_worker=1, processes=False, dashboard_address=None, asynchronous=True
        ) as local,
        Client(local, asynchronous=True, set_as_default=False) as client,  # type: ignore[no-untyped-call]
    ):
        yield client


async def main() -> None:
    async with (
        Scheduler(host="127.0.0.1", port=0, dashboard_address="127.0.0.1:0") as scheduler,
        Worker(scheduler.address, nthreads=2, host="127.0.0.1", dashboard_address="127.0.0.1:0"),
    ):
        sys.stdout.write(scheduler.address + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main())
