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

__all__ = ["REQUEST_ID_FIELD", "RequestIds", "Requests"]

_log = logging.getLogger("mockexport.ingest.requests")

# What a caller may choose as an id: it goes into the log and back into a header.
_GIVEN = re.compile(rb"[A-Za-z0-9._-]{1,64}")
REQUEST_ID_FIELD = b"x-request-id"
_METHODS = frozenset(("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"))


class RequestIds:
    """Gives each request an id: the caller's own, if it is one, or the next of ours."""

    def __init__(self) -> None:
        # Unique among processes and restarts by its beginning, within one by its number.
        self._prefix = secrets.token_hex(4)
        self._numbers = itertools.count(1)

    def of(self, given: bytes | None) -> str:
        """Return the id of a request whose caller has given one, or None."""
        if given is not None and _GIVEN.fullmatch(given):
            return str(given, "ascii")
        return f"{self._prefix}-{next(self._numbers):x}"


class Requests:
    """What stands between the server and the application, for every request but those that go the short way."""

    def __init__(self, app: ASGIApp, metrics: Metrics, ids: RequestIds) -> None:
        self._app, self._metrics, self._ids = app, metrics, ids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request."""
        given = (value for name, value in scope["headers"] if name == REQUEST_ID_FIELD and _GIVEN.fullmatch(value))
        request_id = self._ids.of(next(given, None))
        token = REQUEST_ID.set(request_id)
        started = time.perf_counter()
        status = 0

        async def sending(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (REQUEST_ID_FIELD, request_id.encode())]
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
