"""The client against servers that are not ours, which keep to the contract and to nothing else, and which break it."""

import asyncio
import json
import re
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from mockexport import Download, ExportApi, MockServer, RetryPolicy, SizeLimits, TimeLimits, analyze
from mockexport.errors import ExportNotFound, MetadataError, OptionError, ServerUnreachable
from mockexport.model import Verdict, VerdictKind
from mockexport.pipeline.run import Pipeline
from mockexport.pipeline.streams import Opened
from mockexport.reducers import Summary
from mockexport.server.exports import downloads_of
from mockexport.server.generation import rows_of
from tests.rows import HEADER
from tests.sources.foreign import ForeignServer, foreign_server

A, B = "0f0e0d0c-0000-4000-8000-000000000001", "0f0e0d0c-0000-4000-8000-000000000002"
BODY = HEADER + b"P001,2025-08-26T00:00:04Z,heart_rate,72\nP001,2025-08-26T00:00:08Z,heart_rate,74\n"


def metadata(download_id: str, **changed: object) -> dict[str, Any]:
    return {
        "id": download_id,
        "rows": 2,
        "event_types": ["heart_rate"],
        "patients": ["P001"],
        "start_time": "2025-08-26T00:00:00",
        "end_time": "2025-08-26T00:00:10",
    } | changed


def one_download(answer: Callable[[int], bytes | None] = lambda _: None) -> ForeignServer:
    server = ForeignServer({"x": {A: (metadata(A), BODY)}})
    server.answers[f"/api/export/x/{A}/data"] = answer
    return server


def reply(status: str, body: bytes = b"", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", *headers, f"Content-Length: {len(body)}", "Connection: close", "", ""]
    return "\r\n".join(lines).encode() + body


IMPATIENT = RetryPolicy(attempts=3, base_wait_s=0)


async def kinds(server: ForeignServer, **options: Any) -> tuple[VerdictKind, str]:
    """Analyse a server's only download without waiting between attempts; return its verdict."""
    async with foreign_server(server), ExportApi(server.url, retry=IMPATIENT) as api:
        report = await analyze("x", source=api, **options)
    (download,) = report.account.downloads
    return download.verdict.kind, str(download.verdict)


async def test_the_demo_export_from_a_foreign_server_is_the_same_report_as_from_ours() -> None:
    exports = {
        "demo": {
            str(d.id): (json.loads(json.dumps(metadata_of(d))), b"".join(rows_of(d))) for d in downloads_of("demo")
        }
    }
    async with foreign_server(ForeignServer(exports)) as foreign, MockServer() as ours:
        theirs = await analyze("demo", url=foreign.url)
        expected = await analyze("demo", url=ours.url)
    assert theirs.to_json() == expected.to_json()
    assert [d.verdict.kind for d in theirs.account.downloads] == [VerdictKind.VERIFIED] * 2
    # Discovered in another order and one of them twice, each was fetched once, in time order.
    assert [d.download_id for d in theirs.account.downloads] == [str(d.id) for d in downloads_of("demo")]
    assert all(count == 1 for path, count in foreign.asked.items() if path.endswith("/data"))


def metadata_of(download: Any) -> dict[str, Any]:
    told = download.metadata()
    return {
        "id": told.id,
        "rows": told.rows,
        "event_types": told.event_types,
        "patients": told.patients,
        "start_time": told.start_time,
        "end_time": told.end_time,
    }


async def test_requests_ask_for_identity_and_no_range() -> None:
    server = one_download()
    assert (await kinds(server))[0] is VerdictKind.VERIFIED
    (head,) = [head for head in server.heads if "/data" in head]
    assert re.search(r"(?im)^accept-encoding: identity\r?$", head)
    assert not re.search(r"(?im)^range:", head)


@pytest.mark.parametrize(
    "broken",
    [
        reply("500 Oops"),
        reply("503 Busy"),
        reply("429 Slow down"),
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + BODY[:50],
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\n" + BODY[:16] + b"\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n" + BODY[:-20],
        b"HTTP/1.1 200 OK\r\nContent-Length: 45\r\n\r\n" + BODY[:45],
    ],
    ids=[
        "500",
        "503",
        "429",
        "reset",
        "short of its length",
        "chunked, cut",
        "until close, cut",
        "rows missing",
    ],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
async def test_a_fault_that_passes_is_survived(broken: bytes) -> None:
    kind, told = await kinds(one_download(lambda asked: broken if asked < 3 else None))
    assert kind is VerdictKind.VERIFIED, told


@pytest.mark.parametrize(
    ("answer", "told", "attempts"),
    [
        (reply("404 Gone"), "status 404", 1),
        (reply("401 Who"), "status 401", 1),
        (reply("500 Oops"), "attempt 3, byte 0: status 500", 3),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 999\r\n\r\n" + BODY[:50], "attempt 3, byte 50: the body broke off", 3),
        (reply("200 OK", BODY, "Content-Encoding: gzip"), "encoded ('gzip'), which was not asked for", 1),
        (reply("200 OK", b"<html>Please log in</html>"), "there came '<html>Please log in</html>'", 1),
        (reply("200 OK", BODY[:-40]), "1 rows came of 2 announced", 3),
        (reply("200 OK", BODY[:-20]), "the body ends inside row 2 of 2 announced", 3),
    ],
)
async def test_a_fault_that_stays_fails_the_download_and_says_what_and_where(
    answer: bytes, told: str, attempts: int
) -> None:
    server = one_download(lambda _: answer)
    kind, verdict = await kinds(server)
    assert kind is VerdictKind.FAILED
    assert told in verdict
    assert A in verdict
    assert server.asked[f"/api/export/x/{A}/data"] == attempts


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"rows": 1}, "2 rows came, 1 were announced"),
        ({"patients": []}, "1 of its patients were not announced"),
        ({"event_types": ["spo2"]}, "1 of its event types were not announced"),
        ({"end_time": "2025-08-26T00:00:08"}, "is not before end_time 2025-08-26T00:00:08Z"),
        ({"start_time": "2025-08-26T00:00:04.000001"}, "is before start_time 2025-08-26T00:00:04.000001Z"),
    ],
)
async def test_metadata_that_does_not_fit_the_rows_is_a_mismatch(changed: dict[str, object], told: str) -> None:
    server = ForeignServer({"x": {A: (metadata(A, **changed), BODY)}})
    kind, verdict = await kinds(server)
    assert kind is VerdictKind.MISMATCH
    assert told in verdict


