"""The server's page for people: what it lists is what there is, and nothing on it comes from a request."""

import asyncio
from pathlib import Path

import aiohttp
import pytest

from mockexport import Faults, MockServer
from mockexport.server.catalogue import generated_catalogue
from mockexport.server.page import front_page
from tests.browser import Browser, missing

HOSTILE = '"><script>alert(1)</script>'


async def test_the_page_is_html_under_a_policy_and_lists_what_there_is() -> None:
    async with MockServer(faults="reset=0.25", seed=7) as server, aiohttp.ClientSession() as session:
        async with session.get(server.url + "/") as reply:
            html = await reply.text()
            assert reply.headers["content-type"] == "text/html; charset=utf-8"
            assert "default-src 'none'" in reply.headers["content-security-policy"]
        async with session.head(server.url + "/") as reply:
            assert reply.status == 200
        async with session.post(server.url + "/") as reply:
            assert (reply.status, await reply.json()) == (405, {"detail": "Method Not Allowed"})
    for export_id, offers in generated_catalogue().items():
        assert f"<bdi>{export_id}</bdi>" in html
        assert all(download_id in html for download_id in offers)
    assert "synthetic" in html
    assert "reset=0.25" in html
    assert "the seed 7" in html
    assert f"mockexport analyze demo --url {server_url(html)}" in html


def server_url(html: str) -> str:
    return html.partition("curl ")[2].partition("/api")[0]


@pytest.mark.parametrize("host", [HOSTILE, "x; rm -rf", "", "a$(b)"])
def test_a_host_that_no_one_should_copy_is_not_repeated(host: str) -> None:
    html = front_page(generated_catalogue(), None, origin=f"http://{host}", synthetic=False)
    assert "http://127.0.0.1/api/export" in html
    assert "<script" not in html
    assert "made while it is sent" not in html
    assert "Nothing goes wrong on purpose" in html
    assert "http://[::1]:80/api" in front_page({}, Faults({}), origin="http://[::1]:80", synthetic=True)


@pytest.mark.skipif(missing() is not None, reason=str(missing()))
async def test_a_browser_shows_it_and_fetches_nothing_else(tmp_path: Path) -> None:
    def look(url: str) -> None:
        with Browser(tmp_path, width=360, height=800) as browser:
            browser.open(url)
            assert browser.run("return document.querySelectorAll('h3').length") == 3
            assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), "scrolls sideways"
            assert browser.run("return performance.getEntriesByType('resource').length") == 0
            assert browser.console() == []

    async with MockServer() as server:
        await asyncio.to_thread(look, server.url + "/")
