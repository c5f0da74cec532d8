"""`mockexport serve`: the mock export server, until Ctrl-C."""

import argparse
from pathlib import Path

from mockexport.cli.text import put, say
from mockexport.server.run import serve as serve_exports
from mockexport.server.run import stdin_closed

__all__ = ["serve"]


async def serve(options: argparse.Namespace) -> int:
    """Run the command; the server's URL is the one line on stdout."""

    def ready(url: str) -> None:
        put(url + "\n")
        say(f"serving {'synthetic data' if options.data is None else options.data}; Ctrl-C ends it")

    data = None if options.data is None else Path(options.data)
    until = stdin_closed() if options.exit_with_stdin else None
    await serve_exports(options.host, options.port, data=data, on_ready=ready, until=until)
    return 0
