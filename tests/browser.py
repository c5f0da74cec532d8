"""A headless Chromium, driven over the WebDriver protocol (W3C) with the standard library alone."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

__all__ = ["Browser", "missing"]

_START_S = 30.0


def missing() -> str | None:
    """Return why there is no browser to test with, or None."""
    for name in ("chromium", "chromedriver"):
        if shutil.which(name) is None:
            return f"{name} is not installed (Debian: apt-get install chromium chromium-driver)"
    return None


class Browser:
    """One window. `console` returns what the page complained about."""

    def __init__(self, folder: Path, *, width: int, height: int, dark: bool = False) -> None:
        self._folder, self._size, self._dark = folder, (width, height), dark

    def __enter__(self) -> "Browser":
        log = self._folder / "chromedriver.log"
        with log.open("wb") as output:
            self._driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=output, stderr=subprocess.STDOUT)
        deadline = time.monotonic() + _START_S
        while "on port " not in (text := log.read_text()).partition("successfully")[2]:
            if time.monotonic() > deadline:
                self._driver.kill()
                raise RuntimeError(f"chromedriver did not start: {text}")
            time.sleep(0.01)
        port = text.rpartition("on port ")[2].split(".")[0].strip()
        arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            f"--user-data-dir={self._folder / 'profile'}",
            "--window-size={},{}".format(*self._size),
        ]
        if self._dark:
            arguments.append("--force-dark-mode")
        capabilities = {
            "goog:chromeOptions": {"args": arguments},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self._base = f"http://127.0.0.1:{port}/session"
        made = self._call("POST", "", {"capabilities": {"alwaysMatch": capabilities}})
        self._base += "/" + made["sessionId"]
        self.emulate(*self._size, dark=self._dark)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._call("DELETE", "", None)
        finally:
            self._driver.terminate()
            self._driver.wait(10)

    def _call(self, method: str, path: str, body: object) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._base + path, data=data, method=method, headers={"content-type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=30) as reply:
            return json.load(reply)["value"]

    def devtools(self, command: str, parameters: Mapping[str, object]) -> Any:
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def emulate(self, width: int, height: int, *, dark: bool = False, media: str = "") -> None:
        """Be a window of this size, or, with "print" for a medium, a sheet."""
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.devtools("Emulation.setEmulatedMedia", {"media": media, "features": features})
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)

    def print(self) -> bytes:
        """Return the PDF of the page on A4, with margins of a centimetre."""
        sheet = {"paperWidth": 8.27, "paperHeight": 11.69, "printBackground": True}
        return base64.b64decode(self.devtools("Page.printToPDF", sheet)["data"])

    def open(self, url: str) -> None:
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *arguments: object) -> Any:
        return self._call("POST", "/execute/sync", {"script": script, "args": list(arguments)})

    def until(self, script: str, *arguments: object, seconds: float = 15.0) -> Any:
        """Run a script until it returns something true; return that."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(script, *arguments)):
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"never true: {script}; the page says {self.run('return document.body.innerText')!r}"
                )
            time.sleep(0.02)
        return found

    def console(self) -> list[str]:
        return [entry["message"] for entry in self._call("POST", "/se/log", {"type": "browser"})]

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self._call("GET", "/screenshot", None)))
