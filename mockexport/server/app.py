"""The export API as an aiohttp application: its routes, its JSON, its errors.

Rules: every reply is JSON but the CSV, and the page for people at `/`; errors are `{"detail": …}`, and no request
brings a traceback to a client.
Handlers look up and decide; `ranges` knows the rules of parts, `delivery` sends.
"""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from typing import Any

import msgspec
from aiohttp import hdrs, web

from mockexport.access import Asked, Door, Tokens
from mockexport.report.markup import policy
from mockexport.server.catalogue import Catalogue, Offer, StoredFile, folder_catalogue, generated_catalogue
from mockexport.server.delivery import FileChanged, Sending, finish, open_file, send_file, send_rows
from mockexport.server.faults import Faults
from mockexport.server.fhir.authorization import Authorization
from mockexport.server.fhir.routes import WORKERS as FHIR_WORKERS
from mockexport.server.fhir.routes import BulkData
from mockexport.server.misbehaving import misbehave
from mockexport.server.page import front_page
from mockexport.server.ranges import Conditions, Failed, Full, NotModified, Partial, Unsatisfiable, decide
from mockexport.sources.metadata import ExportContents, ExportList, Reply

__all__ = ["SENDING", "STALL_S", "create_app", "error_reply"]

logger: logging.Logger = logging.getLogger("mockexport.server")

# A client that takes nothing for so long has left or hangs; one that is merely busy has its kernel's buffers,
# megabytes, to bridge the time.
STALL_S = 60.0

# Rows are made by so many threads at once; further downloads take turns with theirs, piece by piece.
WORKERS = 4

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DOOR: web.AppKey[Door] = web.AppKey("door")
FHIR_DOOR: web.AppKey[Door] = web.AppKey("fhir_door")
# What a kick-off and a request for a token bring.
FHIR_KINDS = frozenset({b"application/json", b"application/fhir+json", b"application/x-www-form-urlencoded"})
CATALOGUE: web.AppKey[Catalogue] = web.AppKey("catalogue")
FAULTS: web.AppKey[Faults | None] = web.AppKey("faults")
SENDING: web.AppKey[Sending] = web.AppKey("sending")
WORKER_POOL: web.AppKey[ThreadPoolExecutor] = web.AppKey("worker_pool")
SYNTHETIC: web.AppKey[bool] = web.AppKey("synthetic")
STALL_LIMIT_S: web.AppKey[float] = web.AppKey("stall_limit_s")


def create_app(
    *,
    data: Path | None = None,
    stall_s: float = STALL_S,
    faults: Faults | None = None,
    names: frozenset[str] = frozenset(),
    token: str | None = None,
    fhir_client: tuple[str, dict[str, Any]] | None = None,
) -> web.Application:
    """Return the export server as an application, for `serve`, `MockServer` or a runner of your own.

    Args:
        data: a folder that holds an export's files, or folders that do; by default the three built-in exports are
            generated.
        stall_s: seconds after which a client that takes no more bytes is dropped.
        faults: what goes wrong with data requests; by default nothing does.
        names: what clients may call the server in `Host`, in lower case, beside `localhost`, loopback addresses and the
            address that they have connected to.
        token: the bearer token that every request must bring; None lets all in.
        fhir_client: id and public keys (a JWK set) of the one client that may use /fhir, by tokens that it is given
            there; None lets all in.

    Raises:
        FolderError: `data` is no such folder.
        OptionError: `token` is none.
    """
    app = web.Application(middlewares=[_reply])
    app[DOOR] = Door(names, tokens=None if token is None else Tokens.one(token))
    # Under /fhir other tokens let in, and other media types.
    app[FHIR_DOOR] = replace(app[DOOR], tokens=None if fhir_client else app[DOOR].tokens, kinds=FHIR_KINDS)
    app[CATALOGUE] = generated_catalogue() if data is None else folder_catalogue(data)
    app[FAULTS] = faults
    app[SENDING] = Sending()
    app[STALL_LIMIT_S] = stall_s
    app.cleanup_ctx.append(_workers)
    app[SYNTHETIC] = data is None
    app.router.add_get("/", _front)
    app.router.add_get("/api/export", _exports)
    # By itself aiohttp would take no braces for an id, and answer in its own words.
    export, download = "/api/export/{export_id:[^/]+}", "/{download_id:[^/]+}"
    app.router.add_get(export, _export)
    app.router.add_get(export + download, _download)
    app.router.add_get(export + download + "/data", _data)
    authorization = None if fhir_client is None else Authorization(*fhir_client)
    BulkData(app[CATALOGUE], faults, authorization).add_to(app)
    return app


def error_reply(status: int, detail: str, headers: Mapping[str, str] | None = None) -> web.Response:
    """Return the JSON that tells of an error."""
    return web.json_response({"detail": detail}, status=status, headers=headers)


async def _workers(app: web.Application) -> AsyncIterator[None]:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="mockexport-rows") as pool:
        app[WORKER_POOL] = app[FHIR_WORKERS] = pool
        yield
        pool.shutdown(wait=False, cancel_futures=True)


