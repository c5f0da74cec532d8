"""URLs from a list or manifest: fetched with all that the export API's client can, verified by what is announced."""

import asyncio
import gzip
import hashlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from backports import zstd

from mockexport import Access, RetryPolicy, analyze
from mockexport.cli import main
from mockexport.errors import MetadataError, OptionError, ServerUnreachable
from mockexport.events import Advanced, Divided, Event
from mockexport.model import VerdictKind
from mockexport.server.ranges import Conditions, Partial, decide
from tests.rows import HEADER
from tests.sources.raw import raw_server

ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"
TABLE = HEADER + ROW * 3
QUICK = RetryPolicy(attempts=3, base_wait_s=0.001)


class Host:
    """Serves bytes by path; keeps the requests."""

    def __init__(self, bodies: dict[str, bytes]) -> None:
        self.bodies = bodies
        self.requests: list[web.BaseRequest] = []
        self.damaged: dict[str, int] = {}  # so many replies with one byte changed
        self.redirects: dict[str, str] = {}
        self.fields: dict[str, dict[str, str]] = {}  # further header fields
        self.ranges = False
        self.compress = False  # on the way, where that is asked for
        self.url = ""

    async def answer(self, request: web.BaseRequest) -> web.Response:
        self.requests.append(request)
        if request.path in self.redirects:
            return web.Response(status=302, headers={"Location": self.redirects[request.path]})
        body = self.bodies.get(request.path)
        if body is None:
            return web.Response(status=404)
        if self.damaged.get(request.path, 0):
            self.damaged[request.path] -= 1
            body = body.replace(b",72\n", b",73\n", 1)
        fields = {"Content-Type": "application/octet-stream", **self.fields.get(request.path, {})}
        if self.ranges:
            fields["ETag"] = f'"{hashlib.sha256(body).hexdigest()}"'
            conditions = Conditions(range=request.headers.get("Range"), if_range=request.headers.get("If-Range"))
            part = decide(conditions, length=len(body), etag=fields["ETag"])
            if isinstance(part, Partial):
                fields["Content-Range"] = f"bytes {part.first}-{part.last}/{len(body)}"
                return web.Response(status=206, body=body[part.first : part.last + 1], headers=fields)
        if self.compress and "gzip" in request.headers["Accept-Encoding"]:
            body, fields = gzip.compress(body), fields | {"Content-Encoding": "gzip"}
        return web.Response(body=body, headers=fields)


@asynccontextmanager
async def hosting(**bodies: bytes) -> AsyncIterator[Host]:
    host = Host({f"/{name.replace('_', '.')}": body for name, body in bodies.items()})
    runner = web.ServerRunner(web.Server(host.answer))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield host
    finally:
        await runner.cleanup()


def manifest(*downloads: dict[str, Any]) -> bytes:
    return json.dumps({"id": "ward", "downloads": downloads}).encode()


async def test_a_list_in_a_file_is_fetched_compressed_or_not(tmp_path: Path) -> None:
    async with hosting(a_csv=TABLE, b_csv_gz=gzip.compress(TABLE), c_csv_zst=zstd.compress(TABLE)) as host:
        (tmp_path / "list.txt").write_text("".join(f"{host.url}{path}?sig=secret\n" for path in host.bodies))
        report = await analyze(urls=tmp_path / "list.txt")
        assert report.totals["heart_rate"].count == 9
        assert report.account.export_id == "list"
        assert [d.download_id for d in report.account.downloads] == ["a.csv", "b.csv.gz", "c.csv.zst"]
        assert {request.query["sig"] for request in host.requests} == {"secret"}
        assert "secret" not in report.account.to_json()
        assert (await analyze(urls=[f"{host.url}/a.csv"])).totals["heart_rate"].count == 3


async def test_a_manifest_verifies_rows_and_bytes() -> None:
    packed = gzip.compress(TABLE)
    async with hosting(a_csv_gz=packed, b_csv=TABLE) as host:
        sha256 = hashlib.sha256(packed).hexdigest()
        host.bodies["/m.json"] = manifest(
            {"url": "a.csv.gz", "rows": 3, "sha256": sha256, "bytes": len(packed)}, {"url": "b.csv", "rows": 2}
        )
        report = await analyze(urls=f"{host.url}/m.json", retry=QUICK)
        assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.VERIFIED, VerdictKind.MISMATCH]
        assert report.account.export_id == "ward"


