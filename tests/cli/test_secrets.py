"""No password, token or signature gets anywhere: not into messages, files that are written, reprs, or tracebacks."""

import json
import traceback
from pathlib import Path

import aiohttp
import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from mockexport import Access, ExportApi, MockExportError, RetryPolicy, analyze
from mockexport.errors import ServerUnreachable
from mockexport.sources.http_faults import explain
from mockexport.sources.manifest import read_manifest
from tests.cli.conftest import Run
from tests.sources.raw import raw_server
from tests.sources.test_url_list import hosting

HUSH = "hunter2"
NOWHERE = "http://127.0.0.1:1"


@pytest.mark.parametrize(
    "words",
    [
        ("demo", "--url", f"http://user:{HUSH}@127.0.0.1:1"),
        ("demo", "--url", f"{NOWHERE}/?sig={HUSH}"),
        ("demo", "--url", f"user:{HUSH}@host"),
        ("demo", "--url", f"http://user:{HUSH}/x@127.0.0.1:1"),
        ("demo", "--url", f"http://user:{HUSH}#x@127.0.0.1:1"),
        ("demo", "--url", f"http://user:{HUSH}@[::1:80"),
        ("demo", "--url", NOWHERE, "--proxy", f"user:{HUSH}@proxy:3128"),
        ("demo", "--url", NOWHERE, "--proxy", f"http://user:{HUSH}@127.0.0.1:1"),
        ("demo", "--url", NOWHERE, "--proxy", f"http://user:{HUSH}#x@127.0.0.1:1"),
        ("demo", "--url", NOWHERE, "--header", HUSH),
        ("demo", "--url", NOWHERE, "--header", f"Authorization Bearer {HUSH}: x"),
        (f"http://user:{HUSH}@host/x", "--url", NOWHERE),
        ("demo", f"http://user:{HUSH}@host/x", "--export-id", "x"),
        ("--from", f"http://user:{HUSH}@host/x.csv"),
        ("--from", f"https://host/x.csv?sig={HUSH}"),
        ("--urls", f"ftp://user:{HUSH}@host/list"),
        ("--urls", f"{NOWHERE}/list?sig={HUSH}"),
        ("--urls", f"http://user:{HUSH}@127.0.0.1:1/list"),
        ("demo", "--dask", f"tcp://user:{HUSH}@host:1"),
        ("demo", "--dask", f"user:{HUSH}@host:1"),
        ("demo", "--attempts", f"http://user:{HUSH}@host"),
        ("demo", "--token", HUSH),
        ("demo", "-o", f"http://user:{HUSH}@host/x"),
        ("list", "more", f"http://user:{HUSH}@host/x"),
    ],
)
def test_a_mistake_repeats_no_secret(words: tuple[str, ...], run: Run) -> None:
    ran = run(*words, *(("--attempts", "1") if "--attempts" not in words else ()), "-d")
    assert ran.code != 0
    assert HUSH not in ran.out + ran.err


def test_a_run_leaves_no_secret_in_what_it_writes(server_url: str, run: Run, tmp_path: Path) -> None:
    shown = run("show", "demo", "--url", server_url, "--json").out
    ids = [download["id"] for download in json.loads(shown)["downloads"]]
    user = server_url.replace("//", f"//user:{HUSH}@")
    signed = tmp_path / "list.txt"
    paths = [*(f"api/export/demo/{download_id}/data" for download_id in ids), "not/there"]
    signed.write_text("".join(f"{server_url}/{path}?X-Amz-Signature={HUSH}\n" for path in paths))
    kept, checkpoint = tmp_path / "kept", tmp_path / "checkpoint"
    for code, where in (
        (0, ("demo", "--url", user, "--save", str(kept))),
        (3, ("--urls", str(signed), "--checkpoint", str(checkpoint))),
    ):
        files = {name: str(tmp_path / f"{name}-{code}") for name in ("events", "account", "html", "output")}
        ran = run(*where, "-d", "--header", f"X-Key: {HUSH}", *(w for f in files.items() for w in (f"--{f[0]}", f[1])))
        assert ran.code == code, ran.err
        assert HUSH not in ran.err
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path != signed]
    assert checkpoint in written
    assert kept / "export.json" in written
    assert not [path for path in written if HUSH.encode() in path.read_bytes()]


def test_doctor_and_help_do_not_tell_what_is_in_the_environment(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("URL", "PROXY", "HEADER", "TOKEN"):
        monkeypatch.setenv(f"MOCKEXPORT_{name}", f"http://user:{HUSH}@host")
    for words in (["doctor"], ["--help"], ["analyze", "--help"], ["download", "--help"]):
        ran = run(*words)
        assert HUSH not in ran.out + ran.err


def told_by(error: BaseException | None) -> str:
    """All that a traceback says of an error, and the reprs of what led to it."""
    assert error is not None
    told = "".join(traceback.format_exception(error))
    while error is not None:
        told += repr(error)
        error = error.__cause__ or error.__context__
    return told


@pytest.mark.parametrize(
    "answer",
    [b"HTTP/1.1 4O0 Bad\r\n\r\n", b"", b"HTTP/1.1 302 Found\r\nLocation: http://[x?%s\r\n\r\n" % HUSH.encode()],
)
async def test_a_traceback_shows_no_secret(answer: bytes) -> None:
    async with raw_server(lambda *_: answer) as server:
        address = server.url.replace("//", f"//user:{HUSH}@") + f"/list?sig={HUSH}"
        with pytest.raises(MockExportError) as raised:
            await analyze(urls=address, retry=RetryPolicy(attempts=1), access=Access(headers=(("X-Key", HUSH),)))
    assert HUSH not in told_by(raised.value)


def test_what_the_http_library_raised_keeps_no_secret_once_it_is_explained() -> None:
    url = URL(f"http://user:{HUSH}@host/?sig={HUSH}")
    asked = aiohttp.RequestInfo(url, "GET", CIMultiDictProxy(CIMultiDict({"X-Key": HUSH})), url)
    for error in (aiohttp.ClientResponseError(asked, (), status=502), aiohttp.InvalidURL(url)):
        assert HUSH in told_by(error)
        explain(error)
        assert HUSH not in told_by(error)


async def test_a_proxys_password_is_in_no_traceback() -> None:
    refusal = b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"
    async with raw_server(lambda *_: refusal) as server:
        for proxy in (server.url, NOWHERE):
            access = Access(proxy=proxy.replace("//", f"//user:{HUSH}@"), token=HUSH)
            async with ExportApi("https://exports.example", access=access, retry=RetryPolicy(attempts=1)) as api:
                with pytest.raises(ServerUnreachable) as raised:
                    await api.export_ids()
            assert HUSH not in told_by(raised.value) + repr(access) + repr(api)


async def test_lists_and_manifests_show_no_signature() -> None:
    manifest = read_manifest(f"https://host/a.csv?sig={HUSH}".encode())
    assert HUSH not in repr(manifest)
    async with hosting(list_txt=b"\x1b]0;title\x07nothing\x1b[2J") as host:
        with pytest.raises(MockExportError) as raised:
            await analyze(urls=f"{host.url}/list.txt?sig={HUSH}")
    assert HUSH not in told_by(raised.value)
    assert "\x1b" not in str(raised.value)