async def test_a_server_that_announces_nothing_is_unverifiable() -> None:
    kind, _ = await kinds(ForeignServer({"x": {A: ({"id": A}, BODY)}}))
    assert kind is VerdictKind.UNVERIFIABLE


async def test_an_unknown_export_is_told_with_those_there_are() -> None:
    async with foreign_server(one_download()) as server:
        with pytest.raises(ExportNotFound, match=r"no export 'y' at http://127.0.0.1:\d+; there: x"):
            await analyze("y", url=server.url)


@pytest.mark.parametrize(
    ("path", "answer", "told"),
    [
        ("/api/export/x", reply("200 OK", b"<html>"), "not the JSON expected"),
        ("/api/export/x", reply("200 OK", b'{"data": {"id": "x", "download_ids": [7]}}'), "not the JSON expected"),
        ("/api/export/x", reply("200 OK", b'{"data": {"id": "z", "download_ids": []}}'), "describes the export 'z'"),
        ("/api/export/x", reply("200 OK", b'{"data": {"id": "x", "download_ids": ["../y"]}}'), "id is not of letters"),
        (f"/api/export/x/{A}", reply("404 Gone"), "404 for a download that the export lists"),
        (f"/api/export/x/{A}", reply("200 OK", b'{"data": {"id": "%s"}}' % B.encode()), "describes the download"),
        (f"/api/export/x/{A}", reply("200 OK", json.dumps({"data": metadata(A, rows=-1)}).encode()), "not the JSON"),
        (
            f"/api/export/x/{A}",
            reply("200 OK", json.dumps({"data": metadata(A, end_time="soon")}).encode()),
            "end_time is no time",
        ),
        (
            f"/api/export/x/{A}",
            reply("200 OK", json.dumps({"data": metadata(A, end_time="2024-01-01T00:00:00")}).encode()),
            "end_time is before start_time",
        ),
    ],
)
async def test_a_description_that_cannot_be_used_is_an_error_that_names_its_url(
    path: str, answer: bytes, told: str
) -> None:
    server = one_download()
    server.answers[path] = lambda _: answer
    async with foreign_server(server), ExportApi(server.url, retry=IMPATIENT) as api:
        with pytest.raises(MetadataError) as raised:
            await api.discover("x")
    assert told in str(raised.value)
    assert server.url + path in str(raised.value)


