"""The page in a real browser: light and dark, wide and narrow, offline, with hostile ids, without a complaint."""

import json
import os
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from mockexport.ingest.devices import time_text
from tests.browser import Browser, missing
from tests.ingest.running import RunningService

pytestmark = pytest.mark.skipif(missing() is not None, reason=missing() or "")

DAY_US = 1_705_276_800 * 10**6
HOSTILE = '<img src=x onerror="document.title=1">&\'"'

# A sixth of the day from a device that is then taken off, and the rest of the day from another, which begins earlier.
_RUN = """
const seen = selector => [...document.querySelectorAll(selector)];
"""


def _post(url: str, readings: list[dict[str, object]]) -> None:
    for start in range(0, len(readings), 10_000):
        data = json.dumps({"readings": readings[start : start + 10_000]}).encode()
        request = urllib.request.Request(
            f"{url}/metrics/heart-rate/batch", data=data, headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(request) as reply:
            assert json.load(reply)["rejected"] == 0


# Days before the one that is drawn above, the minutes of each, and who measured them: an hour and a half, as much again
# an hour and a half later, and a minute by itself; then nothing for a day.
GAPPY = [(-5, range(100), "a"), (-5, range(200, 300), "b"), (-5, range(400, 401), "a"), (-3, range(60), "a")]


def _measured(user: str, device: str, day: int, minute: int) -> dict[str, object]:
    at = time_text(DAY_US + day * 86_400_000_000 + minute * 60_000_000)
    return {"device_id": device, "user_id": user, "timestamp": at, "heart_rate": 60 + minute % 9}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningService]:
    with RunningService(tmp_path_factory.mktemp("page")) as running:
        readings: list[dict[str, object]] = []
        for minute in range(1_440):
            at = time_text(DAY_US + minute * 60_000_000)
            swing = 70 + (minute * 7 % 23) + (40 if 400 < minute < 460 else 0)
            if minute % 480 < 320:
                readings.append({"device_id": "device_a", "user_id": "user_1", "timestamp": at, "heart_rate": swing})
            if minute < 1_300:
                readings.append(
                    {"device_id": "device_b", "user_id": "user_1", "timestamp": at, "heart_rate": swing - 12}
                )
        for day, minutes, device in GAPPY:
            readings += [_measured("user_2", device, day, minute) for minute in minutes]
        readings.append(_measured("user_3", "a", -10, 0))
        next_day = time_text(DAY_US + 86_400_000_000)
        readings.append({"device_id": HOSTILE, "user_id": HOSTILE, "timestamp": next_day, "heart_rate": 61})
        _post(running.url, readings)
        yield running


def _pick(browser: Browser, name: str, value: str) -> None:
    browser.run(
        "const s = document.getElementById(arguments[0]); s.value = arguments[1];"
        "s.dispatchEvent(new Event('change')); return 1",
        name,
        value,
    )


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1_280], ids=["narrow", "wide"])
def test_a_day_is_drawn_with_its_devices_told_apart(
    service: RunningService, tmp_path: Path, dark: bool, width: int
) -> None:
    with Browser(tmp_path, width=width, height=900, dark=dark) as browser:
        browser.open(service.url)
        browser.until("return document.getElementById('day').value === '2024-01-16'")
        _pick(browser, "day", "2024-01-15")
        browser.until("return document.getElementById('status').textContent === '1300 minutes, 2 devices.'")
        legend = browser.run("return [...document.querySelectorAll('#legend li')].map(e => e.textContent.trim())")
        assert legend == ["device_a", "device_b"]
        looks = browser.run(
            "return [...document.querySelectorAll('#chart .trace')]"
            ".map(e => getComputedStyle(e).stroke + e.getAttribute('stroke-dasharray'))"
        )
        assert len(set(looks)) == 2
        assert browser.run("return document.querySelectorAll('#rows tr').length") == 1_300
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), "scrolls sideways"
        ground = browser.run("return getComputedStyle(document.body).backgroundColor")
        assert ground == ("rgb(20, 23, 26)" if dark else "rgb(251, 250, 248)")
        # Everything that can be operated has a name that a screen reader can say.
        unnamed = browser.run(
            "return [...document.querySelectorAll('select, button, input, [role=img], [role=region]')]"
            ".filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label')"
            " || e.getAttribute('aria-labelledby'))).length"
        )
        assert unnamed == 0
        assert _contrast(browser) >= 4.5
        loaded = browser.run("return performance.getEntriesByType('resource').map(e => e.name)")
        assert all(name.startswith(service.url) for name in loaded), "something came from elsewhere"
        assert browser.console() == []
        if "MOCKEXPORT_SCREENSHOTS" in os.environ:
            name = f"page-{'dark' if dark else 'light'}-{width}.png"
            browser.screenshot(Path(os.environ["MOCKEXPORT_SCREENSHOTS"]) / name)


