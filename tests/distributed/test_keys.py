"""Who may use a cluster: those who have its keys. And what is said where there are none, or no scheduler."""

import asyncio
import logging
import ssl
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mockexport import ExportApi, MockServer, Summary
from mockexport import distributed as cluster
from mockexport.cli import main
from mockexport.distributed.clusters import require_dask
from mockexport.distributed.keys import keys_for_one_run, keys_in_files
from mockexport.errors import ClusterError, OptionError
from tests.certificates import Authority

pytestmark = pytest.mark.filterwarnings("ignore")  # the scheduler's library has its own


@pytest.mark.parametrize("with_package", [True, False])
def test_keys_are_made_by_the_package_or_else_by_the_machines_command(
    with_package: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not with_package:
        monkeypatch.setitem(sys.modules, "cryptography", None)  # the documented way to forbid it
    keys, others = keys_for_one_run(require_dask()), keys_for_one_run(require_dask())
    assert keys.require_encryption
    assert keys.tls_client_key != others.tls_client_key
    for role in ("client", "scheduler", "worker"):
        assert keys.get_listen_args(role)["ssl_context"].verify_mode is ssl.CERT_REQUIRED
        assert keys.get_connection_args(role)["ssl_context"].cert_store_stats()["x509"] == 1


def scheduler_of(client: Any) -> Any:
    return client.scheduler


async def test_who_has_not_the_keys_of_a_local_cluster_cannot_use_it() -> None:
    library = require_dask()
    async with cluster.local_cluster(1) as client:
        address = str(scheduler_of(client).address)
        assert address.startswith("tls://127.0.0.1:")
        assert await client.submit(str, 7) == "7"
        for other, keys in (
            (address, keys_for_one_run(library)),
            (address.replace("tls://", "tcp://"), library.Security()),
        ):
            stranger = library.Client(other, asynchronous=True, set_as_default=False, timeout=0.5, security=keys)
            with pytest.raises((OSError, TimeoutError)):
                async with asyncio.timeout(2):
                    await stranger
            await stranger.close()

        # Nor does anybody see a page.
        places: Any = client.cluster
        found = await client.run(lambda dask_worker: dask_worker.http_server.port)
        ports = [places.scheduler.http_server.port, *found.values()]
        assert 8787 not in ports
        async with aiohttp.ClientSession() as session:
            for port in ports:
                for page in ("", "status", "health", "metrics", "json/counts.json", "info/main/workers.html"):
                    async with session.get(f"http://127.0.0.1:{port}/{page}") as reply:
                        assert reply.status == 404


def test_without_anything_that_makes_keys_there_is_no_local_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography", None)
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(OptionError, match="keeps this machine's other users out by keys, and nothing here makes any"):
        keys_for_one_run(require_dask())


@asynccontextmanager
async def scheduler(authority: Authority) -> AsyncIterator[str]:
    """A scheduler with keys in files."""
    library = require_dask()
    own = authority.certify("localhost")
    keys = library.Security(
        require_encryption=True, tls_ca_file=str(authority.own.cert),
        tls_scheduler_cert=str(own.cert), tls_scheduler_key=str(own.key),
    )  # fmt: skip
    async with library.Scheduler(protocol="tls", host="127.0.0.1", port=0, dashboard=False, security=keys) as made:
        yield made.address


async def test_keys_in_files_open_a_cluster_and_others_do_not(tmp_path: Path) -> None:
    ours, theirs = Authority(tmp_path / "ours"), Authority(tmp_path / "theirs")
    mine, stranger = ours.certify("client"), theirs.certify("client")
    async with scheduler(ours) as address:
        files = {"ca": str(ours.own.cert), "cert": str(mine.cert), "key": str(mine.key)}
        async with cluster.connected(address, timeout_s=10, **files) as client:
            assert scheduler_of(client).address == address
        with pytest.raises(ClusterError, match=r"its certificate is not of the authority .*\(connected\.ca\)"):
            async with cluster.connected(address, timeout_s=0.5, **files | {"ca": str(theirs.own.cert)}):
                pass
        with pytest.raises(ClusterError, match="no scheduler answers at tls://"):
            async with cluster.connected(
                address, timeout_s=0.5, ca=files["ca"], cert=str(stranger.cert), key=str(stranger.key)
            ):
                pass
        with pytest.raises(OptionError, match=r"takes keys: name them \(connected\.ca"):
            async with cluster.connected(address, timeout_s=0.5):
                pass


def test_files_that_hold_no_keys_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    own = authority.certify("client")
    locked = authority.with_passphrase(own.key)
    (tmp_path / "nothing").touch()
    ca, cert, key, nothing = authority.own.cert, own.cert, own.key, tmp_path / "nothing"
    for files, problem in (
        ((ca, None, None), "dask-cert: must be given, too"),
        ((None, cert, None), "dask-ca: must be given, too"),
        ((None, None, key), "dask-ca: must be given, too"),
        ((nothing, cert, key), "dask-ca: .*nothing holds no certificates"),
        ((ca, nothing, key), "dask-cert: .*nothing and .*key: no certificate with its private key"),
        ((ca, cert, locked), "dask-key: .*locked.key has a passphrase, which is not asked for"),
    ):
        with pytest.raises(OptionError, match=problem):
            keys_in_files(require_dask(), *(None if path is None else str(path) for path in files))


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"])
async def test_what_is_no_scheduler_is_told_in_a_line(answer: bytes) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0)
    address = f"tcp://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    async with listener:
        with pytest.raises(ClusterError, match=f"no scheduler answers at {address} within 0.3 s; is it one"):
            async with cluster.connected(address, timeout_s=0.3):
                pass
    with pytest.raises(ClusterError, match=f"no scheduler answers at {address} within 0.3 s: nothing listens there"):
        async with cluster.connected(address, timeout_s=0.3):
            pass


