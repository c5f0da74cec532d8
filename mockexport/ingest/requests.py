"""Every request has an id, is counted by route and status, and leaves a line in the log unless it is one of thousands.

Readings that were accepted and requests that were refused for overload are only counted: with ten thousand a second, a
line each would be most of the work, and tell nobody anything.
"""

import itertools
import logging
import re
import secrets
import time

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mockexport.ingest.logs import REQUEST_ID
from mockexport.ingest.metrics import Metrics

__all__ = ["Requests"]

_log = logging.getLogger("mockexport.ingest.requests")

# What a caller may choose as an id: it goes into the log and back into a header.
_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
_HEADER = b"x-request-id"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class Requests:
    """What stands between the server and the application, for every request."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app, self._metrics = app, metrics
        # Unique among processes and restarts by its beginning, within one by its number.
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        request_id = self._id_of(scope)
        token = REQUEST_ID.set(request_id)
        started = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (_HEADER, request_id.encode())]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            seconds = time.perf_counter() - started
            method = scope["method"] if scope["method"] in _METHODS else "other"
            route = getattr(scope.get("route"), "path", "other")
            self._metrics.count_request(method, route, status, seconds)
            if status not in (202, 503) or method == "DELETE":
                facts = {"method": method, "route": route, "status": status, "seconds": round(seconds, 4)}
                _log.info("request", extra={"facts": facts})
            REQUEST_ID.reset(token)

    def _id_of(self, scope: Scope) -> str:
        for name, value in scope["headers"]:
            if name == _HEADER and _GIVEN.fullmatch(value):
                return str(value, "ascii")
        return f"{self._prefix}-{next(self._numbers):x}"
