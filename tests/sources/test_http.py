"""The client over real sockets: framing, broken replies, redirects and secrets, limits."""

import asyncio
import contextlib
import gzip
import json
import logging
import socket
from collections.abc import Callable
from typing import Any

import aiohttp
import pytest

from mockexport import Access, Download, ExportApi, RetryPolicy, TimeLimits, analyze
from mockexport.errors import OptionError, ServerUnreachable, TransferError
from mockexport.model import VerdictKind
from mockexport.pipeline.streams import StartOver
from tests.sources.raw import RESET, RawServer, raw_server

HEADER = b"patient_id,event_time,event_type,value\n"
BODY = HEADER + b"".join(b"P001,2025-08-26T00:00:%02dZ,heart_rate,%d\n" % (second, 60 + second) for second in range(4))
IMPATIENT = RetryPolicy(attempts=3, base_wait_s=0)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections that a test breaks on purpose


def reply(head: str, *fields: str, body: bytes = b"") -> bytes:
    return "\r\n".join([f"HTTP/1.1 {head}", *fields, "", ""]).encode() + body


def whole(body: bytes = BODY, *fields: str) -> bytes:
    return reply("200 OK", f"Content-Length: {len(body)}", *fields, body=body)


def metadata(path: str, ids: list[str]) -> bytes:
    match path.split("/")[3:]:
        case [_]:
            data: dict[str, Any] = {"id": "x", "download_ids": ids}
        case [_, download_id]:
            data = {
                "id": download_id,
                "rows": 4,
                "start_time": "2025-08-26T00:00:00",
                "end_time": "2025-08-26T00:01:00",
            }
        case _:
            data = {"export_ids": ["x"]}
    return whole(json.dumps({"data": data}).encode())


def export(ids: list[str], answer: Callable[[str, str, int], bytes]) -> Callable[[str, str, int], bytes]:
    """Answer for an export of these downloads, whose data requests `answer` gets with the id in place of the path."""

    def route(path: str, head: str, asked: int) -> bytes:
        parts = path.split("/")
        return answer(parts[4], head, asked) if parts[-1] == "data" else metadata(path, ids)

    return route


def plain(body: bytes, cut: int) -> bytes:
    return reply("200 OK", f"Content-Length: {len(body)}", body=body[:cut])


def chunked(body: bytes, cut: int) -> bytes:
    pieces = [body[at : at + 7] for at in range(0, len(body), 7)]
    encoded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    return reply("200 OK", "Transfer-Encoding: chunked", body=encoded[:cut])


def closing(body: bytes, cut: int) -> bytes:
    return reply("200 OK", body=body[:cut])


def gzipped(body: bytes, cut: int) -> bytes:
    packed = gzip.compress(body, mtime=0)[:cut]
    return reply("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(packed)}", body=packed)


@pytest.mark.parametrize("framing", [plain, chunked, closing, gzipped])
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for ever"])
async def test_a_body_cut_at_any_byte_is_never_a_silently_short_result(
    framing: Callable[[bytes, int], bytes], for_ever: bool
) -> None:
    end = len(framing(BODY, 10**6)) - len(framing(b"", 0)) if framing is not chunked else len(chunked(BODY, 10**6))
    ids = [f"d{cut:04}" for cut in range(end)]

    def answer(download_id: str, head: str, asked: int) -> bytes:
        return framing(BODY, int(download_id[1:]) if asked == 1 or for_ever else 10**6)

    async with (
        raw_server(export(ids, answer)) as server,
        ExportApi(server.url, retry=IMPATIENT, compress=framing is gzipped) as api,
    ):
        report = await analyze("x", source=api, concurrency=8, allow_incomplete=True)
    for download in report.account.downloads:
        if not for_ever:
            assert download.verdict.kind is VerdictKind.MISMATCH, download  # all cover the same time
            assert download.rows == 4
        elif download.verdict.kind is not VerdictKind.FAILED:
            # Nothing is missing: the cut is behind the last byte that says anything.
            assert framing is chunked or download.received_bytes == len(BODY)
            assert download.rows == 4
    counted = [download for download in report.account.downloads if download.verdict.counts]
    assert report.totals["heart_rate"].count == 4 * len(counted) if counted else not report.totals
    if counted:
        assert (report.totals["heart_rate"].min, report.totals["heart_rate"].max) == (60, 63)


