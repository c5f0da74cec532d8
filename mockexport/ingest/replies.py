"""Replies: JSON made by msgspec, and what each error of the service's tree becomes on the wire."""

import asyncio
import contextlib

import msgspec
from fastapi import Response
from starlette.types import Receive, Scope, Send

from mockexport.access import Refusal
from mockexport.ingest.errors import (
    BodySentAway,
    BodyTooLarge,
    BodyTooSlow,
    ClientGone,
    IngestError,
    NothingThere,
    RequestProblem,
    Unavailable,
)

__all__ = ["BadId", "JsonBytes", "json_reply", "problem_reply", "refusal_reply"]

# After a reply to a body that is too large, so much of it is read and thrown away, for so long: closing at once would
# reset the connection, and the client would lose the reply while it is still sending.
_LINGER_BYTES = 16 << 20
_LINGER_S = 2.0


class BadId(IngestError):  # noqa: N818 - said to the client
    """A download's id that is no UUID: 422, as the export API has it."""

    def __init__(self) -> None:
        super().__init__("download_id: must be a valid UUID")


class JsonBytes(Response):
    """A reply whose body is JSON already."""

    media_type = "application/json"


class _Lingering(JsonBytes):
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        size, more = 0, True
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LINGER_S):
                while more and size < _LINGER_BYTES:
                    message = await receive()
                    size += len(message.get("body", b""))
                    more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def json_reply(content: object, status: int = 200) -> Response:
    """Return a JSON reply."""
    return JsonBytes(msgspec.json.encode(content), status)


def refusal_reply(refusal: Refusal) -> Response:
    """Return what a request is answered that may not be made."""
    headers = {} if refusal.challenge is None else {"www-authenticate": refusal.challenge}
    return JsonBytes(msgspec.json.encode({"detail": refusal.detail}), refusal.status, headers)


def problem_reply(error: Exception) -> Response:
    """Return what a client is told about an error. Only our own messages are shown."""
    status, headers, kind = 500, dict[str, str](), JsonBytes
    if isinstance(error, RequestProblem):
        status = 400
    elif isinstance(error, NothingThere):
        status = 404
    elif isinstance(error, BodyTooLarge):
        status, headers, kind = 413, {"connection": "close"}, _Lingering
    elif isinstance(error, BodyTooSlow):
        status, headers = 408, {"connection": "close"}
    elif isinstance(error, BadId):
        status = 422
    elif isinstance(error, ClientGone):
        status = 400
    elif isinstance(error, Unavailable):
        status, headers = 503, {"retry-after": str(error.retry_after_s)}
        if isinstance(error, BodySentAway):
            # The rest of the body is not waited for.
            headers["connection"] = "close"
    detail = str(error) if status != 500 else "internal error"
    return kind(msgspec.json.encode({"detail": detail}), status, headers)