def _contrast(browser: Browser) -> float:
    """Return the lowest contrast (WCAG 2) of the page's texts against their ground."""
    script = """
    const light = c => { const v = c.map(x => (x /= 255) <= .03928 ? x / 12.92 : ((x + .055) / 1.055) ** 2.4);
                         return .2126 * v[0] + .7152 * v[1] + .0722 * v[2]; };
    const parse = t => t.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
                          if (!c.endsWith(', 0)')) return parse(c); } return [255, 255, 255]; };
    const texts = 'label, p:not(:empty), summary, th, td, option, button, bdi, h1, svg text';
    return Math.min(...[...document.querySelectorAll(texts)]
      .filter(e => e.textContent.trim())
      .map(e => { const s = getComputedStyle(e), c = parse(e.tagName === 'text' ? s.fill : s.color);
                  const a = light(c), b = light(ground(e.parentElement));
                  return (Math.max(a, b) + .05) / (Math.min(a, b) + .05); }));
    """
    return float(browser.run(script))


def test_ids_are_shown_as_text_and_failures_are_said(service: RunningService, tmp_path: Path) -> None:
    with Browser(tmp_path, width=1_000, height=800) as browser:
        browser.open(service.url)
        browser.until("return document.getElementById('status').textContent === '1 minute, one device.'")
        assert browser.run("return document.getElementById('user').value") == HOSTILE
        assert browser.run("return document.querySelector('#legend bdi').textContent") == HOSTILE
        assert browser.run("return document.querySelectorAll('img').length") == 0
        assert browser.run("return document.title") == "Heart rate by minute"
        # What is asked for next breaks off: the page says so instead of showing the old day as if it were the new.
        browser.devtools("Network.enable", {})
        offline = {"offline": True, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
        browser.devtools("Network.emulateNetworkConditions", offline)
        _pick(browser, "day", "2024-01-15")
        browser.until("return document.getElementById('status').textContent.startsWith('The service did not answer')")
        assert browser.run("return document.getElementById('figure').hidden")


# The shaded gaps, from left to right: where each begins and ends, in minutes of what is shown.
_GAPS = """
const bar = document.querySelector('#chart .rule'), minutes = arguments[0];
const numbers = (e, ...names) => names.map(name => Number(e.getAttribute(name)));
const [from, to] = numbers(bar, 'x1', 'x2');
return [...document.querySelectorAll('#chart .gap')].map(e => numbers(e, 'x', 'width'))
  .map(([x, width]) => [x, x + width].map(at => Math.round((at - from) / (to - from) * minutes)));
"""
# The longest line between two points of a trace, in minutes of what is shown.
_LONGEST = """
const bar = document.querySelector('#chart .rule');
const scale = Number(bar.getAttribute('x2')) - Number(bar.getAttribute('x1'));
let longest = 0;
for (const trace of document.querySelectorAll('#chart .trace')) {
  let before = 0;
  for (const [, kind, x] of trace.getAttribute('d').matchAll(/([ML])([\\d.]+) /g)) {
    if (kind === 'L') longest = Math.max(longest, Number(x) - before);
    before = Number(x);
  }
}
return longest / scale * arguments[0];
"""


def test_gaps_of_a_day_are_shaded_and_no_line_crosses_them(service: RunningService, tmp_path: Path) -> None:
    with Browser(tmp_path, width=1_280, height=900) as browser:
        browser.open(service.url)
        browser.until("return document.getElementById('day').value === '2024-01-16'")
        _pick(browser, "day", "2024-01-10")
        browser.until("return document.getElementById('status').textContent === '201 minutes, 2 devices.'")
        # What is shown ends with the hour.
        assert browser.run(_GAPS, 420) == [[100, 200], [300, 400], [401, 420]]
        assert browser.run(_LONGEST, 420) < 2
        marks = browser.run("return [...document.querySelectorAll('#chart .mark title')].map(e => e.textContent)")
        assert "a: 64 at 2024-01-10 06:40" in marks, "a minute by itself"
        assert browser.console() == []
        _pick(browser, "day", "2024-01-11")
        browser.until(
            "return document.getElementById('status').textContent === 'Nothing was measured on 2024-01-11. "
            "The nearest days with readings: 2024-01-10 and 2024-01-12.'"
        )
        assert browser.run("return document.getElementById('figure').hidden")


@pytest.mark.parametrize("width", [390, 1_280], ids=["narrow", "wide"])
def test_of_several_days_those_without_readings_are_a_gap_and_said(
    service: RunningService, tmp_path: Path, width: int
) -> None:
    with Browser(tmp_path, width=width, height=900) as browser:
        browser.open(service.url)
        browser.until("return document.getElementById('day').value === '2024-01-16'")
        _pick(browser, "span", "3")
        _pick(browser, "day", "2024-01-12")
        browser.until(
            "return document.getElementById('status').textContent"
            " === '261 minutes, 2 devices. Nothing was measured on 2024-01-11.'"
        )
        gaps = browser.run(_GAPS, 3 * 1_440)
        assert gaps[-2:] == [[401, 2 * 1_440], [2 * 1_440 + 60, 3 * 1_440]]
        assert browser.run(_LONGEST, 3 * 1_440) < 100, "not from one gap's side to the other"
        labels = browser.run("return [...document.querySelectorAll('#chart text')].map(e => e.textContent)")
        assert [label for label in labels if "-" in label] == ["01-10", "01-11", "01-12"]
        legend = browser.run("return [...document.querySelectorAll('#legend li')].map(e => e.textContent.trim())")
        assert legend == ["a", "b"]
        cells = browser.run("return [...document.querySelectorAll('#rows tr:first-child td')].map(e => e.textContent)")
        assert cells == ["2024-01-10 00:00", "60", "a"]
        assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth"), "scrolls sideways"
        assert browser.console() == []


def test_the_newest_minutes_appear_by_themselves(service: RunningService, tmp_path: Path) -> None:
    with Browser(tmp_path, width=1_280, height=900) as browser:
        browser.open(service.url)
        browser.until("return document.getElementById('day').value === '2024-01-16'")
        _pick(browser, "day", "2024-01-05")
        browser.until("return document.getElementById('status').textContent === '1 minute, one device.'")
        _post(service.url, [_measured("user_3", "a", -10, minute) for minute in (1, 30)])
        browser.until("return document.getElementById('status').textContent === '3 minutes, one device.'", seconds=30)
        assert browser.run(_GAPS, 60) == [[2, 30], [31, 60]]


def test_nothing_new_is_added_to_what_a_former_choice_has_shown(service: RunningService, tmp_path: Path) -> None:
    with Browser(tmp_path, width=1_000, height=800) as browser:
        browser.open(service.url)
        browser.until("return document.getElementById('status').textContent === '1 minute, one device.'")
        # The timer strikes while the choice is being loaded: what is shown still is the day after.
        browser.run(
            "const s = document.getElementById('day'); s.value = '2024-01-15'; s.dispatchEvent(new Event('change'));"
            "return showNews()"
        )
        browser.until("return document.getElementById('status').textContent === '1300 minutes, 2 devices.'")
        browser.run("return showNews()")
        assert browser.console() == []
