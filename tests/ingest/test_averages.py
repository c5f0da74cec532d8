"""Long answers: pages, CSV, the bound without either; and the lanes that keep short questions from behind long ones."""

import asyncio
import csv
import io
import threading
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest

from mockexport.ingest import averages, queries
from mockexport.ingest import lanes as lanes_room
from mockexport.ingest.errors import Overloaded
from mockexport.ingest.lanes import SHORT_COST, Lanes
from mockexport.ingest.minutes import minute_means
from mockexport.ingest.periods import Period
from mockexport.ingest.queries import in_pieces
from mockexport.ingest.readings import DAY_US, MINUTE_US, Reading
from mockexport.ingest.snapshots import Wanted
from tests.ingest.serving import Client, reading, serving
from tests.ingest.stored import DAY, NOON_US, opened, some, write

SPAN = {"start": "2024-01-01T00:00:00Z", "end": "2024-12-31T00:00:00Z"}


@pytest.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    async with serving(tmp_path) as made:
        yield made


async def _csv(client: Client, headers: dict[str, str] | None = None, **query: str) -> tuple[str, list[list[str]]]:
    query = {"user_id": "user", **SPAN, **query}
    async with client.session.get(f"{client.url}/metrics/heart-rate", params=query, headers=headers) as reply:
        assert (reply.status, reply.headers["content-type"]) == (200, "text/csv; charset=utf-8")
        rows = list(csv.reader(io.StringIO(await reply.text())))
        assert rows[0] == ["timestamp", "heart_rate", "device_id"]
        return reply.headers.get("next-cursor", ""), rows[1:]


async def test_pages_put_together_are_the_whole_answer(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queries, "_PIECE_COST", 3_000)
    monkeypatch.setattr(averages, "_AT_ONCE", 2)
    store = client.app.store
    for day in range(5):
        await store.journal.write(some(6, step_us=MINUTE_US // 2, start_us=(DAY + 3 * day) * DAY_US))
        if day % 2:
            await asyncio.to_thread(store.compactor.compact)
    _, whole = await client.get(user_id="user", **SPAN)
    assert whole["count"] == 15
    assert "next" not in whole
    for limit in (1, 4, 14, 15, 100_000):
        pages: list[object] = []
        cursor: object = None
        while cursor is not None or not pages:
            more: dict[str, str] = {} if cursor is None else {"cursor": str(cursor)}
            status, page = await client.get(user_id="user", limit=str(limit), **SPAN, **more)
            assert status == 200
            assert page["count"] == len(page["data"]) <= limit
            pages += page["data"]
            cursor = page["next"]
        assert pages == whole["data"], limit
    cursor, rows = await _csv(client, format="csv", limit="8")
    _, rest = await _csv(client, format="csv", limit="8", cursor=cursor)
    listed = [[entry["timestamp"], str(entry["heart_rate"]), entry["device_id"]] for entry in whole["data"]]
    assert rows + rest == listed
    assert await _csv(client, format="csv") == ("", listed)
    assert await _csv(client, {"accept": "text/csv"}) == ("", listed)


async def test_an_answer_that_would_be_longer_is_refused_and_csv_streams_it(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queries, "MAX_MINUTES", 20)
    monkeypatch.setattr(queries, "_PIECE_COST", 3_000)
    await client.app.store.journal.write(some(21, step_us=MINUTE_US))
    await asyncio.to_thread(client.app.store.compactor.compact)
    status, answer = await client.get(user_id="user", **SPAN)
    assert status == 400
    assert answer["detail"].startswith("end: the span holds more than 20 minutes; ask for less at once, or with limit")
    assert (await client.get(user_id="user", limit="20", **SPAN))[1]["next"] is not None
    assert len((await _csv(client, format="csv"))[1]) == 21


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("limit", value) for value in ("0", "-1", "100001", "ten", "1e3", "9" * 30, "", "\u0663")],
        *[("cursor", value) for value in ("-1", "2024-01-15T10:00:00Z", "9" * 12, "")],
        *[("format", value) for value in ("xml", "", "CSV")],
    ],
)
async def test_a_bad_page_is_400_that_names_the_parameter(client: Client, name: str, value: str) -> None:
    await client.post(reading())
    status, answer = await client.day(**{name: value})
    assert status == 400
    assert answer["detail"].startswith(f"{name}: ")


async def test_beyond_the_last_page_nothing_matches(client: Client) -> None:
    await client.post(reading())
    assert (await client.day(cursor=str(DAY * 1_440)))[0] == 200
    for minute in ((DAY + 1) * 1_440, DAY * 1_440 + 601):
        assert (await client.day(cursor=str(minute)))[0] == 404
    async with client.session.get(
        f"{client.url}/metrics/heart-rate", params={"user_id": "other", "format": "csv", **SPAN}
    ) as reply:
        assert reply.status == 404


async def test_csv_of_odd_names_is_quoted(client: Client) -> None:
    names = ["a,b", 'say "hi"', "=1+1", "ü"]
    for index, name in enumerate(names):
        await client.post(reading(user_id="user", device_id=name, timestamp=f"2024-01-15T10:0{index}:00Z"))
    assert [row[2] for row in (await _csv(client, format="csv"))[1]] == names
    _, answer = await client.get(user_id="user", **SPAN)
    assert [entry["device_id"] for entry in answer["data"]] == names