@pytest.mark.parametrize("compress", [False, True])
async def test_gzip_on_a_gz_file_means_its_own_bytes(compress: bool) -> None:
    packed = gzip.compress(TABLE)
    async with hosting(a_csv_gz=packed, b_csv_zst=zstd.compress(TABLE)) as host:
        host.fields = {"/a.csv.gz": {"Content-Encoding": "gzip"}, "/b.csv.zst": {"Content-Encoding": "zstd"}}
        sha256 = hashlib.sha256(packed).hexdigest()
        host.bodies["/m.json"] = manifest(
            {"url": "a.csv.gz", "rows": 3, "sha256": sha256, "bytes": len(packed)}, {"url": "b.csv.zst", "rows": 3}
        )
        report = await analyze(urls=f"{host.url}/m.json", retry=QUICK, compress=compress)
        assert {str(d.verdict) for d in report.account.downloads} == {"verified"}


async def test_compressed_on_the_way_the_announced_hash_is_of_the_decoded_file() -> None:
    async with hosting(a_csv=TABLE) as host:
        host.compress = True
        sha256 = hashlib.sha256(TABLE).hexdigest()
        host.bodies["/m.json"] = manifest({"url": "a.csv", "rows": 3, "sha256": sha256, "bytes": len(TABLE)})
        report = await analyze(urls=f"{host.url}/m.json", retry=QUICK, compress=True)
        assert str(report.account.downloads[0].verdict) == "verified"
        assert host.requests[-1].headers["Accept-Encoding"] == "gzip"
        # And where the bytes are others, that is seen all the same.
        host.damaged["/a.csv"] = 9
        report = await analyze(urls=f"{host.url}/m.json", retry=QUICK, compress=True)
        assert "SHA-256" in str(report.account.downloads[0].verdict)


@pytest.mark.parametrize(("times", "kind"), [(1, VerdictKind.VERIFIED), (9, VerdictKind.FAILED)])
async def test_bytes_that_are_not_the_announced_ones_are_fetched_anew(times: int, kind: VerdictKind) -> None:
    async with hosting(a_csv=TABLE) as host:
        sha256 = hashlib.sha256(TABLE).hexdigest()
        host.bodies["/m.json"] = manifest({"url": "a.csv", "rows": 3, "sha256": sha256})
        host.damaged["/a.csv"] = times
        report = await analyze(urls=f"{host.url}/m.json", retry=QUICK)
        (download,) = report.account.downloads
        assert download.verdict.kind is kind
        assert report.totals["heart_rate"].mean == 72 if times == 1 else "SHA-256" in str(download.verdict)


async def test_a_compressed_body_that_is_damaged_is_fetched_anew() -> None:
    async with hosting(a_csv_gz=gzip.compress(TABLE)) as host:
        whole, asked = host.bodies["/a.csv.gz"], 0

        class Flaky(dict[str, bytes]):
            def get(self, path: str, default: Any = None) -> Any:
                nonlocal asked
                asked += 1
                return whole[:-9] if asked == 1 else whole

        host.bodies = Flaky()
        report = await analyze(urls=[f"{host.url}/a.csv.gz"], retry=QUICK)
        assert report.totals["heart_rate"].count == 3
        assert report.account.downloads[0].attempts == 2


async def test_a_token_goes_to_the_manifests_server_alone() -> None:
    async with hosting(a_csv=TABLE) as other, hosting(b_csv=TABLE) as host:
        host.bodies["/m.json"] = manifest({"url": f"{other.url}/a.csv"}, {"url": "b.csv"})
        report = await analyze(urls=f"{host.url}/m.json", access=Access(token="hush", headers=(("X-Key", "hush"),)))
        assert report.totals["heart_rate"].count == 6
        assert [request.headers.get("Authorization") for request in host.requests] == ["Bearer hush"] * 2
        assert not {"Authorization", "X-Key"} & set(other.requests[0].headers)
        with pytest.raises(OptionError, match="2 servers, and a token"):
            await analyze(urls=[f"{other.url}/a.csv", f"{host.url}/b.csv"], access=Access(token="hush"))


