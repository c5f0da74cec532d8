"""Where an analysis runs: in this process, or on the workers of a cluster (`--dask`)."""

import argparse
import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from mockexport.analysis import analyze
from mockexport.cli.text import inform
from mockexport.errors import OptionError
from mockexport.report.plain import counted
from mockexport.report.report import Report

__all__ = ["Analyze", "analyzed", "analyzing"]

# A scheduler that is there answers at once.
CONNECT_S = 10.0

Analyze = Callable[..., Awaitable[Report[Any]]]


@asynccontextmanager
async def analyzing(options: argparse.Namespace) -> AsyncIterator[Analyze]:
    """Yield what analyses an export where `--dask` says."""
    if options.dask is None:
        yield analyze
        return
    if options.preview:
        raise OptionError("preview", "looks into this process, not into a cluster; leave it out")
    from mockexport import distributed  # no sooner: it is an extra's
    from mockexport.distributed.clusters import require_dask

    # What it has to say of connections that end is no news to a user. It sets levels of its own when it is loaded.
    require_dask()
    for name in ("distributed", "distributed.client", "tornado", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    kind, colon, number = options.dask.partition(":")
    if kind == "local" and colon:
        for name in ("dask_ca", "dask_cert", "dask_key"):
            if getattr(options, name) is not None:
                raise OptionError(name.replace("_", "-"), "is for another cluster: that of local:N has keys of its own")
        if not (number.isascii() and number.isdecimal()) or not 1 <= int(number) <= 1000:
            raise OptionError("dask", f"{options.dask!a} is not local: and a number of processes")
        async with distributed.local_cluster(int(number)) as client:
            inform(f"{counted(int(number), 'worker process', 'worker processes')} on this machine")
            yield partial(distributed.analyze, client=client, workers_s=options.dask_wait)
        return
    async with distributed.connected(
        options.dask, timeout_s=CONNECT_S, ca=options.dask_ca, cert=options.dask_cert, key=options.dask_key
    ) as client:
        yield partial(distributed.analyze, client=client, workers_s=options.dask_wait)


async def analyzed(
    exports: Sequence[str | None], analyze_one: Callable[[str | None], Awaitable[Report[Any]]], *, at_once: bool
) -> list[Report[Any]]:
    """Return the reports of all exports: one after the other, or `at_once`, where a cluster shares itself out."""
    if not at_once:
        return [await analyze_one(export_id) for export_id in exports]
    tasks = [asyncio.ensure_future(analyze_one(export_id)) for export_id in exports]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
