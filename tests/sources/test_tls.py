"""TLS over real sockets: what is wrong is said for what it is, with what helps; certificates of one's own."""

import asyncio
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mockexport import Access, ExportApi, MockServer, RetryPolicy
from mockexport.errors import OptionError, ServerUnreachable, SourceNotOpen
from mockexport.sources.url_list import UrlList
from tests.certificates import Authority
from tests.cli.conftest import Run, run
from tests.sources.raw import RawServer, raw_server
from tests.sources.test_http import metadata, reply

__all__ = ["run"]

ONCE = RetryPolicy(attempts=1)

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections broken on purpose


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("tls") / "authority")


@asynccontextmanager
async def serving(context: ssl.SSLContext, name: str = "localhost") -> AsyncIterator[str]:
    """Serve the list of exports over TLS; yield its URL under a name that means this machine."""
    server = RawServer(lambda path, head, asked: metadata("/api/export", []))
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)  # handshakes that fail, on purpose
    listener = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=context)
    async with listener:
        yield f"https://{name}:{listener.sockets[0].getsockname()[1]}"


async def said(run: Run, url: str, *options: str) -> str:
    """Return what `list` says of a server that it cannot use."""
    ran = await asyncio.to_thread(run, "list", "--url", url, *options)
    assert ran.code == 5, ran
    assert "is the server running" not in ran.err
    (error,) = [line for line in ran.err.splitlines() if "error:" in line]
    return error


@pytest.mark.parametrize(
    ("name", "begin", "end", "told"),
    [
        ("localhost", "20200101000000Z", "20210101000000Z", "certificate has expired"),
        ("localhost", "20480101000000Z", "20490101000000Z", "certificate is not valid yet"),
        ("elsewhere.example", "20200101000000Z", "20490101000000Z", "certificate is for another name than the URL's"),
    ],
)
async def test_a_certificate_that_will_not_do_is_told_for_what_it_is(
    run: Run, authority: Authority, name: str, begin: str, end: str, told: str
) -> None:
    certificate = authority.certify(name, begin=begin, end=end)
    async with serving(certificate.server()) as url:
        assert told in await said(run, url, "--cacert", str(authority.own.cert))


async def test_an_authority_that_is_not_known_comes_with_the_option_that_makes_it_known(
    run: Run, authority: Authority
) -> None:
    certificate = authority.certify("localhost")
    async with serving(certificate.server()) as url:
        told = await said(run, url)
        assert "of an authority that is not known here; name the file with that authority's own certificate" in told
        assert "(--cacert)" in told
        ran = await asyncio.to_thread(run, "list", "--url", url, "--cacert", str(authority.own.cert))
        assert (ran.code, ran.out) == (0, "x\n")
    async with serving(authority.own.server()) as url:
        assert "--cacert" in await said(run, url)  # one that vouches for itself


