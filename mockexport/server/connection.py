"""One client's connection: aiohttp's protocol, with what it says when a request is beyond reading.

Rules: aiohttp reads the requests and keeps the deadline for a request's head; only the errors that arise before a
route is found, or behind our back, are put into words here: as JSON, in one line of the log, without a traceback.
"""

import logging
from http import HTTPStatus

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError, LineTooLong

from mockexport.server.replying import error_reply

__all__ = ["HEAD_LIMIT_BYTES", "IDLE_S", "LINGER_S", "Connection"]

logger: logging.Logger = logging.getLogger("mockexport.server")

# A connection has so long from its opening, or from its last reply, until the next request's head is in.
IDLE_S = 30.0

# Requests have no bodies here; one that has is read and dropped for so long, and then the connection is.
LINGER_S = 2.0

# Far more than a request needs: paths are some 100 bytes.
HEAD_LIMIT_BYTES = 8190


class Connection(web.RequestHandler):
    """aiohttp's server side of one connection, with our errors."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Return the reply to a request that could not be read, or whose handler failed."""
        if isinstance(exc, ConnectionError):
            # The client left, or a fault was asked for; either way nobody is there to be answered.
            raise ConnectionResetError("the connection is at its end")
        if isinstance(exc, HttpProcessingError):
            # Anyone can send junk: no reason to fill the log with tracebacks, and none to repeat the junk in it.
            logger.info("refused a request that is not HTTP as we know it: %s", type(exc).__name__)
            if isinstance(exc, LineTooLong):
                status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        elif isinstance(exc, ConnectionError):
            logger.info("a client left before its reply was out")
        else:
            logger.error("a handler failed", exc_info=exc)
        if request.writer.output_size > 0:
            # Half a reply is out: only breaking the connection can tell the client.
            raise ConnectionResetError("the reply cannot be completed")
        reply = error_reply(status, HTTPStatus(status).phrase)
        reply.force_close()
        return reply
