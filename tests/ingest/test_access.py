"""Who may ask the service: raw requests at its socket, and the places where it does not listen."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from mockexport.access import new_token
from mockexport.errors import OptionError
from mockexport.ingest import wire
from mockexport.ingest.settings import Settings
from tests.ingest.serving import POST, Client, reading, serving

BODY = b'{"device_id":"device_a","user_id":"user_123","timestamp":"2024-01-15T10:00:00Z","heart_rate":75}'
FRAME = b"content-length: %d\r\n" % len(BODY)
ANY = "0.0.0.0"  # noqa: S104 - refused


async def said(client: Client, *pieces: bytes) -> bytes:
    """Send a request in pieces; return all that comes until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", client.port)
    try:
        for piece in pieces:
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)
        return await asyncio.wait_for(reader.read(), 10)
    finally:
        writer.close()


def statuses(reply: bytes) -> list[int]:
    return [int(part[:3]) for part in reply.split(b"HTTP/1.1 ")[1:]]


CLOSE = b"connection: close\r\n\r\n"
LINE = b"POST /metrics/heart-rate HTTP/1.1\r\n"
JSON = b"content-type: application/json\r\n"


async def test_pages_from_elsewhere_can_neither_write_nor_read(tmp_path: Path) -> None:
    requests = {
        LINE + b"host: localhost\r\n" + JSON: 202,
        LINE + b"host: localhost\r\norigin: http://localhost\r\n" + JSON: 202,
        LINE + b"host: localhost\r\norigin: http://rebound.example\r\n" + JSON: 403,
        LINE + b"host: localhost\r\norigin: null\r\n" + JSON: 403,
        LINE + b"host: rebound.example\r\n" + JSON: 421,
        LINE + b"host: ward.example:8000\r\n" + JSON: 202,
        LINE + JSON: 400,
        LINE + b"host: localhost\r\nhost: localhost\r\n" + JSON: 400,
        LINE + b"host: localhost\r\n": 415,
        LINE + b"host: localhost\r\ncontent-type: text/plain\r\n": 415,
    }
    async with serving(tmp_path, host_name=("ward.example",)) as client:
        for head, expected in requests.items():
            assert statuses(await said(client, head + FRAME + CLOSE + BODY)) == [expected], head
        for path in (b"/", b"/docs", b"/openapi.json", b"/metrics", b"/health", b"/api/export", b"/nowhere"):
            head = b"GET " + path + b" HTTP/1.1\r\n"
            assert statuses(await said(client, head + b"host: rebound.example\r\n" + CLOSE)) == [421]
            assert statuses(await said(client, head + CLOSE)) == [400]
        # A refused request leaves its connection in order.
        refused = LINE + b"host: localhost\r\n" + FRAME + b"\r\n" + BODY
        assert statuses(await said(client, refused + POST + FRAME + CLOSE + BODY)) == [415, 202]


async def test_with_a_file_of_tokens_every_route_but_health_asks_for_one(tmp_path: Path) -> None:
    made = {right: new_token(right, right) for right in ("write", "read", "admin")}
    (tmp_path / "tokens").write_text("".join(line + "\n" for _, line in made.values()))
    bearer = {right: {"authorization": f"Bearer {token}"} for right, (token, _) in made.items()}
    async with serving(tmp_path, token_file=tmp_path / "tokens") as client:
        assert (await client.ask("GET", "/health"))[0] == 200
        for path in ("/", "/docs", "/openapi.json", "/metrics", "/api/export", "/metrics/heart-rate", "/nowhere"):
            async with client.session.get(client.url + path) as reply:
                assert (path, reply.status) == (path, 401)
                assert reply.headers["www-authenticate"].startswith("Bearer ")
                assert reply.content_type == ("text/html" if path in ("/", "/docs") else "application/json")
        assert (await client.post(reading()))[0] == 401
        for right, expected in (("read", 403), ("write", 202), ("admin", 202)):
            found = await client.ask("POST", "/metrics/heart-rate", json=reading(), headers=bearer[right])
            assert found[0] == expected
        for right, expected in (("read", 200), ("write", 403), ("admin", 200)):
            assert (await client.ask("GET", "/api/export", headers=bearer[right]))[0] == expected
            if right != "admin":
                assert (await client.ask("DELETE", "/metrics/heart-rate", headers=bearer[right]))[0] == 403


def test_beyond_this_machine_it_listens_only_with_tokens_or_when_told_so(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"host: .*token_file"):
        Settings(host=ANY)
    with pytest.raises(OptionError, match="contradicts"):
        Settings(token_file=tmp_path / "tokens", without_token=True)
    assert Settings(host=ANY, without_token=True).host == ANY
    assert Settings(host=ANY, token_file=tmp_path / "tokens").host == ANY
    environment = {
        "MOCKEXPORT_INGEST_HOST": ANY,
        "MOCKEXPORT_INGEST_WITHOUT_TOKEN": "true",
        "MOCKEXPORT_INGEST_HOST_NAME": "a.example\nb.example",
    }
    assert Settings.from_environment(environment).host_name == ("a.example", "b.example")
    with pytest.raises(OptionError, match="WITHOUT_TOKEN"):
        Settings.from_environment({"MOCKEXPORT_INGEST_WITHOUT_TOKEN": "perhaps"})


def test_uvicorns_own_command_does_not_listen_openly_either(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "uvicorn", "mockexport.ingest:app", "--host", ANY, "--port", "0"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    assert "token_file" in done.stderr
    assert "Traceback" not in done.stderr


GET = b"GET /health HTTP/1.1\r\nhost: localhost\r\n"
WITHIN = GET + b"x: " + b"y" * (wire.HEAD_BYTES - len(GET) - 7) + b"\r\n\r\n"
BEYOND = WITHIN.replace(b"y", b"yy", 1)
GIANT = GET + b"".join(b"x-%d: %b\r\n" % (index, b"y" * 1_000) for index in range(2_000)) + b"\r\n"
SMALL = GET + b"\r\n"


@pytest.mark.parametrize(
    ("pieces", "expected"),
    [
        ([WITHIN, BEYOND], [200, 431]),
        ([BEYOND], [431]),
        ([GIANT], [431]),
        ([BEYOND[:-1], BEYOND[-1:]], [431]),
        ([BEYOND[at : at + 9_999] for at in range(0, len(BEYOND), 9_999)], [431]),
        ([SMALL, BEYOND], [200, 431]),
        ([SMALL + BEYOND], [200, 431]),
        ([SMALL + GIANT], [200, 431]),
        ([POST + FRAME + b"\r\n" + BODY + BEYOND + SMALL], [202, 431]),
        ([SMALL * 20 + WITHIN + BEYOND], [200] * 21 + [431]),
    ],
    ids=["within", "at once", "a giant", "but its last byte", "in pieces", "on a kept connection",
         "right behind another", "a giant behind another", "behind a post, another behind it", "behind many"],
)  # fmt: skip
async def test_a_head_above_64_kib_is_431_however_it_comes(
    tmp_path: Path, pieces: list[bytes], expected: list[int]
) -> None:
    assert len(BEYOND) == wire.HEAD_BYTES + 1
    async with serving(tmp_path) as client:
        assert statuses(await said(client, *pieces)) == expected
        assert (await client.post(reading()))[0] == 202


async def test_what_is_no_http_is_told_in_json(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        reply = await said(client, b"no http\r\n\r\n")
    assert statuses(reply) == [400]
    assert reply.endswith(b'{"detail":"the request is not HTTP"}')
