"""The embedded server's process: `python -m mockexport.server`, started by `embedded` and of little use otherwise.

It takes no options: it listens at a free port of the local machine, prints its address as one line, and ends when its
standard input does. So it ends with its parent, however that ends.
"""

import asyncio
import sys

from mockexport.server.run import MockServer, serve, stdin_closed


def tell(server: MockServer) -> None:
    """Print the address for the parent, who waits for it."""
    sys.stdout.write(f"{server.url}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(serve(MockServer(record=False), on_ready=tell, until=stdin_closed()))