@pytest.mark.parametrize("how", [b"", RESET], ids=["closed", "reset"])
async def test_a_download_is_resumed_at_any_byte(how: bytes) -> None:
    ids = [f"d{cut:04}" for cut in range(1, len(BODY))]

    def answer(download_id: str, head: str, asked: int) -> bytes:
        tag = f'ETag: "{download_id}"'
        if asked == 1:
            return reply("200 OK", f"Content-Length: {len(BODY)}", tag, body=BODY[: int(download_id[1:])]) + how
        assert f'if-range: "{download_id}"' in head.lower()
        first = int(head.lower().split("range: bytes=")[1].split("-")[0])
        part = BODY[first:]
        told = f"Content-Range: bytes {first}-{len(BODY) - 1}/{len(BODY)}"
        return reply("206 Partial Content", f"Content-Length: {len(part)}", tag, told, body=part)

    async with raw_server(export(ids, answer)) as server, ExportApi(server.url, retry=IMPATIENT) as api:
        report = await analyze("x", source=api, concurrency=8, allow_incomplete=True)
    assert report.totals["heart_rate"].count == 4 * len(ids)
    for download in report.account.downloads:
        assert download.attempts == 2
        assert download.fetched_bytes == len(BODY)  # not a byte twice


async def failure(answer: Callable[[str, str, int], bytes], **options: Any) -> tuple[str, RawServer]:
    """Fetch one download; return why it failed and the server."""
    async with raw_server(export(["d"], answer)) as server, ExportApi(server.url, retry=IMPATIENT, **options) as api:
        report = await analyze("x", source=api)
    return str(report.account.downloads[0].verdict), server


@pytest.mark.parametrize(
    ("broken", "told"),
    [
        (reply("200 OK", "X: " + "x" * 10_000_000, body=BODY), "too long"),
        (reply("200 OK", *(f"X-{number}: y" for number in range(1000)), body=BODY), "not valid HTTP"),
        (b"HTTP/1.1 nonsense\r\n\r\n" + BODY, "not valid HTTP"),
        (b"<html>no HTTP</html>\r\n\r\n", "not valid HTTP"),
        (reply("200 OK", "Content-Length: 9", f"Content-Length: {len(BODY)}", body=BODY), "not valid HTTP"),
    ],
    ids=["10 MB header", "1,000 headers", "bad status line", "no HTTP", "two lengths"],
)
async def test_what_is_not_http_is_told_clearly_and_tried_once_more(broken: bytes, told: str) -> None:
    verdict, server = await failure(lambda *_: broken)
    assert verdict.startswith("failed")
    assert told in verdict
    assert len(verdict) < 300
    assert server.asked["/api/export/x/d/data"] == 2


@pytest.mark.parametrize("which", ["", "/x", "/x/b"], ids=["exports", "an export", "a download"])
async def test_listings_and_metadata_that_are_cut_with_their_connection_are_asked_for_again(which: str) -> None:
    def answer(path: str, head: str, asked: int) -> bytes:
        if path.endswith("/data"):
            return whole()
        body = metadata(path, ["a", "b"]).partition(b"\r\n\r\n")[2]
        cut = len(body) * asked // 3 if path == f"/api/export{which}" else len(body)
        return reply("200 OK", body=body[:cut])

    async with raw_server(answer) as server, ExportApi(server.url, retry=IMPATIENT) as api:
        assert await api.export_ids() == ["x"]
        assert [download.id for download in (await api.discover("x")).downloads] == ["a", "b"]
        assert server.asked[f"/api/export{which}"] == 3


async def test_a_redirect_is_followed_and_the_origin_keeps_its_secrets() -> None:
    def elsewhere(path: str, head: str, asked: int) -> bytes:
        return whole()

    async with raw_server(elsewhere) as other:

        def answer(download_id: str, head: str, asked: int) -> bytes:
            return reply("302 Found", f"Location: {other.url.replace('//', '//user:pass@')}/moved?q=1")

        async with raw_server(export(["d"], answer)) as server:
            access = Access(token="secret-token", headers=(("X-Key", "secret-key"), ("Cookie", "secret-cookie")))
            async with ExportApi(server.url, access=access) as api:
                report = await analyze("x", source=api)
    assert report.account.downloads[0].verdict.kind is VerdictKind.VERIFIED
    assert all("authorization: bearer secret-token" in head.lower() for head in server.heads)
    assert all("secret-key" in head for head in server.heads)
    (head,) = other.heads
    assert "secret" not in head
    assert "authorization" not in head.lower()


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("{url}/a%2Fb%2fc/d+e%20f?sig=aB%2Bc%2b/=&x=%2f+%20", "/a%2Fb%2fc/d+e%20f?sig=aB%2Bc%2b/=&x=%2f+%20"),
        ("{url}/(a)?y=(1)'*~!$,:@", "/(a)?y=(1)'*~!$,:@"),
        ("{url}//twice//b?a//b", "//twice//b?a//b"),
        ("/bucket//key%2f?%41=a;b|c^d`", "/bucket//key%2f?%41=a;b|c^d`"),
        ("/a/../b/./c?d/../e", "/a/../b/./c?d/../e"),
        ("there%2f?q=%c3%A9", "/api/export/x/d/there%2f?q=%c3%A9"),
        ("?only=%2F", "/api/export/x/d/data?only=%2F"),
        ("{url}/a b?c=\u00e9", "/a%20b?c=%C3%A9"),
        ("{url}/there?x=1#part%2f", "/there?x=1"),
    ],
)  # fmt: skip
async def test_a_redirect_is_followed_byte_for_byte(location: str, sent: str) -> None:
    """What a signature covers is the spelling: what arrives at the socket is what the server wrote."""
    server_url = ""

    def answer(path: str, head: str, asked: int) -> bytes:
        if path == "/api/export/x/d/data":
            return reply("302 Found", f"Location: {location.format(url=server_url)}", "Content-Length: 0")
        return metadata(path, ["d"]) if path.startswith("/api/export") and path.count("/") < 5 else whole()

    async with raw_server(answer) as server:
        server_url = server.url
        async with ExportApi(server.url, retry=IMPATIENT) as api:
            report = await analyze("x", source=api)
    assert report.account.downloads[0].verdict.kind is VerdictKind.VERIFIED
    assert server.heads[-1].split(" HTTP/1.1")[0] == f"GET {sent}"


