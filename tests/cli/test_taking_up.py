"""A run that is killed, kill -9, between two files: the job is taken up by its status, and the checkpoint fits."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from tests.observations import observation


class Hospital(ThreadingHTTPServer):
    """One job of three files, the last of which waits to be let go; what was fetched is counted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.let_go = Event()
        self.asked: list[str] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Hospital

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        self.server.asked.append(path)
        if path.endswith("$export"):
            self._reply(202, b"", {"Content-Location": "/job"})
        elif path == "/job":
            files = [{"type": "Observation", "url": f"/{number}", "count": 1} for number in range(3)]
            self._reply(200, json.dumps({"transactionTime": "2026-01-01T00:00:00Z", "output": files}).encode())
        else:
            if path == "/2":
                self.server.let_go.wait(60)
            self._reply(200, json.dumps(observation(id=path[1:])).encode() + b"\n")

    def do_DELETE(self) -> None:
        self.server.asked.append(f"DELETE {self.path}")
        self._reply(202, b"")

    def _reply(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, text in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        with suppress(ConnectionError):  # whoever was killed takes nothing
            self.wfile.write(body)

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def hospital() -> Iterator[Hospital]:
    with Hospital() as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


@pytest.mark.timeout(170)  # two processes, on a machine that may be busy
def test_a_killed_run_goes_on_by_the_job_s_status(hospital: Hospital, tmp_path: Path) -> None:
    group = ["--group", "ward"]
    checkpoint = tmp_path / "checkpoint"
    common = [sys.executable, "-m", "mockexport", "--checkpoint", str(checkpoint), "--concurrency", "1"]
    command = [*common, "--fhir", hospital.url, *group]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        until = time.monotonic() + 60
        while not (checkpoint.exists() and "/2" in hospital.asked) and time.monotonic() < until:
            time.sleep(0.05)  # for another process
        os.kill(process.pid, signal.SIGKILL)
        _, said = process.communicate()
    assert f"with its status at {hospital.url}/job" in said
    assert checkpoint.exists()
    hospital.let_go.set()
    hospital.asked.clear()
    status = ["--fhir", hospital.url, *group, "--fhir-status", f"{hospital.url}/job"]
    ran = subprocess.run([*common, *status], capture_output=True, text=True, timeout=60, check=False)
    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["totals"]["heart_rate"]["count"] == 1 + 2
    assert "/Patient/$export" not in hospital.asked
    assert hospital.asked[-1] == "DELETE /job"
    assert not checkpoint.exists()
