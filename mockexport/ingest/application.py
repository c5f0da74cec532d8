"""The FastAPI application: routes, what they promise, and the store's life. Judging and storing are other rooms'.

The two routes for readings take the raw request: their bodies are capped while they are read, and judged by `readings`.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from enum import Enum
from typing import Annotated, Any

import msgspec
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from mockexport import __version__
from mockexport.access import Asked, Door, Tokens, own_names
from mockexport.ingest import averages, bridge, documents, metrics
from mockexport.ingest.bodies import ALL_BATCHES_BYTES, ALL_READINGS_BYTES, MAX_BATCH_BYTES, MAX_READING_BYTES, BodyRoom
from mockexport.ingest.entrance import CAME_TOO_LATE, ENTRANCE, Entrance
from mockexport.ingest.errors import (
    IngestError,
    Overloaded,
    RequestProblem,
    Stopping,
    Unavailable,
    day_text,
)
from mockexport.ingest.hosting import bound_host, install, serves_directly
from mockexport.ingest.page import PAGES, page_reply
from mockexport.ingest.readings import decode_batch, decode_one
from mockexport.ingest.replies import JsonBytes, json_reply, problem_reply, refusal_reply
from mockexport.ingest.requests import RequestIds, Requests
from mockexport.ingest.settings import Settings, open_to_all
from mockexport.ingest.shortway import READING_PATH, ShortWay
from mockexport.ingest.store import Store

__all__ = ["Service", "create_app"]

_log = logging.getLogger("mockexport.ingest")

# A span that holds every reading there can be.
_FIRST, _LAST = "1970-01-01T00:00:00Z", "2099-12-31T23:59:59.999999Z"
_ACCEPTED = JsonBytes(msgspec.json.encode({"status": "accepted"}), 202)
_Responses = dict[int | str, dict[str, Any]]
_REFUSALS: _Responses = {status: {"model": documents.Detail} for status in (400, 503)}
_BODY_REFUSALS: _Responses = _REFUSALS | {status: {"model": documents.Detail} for status in (408, 413)}


class Service(FastAPI):
    """The application, and the open store while it runs."""

    def __init__(self, settings: Settings) -> None:
        super().__init__(
            title="Heart-rate service",
            version=__version__,
            description="Devices post heart-rate readings; callers ask for a user's minute averages.",
            lifespan=_lifespan,
            # A path is spelled one way; a redirect would send a reading's body twice.
            redirect_slashes=False,
            # FastAPI's own load scripts from elsewhere.
            docs_url=None,
            redoc_url=None,
            responses={status: {"model": documents.Detail} for status in (401, 403, 415, 421)},
        )
        self.settings = settings
        self.metrics: metrics.Metrics = metrics.Metrics()
        self.reading_bodies: BodyRoom = BodyRoom(MAX_READING_BYTES, ALL_READINGS_BYTES)
        self.batch_bodies: BodyRoom = BodyRoom(MAX_BATCH_BYTES, ALL_BATCHES_BYTES)
        self.door: Door = Door(
            own_names(settings.host, settings.host_name),
            bodies=frozenset({"POST"}),
            tokens=None if settings.token_file is None else Tokens.read(settings.token_file),
            open_paths=frozenset({"/health"}),
        )
        self.entrance: Entrance = Entrance()
        # Held while a batch is decoded, some milliseconds: between two of them the loop turns, and readings are heard.
        self.one_batch: asyncio.Lock = asyncio.Lock()
        self._request_ids = RequestIds()
        self._requests = Requests(self._behind_the_door, self.metrics, self._request_ids)
        self.open_store: Store | None = None
        self.reading_route: Route | None = None

    @property
    def store(self) -> Store:
        """The open store."""
        if self.open_store is None:
            raise Unavailable("the service is not open")
        return self.open_store

    def admit(self) -> Store:
        """Return the open store where it takes readings.

        Raises:
            Unavailable: it does not.
        """
        store = self.store
        if not store.has_room():
            raise Overloaded("the journal is full, compaction does not keep up")
        return store

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve; where the server is uvicorn, put the connections' deadlines in place first."""
        if scope["type"] == "lifespan":
            if not install(receive):
                _log.warning("no connection deadlines: they need uvicorn with httptools")
            if serves_directly(receive, self):
                self.entrance.short_way = ShortWay(self.door, self.metrics, self._request_ids, self.admit)
            host = bound_host(receive)
            if host is not None and self.settings.is_open(host):
                await receive()
                await send({"type": "lifespan.startup.failed", "message": f"host: {open_to_all(host)}"})
                return
        serve: ASGIApp = self._requests if scope["type"] == "http" else super().__call__
        try:
            await serve(scope, receive, send)
        except asyncio.CancelledError:
            # The server ends and has waited long enough. Where a reply has begun, it refuses this and cuts that off.
            with contextlib.suppress(RuntimeError):
                await problem_reply(Stopping())(scope, receive, send)

    async def _behind_the_door(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request; one that may not ask is refused before anything else is done."""
        local = (scope["server"] or ("", None))[0]
        asked = Asked(scope["method"], scope["scheme"], local, scope["headers"], scope["path"])
        refusal = self.door.refusal(asked)
        if refusal is not None:
            page = refusal.status == 401 and scope["method"] == "GET" and scope["path"] in PAGES
            reply = page_reply(scope["path"], 401, refusal.challenge) if page else refusal_reply(refusal)
            await reply(scope, receive, send)
        elif self.reading_route is not None and scope["path"] == READING_PATH and scope["method"] == "POST":
            scope["route"] = self.reading_route
            await self._answer(self.reading_route.endpoint, scope, receive, send)
        else:
            await super().__call__(scope, receive, send)

    async def _answer(
        self, endpoint: Callable[[Request], Awaitable[Response]], scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Call an endpoint and send its reply, or what its error becomes."""
        try:
            reply = await endpoint(Request(scope, receive))
        except IngestError as error:
            reply = self.problem(error)
        except Exception as error:
            await self.problem(error)(scope, receive, send)
            raise  # the server logs it
        await reply(scope, receive, send)

    def problem(self, error: Exception) -> Response:
        """Return what a client is told about an error, and count it where that is 503."""
        if isinstance(error, Unavailable):
            self.metrics.refused += 1
        return problem_reply(error)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, object]]:
    if not isinstance(app, Service):
        raise TypeError("not this lifespan's application")
    started = time.perf_counter()
    try:
        store = Store(app.settings, observe_commit=app.metrics.commit_seconds.observe)
    except IngestError as error:
        # Said by itself, since the server's own report is a traceback.
        _log.error(str(error))
        raise
    store.start_compaction()
    app.open_store = store
    health = store.health()
    facts = {
        "status": health.status,
        "journal_rows": health.journal_rows,
        "seconds": round(time.perf_counter() - started, 3),
    }
    _log.info("store opened", extra={"facts": facts})
    try:
        yield {ENTRANCE: app.entrance}
    finally:
        app.open_store = None
        store.close()
        _log.info("store closed")


