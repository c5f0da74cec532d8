"""How to reach a cluster that is there already, or to start one on this machine."""

import asyncio
import logging
import re
import signal
import socket
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from importlib import import_module
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from mockexport.distributed.keys import keys_for_one_run, keys_in_files
from mockexport.errors import ClusterError, OptionError
from mockexport.shown import given_url

if TYPE_CHECKING:
    from distributed import Client

__all__ = ["connected", "local_cluster", "require_dask"]


# Addresses of transports that both sides show certificates for.
_WITH_KEYS = ("tls://", "wss://")
# A worker process that dies is started again at once. But so long after a death, a local cluster of Dask's gives up a
# place where it finds no worker, though the next may just be starting there; and nobody else would start one.
LOST_WORKER = "distributed.deploy.lost-worker-timeout"
PATIENCE = "30 days"
# How long a plain connection may take.
ANSWER_S = 3.0
# What the processes would show of themselves on web pages, to all who ask.
PAGES = ("distributed.scheduler.http.routes", "distributed.worker.http.routes")


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
async def connected(
    address: str, *, timeout_s: float, ca: str | None = None, cert: str | None = None, key: str | None = None
) -> AsyncIterator["Client"]:
    """Connect to the scheduler at an address such as `tls://10.0.0.1:8786`, and yield a client.

    Args:
        address: where the scheduler is.
        timeout_s: how long it may take to answer, in seconds.
        ca: a file with the certificates of the authority that the cluster's own are from.
        cert: a file with the certificate to show to the scheduler.
        key: the file with its private key, without a passphrase; by default that of `cert`.

    Raises:
        OptionError: if the extra is missing, the address is none, or keys are missing or no use.
        ClusterError: if no scheduler answers.
    """
    library = require_dask()
    if not re.fullmatch(r"(tcp|tls|ws|wss)://[^/@]+:[0-9]+/?", address):
        raise OptionError("dask", f"{given_url(address)!a} is neither local:N nor an address such as tls://host:8786")
    security = keys_in_files(library, ca, cert, key)
    if address.startswith(_WITH_KEYS) and not security.tls_client_cert:
        raise OptionError("dask", f"{address} takes keys: name them (connected.ca, connected.cert, connected.key)")
    if ca is not None and not address.startswith(_WITH_KEYS):
        raise OptionError("dask-ca", f"is for an address that begins with tls://, and {address} does not")
    client = library.Client(address, asynchronous=True, set_as_default=False, timeout=timeout_s, security=security)
    try:
        try:
            async with asyncio.timeout(timeout_s):  # it keeps to its own not everywhere
                await client
        except Exception as error:  # of many kinds, and not all of them documented
            context = security.get_connection_args("client")["ssl_context"]
            why = await _why(address, context if address.startswith(_WITH_KEYS) else None)
            raise ClusterError(f"no scheduler answers at {address} within {timeout_s:g} s{why}") from error
        yield client
    finally:
        with suppress(Exception):  # that it was never there says more
            await client.close()


async def _why(address: str, context: ssl.SSLContext | None) -> str:
    """Say what a plain connection shows of why there is no scheduler: Dask tries again until it has forgotten why."""
    where = urlsplit(address)
    try:
        async with asyncio.timeout(ANSWER_S):
            _, writer = await asyncio.open_connection(where.hostname, where.port, ssl=context)
            writer.close()
    except ssl.SSLCertVerificationError:
        return ": its certificate is not of the authority that was named (connected.ca)"
    except ssl.SSLError:
        return ": what is there speaks no TLS, or does not take this certificate"
    except ConnectionRefusedError:
        return ": nothing listens there"
    except socket.gaierror:
        return ": the host name could not be resolved"
    except OSError:  # a time limit is one
        return ""
    return "; is it one, and of a version that fits?"


@asynccontextmanager
async def local_cluster(processes: int) -> AsyncIterator["Client"]:
    """Run a number of worker processes on this machine, for themselves, and yield a client of theirs.

    Raises:
        OptionError: if the extra is missing, or there are no keys to be had.
        ClusterError: if they cannot be started.
    """
    library = require_dask()
    security = keys_for_one_run(library)
    settings: dict[str, Any] = {LOST_WORKER: PATIENCE, **{key: [] for key in PAGES}}
    others: Exception | None = None
    try:
        # Two threads each: while one share waits for the network, another computes. No pages: nobody is to look in.
        # No logs: what is wrong comes back as an error.
        with _interrupts_spared(), import_module("dask").config.set(settings):
            async with (
                library.LocalCluster(
                    n_workers=processes, threads_per_worker=2, processes=True, host="127.0.0.1",
                    security=security, dashboard_address="127.0.0.1:0", scheduler_kwargs={"dashboard": False},
                    asynchronous=True, silence_logs=logging.CRITICAL,
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