def test_an_address_that_takes_keys_and_keys_for_none_are_mistakes(capsys: pytest.CaptureFixture[str]) -> None:
    for words, problem in (
        (["--dask", "tls://127.0.0.1:1"], "takes keys: name them (--dask-ca, --dask-cert, --dask-key)"),
        (["--dask", "local:1", "--dask-ca", "x"], "that of local:N has keys of its own"),
        (["--dask-wait", "0"], "argument --dask-wait: '0' is not a number of seconds above 0"),
    ):
        try:
            code = main(["demo", *words])
        except SystemExit as ended:
            code = int(ended.code or 0)
        told = capsys.readouterr().err
        assert code == 2
        assert problem in told
        assert "Traceback" not in told


async def test_waiting_for_workers_is_told_and_has_a_limit(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    library = require_dask()
    monkeypatch.setattr(logging.getLogger("mockexport"), "propagate", True)
    async with (
        MockServer() as server,
        library.LocalCluster(n_workers=0, processes=False, dashboard_address=None, asynchronous=True) as local,
        library.Client(local, asynchronous=True, set_as_default=False) as client,
    ):
        with (
            caplog.at_level("INFO", "mockexport"),
            pytest.raises(ClusterError, match=r"no worker came within 0\.3 s \(analyze\.workers_s\)"),
        ):
            await cluster.analyze("demo", client=client, url=server.url, workers_s=0.3)
    assert "the cluster has no worker yet: waiting for one, up to 0.3 s" in caplog.messages


def broken() -> None:
    raise LookupError("the shelf is empty\x1b[2J")


class Broken(Summary):
    """A reducer that cannot be opened where it is sent."""

    def __reduce__(self) -> Any:
        return broken, ()


async def test_why_a_task_failed_is_told() -> None:
    library = require_dask()
    async with (
        MockServer() as server,
        library.LocalCluster(n_workers=1, processes=False, dashboard_address=None, asynchronous=True) as local,
        library.Client(local, asynchronous=True, set_as_default=False) as client,
    ):
        with pytest.raises(ClusterError, match=r"a task failed on its worker \(LookupError: the shelf is empty\)"):
            await cluster.analyze("demo", client=client, url=server.url, reducer=Broken())


async def test_a_source_that_is_open_cannot_be_sent_and_is_told() -> None:
    library = require_dask()
    async with (
        MockServer() as server,
        library.LocalCluster(n_workers=1, processes=False, dashboard_address=None, asynchronous=True) as local,
        library.Client(local, asynchronous=True, set_as_default=False) as client,
        ExportApi(server.url) as api,
    ):
        with pytest.raises(OptionError, match=r"one of them cannot be sent to a worker .*; give url, urls"):
            await cluster.analyze("demo", client=client, source=api)