def create_app(settings: Settings) -> Service:
    """Make the application. Its lifespan opens the store, so making it touches no file."""
    app = Service(settings)
    _readings_routes(app)
    _service_routes(app)
    app.include_router(averages.router(lambda: app.store, settings.priority, app.metrics.query_seconds.observe))
    app.include_router(bridge.router(lambda: app.store))

    @app.exception_handler(IngestError)
    async def ours(request: Request, error: Exception) -> Response:
        return app.problem(error)

    @app.exception_handler(RequestValidationError)
    async def parameters(request: Request, error: Exception) -> Response:
        # FastAPI's own reply would repeat the value, and with another status.
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": ("request",), "type": ""}
        missing = first["type"] == "missing"
        return problem_reply(RequestProblem(str(first["loc"][-1]), "is missing" if missing else "is malformed"))

    @app.exception_handler(Exception)
    async def unexpected(request: Request, error: Exception) -> Response:
        return problem_reply(error)

    return app


def _readings_routes(app: Service) -> None:
    tags: list[str | Enum] = ["readings"]

    @app.post(
        READING_PATH,
        status_code=202,
        tags=tags,
        response_model=documents.Accepted,
        responses=_BODY_REFUSALS,
        openapi_extra=documents.body_of(documents.ReadingIn),
    )
    async def post_reading(request: Request) -> Response:
        """Store one reading. 202: it is on disk, and every query from now on sees it. Anything else: send it again."""
        store = app.admit()
        async with app.reading_bodies.read(request) as body:
            try:
                reading = decode_one(body)
            except RequestProblem:
                app.metrics.rejected += 1
                raise
            await store.journal.write((reading,))
        return _ACCEPTED

    # The way through FastAPI costs nearly as much as all else: the function at its end is called at the door, too.
    app.reading_route = Route(READING_PATH, post_reading, methods=["POST"])

    @app.post(
        "/metrics/heart-rate/batch",
        status_code=202,
        tags=tags,
        response_model=documents.BatchAccepted,
        responses=_BODY_REFUSALS,
        openapi_extra=documents.body_of(documents.BatchIn),
    )
    async def post_batch(request: Request) -> Response:
        """Store up to 10,000 readings. The good ones are stored, the bad ones listed by index."""
        store = app.admit()
        async with app.batch_bodies.read(request) as body:
            if request.scope.get("state", {}).get(CAME_TOO_LATE):
                raise Overloaded("too many batches at once")
            async with app.one_batch:
                outcome = decode_batch(body)
                await asyncio.sleep(0)
            await store.journal.write(outcome.readings)
        app.metrics.rejected += len(outcome.problems)
        return json_reply(
            {
                "status": "accepted",
                "accepted": len(outcome.readings),
                "rejected": len(outcome.problems),
                "errors": [
                    {"index": index, "field": problem.field, "message": problem.message}
                    for index, problem in outcome.problems
                ],
            },
            202,
        )

    @app.delete(
        "/metrics/heart-rate",
        status_code=202,
        tags=tags,
        response_model=documents.Deleted,
        responses=_REFUSALS,
    )
    async def delete_readings(
        request: Request,
        user_id: Annotated[str, averages.ID_QUERY],
        start: Annotated[str | None, averages.TIME_QUERY] = None,
        end: Annotated[str | None, averages.TIME_QUERY] = None,
    ) -> Response:
        """Delete a user's readings, all of them or from start to end, both inclusive.

        202: they are gone from every answer; they leave the files at the next compaction.
        """
        averages.refuse_repeated(request)
        for name in request.query_params:
            # A parameter that is not heeded could have been meant to spare something.
            if name not in ("user_id", "start", "end"):
                raise RequestProblem(name, "is no parameter of a deletion")
        if (start is None) != (end is None):
            raise RequestProblem("start" if start is None else "end", "is missing; a span needs both")
        wanted = averages.wanted_of(user_id, start or _FIRST, end or _LAST)
        deleted = await app.store.delete(wanted)
        _log.info("readings deleted", extra={"facts": {"readings": deleted}})
        return json_reply({"status": "accepted", "deleted": deleted}, 202)


def _service_routes(app: Service) -> None:
    @app.get(
        "/health",
        tags=["service"],
        response_model=documents.HealthOut,
        responses={503: {"model": documents.HealthOut}},
    )
    async def health() -> Response:
        """Tell how the service is: 503 when it cannot accept."""
        found = app.store.health()
        content = {
            "status": found.status,
            "journal": found.journal,
            "journal_readings": found.journal_rows,
            "oldest_uncompacted_seconds": round(found.oldest_age_s, 3),
            "damaged_days": [day_text(day) for day in found.damaged_days],
        }
        return json_reply(content, 200 if found.accepting else 503)

    @app.get("/metrics", tags=["service"], response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def prometheus() -> Response:
        """Return the service's numbers as Prometheus text."""
        return Response(
            metrics.render(app.metrics, app.store, app.entrance.readings, app.entrance.batches),
            headers={"content-type": metrics.CONTENT_TYPE},
        )

    @app.get("/", include_in_schema=False)
    @app.get("/docs", include_in_schema=False)
    async def page(request: Request) -> Response:
        return page_reply(request.scope["path"])
