"""What comes of a request for data: the right part of the right bytes, or the fault that the request is to suffer.

`ranges` knows the rules of parts, `delivery` sends, `misbehaving` does what a fault says.
"""

import asyncio
import logging
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

from aiohttp import hdrs, web

from mockexport.server.catalogue import Offer, StoredFile
from mockexport.server.delivery import FileChanged, Sending, open_file, send_file, send_rows
from mockexport.server.faults import Faults
from mockexport.server.kinds import Target
from mockexport.server.misbehaving import RightReply, misbehave
from mockexport.server.ranges import Conditions, Failed, Full, NotModified, Partial, Unsatisfiable, decide
from mockexport.server.recording import RecordedRequest

__all__ = ["FAULTS", "RECORD", "SENDING", "STALL_LIMIT_S", "WORKER_POOL", "error_reply", "send_data", "suffer"]

logger: logging.Logger = logging.getLogger("mockexport.server")

FAULTS: web.AppKey[Faults | None] = web.AppKey("faults")
SENDING: web.AppKey[Sending] = web.AppKey("sending")
WORKER_POOL: web.AppKey[ThreadPoolExecutor] = web.AppKey("worker_pool")
STALL_LIMIT_S: web.AppKey[float] = web.AppKey("stall_limit_s")
RECORD: web.RequestKey[RecordedRequest] = web.RequestKey("record")


def error_reply(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the JSON that tells of an error."""
    return web.json_response({"detail": detail}, status=status, headers=headers)


async def send_data(request: web.Request, offer: Offer) -> web.StreamResponse:
    """Send what a request asks for of a download, or let its fault happen."""
    faults = request.app[FAULTS] if request.method == hdrs.METH_GET else None
    reply = _right_reply(request, offer, faults)
    if isinstance(reply, web.Response):
        return reply
    with request.app[SENDING].one():
        if faults is not None and isinstance(offer.content, StoredFile):
            try:
                with open_file(offer, offer.content):  # before a fault's head is out
                    pass
            except FileChanged:
                return _changed(offer.content)
        if faults is not None and await suffer(request, reply, faults):
            reply = _right_reply(request, offer, faults)
            if isinstance(reply, web.Response):
                return reply
        response = web.StreamResponse(status=reply.status, headers=reply.fields)
        response.content_length = reply.count
        return await _send(request, response, offer, reply.first, reply.count)


def _right_reply(request: web.Request, offer: Offer, faults: Faults | None) -> RightReply | web.Response:
    """Return what is to be sent of a download, or the reply that says why nothing is."""
    etag = offer.etag if faults is None else _tag(offer, faults)
    headers: dict[str, str] = {hdrs.ETAG: etag, hdrs.ACCEPT_RANGES: "bytes"}
    match decide(_conditions(request), length=offer.length, etag=etag):
        case Failed():
            return error_reply(412, "Precondition Failed", headers)
        case NotModified():
            return web.Response(status=304, headers=headers)
        case Unsatisfiable():
            headers[hdrs.CONTENT_RANGE] = f"bytes */{offer.length}"
            return error_reply(416, "Range Not Satisfiable", headers)
        case Partial(first, last):
            headers[hdrs.CONTENT_RANGE] = f"bytes {first}-{last}/{offer.length}"
            status, count = 206, last - first + 1
        case Full():
            status, first, count = 200, 0, offer.length
    headers[hdrs.CONTENT_TYPE] = "text/csv; charset=utf-8"
    return RightReply(status, headers, offer, first, count)


def _tag(offer: Offer, faults: Faults) -> str:
    """Return the ETag as the faults so far have left it."""
    changes = faults.changes[offer.metadata.id]
    return f'{offer.etag[:-1]}-{changes}"' if changes else offer.etag


async def suffer(request: web.Request, reply: RightReply, faults: Faults) -> bool:
    """Let the request's fault happen, if there is one; returning means that the right reply is to follow.

    It is to be worked out once more where that is True: the entity tag has changed.
    """
    record = request[RECORD]
    target = Target(
        record.download_id or "",
        record.export_id or "",
        record.route or "",
        ranged=hdrs.RANGE in request.headers,
        first=reply.first,
        count=reply.count,
        length=reply.length,
    )
    fault = record.fault = faults.next(target)
    if fault is None:
        return False
    logger.info("%s, for %s", fault, request.rel_url.path)
    if fault.kind == "new-etag":
        faults.changes[target.download_id] += 1
        return True
    if fault.kind == "delay":
        await asyncio.sleep(faults.delay_s if fault.seconds is None else fault.seconds)
    elif fault.kind not in ("no-range", "wrong-206") or fault.prepares or reply.status == 206:
        try:
            await misbehave(request, record, reply, fault, faults, request.app[WORKER_POOL])
        except FileChanged:  # since we looked: the head may be out, and nothing can be said any more
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the file has changed") from None
    return False


async def _send(
    request: web.Request, response: web.StreamResponse, offer: Offer, first: int, count: int
) -> web.StreamResponse:
    stall_s, record = request.app[STALL_LIMIT_S], request[RECORD]
    record.status = response.status
    if isinstance(offer.content, StoredFile):
        try:
            with open_file(offer, offer.content) as file:
                await response.prepare(request)
                if request.method != hdrs.METH_HEAD:
                    await send_file(request, record, file, first=first, count=count, stall_s=stall_s)
        except FileChanged:
            return _changed(offer.content)
        return response
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        workers = request.app[WORKER_POOL]
        await send_rows(
            request, record, response, offer.content, first=first, count=count, workers=workers, stall_s=stall_s
        )
    return response


def _changed(stored: StoredFile) -> web.Response:
    logger.error("%s is not the file that it was when the server started; restart it", stored.path)
    return error_reply(500, "The file has changed since the server started")


def _conditions(request: web.Request) -> Conditions:
    def joined(name: str) -> str | None:
        values = request.headers.getall(name, [])
        return ", ".join(values) if values else None

    # A Range means something in a GET only (RFC 9110, section 14.2).
    is_get = request.method == hdrs.METH_GET
    return Conditions(
        range=joined(hdrs.RANGE) if is_get else None,
        if_range=joined(hdrs.IF_RANGE),
        if_match=joined(hdrs.IF_MATCH),
        if_none_match=joined(hdrs.IF_NONE_MATCH),
    )
