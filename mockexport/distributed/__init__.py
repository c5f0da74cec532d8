"""The same analysis on the workers of a Dask cluster: shares go out, accounts and states come back and are merged.

    from distributed import Client

    async with Client("tcp://scheduler:8786", asynchronous=True) as client:
        report = await mockexport.distributed.analyze("large", client=client, url="https://exports.example")

analysis.py   `analyze`, as on one machine
clusters.py   how to reach a cluster, or start one here
keys.py       keys for TLS between the processes of a cluster on this machine
tasks.py      what a worker is given, does, reports while it works, and gives back
planning.py   an export as tasks, none of them too large or too small
following.py  the events of all workers, as those of one run
crew.py       submits the tasks, takes each result once, and notices what is lost

Needs the extra `mockexport[dask]`. URL, token and header fields travel inside the tasks' data, which is in the memory
of scheduler and workers and on the wire between them (docs/scale.md says how to protect it); a task's key and name hold
nothing but numbers.
"""

from mockexport.distributed.analysis import analyze
from mockexport.distributed.clusters import connected, local_cluster

__all__ = ["analyze", "connected", "local_cluster"]
