"""What an application learns from the uvicorn that hosts it, and puts into it: both by the lifespan's `receive`.

An application meets its server once before the first connection, in the lifespan, whose `receive` is a method of the
server's. Under any other server there is nothing to learn.
"""

import os
import socket

from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from mockexport.ingest.wire import DeadlineProtocol

__all__ = ["bound_host", "install", "serves_directly"]


def _config(receive: object) -> Config | None:
    config = getattr(getattr(receive, "__self__", None), "config", None)
    return config if isinstance(config, Config) else None


def install(receive: object) -> bool:
    """Put the deadlines into a uvicorn that was started without them, as `uvicorn mockexport.ingest:app` is.

    The protocol's class belongs to the server's configuration and is looked up for every new connection.

    Returns:
        Whether they are in place now; False under any other server.
    """
    config = _config(receive)
    if config is None:
        return False
    if not issubclass(config.http_protocol_class, DeadlineProtocol):
        config.http_protocol_class = DeadlineProtocol
    return True


def serves_directly(receive: object, app: ASGIApp) -> bool:
    """Tell whether the server calls `app` itself, with nothing of others between, and need not count its requests."""
    config = _config(receive)
    if config is None or config.limit_concurrency is not None or config.limit_max_requests is not None:
        return False
    outermost = config.loaded_app
    return (outermost.app if isinstance(outermost, ProxyHeadersMiddleware) else outermost) is app


def bound_host(receive: object) -> str | None:
    """Return the address at which the server was told to listen; None if it is no address.

    A Unix socket is none, and another server does not tell.
    """
    config = _config(receive)
    if config is None or config.uds is not None:
        return None
    if config.fd is None:
        return config.host
    with socket.socket(fileno=os.dup(config.fd)) as given:
        address = given.getsockname()
    return address[0] if isinstance(address, tuple) else None
