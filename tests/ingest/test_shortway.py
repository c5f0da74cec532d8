"""The short way of a reading: the same answers as by the long one, and nobody can tell which it was."""

import asyncio
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from starlette.types import Receive, Scope, Send

from mockexport.access import new_token
from mockexport.ingest import accepting
from mockexport.ingest import store as store_room
from mockexport.ingest.admission import Admission
from mockexport.ingest.application import Service, create_app
from mockexport.ingest.errors import DiskFull, Unavailable
from mockexport.ingest.plain import PlainHead
from mockexport.ingest.settings import Settings
from mockexport.ingest.shortway import ShortWay
from mockexport.ingest.wire import DeadlineProtocol
from mockexport.ingest.writing import Writing
from tests.ingest.serving import POST, Client, reading, serving

_BODY = json.dumps(reading()).encode()


def _post(fields: bytes = b"", body: bytes = _BODY) -> bytes:
    return POST + fields + b"content-length: %d\r\n\r\n%b" % (len(body), body)


# A field with which a request is none of the plain ones.
_LONG = b"te: trailers\r\n"


class _Raw:
    """A connection on which replies are read whole."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def open(cls, client: Client) -> "_Raw":
        return cls(*await asyncio.open_connection("127.0.0.1", client.port))

    async def reply(self) -> tuple[bytes, bytes]:
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 20)
        size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
        return head, await self.reader.readexactly(size)

    async def ask(self, request: bytes) -> tuple[bytes, bytes]:
        self.writer.write(request)
        return await self.reply()


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """Return which plain posts went the short way, as it goes on."""
    ways: list[bool] = []
    take: Callable[..., bool] = ShortWay.take

    def noted(self: ShortWay, *arguments: object) -> bool:
        ways.append(take(self, *arguments))
        return ways[-1]

    monkeypatch.setattr(ShortWay, "take", noted)
    return ways


def _form(reply: tuple[bytes, bytes]) -> tuple[bytes, set[bytes], bytes]:
    """Return a reply without what differs from one to the next."""
    line, *fields = re.sub(rb"(date|x-request-id): [^\r]+", rb"\1: ", reply[0]).split(b"\r\n")
    return line, set(fields), reply[1]


async def test_both_ways_give_the_same_reply(tmp_path: Path, taken: list[bool]) -> None:
    async with serving(tmp_path) as client:
        for kept in (False, True):
            connection = await _Raw.open(client)
            for _ in range(3 if kept else 1):
                short = await connection.ask(_post())
                long = await connection.ask(_post(_LONG))
                assert _form(short) == _form(long)
                assert short[0].startswith(b"HTTP/1.1 202 ")
            connection.writer.close()
        assert (await client.day())[1]["count"] == 1
        assert client.app.entrance.readings.under_way == 0
    assert taken == [True] * 4


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"", b"400"),
        (b"{", b"400"),
        (json.dumps(reading(heart_rate=29)).encode(), b"400"),
        (json.dumps(reading(heart_rate=72.0)).encode(), b"202"),
        (json.dumps(reading(user_id="ü")).encode(), b"202"),
        (json.dumps(reading(timestamp="2024-01-15 10:00+01:00")).encode(), b"202"),
        (json.dumps(reading(further="x" * (16 << 10))).encode(), b"413"),
    ],
)
async def test_what_a_body_is_judged_to_be_does_not_depend_on_the_way(
    tmp_path: Path, body: bytes, status: bytes
) -> None:
    async with serving(tmp_path) as client:
        forms = []
        for fields in (b"", _LONG):
            connection = await _Raw.open(client)
            assert (await connection.ask(_post()))[0].startswith(b"HTTP/1.1 202 ")
            forms.append(_form(await connection.ask(_post(fields, body))))
            connection.writer.close()
        assert forms[0] == forms[1]
        assert forms[0][0].split()[1] == status
        assert client.app.metrics.rejected == (2 if status == b"400" else 0)


async def test_the_door_is_asked_for_each_head(tmp_path: Path) -> None:
    token, line = new_token("ward", "write")
    reader, reads = new_token("eyes", "read")
    (tmp_path / "tokens").write_text(f"{line}\n{reads}\n")
    async with serving(tmp_path, token_file=tmp_path / "tokens") as client:
        connection = await _Raw.open(client)
        for _ in range(2):
            for given, status in ((b"", b"401"), (token.encode(), b"202"), (reader.encode(), b"403"), (b"x", b"401")):
                field = b"authorization: bearer %b\r\n" % given if given else b""
                assert (await connection.ask(_post(field)))[0].split()[1] == status
            other = _post(b"authorization: bearer %b\r\n" % token.encode()).replace(b"localhost", b"elsewhere")
            assert (await connection.ask(other))[0].split()[1] == b"421"
        connection.writer.close()


async def test_an_origin_is_judged_by_what_a_proxy_says_of_the_scheme(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        connection = await _Raw.open(client)
        for page, told, status in (("http", "", b"202"), ("http", "https", b"403"), ("https", "https", b"202")):
            fields = f"origin: {page}://localhost\r\n" + (f"x-forwarded-proto: {told}\r\n" if told else "")
            assert (await connection.ask(_post(fields.encode())))[0].split()[1] == status, (page, told)
        connection.writer.close()


async def test_it_has_an_id_and_is_counted(tmp_path: Path, taken: list[bool]) -> None:
    async with serving(tmp_path) as client:
        connection = await _Raw.open(client)
        for number in range(2):
            head, _ = await connection.ask(_post(b"x-request-id: mine-%d\r\n" % number))
            assert b"\r\nx-request-id: mine-%d\r\n" % number in head
        ids = {re.findall(rb"x-request-id: (\S+)", (await connection.ask(_post()))[0])[0] for _ in range(3)}
        assert len(ids) == 3
        assert client.app.metrics.requests["POST", "/metrics/heart-rate", 202] == 5
        assert sum(client.app.metrics.request_seconds["/metrics/heart-rate"].counts) == 5
        connection.writer.close()
    assert taken == [True] * 5


async def test_requests_behind_one_another_are_answered_in_order(tmp_path: Path) -> None:
    health = b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n"
    async with serving(tmp_path) as client:
        connection = await _Raw.open(client)
        await connection.ask(_post())
        connection.writer.write(_post(b"x-request-id: first\r\n"))
        await asyncio.sleep(0)
        connection.writer.write(_post(b"x-request-id: second\r\n") + health)
        connection.writer.write(health)
        heads = [(await connection.reply())[0] for _ in range(4)]
        assert [head.split()[1] for head in heads] == [b"202", b"202", b"200", b"200"]
        assert b"first" in heads[0]
        assert b"second" in heads[1]
        connection.writer.close()


async def test_what_goes_on_with_half_a_head_is_no_request_of_its_own(tmp_path: Path, taken: list[bool]) -> None:
    health = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
    async with serving(tmp_path) as client:
        connection = await _Raw.open(client)
        head, _ = await connection.ask(health + b"\r\n" + health + b"x-more: ")
        assert head.startswith(b"HTTP/1.1 200 ")
        # By itself these would be a plain reading; here they are a field, a second Host, and a body.
        head, body = await connection.ask(_post())
        assert head.startswith(b"HTTP/1.1 400 ")
        assert b"Host" in body
        assert (await connection.ask(_post()))[0].startswith(b"HTTP/1.1 202 ")
        connection.writer.close()
    assert taken == [True]


async def test_why_it_could_not_be_stored_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(writing: Writing, work: object) -> Unavailable:
        return DiskFull()

    async with serving(tmp_path) as client:
        fresh, kept = await _Raw.open(client), await _Raw.open(client)
        for _ in range(2):
            await kept.ask(_post())
        monkeypatch.setattr(Writing, "do", full)
        for connection in (fresh, kept):
            head, body = await connection.ask(_post())
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"\r\nretry-after: " in head
            assert b"disk is full" in body
            connection.writer.close()
        assert client.app.metrics.refused == 2
        monkeypatch.undo()
        monkeypatch.setattr(store_room, "MAX_JOURNAL_ROWS", 0)
        assert (await client.post(reading()))[0] == 503


async def test_who_asks_and_leaves_is_let_go_and_counts_no_longer(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        kept = await _Raw.open(client)
        await kept.ask(_post())
        await kept.ask(_post())
        for connection in (await _Raw.open(client), kept):
            connection.writer.write(_post())
            connection.writer.transport.abort()
        while client.app.store.journal.counts.accepted < 4 or client.app.entrance.readings.under_way:  # noqa: ASYNC110 - the server's doing
            await asyncio.sleep(0.001)
        assert (await client.post(reading()))[0] == 202


async def test_what_stands_before_the_application_sees_every_request(tmp_path: Path, taken: list[bool]) -> None:
    seen = 0

    class Before(Service):
        """Not the application, but what is between it and the server."""

        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            nonlocal seen
            seen += scope["type"] == "http"
            await inner(scope, receive, send)

    settings = Settings(data=tmp_path / "data")
    inner = create_app(settings)
    async with serving(tmp_path, app=Before(settings)) as client:
        connection = await _Raw.open(client)
        for _ in range(3):
            assert (await connection.ask(_post()))[0].startswith(b"HTTP/1.1 202 ")
        connection.writer.close()
    assert (seen, taken) == (3, [])


async def test_at_the_end_what_is_being_stored_is_answered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting: dict[bytes, Callable[[None], None]] = {}
    shutdown = DeadlineProtocol.shutdown
    still_open: list[bool] = []

    def take(way: ShortWay, head: PlainHead, data: object, local: object, settled: Callable[[None], None]) -> bool:
        waiting[head.fields[b"x-request-id"]] = settled
        return True

    def stored(name: bytes) -> None:
        still_open.append(client.app.open_store is not None)
        waiting[name](None)

    def noted(connection: DeadlineProtocol) -> None:
        # The commits come when the server has begun to end, one of them when no connection of the loop's is left.
        shutdown(connection)
        stored(b"kept")
        asyncio.get_running_loop().call_later(0.3, stored, b"fresh")

    # Never calm, so a new connection's request is waited for before it is taken up.
    monkeypatch.setattr(Admission, "calm", False)
    monkeypatch.setattr(accepting, "_LOOKS", 10_000)
    async with serving(tmp_path) as client:
        fresh, kept = await _Raw.open(client), await _Raw.open(client)
        await kept.ask(_post())
        await kept.ask(_post())
        monkeypatch.setattr(ShortWay, "take", take)
        monkeypatch.setattr(DeadlineProtocol, "shutdown", noted)
        fresh.writer.write(_post(b"x-request-id: fresh\r\n"))
        kept.writer.write(_post(b"x-request-id: kept\r\n"))
        while len(waiting) < 2:  # noqa: ASYNC110 - the server's doing
            await asyncio.sleep(0.001)
    for connection in (fresh, kept):
        assert (await connection.reply())[0].startswith(b"HTTP/1.1 202 ")
        assert await connection.reader.read() == b""
        connection.writer.close()
    assert still_open == [True, True]
