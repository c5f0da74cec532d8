"""`mockexport serve`: the mock export server, until Ctrl-C."""

import argparse
import sys
from pathlib import Path

from mockexport.cli.text import say
from mockexport.server.faults import Faults
from mockexport.server.run import serve as serve_exports
from mockexport.server.run import stdin_closed

__all__ = ["serve"]


async def serve(options: argparse.Namespace) -> int:
    """Run the command; the server's URL is the one line on stdout."""

    def ready(url: str) -> None:
        sys.stdout.write(url + "\n")
        sys.stdout.flush()
        say(f"serving {'synthetic data' if options.data is None else options.data}; Ctrl-C ends it")

    data = None if options.data is None else Path(options.data)
    faults = None if options.faults is None else Faults.parse(options.faults, seed=options.seed)
    until = stdin_closed() if options.exit_with_stdin else None
    await serve_exports(options.host, options.port, data=data, faults=faults, on_ready=ready, until=until)
    return 0
