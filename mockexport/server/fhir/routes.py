"""FHIR Bulk Data over HTTP: kick-off, status, manifest, files, DELETE; what goes wrong is drawn by the server's faults.

    GET or POST /fhir/$export, /fhir/Patient/$export, /fhir/Group/{export}/$export
    GET, DELETE /fhir/jobs/{job}
    GET         /fhir/files/{job}/{number}, /fhir/errors/{job}

A group is an export; without one it is the first. Errors are OperationOutcomes.
"""

import asyncio
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate

from aiohttp import hdrs, web

from mockexport.server.catalogue import Catalogue
from mockexport.server.faults import Faults
from mockexport.server.fhir.authorization import Authorization
from mockexport.server.fhir.bodies import BROKEN, LOGIN_PAGE, broken, file_pieces, outcome, packed
from mockexport.server.fhir.jobs import SLOW_POLLS, Jobs, elsewhere, forms_of, manifest_page

__all__ = ["BulkData"]

_NDJSON = "application/fhir+ndjson"
_FHIR_JSON = "application/fhir+json"


class BulkData:
    """The routes of /fhir.

    Args:
        catalogue: the exports.
        faults: what goes wrong.
        authorization: whose tokens let in; None lets all in.
        workers: threads in which files are made.
    """

    def __init__(self, catalogue: Catalogue, faults: Faults | None, authorization: Authorization | None) -> None:
        self._catalogue = catalogue
        self._faults = faults or Faults({})
        self._authorization = authorization
        self.jobs: Jobs = Jobs()
        self._kickoffs = self._requests = 0

    def add_to(self, app: web.Application) -> None:
        """Add the routes to an application."""
        for path in ("/fhir/$export", "/fhir/Patient/$export", "/fhir/Group/{group:[^/]+}/$export"):
            app.router.add_get(path, self._start)
            app.router.add_post(path, self._start)
        app.router.add_get("/fhir/jobs/{job}", self._status)
        app.router.add_delete("/fhir/jobs/{job}", self._delete)
        app.router.add_get("/fhir/files/{job}/{file}", self._file)
        app.router.add_get("/fhir/errors/{job}", self._errors)
        app.router.add_get("/fhir/.well-known/smart-configuration", self._configuration)
        app.router.add_post("/fhir/token", self._token)

    async def _start(self, request: web.Request) -> web.Response:
        if (refused := self._unauthorized(request)) is not None:
            return refused
        self._kickoffs += 1
        number, faults = self._kickoffs, self._faults
        if faults.happens("fhir-kickoff-429", number):
            return self._busy(number, "another job is running")
        if request.method == hdrs.METH_GET and faults.happens("fhir-post-only"):
            return web.Response(status=405, headers={hdrs.ALLOW: "POST"}, body=outcome("error", "not-supported", "GET"))
        prefer = request.headers.get("Prefer", "")
        if "respond-async" not in prefer:
            return _error(400, "required", "Prefer: respond-async is missing")
        asked = await _parameters(request)
        if asked is None:
            return _error(400, "structure", "the body is no Parameters resource")
        unknown = set(asked) - {"_type", "_typeFilter", "_since", "_outputFormat", "allowPartialManifests"}
        if unknown and "handling=lenient" not in prefer:
            return _error(400, "not-supported", f"no parameter {min(unknown)}")
        if "_typeFilter" in asked and faults.happens("fhir-no-filter"):
            return _error(400, "not-supported", "_typeFilter is not supported")
        export_id = request.match_info.get("group") or next(iter(self._catalogue), "")
        offers = self._catalogue.get(export_id)
        if offers is None:
            return _error(404, "not-found", "there is no such group")
        if asked.get("_type") and not any("Observation" in text.split(",") for text in asked["_type"]):
            offers = {}
        job = self.jobs.start(export_id, offers, str(request.url))
        # By turns absolute, and relative to the request.
        place = f"/fhir/jobs/{job.key}"
        if job.number % 2:
            place = f"{_base(request)}/jobs/{job.key}"
        return web.Response(status=202, headers={hdrs.CONTENT_LOCATION: place})

    async def _status(self, request: web.Request) -> web.Response:
        if (refused := self._unauthorized(request)) is not None:
            return refused
        job = self.jobs.get(request.match_info["job"])
        if job is None:
            return _error(404, "not-found", "there is no such job")
        job.polls += 1
        if (failure := self._transient("poll", job.number, job.polls)) is not None:
            return failure
        page_text = request.query.get("page", "1")
        page = int(page_text) - 1 if page_text.isdecimal() and len(page_text) < 6 else -1
        slow = self._faults.happens("fhir-slow-job", job.number) and job.polls <= SLOW_POLLS
        late = page > 0 and page not in job.pages_asked and self._faults.happens("fhir-pages", job.number)
        job.pages_asked.add(page)
        if slow or late:
            headers = {"X-Progress": f"{job.polls * 20} % done", hdrs.RETRY_AFTER: self._retry_after(job.polls)}
            return web.Response(status=202, headers=headers)
        if page == 0:
            job.links += 1
        manifest = manifest_page(job, page, _base(request), self._faults, needs_token=self._authorization is not None)
        if page < 0 or manifest is None:
            return _error(404, "not-found", "there is no such page")
        return web.json_response(manifest, headers={hdrs.EXPIRES: formatdate(time.time() + 3600, usegmt=True)})

    async def _delete(self, request: web.Request) -> web.Response:
        if (refused := self._unauthorized(request)) is not None:
            return refused
        if self.jobs.get(request.match_info["job"]) is None:
            return _error(404, "not-found", "there is no such job")
        self.jobs.remove(request.match_info["job"])
        return web.Response(status=202)

    async def _file(self, request: web.Request) -> web.StreamResponse:
        presigned = "presigned" in request.query
        if presigned and hdrs.AUTHORIZATION in request.headers:
            return _error(400, "security", "only one way to authorize is allowed")
        if not presigned and (refused := self._unauthorized(request)) is not None:
            return refused
        job = self.jobs.get(request.match_info["job"])
        number = request.match_info["file"]
        offer = job.file(int(number)) if job is not None and number.isdecimal() and len(number) < 9 else None
        if job is None or offer is None:
            return _error(404, "not-found", "there is no such file")
        asked = job.files_asked[number] = job.files_asked.get(number, 0) + 1
        faults, place = self._faults, (job.number, number, asked)
        if (failure := self._transient("file", *place)) is not None:
            return failure
        link = request.query.get("link")
        if link == "1" and faults.happens("fhir-expired-link", job.number, number):
            return _error(403, "expired", "the link has expired")
        if not presigned and faults.happens("fhir-redirect", *place):
            target = f"{elsewhere(_base(request))}/files/{job.key}/{number}?link={link}&presigned"
            return web.Response(status=307, headers={hdrs.LOCATION: target})
        pieces = file_pieces(offer, forms_of(faults, offer.metadata.id))
        kind = next((kind for kind in BROKEN if faults.happens(kind, *place)), None)
        if kind is not None and kind != "fhir-cut-gzip":
            pieces = broken(pieces, kind)
        headers = {hdrs.CONTENT_TYPE: _NDJSON}
        if "gzip" in request.headers.get(hdrs.ACCEPT_ENCODING, ""):
            headers[hdrs.CONTENT_ENCODING] = "gzip"
            pieces = packed(pieces, cut=kind == "fhir-cut-gzip")
        response = web.StreamResponse(headers=headers)
        response.enable_chunked_encoding()
        await response.prepare(request)
        loop = asyncio.get_running_loop()
        while piece := await loop.run_in_executor(self._workers(request), _next, pieces):
            await response.write(piece)
            await request.writer.drain()
        await response.write_eof()
        return response

    async def _errors(self, request: web.Request) -> web.Response:
        if (refused := self._unauthorized(request)) is not None:
            return refused
        body = outcome("warning", "incomplete", "one resource could not be read") + b"\n"
        return web.Response(body=body, content_type=_NDJSON)

    async def _configuration(self, request: web.Request) -> web.Response:
        if self._authorization is None:
            return _error(404, "not-found", "no token is needed")
        return web.json_response(self._authorization.configuration(f"{_base(request)}/token"))

    async def _token(self, request: web.Request) -> web.Response:
        if self._authorization is None:
            return _error(404, "not-found", "no token is needed")
        status, reply = self._authorization.grant(dict(await request.post()), f"{_base(request)}/token")
        return web.json_response(reply, status=status, headers={hdrs.CACHE_CONTROL: "no-store"})

    def _unauthorized(self, request: web.Request) -> web.Response | None:
        if self._authorization is None:
            return None
        self._requests += 1
        expired = self._faults.happens("fhir-expired-token", self._requests)
        if self._authorization.admits(request.headers.get(hdrs.AUTHORIZATION, ""), expired=expired):
            return None
        return _error(401, "login", "a token is needed", {hdrs.WWW_AUTHENTICATE: 'Bearer error="invalid_token"'})

    def _transient(self, what: str, *place: object) -> web.Response | None:
        """Return a failure that passes, if one is to happen to a poll or a file."""
        if self._faults.happens(f"fhir-{what}-429", *place):
            return self._busy(*place, "too many requests")
        if self._faults.happens("fhir-500", what, *place):
            return _error(500, "transient", "the database is locked")
        if self._faults.happens("fhir-html-503", what, *place):
            return web.Response(status=503, body=LOGIN_PAGE, content_type="text/html")
        return None

    def _busy(self, *place: object) -> web.Response:
        *numbers, why = place
        return _error(429, "throttled", str(why), {hdrs.RETRY_AFTER: self._retry_after(*numbers)})

    def _retry_after(self, *place: object) -> str:
        date = self._faults.happens("fhir-retry-date", *place)
        return formatdate(time.time() + 1, usegmt=True) if date else "1"

    @staticmethod
    def _workers(request: web.Request) -> ThreadPoolExecutor:
        return request.app[WORKERS]


