"""Link-local addresses, and those where clouds hand out credentials, are refused in every spelling and by every way."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mockexport import Access, ExportApi, RetryPolicy, analyze
from mockexport.errors import ServerUnreachable
from mockexport.sources.addresses import is_refused
from tests.sources.raw import raw_server
from tests.sources.test_url_list import TABLE, hosting

ONCE = RetryPolicy(attempts=1)
REFUSED = "link-local or a cloud's"


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254", "169.254.1.1", "169.254.169.254.", "2852039166", "0xa9fea9fe", "0251.0376.0251.0376",
        "169.254.43518", "fe80::1", "::169.254.169.254", "[fe80::1]", "fe80::1%eth0", "febf::1", "fd00:ec2::254%eth0",
        "::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:ec2::254",
        "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192",
    ],
)  # fmt: skip
def test_every_spelling_of_such_an_address_is_known(host: str) -> None:
    assert is_refused(host)


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "::1", "10.0.0.1", "169.253.1.1", "2130706433", "fec0::1", "example.org", "", "fd00::1", "é"]
)
def test_other_addresses_and_names_are_not_refused(host: str) -> None:
    assert not is_refused(host)


class Loop(asyncio.SelectorEventLoop):
    """Resolves every name that is no address to one address."""

    address = "169.254.169.254"

    async def getaddrinfo(self, host: Any, port: Any, **more: Any) -> Any:
        name = host if str(host)[:1].isdigit() else self.address
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (name, port))]


def resolving(address: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    def loop() -> Loop:
        made = Loop()
        made.address = address
        return made

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(work())


@pytest.mark.parametrize("address", ["169.254.169.254", "100.100.100.200"])
def test_a_name_that_means_such_an_address_is_refused_when_it_is_connected_to(address: str) -> None:
    async def work() -> None:
        async with ExportApi("http://exports.example:1", retry=ONCE) as api:
            with pytest.raises(ServerUnreachable, match=REFUSED):
                await api.export_ids()

    resolving(address, work)


def test_names_are_looked_up_before_a_session_of_the_callers_follows_a_redirect() -> None:
    async def work() -> None:
        def answer(path: str, head: str, asked: int) -> bytes:
            return b"HTTP/1.1 302 Found\r\nLocation: http://exports.example:1/\r\nContent-Length: 0\r\n\r\n"

        async with (
            raw_server(answer) as server,
            aiohttp.ClientSession() as session,
            ExportApi(server.url, retry=ONCE, session=session) as api,
        ):
            with pytest.raises(ServerUnreachable, match=REFUSED):
                await api.export_ids()

    resolving("169.254.169.254", work)


async def test_a_proxy_is_not_asked_for_such_an_address_unless_that_is_allowed() -> None:
    def answer(path: str, head: str, asked: int) -> bytes:
        return b'HTTP/1.1 200 OK\r\nContent-Length: 31\r\n\r\n{"data": {"export_ids": ["x"]}}'

    async with raw_server(answer) as proxy:
        async with ExportApi("http://[fe80::1]:1", retry=ONCE, access=Access(proxy=proxy.url)) as api:
            with pytest.raises(ServerUnreachable, match=REFUSED):
                await api.export_ids()
        assert not proxy.heads
        access = Access(proxy=proxy.url, link_local=True)
        async with ExportApi("http://[fe80::1]:1", retry=ONCE, access=access) as api:
            assert await api.export_ids() == ["x"]


async def test_a_list_of_the_users_own_leads_to_none_either(tmp_path: Path) -> None:
    async with hosting(a_csv=TABLE) as host:
        listed = tmp_path / "list.txt"
        listed.write_text(f"http://0xa9fea9fe/b.csv\n{host.url}/a.csv\n")
        report = await analyze(urls=listed, retry=ONCE)
    assert REFUSED in str(report.account.downloads[0].verdict)
    assert report.allowing_incomplete().totals["heart_rate"].count == 3
