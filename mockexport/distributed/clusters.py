"""How to reach a cluster that is there already, or to start one on this machine."""

import logging
import re
import signal
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from importlib import import_module
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from mockexport.errors import ClusterError, OptionError
from mockexport.shown import given_url

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connected", "local_cluster", "require_dask"]


# A worker process that dies is started anew at once. But so long after a death, a local cluster of Dask's gives up a
# place where it finds no worker, though the next may just be starting there; and nobody else would start one.
LOST_WORKER = "distributed.deploy.lost-worker-timeout"
PATIENCE = "30 days"


def require_dask() -> Any:
    """Return Dask's scheduler library, whose types are few.

    Raises:
        OptionError: the extra is missing.
    """
    try:
        return import_module("distributed")
    except ImportError as error:
        raise OptionError("dask", "needs the extra: pip install 'mockexport[dask]'") from error


@asynccontextmanager
async def connected(address: str, *, timeout_s: float) -> AsyncIterator["Client"]:
    """Connect to the scheduler at an address such as `tcp://10.0.0.1:8786`, and yield a client.

    Raises:
        OptionError: if the extra is missing, or the address is none.
        ClusterError: if no scheduler answers.
    """
    library = require_dask()
    if not re.fullmatch(r"(tcp|tls|ws|wss)://[^/@]+:[0-9]+/?", address):
        raise OptionError("dask", f"{given_url(address)!a} is neither local:N nor an address such as tls://host:8786")
    try:
        client = await library.Client(address, asynchronous=True, set_as_default=False, timeout=timeout_s)
    except (OSError, TimeoutError, ValueError) as error:
        raise ClusterError(f"no scheduler answers at {address} within {timeout_s:g} s") from error
    try:
        yield client
    finally:
        await client.close()


@asynccontextmanager
async def local_cluster(processes: int) -> AsyncIterator["Client"]:
    """Run so many worker processes on this machine, for themselves, and yield a client of theirs.

    Raises:
        OptionError: if the extra is missing.
        ClusterError: if they cannot be started.
    """
    library = require_dask()
    others: Exception | None = None
    try:
        # Two threads each: while one share waits for the network, another computes. No dashboard: nobody is to look in.
        # No logs: what is wrong comes back as an error.
        with _interrupts_spared(), import_module("dask").config.set({LOST_WORKER: PATIENCE}):
            async with (
                library.LocalCluster(
                    n_workers=processes, threads_per_worker=2, processes=True, host="127.0.0.1",
                    dashboard_address="127.0.0.1:0", asynchronous=True, silence_logs=logging.CRITICAL,
                ) as cluster,
                library.Client(cluster, asynchronous=True, set_as_default=False) as client,
            ):  # fmt: skip
                try:
                    yield client
                except Exception as error:
                    others = error
                    raise
    except (OSError, RuntimeError, TimeoutError) as error:
        if error is others:  # of what was done with the client
            raise
        raise ClusterError(f"the worker processes could not be run ({type(error).__name__})") from error


@contextmanager
def _interrupts_spared() -> Iterator[None]:
    """Let processes that start meanwhile hear nothing of Ctrl-C, which a terminal sends to all of a group.

    A process is born with those signals blocked that the thread blocks that starts it, and so is a thread. So this one
    blocks SIGINT, and another, which starts nothing, takes it; Python runs the handler in the main thread as ever.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    resource_tracker.ensure_running()  # it unblocks SIGINT once it runs, which the first process would have it do
    over = threading.Event()
    taker = threading.Thread(target=over.wait, name="mockexport interrupts", daemon=True)
    taker.start()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        if signal.SIGINT not in before:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})
        over.set()
        taker.join()
