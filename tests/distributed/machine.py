"""A scheduler and a worker in one process of their own: `python -m tests.distributed.machine` tells the address.

It ends when stdin does. To kill it is to lose the scheduler.
"""

import asyncio
import sys

from distributed import Scheduler, Worker


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