async def test_header_lines_of_32_kib_are_fine() -> None:
    """In a reply, and in the Location of one, which then is the next request's."""
    query = "x" * (32 * 1024 - len("/there?"))

    def answer(path: str, head: str, asked: int) -> bytes:
        if path.endswith("/data"):
            return reply("302 Found", f"Location: /there?{query}", "Content-Length: 0")
        return whole(BODY, "Policy: " + "p" * 32 * 1024) if path.startswith("/there") else metadata(path, ["d"])

    async with raw_server(answer) as server, ExportApi(server.url, retry=IMPATIENT) as api:
        report = await analyze("x", source=api)
    assert report.account.downloads[0].verdict.kind is VerdictKind.VERIFIED
    assert server.heads[-1].startswith(f"GET /there?{query} HTTP/1.1")


async def test_a_redirect_within_the_origin_keeps_the_token() -> None:
    def answer(path: str, head: str, asked: int) -> bytes:
        if path == "/there":
            return whole()
        if path.endswith("/data"):
            return reply("307 Temporary Redirect", "Location: /there")
        return metadata(path, ["d"])

    async with raw_server(answer) as server, ExportApi(server.url, access=Access(token="t0ken")) as api:
        report = await analyze("x", source=api)
    assert report.account.downloads[0].verdict.kind is VerdictKind.VERIFIED
    assert all("Bearer t0ken" in head for head in server.heads)


@pytest.mark.parametrize(
    ("location", "told", "requests"),
    [
        ("/api/export/x/d/data", "more than 5 redirects", 6),
        ("file:///etc/passwd", "a redirect to a 'file' address, which is refused", 1),
        ("file://localhost/etc/passwd", "a redirect to a 'file' address, which is refused", 1),
        ("ftp://example.org/x", "a redirect to a 'ftp' address, which is refused", 1),
        ("http://169.254.169.254/latest", "link-local or a cloud's", 1),
        ("http://[fe80::1]/", "link-local or a cloud's", 1),
        ("http://[::ffff:169.254.1.1]/", "link-local or a cloud's", 1),
        ("http://2852039166/", "link-local or a cloud's", 1),
    ],
)
async def test_redirects_that_lead_nowhere_good_are_refused(location: str, told: str, requests: int) -> None:
    verdict, server = await failure(lambda *_: reply("302 Found", f"Location: {location}", "Content-Length: 0"))
    assert told in verdict
    assert server.asked["/api/export/x/d/data"] == requests


async def test_a_resume_from_another_origin_starts_over() -> None:
    def other_answer(path: str, head: str, asked: int) -> bytes:
        return reply(
            "206 Partial Content", 'ETag: "a"', f"Content-Range: bytes 50-{len(BODY) - 1}/{len(BODY)}", body=BODY[50:]
        )

    async with raw_server(other_answer) as other:

        def answer(download_id: str, head: str, asked: int) -> bytes:
            if asked == 2:
                return reply("302 Found", f"Location: {other.url}/")
            body = BODY[:50] if asked == 1 else BODY
            return reply("200 OK", f"Content-Length: {len(BODY)}", 'ETag: "a"', body=body)

        async with raw_server(export(["d"], answer)) as server, ExportApi(server.url, retry=IMPATIENT) as api:
            download = (await api.discover("x")).downloads[0]
            stream = api.stream("x", download)
            markers = [piece async for piece in stream.pieces() if not isinstance(piece, bytes)]
    (over,) = [marker for marker in markers if isinstance(marker, StartOver)]
    assert "another origin" in over.reason


