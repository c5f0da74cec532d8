"""The service as a process: `run` for the command line, and the options it takes.

--host TEXT             the address to listen at                         127.0.0.1
--port NUMBER           0 picks a free one                               8000
--data FOLDER           where everything is kept                         data
--priority TEXT         device_a=1,device_b=2: lower is preferred        device_a=1,device_b=2
--compact-rows NUMBER   journal rows at which compaction begins          200000
--compact-age-s SECONDS age of the oldest journal row at which it does   30
--keep-days NUMBER      days before today that are kept                  all
--host-name NAME        a further name of the service, may be repeated
--token-file FILE       the tokens of which each request must bring one
--without-token         listen beyond this machine without one
"""

import gc
import logging
import os
import resource
import sys
from collections.abc import Sequence
from pathlib import Path

from mockexport.access import is_loopback
from mockexport.ingest.extra import explained
from mockexport.ingest.settings import Settings

__all__ = ["run", "serve"]

_log = logging.getLogger("mockexport.ingest")

# Connections that may wait in the kernel while the loop is busy with a batch.
_BACKLOG = 2_048
# How long an idle connection is kept: devices report every few seconds, and a new connection costs more than a request.
_IDLE_S = 75
# Objects made before the collector looks for circles. A request makes some hundred and leaves no circle; a thousand
# connections are what it would walk through again and again, a tenth of all time.
_GARBAGE = 50_000
# How long a thread may keep the interpreter while another waits for it, in seconds. A question takes it some twenty
# times on its way, each time behind whatever else is computed; Python's own five milliseconds would be a tenth of a
# second.
_SWITCH_S = 0.001
# How long requests that are under way may take at the end: with what closing the store takes, within ten seconds.
_GRACE_S = 4


def run(
    host: str = "127.0.0.1",
    port: int = 8000,
    data: str | os.PathLike[str] = "data",
    *,
    priority: str | None = None,
    compact_rows: int | None = None,
    compact_age_s: float | None = None,
    keep_days: int | None = None,
    host_names: Sequence[str] = (),
    token_file: str | os.PathLike[str] | None = None,
    without_token: bool = False,
) -> int:
    """Run the service until it is told to stop (SIGINT, SIGTERM); return the exit code. What is None is the default.

    Raises:
        OptionError: an option that cannot be meant.
        ExtraMissing: the packages of the extra are not installed.
    """
    from mockexport.ingest.settings import parse_priority

    options: dict[str, object] = {"host": host, "port": port, "data": Path(data)}
    if priority is not None:
        options["priority"] = parse_priority(priority)
    if compact_rows is not None:
        options["compact_rows"] = compact_rows
    if compact_age_s is not None:
        options["compact_age_s"] = compact_age_s
    if keep_days is not None:
        options["keep_days"] = keep_days
    options |= {"host_name": tuple(host_names), "without_token": without_token}
    if token_file is not None:
        options["token_file"] = Path(token_file)
    return serve(Settings(**options))  # type: ignore[arg-type]  # each checked by Settings itself


def serve(settings: Settings) -> int:
    """Run the service with these settings; return the exit code."""
    with explained():
        import uvicorn

        from mockexport.ingest.accepting import PromptServer
        from mockexport.ingest.application import create_app
        from mockexport.ingest.wire import DeadlineProtocol
    from mockexport.ingest.logs import set_up_logging

    set_up_logging()
    _raise_file_limit()
    if settings.token_file is None and not is_loopback(settings.host):
        _log.warning("anyone who reaches it may read and write", extra={"facts": {"host": settings.host}})
    server = PromptServer(
        uvicorn.Config(
            create_app(settings),
            host=settings.host,
            port=settings.port,
            http=DeadlineProtocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,
            server_header=False,
            backlog=_BACKLOG,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_GRACE_S,
        )
    )
    # What the imports have made stays for good: a full collection need not walk through it, which takes tens of
    # milliseconds, in the middle of somebody's request.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE, 20, 50)
    sys.setswitchinterval(_SWITCH_S)
    try:
        server.run()
    except SystemExit:
        return 1  # it could not start, and the log says why; uvicorn's own code for that means something else here
    except KeyboardInterrupt:
        # uvicorn has shut down in good order and raises the signal once more for its host.
        return 130
    return 0 if server.started else 1


def _raise_file_limit() -> None:
    """Let this process have as many files as it may: every connection is one, and the usual soft limit is 1,024."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def main() -> None:
    """Run the service with settings from the environment: for tests and benchmarks, which start it as a process."""
    raise SystemExit(serve(Settings.from_environment()))


if __name__ == "__main__":
    main()
