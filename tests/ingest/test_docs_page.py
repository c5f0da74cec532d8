"""The page of the API in a real browser: nothing from elsewhere, a request sent from it, and a token asked for."""

import re
from pathlib import Path

import pytest

from mockexport.access import new_token
from tests.browser import Browser, missing
from tests.ingest.running import RunningService
from tests.ingest.serving import serving

SEND = """
const box = [...document.querySelectorAll('details')].find(e => e.firstChild.textContent === arguments[0]);
box.open = true;
box.querySelector('button').click();
return 1;
"""


async def test_every_page_has_a_policy_and_names_no_other_place(tmp_path: Path) -> None:
    async with serving(tmp_path) as client:
        for path in ("/", "/docs"):
            async with client.session.get(client.url + path) as reply:
                text = await reply.text()
                policy = reply.headers["content-security-policy"]
            assert policy.startswith("default-src 'none'; connect-src 'self';")
            assert "unsafe" not in policy
            assert re.findall(r"https?://|src=|//[a-z]+\\.", text.replace("http://www.w3.org/2000/svg", "")) == []
        async with client.session.get(client.url + "/redoc") as reply:
            assert reply.status == 404


@pytest.mark.skipif(missing() is not None, reason=missing() or "")
def test_a_request_is_sent_from_the_page_with_the_token_that_it_is_given(tmp_path: Path) -> None:
    token, line = new_token("page", "admin")
    (tmp_path / "tokens").write_text(line)
    with (
        RunningService(tmp_path, token_file=tmp_path / "tokens") as service,
        Browser(tmp_path, width=390, height=900) as browser,
    ):
        browser.open(service.url + "/docs")
        browser.until("return document.getElementById('about').textContent.includes('bearer token')")
        browser.run(
            "const t = document.getElementById('token'); t.value = arguments[0];"
            "t.dispatchEvent(new Event('change')); return 1",
            token,
        )
        browser.until("return document.querySelectorAll('details').length >= 8")
        browser.run(SEND, "POST /metrics/heart-rate")
        accepted = '202\\n{"status":"accepted"}'
        browser.until(f"return [...document.querySelectorAll('pre')].some(e => e.textContent === '{accepted}')")
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), "scrolls sideways"
        loaded = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(name.startswith(service.url) for name in loaded), "something came from elsewhere"
        assert not [line for line in browser.console() if "Content Security Policy" in str(line)]