async def test_limits_of_silence_are_kept_over_sockets() -> None:
    """A head that never comes, and a body that stops: the same limits as by the virtual clock, and real ones."""
    never = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        if "/body" in head:
            writer.write(reply("200 OK", "Content-Length: 1000", body=BODY[:50]))
        await never.wait()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    limits = TimeLimits(first_byte_s=0.2, stall_s=0.2)
    try:
        async with listener, ExportApi(url, retry=RetryPolicy(attempts=1), limits=limits) as api:
            for name, told in (
                ("head", "no answer within the time limit (0.2 s)"),
                ("body", "the body stalled: 0 bytes"),
            ):
                stream = api.stream(name, Download("d"))
                with pytest.raises(TransferError) as raised:
                    [piece async for piece in stream.pieces()]
                assert told in str(raised.value)
    finally:
        never.set()


async def test_a_connection_that_does_not_come_about_has_a_limit_of_its_own() -> None:
    """A listener whose backlog is full takes no more connections, as a black hole takes none."""
    with socket.socket() as hole, contextlib.ExitStack() as fillers:
        hole.bind(("127.0.0.1", 0))
        hole.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(hole.getsockname())
        url = f"http://127.0.0.1:{hole.getsockname()[1]}"
        async with ExportApi(url, retry=RetryPolicy(attempts=1), limits=TimeLimits(connect_s=0.2)) as api:
            with pytest.raises(ServerUnreachable, match=r"no connection within the time limit \(0.2 s\)"):
                await api.export_ids()


async def test_a_name_that_is_nowhere_is_told() -> None:
    class Nowhere(aiohttp.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> Any:
            raise OSError("no such name")

        async def close(self) -> None:
            pass

    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(resolver=Nowhere())) as session,
        ExportApi("http://name.invalid", session=session, retry=IMPATIENT) as api,
    ):
        with pytest.raises(ServerUnreachable, match="the host name could not be resolved"):
            await api.export_ids()


async def test_no_secret_is_in_any_log_or_message(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    asked = []
    async with raw_server(lambda *_: reply("401 Who are you", "Content-Length: 0")) as server:
        with_password = server.url.replace("//", "//user:secret-password@")
        for url, token in ((server.url, "secret-token"), (with_password, None)):
            access = Access(token=token, headers=(("X-Key", "secret-key"),))
            assert "secret" not in repr(access)
            async with ExportApi(url, access=access, retry=IMPATIENT) as api:
                with pytest.raises(Exception, match="status 401") as raised:
                    await analyze("x", source=api)
            assert "secret" not in str(raised.value)
        asked = server.heads
    assert "secret" not in caplog.text
    assert ["Bearer secret-token" in head for head in asked] == [True, False]
    assert ["Basic dXNlcjpzZWNyZXQtcGFzc3dvcmQ=" in head for head in asked] == [False, True]


def test_a_token_beside_credentials_in_the_url_is_one_too_many() -> None:
    with pytest.raises(OptionError, match="token: the URL holds credentials, too") as raised:
        ExportApi("http://user:secret@127.0.0.1", access=Access(token="secret"))
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "wrong",
    [
        {"token": ""},
        {"token": "two\nlines"},
        {"token": "ä"},
        {"headers": (("X Y", "z"),)},
        {"headers": (("X", "a\r\nY: b"),)},
        {"headers": (("Range", "bytes=0-"),)},
        {"headers": (("accept-encoding", "br"),)},
        {"proxy": "socks5://127.0.0.1"},
        {"proxy": "127.0.0.1:3128"},
    ],
    ids=str,
)
def test_access_that_cannot_be_meant_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(OptionError):
        Access(**wrong)


def test_a_file_without_certificates_is_refused(tmp_path: Any) -> None:
    (tmp_path / "ca").write_text("nothing")
    for path in (tmp_path / "ca", tmp_path / "none"):
        with pytest.raises(OptionError, match="cacert"):
            ExportApi("https://example.org", access=Access(cacert=path))


async def test_a_proxy_is_asked_for_everything() -> None:
    def answer(path: str, head: str, asked: int) -> bytes:
        assert path.startswith("http://export.invalid/api/export")
        return whole() if path.endswith("/data") else metadata(path.removeprefix("http://export.invalid"), ["d"])

    async with raw_server(answer) as proxy:
        access = Access(proxy=proxy.url)
        async with ExportApi("http://export.invalid", access=access) as api:
            report = await analyze("x", source=api)
    assert report.account.downloads[0].verdict.kind is VerdictKind.VERIFIED


async def test_a_gzip_bomb_leaves_memory_flat() -> None:
    import tracemalloc

    bomb = gzip.compress(bytes(2**28), 9)
    tracemalloc.start()
    verdict, _ = await failure(
        lambda *_: reply("200 OK", "Content-Encoding: gzip", f"Content-Length: {len(bomb)}", body=bomb), compress=True
    )
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "a gzip bomb" in verdict
    assert peak < 20 * 2**20
