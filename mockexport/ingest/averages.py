"""`GET /metrics/heart-rate`: its parameters, pages of a long answer, and the two forms of an answer, JSON and CSV.

An answer is computed before its status is sent, so that what is damaged or too long is an error and no broken body; its
text is made while it is sent. Only CSV without a limit, which has no bound, is computed while it is sent.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import StreamingResponse

from mockexport.ingest import documents
from mockexport.ingest.errors import NothingThere, RequestProblem
from mockexport.ingest.lanes import Lanes
from mockexport.ingest.minutes import Minutes
from mockexport.ingest.queries import MAX_MINUTES
from mockexport.ingest.readings import END_US, ID_LENGTH, MINUTE_US, id_problem, parse_time
from mockexport.ingest.replies import JsonBytes
from mockexport.ingest.snapshots import Wanted
from mockexport.ingest.store import Store

__all__ = ["ID_QUERY", "TIME_QUERY", "refuse_repeated", "router", "wanted_of"]

ID_QUERY = Query(min_length=1, max_length=ID_LENGTH)
TIME_QUERY = Query(description=documents.TIME, json_schema_extra={"format": "date-time"})

# Minutes whose text is made at once: a day's in one go.
_AT_ONCE = 2_000
_CSV_TYPE = "text/csv; charset=utf-8"
_CSV_HEADER = b"timestamp,heart_rate,device_id\n"


def refuse_repeated(request: Request) -> None:
    """Refuse a parameter that is given twice: which one is meant?

    Raises:
        RequestProblem: one is.
    """
    names = [name for name, _ in request.query_params.multi_items()]
    for name in ("user_id", "start", "end", "device_id", "limit", "cursor", "format"):
        if names.count(name) > 1:
            raise RequestProblem(name, "is given more than once")


def wanted_of(user_id: str, start: str, end: str, device_id: str | None = None) -> Wanted:
    """Judge the parameters that say which readings are meant.

    Raises:
        RequestProblem: one of them cannot be meant.
    """
    for name, value in (("user_id", user_id), ("device_id", device_id)):
        problem = None if value is None else id_problem(value)
        if problem is not None:
            raise RequestProblem(name, problem)
    times = []
    for name, value in (("start", start), ("end", end)):
        time_us = parse_time(value)
        if time_us is None:
            # In a query string a bare + means a space, which is how an offset gets lost.
            hint = "; write the + of an offset as %2B" if " " in value[11:] else ""
            raise RequestProblem(name, f"must be an ISO 8601 date and time (YYYY-MM-DDTHH:MM:SSZ){hint}")
        times.append(time_us)
    if times[0] > times[1]:
        raise RequestProblem("start", "is after end")
    return Wanted(times[0], times[1], user_id, device_id)


def _number(name: str, text: str | None, lowest: int, highest: int) -> int | None:
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 12 and lowest <= int(text) <= highest):
        raise RequestProblem(name, f"must be a whole number from {lowest} to {highest}")
    return int(text)


def _wants_csv(request: Request, form: str | None) -> bool:
    if form not in (None, "json", "csv"):
        raise RequestProblem("format", "must be json or csv")
    accepted = [part.split(";")[0].strip().lower() for part in request.headers.get("accept", "").split(",")]
    return form == "csv" or (form is None and "text/csv" in accepted and "application/json" not in accepted)


def _json_pieces(user_id: str, minutes: Minutes, more: dict[str, str | None]) -> Iterator[bytes]:
    """Yield `{"user_id": …, "data": […], "count": …}`, and `next` where pages were asked for."""
    yield b'{"user_id":' + msgspec.json.encode(user_id) + b',"data":['
    for offset in range(0, len(minutes), _AT_ONCE):
        yield (b"," if offset else b"") + minutes.slice(offset, _AT_ONCE).json()
    yield b'],"count":' + str(len(minutes)).encode() + b"".join(
        b"," + msgspec.json.encode({name: value})[1:-1] for name, value in more.items()
    ) + b"}"  # fmt: skip


def _csv_pieces(minutes: Minutes) -> Iterator[bytes]:
    yield _CSV_HEADER
    for offset in range(0, len(minutes), _AT_ONCE):
        yield minutes.slice(offset, _AT_ONCE).csv()


async def _all_as_csv(store: Store, cost: int, first: Minutes, rest: Iterator[Minutes]) -> AsyncIterator[bytes]:
    part: Minutes | None = first
    lanes = store.queries.lanes
    yield _CSV_HEADER
    while part is not None:
        for offset in range(0, len(part), _AT_ONCE):
            yield await lanes.text(part.slice(offset, _AT_ONCE).csv)
        part = await lanes.run(cost, next, rest, None)


def router(store: Callable[[], Store], priority: Mapping[str, int], observe: Callable[[float], None]) -> APIRouter:
    """Return the route; `store` gives the open store, `observe` takes the seconds of a query."""
    routes = APIRouter(tags=["readings"])
    refusals: dict[int | str, dict[str, Any]] = {status: {"model": documents.Detail} for status in (400, 404, 503)}
    csv_form = {"text/csv": {"schema": {"type": "string"}}}
    forms: dict[int | str, dict[str, Any]] = {200: {"model": documents.MinutesOut, "content": csv_form}}

    @routes.get("/metrics/heart-rate", response_model=documents.MinutesOut, responses={**refusals, **forms})
    async def get_minutes(
        request: Request,
        user_id: Annotated[str, ID_QUERY],
        start: Annotated[str, TIME_QUERY],
        end: Annotated[str, TIME_QUERY],
        device_id: Annotated[str | None, ID_QUERY] = None,
        limit: Annotated[
            str | None, Query(description=f"Minutes in one answer, 1 to {MAX_MINUTES}.", pattern="^[0-9]{1,12}$")
        ] = None,
        cursor: Annotated[
            str | None, Query(description="`next` of the answer before.", pattern="^[0-9]{1,12}$")
        ] = None,
        form: Annotated[str | None, Query(alias="format", description="json or csv", pattern="^(json|csv)$")] = None,
    ) -> Response:
        """Return the user's average of every minute from start to end, both inclusive, that has any reading."""
        refuse_repeated(request)
        wanted = wanted_of(user_id, start, end, device_id)
        pages = limit is not None or cursor is not None
        at_most = _number("limit", limit, 1, MAX_MINUTES) or MAX_MINUTES
        from_minute = _number("cursor", cursor, 0, END_US // MINUTE_US)
        csv = _wants_csv(request, form)
        if from_minute is not None:
            wanted = replace(wanted, first_us=max(wanted.first_us, from_minute * MINUTE_US))
            if wanted.first_us > wanted.last_us:
                raise NothingThere("no readings match")
        started = time.perf_counter()
        if csv and not pages:
            reply = await _begin_csv(store(), wanted)
        else:
            queries = store().queries
            finish = partial(_whole, user_id, queries.lanes, at_most, pages=pages, csv=csv)
            reply = await queries.ask(wanted, priority, at_most if pages else None, finish)
        observe(time.perf_counter() - started)
        return reply

    async def _begin_csv(opened: Store, wanted: Wanted) -> Response:
        cost = await opened.queries.lanes.plan(opened.queries.cost, wanted)
        rest = opened.queries.pieces(wanted, priority)
        first = await opened.queries.lanes.run(cost, next, rest, None)
        if first is None:
            raise NothingThere("no readings match")
        return StreamingResponse(_all_as_csv(opened, cost, first, rest), media_type=_CSV_TYPE)

    return routes


def _whole(user_id: str, lanes: Lanes, at_most: int, minutes: Minutes, *, pages: bool, csv: bool) -> Response:
    """Return the reply to a question that is answered already. Its text is made here if it is short."""
    if not len(minutes):
        raise NothingThere("no readings match")
    following = str(minutes.minute(at_most)) if len(minutes) > at_most else None
    minutes = minutes.first(at_most)
    more = {"next": following} if pages else {}
    pieces = _csv_pieces(minutes) if csv else _json_pieces(user_id, minutes, more)
    media_type = _CSV_TYPE if csv else "application/json"
    headers = {"next-cursor": following} if csv and following is not None else {}
    if len(minutes) > _AT_ONCE:
        return StreamingResponse(_each(pieces, lanes), media_type=media_type, headers=headers)
    return JsonBytes(b"".join(pieces), headers=headers, media_type=media_type)


async def _each(pieces: Iterator[bytes], lanes: Lanes) -> AsyncIterator[bytes]:
    while piece := await lanes.text(next, pieces, b""):
        yield piece