async def test_what_a_manifest_names_is_relative_to_where_it_came_from_in_the_end() -> None:
    async with hosting(a_csv=TABLE, m_json=manifest({"url": "a.csv"})) as other, hosting(a_csv=HEADER) as host:
        host.redirects["/latest"] = f"{other.url}/m.json"
        report = await analyze(urls=f"{host.url.replace('//', '//user:word@')}/latest", access=Access())
        assert report.totals["heart_rate"].count == 3
        assert [request.headers.get("Authorization") for request in other.requests] == [None, None]
        host.bodies["/m.json"] = other.bodies["/m.json"]
        report = await analyze(urls=f"{host.url.replace('//', '//user:word@')}/m.json")
        assert report.totals == {}
        assert host.requests[-1].headers["Authorization"].startswith("Basic ")


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "http://[fe80::1]/x"])
async def test_a_manifest_leads_to_no_link_local_address(url: str) -> None:
    async with hosting() as host:
        host.bodies["/m.json"] = manifest({"url": url})
        report = await analyze(urls=f"{host.url}/m.json", retry=QUICK)
        assert "link-local or a cloud's" in str(report.account.downloads[0].verdict)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"ETag": '"1"'}, {"ETag": '"2"'}),
        ({"ETag": 'W/"1"'}, {"ETag": 'W/"2"'}),
        ({"Last-Modified": "Tue, 26 Aug 2025 00:00:00 GMT"}, {"Last-Modified": "Tue, 26 Aug 2025 00:00:01 GMT"}),
        ({"Last-Modified": "Tue, 26 Aug 2025 00:00:00 GMT"}, {"Last-Modified": "Tue, 26 Aug 2025 00:00:00 GMT"}),
        ({"ETag": '"1"'}, {}),
    ],
    ids=["a tag", "a weak tag", "a date", "a length", "no tag any more"],
)
async def test_a_kept_file_whose_version_has_changed_is_fetched_anew_and_replaced_whole(
    tmp_path: Path, before: dict[str, str], after: dict[str, str]
) -> None:
    async with hosting(a_csv=TABLE, b_csv=TABLE) as host:
        host.fields = {"/a.csv": before, "/b.csv": before}
        host.bodies["/m.json"] = manifest({"url": "a.csv", "rows": 3}, {"url": "b.csv", "rows": 3})
        urls, names = f"{host.url}/m.json", ("00-a.csv", "01-b.csv")
        first = await analyze(urls=urls, save=tmp_path)
        kept = [(tmp_path / name).stat().st_mtime_ns for name in names]
        again = await analyze(urls=urls, save=tmp_path)
        assert again.to_json() == first.to_json()
        assert [d.fetched_bytes for d in again.account.downloads] == [0, 0]
        assert [(tmp_path / name).stat().st_mtime_ns for name in names] == kept
        with (tmp_path / "00-a.csv").open("rb") as old:
            host.bodies["/a.csv"], host.fields["/a.csv"] = HEADER + ROW * 2 + ROW.replace(b",72", b",199"), after
            changed = await analyze(urls=urls, save=tmp_path)
            assert [d.fetched_bytes for d in changed.account.downloads] == [len(TABLE) + 1, 0]
            assert changed.totals["heart_rate"].max == 199
            assert (tmp_path / "00-a.csv").read_bytes() == host.bodies["/a.csv"]
            assert old.read() == TABLE  # whoever reads it reads on
        # A server that has it no longer takes nothing away.
        del host.bodies["/a.csv"]
        await analyze(urls=urls, save=tmp_path, retry=QUICK)
        assert (tmp_path / "00-a.csv").read_bytes().endswith(b",199\n")


async def test_a_list_that_cannot_be_had_is_an_error(tmp_path: Path) -> None:
    async with hosting(m_json=b"{}") as host:
        with pytest.raises(MetadataError, match=r"m\.json"):
            await analyze(urls=f"{host.url}/m.json")
        with pytest.raises(ServerUnreachable, match="404"):
            await analyze(urls=f"{host.url}/none.json")
    with pytest.raises(OptionError, match="cannot be read"):
        await analyze(urls=tmp_path / "none.txt")
    (tmp_path / "list.txt").write_text("here and there")
    with pytest.raises(OptionError, match=r"list\.txt: 'here and there' is no http"):
        await analyze(urls=tmp_path / "list.txt")


LONG = HEADER + b"".join(b"P%d,2025-08-26T00:%02d:04Z,heart_rate,72\n" % (i % 7919, i % 60) for i in range(40_000))