WORKERS: web.AppKey[ThreadPoolExecutor] = web.AppKey("fhir_workers")


def _next(pieces: Iterator[bytes]) -> bytes:
    """Return the next piece that is not empty; b"" at the end."""
    return next((piece for piece in pieces if piece), b"")


async def _parameters(request: web.Request) -> dict[str, list[str]] | None:
    """Return what a kick-off asks for, by name; None if its body is none."""
    asked: dict[str, list[str]] = {}
    if request.method == hdrs.METH_GET:
        for name, text in request.query.items():
            asked.setdefault(name, []).append(text)
        return asked
    try:
        body = await request.json()
        if body["resourceType"] != "Parameters":
            return None
        for parameter in body.get("parameter", []):
            values = [value for key, value in parameter.items() if key.startswith("value")]
            asked.setdefault(parameter["name"], []).extend(map(str, values))
    except (ValueError, KeyError, TypeError, AttributeError):
        return None
    return asked


def _base(request: web.Request) -> str:
    return f"{request.scheme}://{request.host}/fhir"


def _error(status: int, code: str, diagnostics: str, headers: dict[str, str] | None = None) -> web.Response:
    return web.Response(
        status=status, body=outcome("error", code, diagnostics), content_type=_FHIR_JSON, headers=headers
    )
