"""The export API as an aiohttp application: its routes, its JSON, its errors.

Rules: every reply is JSON but the CSV, and the page for people at `/`; errors are `{"detail": …}`, and no request
brings a traceback to a client.
Handlers look up; `replying` decides what comes of a download's data, and of faults.
"""

import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from http import HTTPStatus
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec
from aiohttp import hdrs, web

from mockexport.access import Asked, Door, Tokens
from mockexport.errors import FolderError
from mockexport.report.markup import policy
from mockexport.server.catalogue import Catalogue, Offer, folder_catalogue, generated_catalogue
from mockexport.server.delivery import Sending, finish
from mockexport.server.faults import Faults
from mockexport.server.fhir.authorization import Authorization
from mockexport.server.fhir.jobs import Jobs
from mockexport.server.fhir.routes import WORKERS as FHIR_WORKERS
from mockexport.server.fhir.routes import BulkData
from mockexport.server.misbehaving import RightReply
from mockexport.server.page import front_page
from mockexport.server.recording import MAX_REQUESTS, RecordedRequest
from mockexport.server.replying import (
    FAULTS,
    RECORD,
    SENDING,
    STALL_LIMIT_S,
    WORKER_POOL,
    error_reply,
    send_data,
    suffer,
)
from mockexport.sources.metadata import ExportContents, ExportList, Reply

__all__ = ["STALL_S", "create_app"]

logger: logging.Logger = logging.getLogger("mockexport.server")

# A client that takes nothing for so long has left or hangs; one that is merely busy has its kernel's buffers,
# megabytes, to bridge the time.
STALL_S = 60.0

# Threads that make rows at once; further downloads take turns with theirs, piece by piece.
WORKERS = 4

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

DOOR: web.AppKey[Door] = web.AppKey("door")
FHIR_DOOR: web.AppKey[Door] = web.AppKey("fhir_door")
FHIR_JOBS: web.AppKey[Jobs] = web.AppKey("fhir_jobs")
# What a kick-off and a request for a token bring.
FHIR_KINDS = frozenset({b"application/json", b"application/fhir+json", b"application/x-www-form-urlencoded"})
CATALOGUE: web.AppKey[Catalogue] = web.AppKey("catalogue")
SYNTHETIC: web.AppKey[bool] = web.AppKey("synthetic")
REQUESTS: web.AppKey[list[RecordedRequest] | None] = web.AppKey("requests")


def create_app(
    *,
    data: Path | None = None,
    tables: Catalogue | None = None,
    stall_s: float = STALL_S,
    faults: Faults | None = None,
    names: frozenset[str] = frozenset(),
    token: str | None = None,
    fhir_client: tuple[str, dict[str, Any]] | None = None,
    requests: list[RecordedRequest] | None = None,
) -> web.Application:
    """Return the export server as an application, for `serve`, `MockServer` or a runner of your own.

    Args:
        data: a folder that holds an export's files, or folders that do.
        tables: further exports (see tables.table_exports). With neither, the three built-in exports are generated.
        stall_s: seconds after which a client that takes no more bytes is dropped.
        faults: what goes wrong with data requests; by default nothing does.
        names: what clients may call the server in `Host`, in lower case, beside `localhost`, loopback addresses and the
            address that they have connected to.
        token: the bearer token that every request must bring; None lets all in.
        fhir_client: id and public keys (a JWK set) of the one client that may use /fhir, by tokens that it is given
            there; None lets all in.
        requests: where they are recorded; None records nothing.

    Raises:
        FolderError: `data` is no such folder, or has an export of a name in `tables`.
        OptionError: `token` is none, or the script of `faults` means what is not on offer.
    """
    app = web.Application(middlewares=[_reply])
    app[DOOR] = Door(names, tokens=None if token is None else Tokens.one(token))
    # Under /fhir other tokens let in, and other media types.
    app[FHIR_DOOR] = replace(app[DOOR], tokens=None if fhir_client else app[DOOR].tokens, kinds=FHIR_KINDS)
    app[CATALOGUE] = _catalogue(data, tables)
    if faults:
        faults.bind(app[CATALOGUE])
    app[FAULTS] = faults
    app[REQUESTS] = requests
    app[SENDING] = Sending()
    app[STALL_LIMIT_S] = stall_s
    app.cleanup_ctx.append(_workers)
    app[SYNTHETIC] = data is None and tables is None
    app.router.add_get("/", _front)
    app.router.add_get("/api/export", _exports, name="exports")
    # By itself aiohttp would take no braces for an id, and answer in its own words.
    export, download = "/api/export/{export_id:[^/]+}", "/{download_id:[^/]+}"
    app.router.add_get(export, _export, name="export")
    app.router.add_get(export + download, _download, name="metadata")
    app.router.add_get(export + download + "/data", _data, name="data")
    authorization = None if fhir_client is None else Authorization(*fhir_client)
    bulk = BulkData(app[CATALOGUE], faults, authorization)
    app[FHIR_JOBS] = bulk.jobs
    bulk.add_to(app)
    return app