def test_pieces_cover_all_periods_that_cost_something_and_cost_about_the_same() -> None:
    costs = {Period(day, day + day % 2): 1 + day % 7 for day in range(DAY, DAY + 400, 3)}
    wanted = Wanted(NOON_US, NOON_US + 300 * DAY_US, "user")
    pieces = in_pieces(wanted, costs, 20)
    days = [(piece.first_us // DAY_US, piece.last_us // DAY_US) for piece in pieces]
    covered = [each for first, last in days for each in costs if first <= each.first_day <= last]
    assert covered == [each for each in costs if each.first_day <= DAY + 300]
    assert [last < first for (_, last), (first, _) in pairwise(days)] == [True] * (len(days) - 1)
    assert pieces[0].first_us == NOON_US
    assert pieces[-1].last_us == wanted.last_us
    assert all(piece.user_id == "user" for piece in pieces)
    assert len(pieces) < len(covered) // 3
    assert in_pieces(wanted, {}, 20) == []


def test_what_a_question_costs_is_a_users_share(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        write(store, [reading for user in range(10) for reading in some(50, user=f"user_{user}")])
        store.compactor.compact()
        wanted = Wanted(DAY * DAY_US, (DAY + 1) * DAY_US - 1, "user_3")
        assert store.queries.cost(wanted) == 5_050
        assert store.queries.cost(Wanted(wanted.first_us, wanted.last_us, "stranger")) == 0
        write(store, [Reading("user_3", "device_b", NOON_US, 70)])
        assert store.queries.cost(wanted) == 5_051


def test_of_a_file_of_a_year_a_question_costs_the_days_that_it_is_about(tmp_path: Path) -> None:
    with opened(tmp_path) as store:
        days = range(DAY, DAY + 90)
        write(store, [reading for day in days for reading in some(4, start_us=day * DAY_US)])
        store.compactor.compact()
        assert len(store.queries.files(DAY - 10, DAY + 100)) == 1
        every = Wanted(DAY * DAY_US, (DAY + 90) * DAY_US - 1, "user")
        one = replace(every, last_us=(DAY + 1) * DAY_US - 1)
        outside = replace(every, first_us=(DAY + 100) * DAY_US, last_us=(DAY + 101) * DAY_US)
        assert [store.queries.cost(each) for each in (every, one, outside)] == [5_360, 5_004, 0]
        # The journal's readings of a day that a file's period holds are read with that file.
        write(store, [Reading("user", "device_b", NOON_US, 70)])
        assert store.queries.cost(one) == 5_005


async def test_a_short_question_is_answered_while_long_ones_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_room, "MAX_WAITING_COST", 10 * SHORT_COST)
    lanes, go = Lanes(), threading.Event()
    try:
        long = [asyncio.ensure_future(lanes.run(2 * SHORT_COST, go.wait)) for _ in range(5)]
        await asyncio.sleep(0)
        assert lanes.waiting == 5
        # Every long one is held up, and yet a short one and a plan come through.
        assert await lanes.run(SHORT_COST, lambda: "short") == "short"
        assert await lanes.plan(lambda: "planned") == "planned"
        assert not any(each.done() for each in long)
        with pytest.raises(Overloaded):
            await lanes.run(2 * SHORT_COST, lambda: "long")
        go.set()
        await asyncio.gather(*long)
        assert await lanes.run(1_000 * SHORT_COST, lambda: "one may always wait") == "one may always wait"
        assert lanes.waiting == 0
    finally:
        go.set()
        lanes.close()


async def test_a_long_question_gives_way_to_short_ones_before_each_piece_for_a_while() -> None:
    lanes = Lanes()
    go, begun, said = threading.Event(), threading.Event(), list[str]()

    def short() -> None:
        begun.set()
        go.wait()
        said.append("short")

    def long() -> None:
        lanes.give_way()
        said.append("long")

    try:
        waiting = asyncio.ensure_future(lanes.run(SHORT_COST, short))
        await asyncio.to_thread(begun.wait)
        # Without patience it would wait for ever: what is short does not end before it.
        await lanes.run(2 * SHORT_COST, long)
        assert said == ["long"]
        with pytest.MonkeyPatch.context() as patience:
            patience.setattr(lanes_room, "PATIENCE_S", 60.0)
            second = asyncio.ensure_future(lanes.run(2 * SHORT_COST, long))
            await lanes.run(SHORT_COST, lanes.give_way)  # a short one does not wait for itself
            go.set()
            await asyncio.gather(waiting, second)
        assert said == ["long", "short", "long"]
    finally:
        go.set()
        lanes.close()


async def test_the_pieces_of_a_stored_answer_give_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes_room, "PATIENCE_S", 60.0)
    with opened(tmp_path) as store:
        await store.journal.write(some(3))
        lanes, wanted = store.queries.lanes, Wanted(NOON_US, NOON_US + DAY_US, "user")
        go, begun = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            go.wait()

        short = asyncio.ensure_future(lanes.run(SHORT_COST, hold))
        await asyncio.to_thread(begun.wait)
        long = asyncio.ensure_future(lanes.run(2 * SHORT_COST, store.queries.minutes, wanted, {}))
        for _ in range(3):
            assert len(await lanes.run(SHORT_COST, store.queries.minutes, wanted, {})) == 1
        assert not long.done()
        go.set()
        assert len(await long) == 1
        await short


async def test_a_narrow_question_that_costs_much_moves_to_the_long_lane(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    names: list[str] = []
    real = minute_means

    def noted(*arguments: object) -> object:
        names.append(threading.current_thread().name.rpartition("_")[0])
        return real(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(queries, "minute_means", noted)
    await client.post(reading())
    assert (await client.day())[0] == 200
    monkeypatch.setattr(queries, "SHORT_COST", 0)
    monkeypatch.setattr(queries, "_NARROW_COST", 0)
    monkeypatch.setattr(lanes_room, "SHORT_COST", 0)
    assert (await client.day())[0] == 200
    assert names == ["query-short", "query-long"]