async def test_what_the_machine_trusts_is_trusted_by_the_command_line_and_the_library(
    authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = authority.certify("localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.own.cert))
    async with serving(certificate.server()) as url:
        command = await asyncio.create_subprocess_exec(sys.executable, "-m", "mockexport", "list", "--url", url)
        assert await command.wait() == 0
        async with ExportApi(url, retry=ONCE) as api:
            assert await api.export_ids() == ["x"]


async def test_a_server_without_tls_is_told_from_one_that_is_not_there(run: Run, authority: Authority) -> None:
    async with MockServer() as server:
        told = await said(run, server.url.replace("http:", "https:"))
    assert "what answers there does not speak TLS; is it an http:// URL?" in told


async def test_a_server_with_tls_that_is_asked_without_is_told(authority: Authority) -> None:
    async with (
        serving(authority.certify("localhost").server()) as url,
        ExportApi(url.replace("https:", "http:"), retry=ONCE) as api,
    ):
        with pytest.raises(ServerUnreachable, match=r"is it an https:// URL\?") as raised:
            await api.export_ids()
    assert "is the server running" not in str(raised.value)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_asks_for_a_certificate_gets_it(
    run: Run, authority: Authority, version: ssl.TLSVersion
) -> None:
    certificate, mine = authority.certify("localhost"), authority.certify("me")
    context = certificate.server(asks_for_those_of=authority)
    context.maximum_version = version
    async with serving(context) as url:
        options = ("list", "--url", url, "--cacert", str(authority.own.cert))
        ran = await asyncio.to_thread(run, *options, "--cert", str(mine.cert), "--key", str(mine.key))
        assert (ran.code, ran.out) == (0, "x\n")
        both = mine.cert.with_suffix(".both")
        both.write_text(mine.cert.read_text() + mine.key.read_text())
        ran = await asyncio.to_thread(run, *options, "--cert", str(both))
        assert (ran.code, ran.out) == (0, "x\n")
        async with ExportApi(url, access=Access(cacert=authority.own.cert), retry=ONCE) as api:
            with pytest.raises(ServerUnreachable, match=r"certificate|no connection"):
                await api.export_ids()


async def test_a_certificate_is_shown_to_its_own_server_alone(authority: Authority) -> None:
    """Another one, that it redirects to and that would take it, gets none."""
    certificate, mine = authority.certify("localhost"), authority.certify("me")
    access = Access(cacert=authority.own.cert, cert=mine.cert, key=mine.key)
    async with serving(certificate.server(asks_for_those_of=authority)) as other:
        async with (
            raw_server(lambda *_: reply("302 Found", f"Location: {other}/", "Content-Length: 0")) as server,
            ExportApi(server.url, access=access, retry=ONCE) as api,
        ):
            with pytest.raises(ServerUnreachable):
                await api.export_ids()
        async with ExportApi(other, access=access, retry=ONCE) as api:
            assert await api.export_ids() == ["x"]


def test_certificates_that_cannot_be_used_are_refused_without_asking_anything(
    authority: Authority, tmp_path: Path
) -> None:
    mine, other = authority.certify("me"), authority.certify("other")
    locked = authority.with_passphrase(mine.key)
    (tmp_path / "nothing").write_text("nothing")
    for cert, key, told in (
        (tmp_path / "none", None, "cert: .*none cannot be read: No such file"),
        (tmp_path / "nothing", None, r"cert: .*nothing: no certificate with its private key \(not in PEM form\)"),
        (mine.cert, other.key, "key: .* holds the key of another certificate"),
        (mine.cert, locked, "key: .*locked.key has a passphrase, which is not asked for"),
        (None, mine.key, r"key: goes with a certificate \(Access.cert\)"),
    ):
        with pytest.raises(OptionError, match=told):
            ExportApi("https://example.org", access=Access(cert=cert, key=key))


@pytest.mark.parametrize(("status", "option"), [(401, "--token-file"), (403, "--token-file"), (407, "--proxy")])
async def test_a_status_that_wants_an_option_names_it(run: Run, status: int, option: str) -> None:
    async with raw_server(lambda *_: reply(f"{status} No", "Content-Length: 0")) as server:
        assert f"({option})" in (told := await said(run, server.url))
        assert f"status {status}" in told


async def test_a_proxy_that_wants_a_password_names_the_option_for_tls_too(run: Run) -> None:
    async with raw_server(lambda *_: reply("407 Who", "Content-Length: 0")) as proxy:
        told = await said(run, "https://export.invalid", "--proxy", proxy.url)
    assert "status 407: the proxy asks for a name and password, which go into its URL (--proxy)" in told


async def test_a_source_outside_its_block_says_so() -> None:
    api = ExportApi("http://127.0.0.1:9", retry=ONCE)
    with pytest.raises(SourceNotOpen, match="is not open: use it inside `async with`"):
        await api.export_ids()
    async with api:
        pass
    with pytest.raises(SourceNotOpen):
        await UrlList(["http://127.0.0.1:1/a.csv"]).discover("urls")
    with pytest.raises(SourceNotOpen):
        await api.discover("x")