def _catalogue(data: Path | None, tables: Catalogue | None) -> Catalogue:
    if data is None:
        return generated_catalogue() if tables is None else tables
    found = folder_catalogue(data)
    for twin in set(found) & set(tables or {}):
        raise FolderError(data, f"holds an export {twin!a}, too; give the other one another name")
    return MappingProxyType({**found, **(tables or {})})


async def _workers(app: web.Application) -> AsyncIterator[None]:
    with ThreadPoolExecutor(WORKERS, thread_name_prefix="mockexport-rows") as pool:
        app[WORKER_POOL] = app[FHIR_WORKERS] = pool
        yield
        pool.shutdown(wait=False, cancel_futures=True)


@web.middleware
async def _reply(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn what goes wrong into JSON, and see to it that the reply is out in time."""
    stall_s = request.app[STALL_LIMIT_S]
    record = request[RECORD] = _recorded(request)
    if request.transport is not None:
        # With no buffer of our own, "written" means "taken", and closing a connection leaves nothing behind. With TLS a
        # limit of 0 makes an empty buffer a full one.
        request.transport.set_write_buffer_limits(high=int(request.secure))
    try:
        try:
            response = _refusal(request) or await handler(request)
        except web.HTTPException as error:
            allow: dict[str, str] | None = (
                {hdrs.ALLOW: error.headers[hdrs.ALLOW]} if hdrs.ALLOW in error.headers else None
            )
            response = error_reply(error.status, HTTPStatus(error.status).phrase, allow)
        record.status = response.status
        if isinstance(response, web.Response) and isinstance(response.body, bytes) and request.method != hdrs.METH_HEAD:
            record.sent_bytes = len(response.body)
        await finish(request, response, stall_s=stall_s)
    except TimeoutError:
        logger.info("dropped a client that took no bytes for %s s", stall_s)
        if request.transport is not None:
            request.transport.abort()
        raise ConnectionResetError("the client stalled") from None
    return response


def _recorded(request: web.Request) -> RecordedRequest:
    """Return the record of a request, which is in the server's list if it keeps one."""
    resource, ids = request.match_info.route.resource, request.match_info
    record = RecordedRequest(
        request.method,
        request.path_qs,
        request.headers,
        route=None if resource is None else resource.name,
        export_id=ids.get("export_id"),
        download_id=ids.get("download_id"),
    )
    requests = request.app[REQUESTS]
    if requests is not None and len(requests) < MAX_REQUESTS:
        requests.append(record)
    return record


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
    return await _json(request, ExportList(tuple(catalogue)))


async def _export(request: web.Request) -> web.Response:
    export_id = request.match_info["export_id"]
    offers = request.app[CATALOGUE].get(export_id)
    if offers is None:
        return error_reply(404, "Export not found")
    return await _json(request, ExportContents(export_id, tuple(offers)))


async def _download(request: web.Request) -> web.Response:
    offer = _find(request)
    return offer if isinstance(offer, web.Response) else await _json(request, offer.metadata)


async def _data(request: web.Request) -> web.StreamResponse:
    offer = _find(request)
    return offer if isinstance(offer, web.Response) else await send_data(request, offer)


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
    request[RECORD].download_id = download_id  # as it is written here
    return offers[download_id]


async def _json(request: web.Request, data: msgspec.Struct) -> web.Response:
    body = msgspec.json.encode(Reply(data))
    faults = request.app[FAULTS]
    if faults is not None and request.method == hdrs.METH_GET:
        fields: dict[str, str] = {hdrs.CONTENT_TYPE: "application/json"}
        await suffer(request, RightReply(200, fields, body, 0, len(body)), faults)
    return web.Response(body=body, content_type="application/json")
