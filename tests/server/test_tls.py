"""The server's TLS, with clients that others wrote: they verify it by the certificate that it leaves for them."""

import asyncio
import os
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import aiohttp
import pytest
from cryptography import x509

from mockexport import Access, MockServer, RetryPolicy, analyze
from mockexport.errors import OptionError, OutputError
from mockexport.keys import make_keys
from mockexport.server.tls import server_tls
from tests.certificates import Authority

DEMO = "/api/export/demo/f725622a-22ea-4acc-aab8-810ec8b5e2c6"
DEMO_BYTES = 391_899
pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections broken on purpose


async def curl(*words: str) -> tuple[int, bytes]:
    process = await asyncio.create_subprocess_exec(
        "curl", "--silent", "--max-time", "20", *words, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    return process.returncode or 0, out


@pytest.mark.parametrize("with_package", [True, False], ids=["cryptography", "openssl"])
async def test_curl_verifies_the_server_by_each_of_its_names(
    with_package: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_package:
        monkeypatch.setitem(sys.modules, "cryptography", None)  # the documented way to forbid it
    async with MockServer(tls=True, host_names=["ward7.example"]) as server:
        assert server.url.startswith("https://127.0.0.1:")
        ca, port = str(server.ca_file), server.url.rpartition(":")[2]
        for name in ("127.0.0.1", "localhost", "ward7.example"):
            resolved = f"{name}:{port}:127.0.0.1"
            code, out = await curl("--cacert", ca, "--resolve", resolved, f"https://{name}:{port}/api/export")
            assert (code, out) == (0, b'{"data":{"export_ids":["demo","small","large"]}}')
        assert (await curl(server.url + "/api/export"))[0] == 60  # the certificate cannot be authenticated
        assert (await curl(server.url.replace("https", "http") + "/api/export"))[0] != 0
    assert server.ca_file is None
    assert not os.path.exists(ca)  # noqa: ASYNC240


async def test_the_address_of_ipv6_is_in_the_certificate() -> None:
    try:
        async with MockServer("::1", tls=True) as server:
            assert (await curl("--cacert", str(server.ca_file), f"{server.url}/api/export"))[0] == 0
    except OptionError:
        pytest.skip("no IPv6 here")


async def test_pythons_clients_verify_it_strictly_and_get_files_and_rows_whole(tmp_path: Path) -> None:
    from mockexport.server.folder import generate

    generate("demo", tmp_path / "demo")
    for data in (None, tmp_path / "demo"):
        async with MockServer(tls=tmp_path / "keys", data=data) as server:
            context = ssl.create_default_context(cafile=server.ca_file)
            context.verify_flags |= ssl.VERIFY_X509_STRICT
            async with aiohttp.ClientSession() as session, session.get(f"{server.url}{DEMO}/data", ssl=context) as got:
                assert len(await got.read()) == DEMO_BYTES

            def fetched(url: str, context: ssl.SSLContext) -> bytes:
                with urllib.request.urlopen(url, context=context) as reply:
                    return bytes(reply.read())

            page = await asyncio.to_thread(fetched, server.url + "/", context)
            assert f"mockexport analyze demo --url {server.url}".encode() in page
            report = await analyze("demo", url=server.url, access=Access(cacert=server.ca_file))
            assert report.account.rows == 18_784


@pytest.mark.parametrize("kind", ["reset", "cut", "cut-chunked", "stall", "status", "etag", "slow-headers"])
async def test_faults_are_the_same_over_tls(kind: str) -> None:
    from mockexport import Faults, TimeLimits

    faults = Faults({kind: 0.6}, seed=87, drip_s=0.0001)
    async with MockServer(tls=True, faults=faults) as server:
        report = await analyze(
            "demo", url=server.url, access=Access(cacert=server.ca_file),
            retry=RetryPolicy(attempts=12, base_wait_s=0), limits=TimeLimits(stall_s=0.3),
        )  # fmt: skip
    assert report.account.rows == 18_784
    assert {served.fault.kind for served in faults.served if served.fault} == {kind}


def test_keys_are_made_anew_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    seen = set()
    for _ in range(2):
        with server_tls(folder, []) as tls:
            assert tls is not None
            assert tls.ca_file == folder / "ca.pem"
        seen.add((folder / "ca.pem").read_bytes())
        assert sorted(path.name for path in folder.iterdir()) == ["ca.pem", "cert.pem", "key.pem"]
        assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
        assert folder.stat().st_mode & 0o777 == 0o700
    assert len(seen) == 2


@pytest.mark.parametrize("with_package", [True, False], ids=["cryptography", "openssl"])
def test_only_the_authority_may_sign_others(with_package: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        if not with_package:
            patched.setitem(sys.modules, "cryptography", None)
        keys = make_keys(["localhost"])
    assert keys is not None
    for text, signs_others in ((keys.ca, True), (keys.cert, False)):
        extensions = x509.load_pem_x509_certificate(text.encode()).extensions
        assert extensions.get_extension_for_class(x509.BasicConstraints).value.ca is signs_others
        assert extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign is signs_others


def test_a_link_in_the_place_of_a_key_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "key.pem").symlink_to(tmp_path / "elsewhere")
    with server_tls(tmp_path / "keys", []):
        assert not (tmp_path / "elsewhere").exists()
    (tmp_path / "file").touch()
    with pytest.raises(OutputError), server_tls(tmp_path / "file", []):
        pass


def test_names_that_cannot_stand_in_a_certificate_are_left_out() -> None:
    hostile = ["fe80::1%eth0", "a,DNS:b", "x\n[own]", "münchen", "*", ""]
    with server_tls(True, hostile) as tls:
        assert tls is not None


def test_without_anything_that_makes_keys_there_is_no_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OptionError, match=r"pip install 'mockexport\[tls\]'"), server_tls(True, []):
        pass


@pytest.mark.timeout(180)
def test_the_command_serves_with_keys_of_ones_own_and_says_what_to_trust(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    own = authority.certify("localhost")
    for words, ca in (
        (["--tls-cert", str(own.cert), "--tls-key", str(own.key)], authority.own.cert),
        (["--tls-dir", str(tmp_path / "keys")], tmp_path / "keys" / "ca.pem"),
    ):
        command = [sys.executable, "-m", "mockexport", "serve", "--port", "0", "--exit-with-stdin", *words]
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            url = process.stdout.readline().strip().replace("127.0.0.1", "localhost")
            assert url.startswith("https://localhost:")
            context = ssl.create_default_context(cafile=ca)
            with urllib.request.urlopen(url + "/api/export", context=context) as reply:
                assert reply.status == 200
            with pytest.raises(urllib.error.URLError):
                urllib.request.urlopen(url + "/api/export")
            _, err = process.communicate("")
        assert process.returncode == 0
        assert ("clients are to trust" in err) == (words[0] == "--tls-dir"), err
        assert "Traceback" not in err


def test_options_that_contradict_each_other_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from mockexport.cli import main

    own = Authority(tmp_path / "authority").certify("localhost")
    other = Authority(tmp_path / "other").certify("localhost")
    spaced = tmp_path / "token"
    spaced.write_text("let me in\n")
    for words, told in (
        (["--tls-key", str(own.key)], "tls-key: goes with a certificate (--tls-cert)"),
        (["--tls-cert", str(own.cert), "--tls-dir", "x"], "tls-dir and tls-cert: keys are made or yours"),
        (["--tls-cert", "nowhere"], "tls-cert: nowhere cannot be read"),
        (["--tls-cert", str(own.cert)], f"tls-key: is needed: {own.cert} holds a certificate without its private key"),
        (["--bearer", str(spaced)], f"bearer: {spaced} holds no token"),
        (["--tls-cert", str(own.cert), "--tls-key", str(other.key)], "tls-key: "),
        (["--tls-cert", "/dev/zero"], "tls-cert: /dev/zero cannot be read"),
    ):
        assert main(["serve", "--port", "0", *words]) == 2
        assert told in capsys.readouterr().err


async def test_who_begins_no_handshake_or_takes_no_bytes_is_dropped_while_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    from mockexport.server.exports import downloads_of

    large = f"/api/export/large/{downloads_of('large')[0].id}/data"
    async with MockServer(tls=True, idle_s=0.3, stall_s=0.5) as server:
        port = int(server.url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        plain_reader, plain_writer = await asyncio.open_connection("127.0.0.1", port)
        plain_writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        context = ssl.create_default_context(cafile=server.ca_file)
        taken, taking = await asyncio.open_connection("127.0.0.1", port, ssl=context, limit=1)
        taking.write(f"GET {large} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        assert await taken.read(1)
        assert (await curl("--cacert", str(server.ca_file), server.url + "/api/export"))[0] == 0
        with suppress(ConnectionError):
            assert await reader.read() == b""
        with suppress(ConnectionError):
            await plain_reader.read()
        async with asyncio.timeout(20):
            await server.idle()
        for each in (writer, plain_writer, taking):
            each.close()
    assert not [record for record in caplog.records if record.exc_info or record.levelname == "ERROR"]