async def test_a_reply_without_end_is_given_up() -> None:
    server = one_download()
    server.answers["/api/export/x"] = lambda _: reply("200 OK", b" " * 2000)
    limits = SizeLimits(reply_bytes=1000)
    async with foreign_server(server), ExportApi(server.url, retry=IMPATIENT, size_limits=limits) as api:
        with pytest.raises(MetadataError, match="longer than 1,000 bytes"):
            await api.discover("x")


async def test_no_server_is_an_error_that_says_so(unused_tcp_port: int) -> None:
    async with ExportApi(f"http://127.0.0.1:{unused_tcp_port}", retry=IMPATIENT) as api:
        with pytest.raises(ServerUnreachable, match=r"no connection \(connection refused\); is the server running"):
            await api.export_ids()


async def test_credentials_and_queries_stay_out_of_messages(unused_tcp_port: int) -> None:
    url = f"http://user:secret@127.0.0.1:{unused_tcp_port}"
    async with ExportApi(url, retry=IMPATIENT) as api:
        assert "secret" not in api.name
        with pytest.raises(ServerUnreachable) as raised:
            await api.export_ids()
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "example.org",
        "user:secret@example.org:8000",
        "ftp://user:secret@example.org",
        "http://",
        "http://user:secret@[::1",
        "http://user:secret@example.org:port",
        "http://example.org:99999",
        "http://example.org?token=secret",
        "http://example.org/#secret",
        "file:///etc/passwd",
    ],
)
def test_a_url_that_is_no_server_is_refused_and_its_secrets_are_not_told(url: str) -> None:
    with pytest.raises(OptionError, match="url") as raised:
        ExportApi(url)
    assert "secret" not in str(raised.value)


async def test_an_export_id_that_is_no_unicode_is_an_unknown_one() -> None:
    server = one_download()
    async with foreign_server(server), ExportApi(server.url, retry=IMPATIENT) as api:
        with pytest.raises(ExportNotFound):
            await api.discover("\udcff")


async def test_a_callers_session_is_used_and_left_open() -> None:
    async with MockServer() as server, aiohttp.ClientSession(headers={"User-Agent": "mine"}) as session:
        report = await analyze("demo", url=server.url, session=session)
        assert report.account.rows == 18_784
        assert not session.closed


async def test_a_base_url_may_have_a_path_and_a_final_slash() -> None:
    app = aiohttp.web.Application()
    from mockexport.server.app import create_app

    app.add_subapp("/proxied/", create_app())
    runner = aiohttp.web.AppRunner(app)
    await runner.setup()
    site = aiohttp.web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with ExportApi(f"{site.name}/proxied/") as api:
            assert await api.export_ids() == ["demo", "small", "large"]
            assert len((await api.discover("demo")).downloads) == 2
    finally:
        await runner.cleanup()


async def test_leaving_midway_closes_the_connection() -> None:
    async with MockServer() as server, ExportApi(server.url) as api:
        export = await api.discover("small")
        stream = api.stream("small", export.downloads[0])
        pieces = stream.pieces()
        assert await anext(pieces)
        await pieces.aclose()
        await stream.close(None)
    assert server.connections == 0


async def test_a_slow_consumer_costs_no_attempt() -> None:
    """Our own waiting is no silence of the server's: with reading paused, its time limit does not run."""
    limits = TimeLimits(stall_s=0.2)
    async with MockServer() as server, ExportApi(server.url, retry=IMPATIENT, limits=limits) as api:
        stream = api.stream("small", Download(str(downloads_of("small")[0].id)))
        received = 0
        rested = False
        async for piece in stream.pieces():
            assert isinstance(piece, bytes | Opened)
            if isinstance(piece, Opened):
                continue
            received += len(piece)
            if received > 2**20 and not rested:
                rested = True
                await asyncio.sleep(0.5)  # longer than the limit: this is what is tested
            if received > 2**22:
                break
        await stream.close(Verdict(VerdictKind.SKIPPED))


async def test_statistics_of_a_run_over_http_are_within_their_bounds() -> None:
    async with MockServer() as server, ExportApi(server.url) as api:
        pipeline = Pipeline(api, Summary(), chunk_bytes=4096, queue_size=2)
        outcome = await pipeline.run("demo")
    told = pipeline.statistics()
    assert told.peak_queue_depth <= 2
    assert (told.in_flight, told.finished, told.rows) == (0, 2, 18_784)
    assert told.received_bytes == sum(d.received_bytes for d in outcome.downloads) == 391_899 + 424_663