@pytest.mark.parametrize(
    ("name", "body", "listed", "spans"),
    [
        ("a.csv", LONG, {}, 4),
        ("a.csv", LONG, {"bytes": len(LONG)}, 4),
        ("a.csv", LONG, {"bytes": len(LONG), "sha256": hashlib.sha256(LONG).hexdigest()}, 0),
        ("a.csv", LONG, {"bytes": 9}, 0),
        ("a.csv.gz", gzip.compress(LONG, 0), {}, 0),
        ("a.csv.zst", zstd.compress(LONG), {}, 0),
    ],
    ids=["plain", "with a length", "with a digest", "with another length", "gzip", "zstd"],
)
async def test_what_a_list_names_is_divided_where_it_is_plain_and_has_no_digest(
    name: str, body: bytes, listed: dict[str, Any], spans: int
) -> None:
    events: list[Event] = []
    async with hosting() as host:
        host.ranges, host.bodies[f"/{name}"] = True, body
        host.bodies["/m.json"] = manifest({"url": name, "rows": 40_000, **listed})
        report = await analyze(
            urls=f"{host.url}/m.json", split=400_000, retry=QUICK, listener=events.append, chunk_bytes=64 * 1024,
            allow_incomplete=True,
        )  # fmt: skip
        assert [event.spans for event in events if isinstance(event, Divided)] == [spans] * bool(spans)
        if listed == {"bytes": 9}:
            assert "9 announced" in str(report.account.downloads[0].verdict)
            return
        assert str(report.account.downloads[0].verdict) == "verified"
        assert report.totals["heart_rate"].count == 40_000
        assert sum("Range" in request.headers for request in host.requests) == max(0, spans - 1)


async def test_a_download_of_a_list_is_gone_on_with_from_a_checkpoint(tmp_path: Path) -> None:
    async with hosting() as host:
        host.ranges = True
        # Its announced length is not there any more when the second run comes: all of it is fetched anew.
        for listed in ({}, {"bytes": len(LONG)}, {"bytes": 9}):
            host.bodies |= {"/a.csv": LONG, "/m.json": manifest({"url": "a.csv", "rows": 40_000})}
            host.requests.clear()
            run = asyncio.current_task()
            assert run is not None

            def stop(event: Event, run: asyncio.Task[Any] = run) -> None:
                if isinstance(event, Advanced) and event.rows > 10_000:
                    run.cancel()

            with pytest.raises(asyncio.CancelledError):
                await analyze(
                    urls=f"{host.url}/m.json", listener=stop, checkpoint=tmp_path / "c", chunk_bytes=64 * 1024
                )
            run.uncancel()
            host.bodies["/m.json"] = manifest({"url": "a.csv", "rows": 40_000, **listed})
            report = await analyze(
                urls=f"{host.url}/m.json", checkpoint=tmp_path / "c", retry=QUICK, allow_incomplete=True
            )
            (download,) = report.account.downloads
            assert "Range" in host.requests[3].headers
            if listed == {"bytes": 9}:
                assert "9 announced" in str(download.verdict)
            else:
                assert report.totals["heart_rate"].count == 40_000
                assert download.fetched_bytes < len(LONG) - 300_000
            (tmp_path / "c").unlink(missing_ok=True)


async def test_a_list_that_ends_with_its_connection_is_not_taken_for_whole() -> None:
    def listing(path: str, head: str, asked: int) -> bytes:
        urls = "".join(f"{server.url}/{name}.csv\n" for name in "ab").encode()
        match path:
            case "/never.txt":
                return b"HTTP/1.1 200 OK\r\n\r\n" + urls[: len(urls) // 2]  # at a line's end
            case "/once.txt" if asked == 1:
                return b"HTTP/1.1 200 OK\r\n\r\n" + urls[: len(urls) // 2]
            case "/once.txt":
                return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(urls) + urls
            case "/m.json":  # shows its end by itself
                body = manifest({"url": "a.csv"}, {"url": "b.csv"})
                return b"HTTP/1.1 200 OK\r\n\r\n" + body[: asked * len(body) // 3]
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(TABLE) + TABLE

    async with raw_server(listing) as server:
        with pytest.raises(ServerUnreachable, match=r"never\.txt.*nothing says whether that was all"):
            await analyze(urls=f"{server.url}/never.txt", retry=QUICK)
        for path in ("once.txt", "m.json"):
            report = await analyze(urls=f"{server.url}/{path}", retry=QUICK)
            assert report.totals["heart_rate"].count == 6
        assert server.asked["/m.json"] == 3


def test_the_command_line_takes_a_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "list.txt").write_text("nothing\n")
    assert main(["--urls", str(tmp_path / "list.txt")]) == 2
    assert "list.txt: 'nothing' is no http" in capsys.readouterr().err
    assert main(["--urls", "x", "--from", "y"]) == 2
    assert "one of" in capsys.readouterr().err