@web.middleware
async def _reply(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what goes wrong into JSON, and see to it that the reply is out in time."""
    stall_s = request.app[STALL_LIMIT_S]
    if request.transport is not None:
        # Hardly any buffer of our own: "written" means "taken", and closing a connection leaves nothing behind. Not 0,
        # which for TLS makes an empty buffer a full one.
        request.transport.set_write_buffer_limits(high=1)
    try:
        try:
            response = _refusal(request) or await handler(request)
        except web.HTTPException as error:
            allow: dict[str, str] | None = (
                {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
            )
            response = error_reply(error.status, HTTPStatus(error.status).phrase, allow)
        await finish(request, response, stall_s=stall_s)
    except TimeoutError:
        logger.info("dropped a client that took no bytes for %s s", stall_s)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client stalled") from None
    return response


def _refusal(request: web.Request) -> web.Response | None:
    """Return what a request is refused with that may not be made."""
    address = None if request.transport is None else request.transport.get_extra_info("sockname")
    asked = Asked(
        request.method,
        request.scheme,
        address[0] if isinstance(address, tuple) else "",
        request.raw_headers,
        # aiohttp takes the host from the target where that is a whole URL.
        target=None if request.host == request.headers.get(hdrs.HOST) else request.host,
    )
    refusal = request.app[FHIR_DOOR if request.path.startswith("/fhir/") else DOOR].refusal(asked)
    if refusal is None:
        return None
    challenge: dict[str, str] = {} if refusal.challenge is None else {hdrs.WWW_AUTHENTICATE: refusal.challenge}
    return error_reply(refusal.status, refusal.detail, challenge)


async def _front(request: web.Request) -> web.Response:
    app = request.app
    html = front_page(
        app[CATALOGUE], app[FAULTS], origin=f"{request.scheme}://{request.host}", synthetic=app[SYNTHETIC]
    )
    headers = {
        "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(
        body=html.encode(errors="backslashreplace"), content_type="text/html", charset="utf-8", headers=headers
    )


async def _exports(request: web.Request) -> web.Response:
    catalogue = request.app[CATALOGUE]
    return _json(ExportList(tuple(catalogue)))


async def _export(request: web.Request) -> web.Response:
    export_id = request.match_info["export_id"]
    offers = request.app[CATALOGUE].get(export_id)
    if offers is None:
        return error_reply(404, "Export not found")
    return _json(ExportContents(export_id, tuple(offers)))


async def _download(request: web.Request) -> web.Response:
    offer = _find(request)
    return offer if isinstance(offer, web.Response) else _json(offer.metadata)


async def _data(request: web.Request) -> web.StreamResponse:
    offer = _find(request)
    if isinstance(offer, web.Response):
        return offer
    faults = request.app[FAULTS] if request.method == hdrs.METH_GET else None
    etag = offer.etag if faults is None else _tag(offer, faults)
    headers: dict[str, str] = {hdrs.ETAG: etag, hdrs.ACCEPT_RANGES: "bytes"}
    answer = decide(_conditions(request), length=offer.length, etag=etag)
    match answer:
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
    with request.app[SENDING].one():
        if faults is not None:
            await _suffer(request, offer, faults, status, headers, first, count)
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = count
        return await _send(request, response, offer, first, count)


def _tag(offer: Offer, faults: Faults) -> str:
    """Return the ETag as the faults so far have left it."""
    changes = faults.changes[offer.metadata.id]
    return f'{offer.etag[:-1]}-{changes}"' if changes else offer.etag


async def _suffer(
    request: web.Request,
    offer: Offer,
    faults: Faults,
    status: int,
    headers: dict[str, str],
    first: int,
    count: int,
) -> None:
    """Let the request's fault happen, if there is one; returning means that the right reply is to follow."""
    fault = faults.next(offer.metadata.id, ranged=hdrs.RANGE in request.headers)
    if fault is None:
        return
    logger.info("%s, for request %d of download %s", fault, faults.asked(offer.metadata.id), offer.metadata.id)
    if fault.kind == "delay" or (fault.kind in ("no-range", "wrong-206") and not fault.prepares and status != 206):
        await asyncio.sleep(faults.delay_s if fault.kind == "delay" else 0)
        return
    workers = request.app[WORKER_POOL]
    await misbehave(
        request, offer, fault, faults, status=status, fields=headers, first=first, count=count, workers=workers
    )


async def _send(
    request: web.Request, response: web.StreamResponse, offer: Offer, first: int, count: int
) -> web.StreamResponse:
    stall_s = request.app[STALL_LIMIT_S]
    if isinstance(offer.content, StoredFile):
        try:
            with open_file(offer, offer.content) as file:
                await response.prepare(request)
                if request.method != hdrs.METH_HEAD:
                    await send_file(request, file, first=first, count=count, stall_s=stall_s)
        except FileChanged:
            logger.error("%s is not the file that it was when the server started; restart it", offer.content.path)
            return error_reply(500, "The file has changed since the server started")
        return response
    await response.prepare(request)
    if request.method != hdrs.METH_HEAD:
        workers = request.app[WORKER_POOL]
        await send_rows(request, response, offer.content, first=first, count=count, workers=workers, stall_s=stall_s)
    return response


def _find(request: web.Request) -> Offer | web.Response:
    """Return the download that the path names, or the error that tells why there is none."""
    export_id, download_id = request.match_info["export_id"], request.match_info["download_id"]
    offers = request.app[CATALOGUE].get(export_id, {})
    if download_id not in offers:
        try:
            download_id = str(uuid.UUID(download_id))
        except ValueError:
            return error_reply(422, "download_id is not a valid UUID")
    if export_id not in request.app[CATALOGUE]:
        return error_reply(404, "Export not found")
    if download_id not in offers:
        return error_reply(404, "Download not found")
    return offers[download_id]


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


def _json(data: msgspec.Struct) -> web.Response:
    return web.Response(body=msgspec.json.encode(Reply(data)), content_type="application/json")
