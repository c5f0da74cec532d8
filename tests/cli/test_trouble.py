"""The options for trouble, as a shell sees them: failures, secrets, checkpoints, events and accounts."""

import json
import os
import shlex
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.kills import killing
from tests.sources.raw import raw_server
from tests.sources.test_http import export, reply, whole

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")  # connections broken on purpose


async def in_thread(run: Run, *arguments: str) -> "tuple[int, str, str]":
    """Run the command line in a thread, as it has an event loop of its own."""
    import asyncio

    ran = await asyncio.to_thread(run, *arguments)
    return ran.code, ran.out, ran.err


def test_events_and_account_tell_how_it_went(run: Run, server_url: str, tmp_path: Path) -> None:
    events, account = tmp_path / "events", tmp_path / "account"
    ran = run("demo", "--url", server_url, "--events", str(events), "--account", str(account))
    assert ran.code == 0
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert (lines[0]["event"], lines[-1]["event"]) == ("run_started", "run_finished")
    assert sorted(line["event"] for line in lines[1:-1]) == ["finished"] * 2 + ["opened"] * 2 + ["started"] * 2
    assert all(isinstance(line["time"], float) for line in lines)
    told = json.loads(account.read_text())
    assert {"export_id", "source", "synthetic", "engine", "version", "elapsed_s", "rows", "bad_rows"} <= set(told)
    assert [download["verdict"] for download in told["downloads"]] == ["verified"] * 2
    assert told["rows"] == 18_784
    for path in (events, account):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert "P001" not in path.read_text()


def test_events_can_go_where_no_file_is(run: Run, server_url: str) -> None:
    mine, theirs = os.openpty()
    try:
        path = Path(os.ttyname(theirs))
        assert run("demo", "--url", server_url, "--events", str(path)).code == 0
        assert b"run_started" in os.read(mine, 10_000)
        assert path.is_char_device()
    finally:
        os.close(mine)
        os.close(theirs)


@pytest.mark.parametrize("option", ["--events", "--account", "--checkpoint"])
def test_a_file_that_cannot_be_written_is_an_error_with_its_path(
    run: Run, server_url: str, tmp_path: Path, option: str
) -> None:
    ran = run("demo", "--url", server_url, option, str(tmp_path / "none" / "file"))
    assert ran.code == 1
    assert "none/file" in ran.err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_disk_that_is_full_under_the_events_is_told_by_their_file(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url, "--events", "/dev/full")
    assert ran.code == 1
    assert ran.err.count("error: cannot write /dev/full: No space left on device\n") == 1
    assert "stdout" not in ran.err


def test_a_server_without_descriptors_says_so_in_a_line_and_goes_on() -> None:
    command = "ulimit -n 20; exec " + shlex.join([sys.executable, "-m", "mockexport", "serve", "--port", "0"])
    with subprocess.Popen(["bash", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stdout is not None
            assert server.stderr is not None
            port = int(server.stdout.readline().rpartition(":")[2])
            assert "Ctrl-C ends it" in server.stderr.readline()
            clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(30)]
            told = server.stderr.readline()
            for client in clients:
                client.close()
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.sendall(f"GET /api/export HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode())
                assert client.recv(12) == b"HTTP/1.1 200"
            server.terminate()
            rest = server.communicate()[1]
        finally:
            server.kill()
    assert told.startswith("mockexport: this machine lets the process open no more files and connections")
    assert rest == "mockexport: terminated\n"


async def test_retries_are_told_on_stderr_and_in_the_events(run: Run, tmp_path: Path) -> None:
    def answer(download_id: str, head: str, asked: int) -> bytes:
        return reply("503 Busy", "Retry-After: 1", "Content-Length: 0") if asked == 1 else whole()

    async with raw_server(export(["d"], answer)) as server:
        events = tmp_path / "events"
        code, _, err = await in_thread(run, "x", "--url", server.url, "--events", str(events))
    assert code == 0
    assert "download d: attempt 1 failed (status 503); going on from byte 0 in 1" in err
    (retried,) = [json.loads(line) for line in events.read_text().splitlines() if '"retried"' in line]
    assert retried["retry_after_s"] == 1
    assert retried["wait_s"] >= 1
    assert retried["reason"] == "status 503"


@pytest.mark.parametrize(
    ("policy", "verdicts"), [("continue", ["failed", "verified"]), ("stop", ["failed", "skipped"])]
)
async def test_on_failure_the_others_are_finished_or_not(
    run: Run, tmp_path: Path, policy: str, verdicts: list[str]
) -> None:
    def answer(path: str, head: str, asked: int) -> bytes:
        parts = path.split("/")
        if parts[-1] == "data":
            return whole() if "d2" in path else reply("404 Gone", "Content-Length: 0")
        if len(parts) == 4:
            return whole(b'{"data": {"id": "x", "download_ids": ["d1", "d2"]}}')
        number = parts[-1][1]
        times = b'"start_time": "2025-08-26T00:00:00", "end_time": "2025-08-26T00:01:00"'
        announced = b'"rows": 4, ' + times if number == "2" else b'"rows": 4'
        return whole(b'{"data": {"id": "d%s", %s}}' % (number.encode(), announced))

    async with raw_server(answer) as server:
        account = tmp_path / "account"
        code, out, _ = await in_thread(
            run, "x", "--url", server.url, "--on-failure", policy, "--concurrency", "1", "--account", str(account)
        )
    assert code == 3
    assert [download["verdict"] for download in json.loads(account.read_text())["downloads"]] == verdicts
    assert json.loads(out)["incomplete"] == (["d1"] if policy == "continue" else ["d1", "d2"])


async def test_attempts_and_time_are_limited(run: Run) -> None:
    async with raw_server(export(["d"], lambda *_: reply("500 Oops", "Content-Length: 0"))) as server:
        code, _, err = await in_thread(run, "x", "--url", server.url, "--attempts", "1")
        assert (code, server.asked["/api/export/x/d/data"]) == (3, 1)
        code, _, err = await in_thread(run, "x", "--url", server.url, "--time-limit", "0.001")
        assert code in (3, 5)
        assert "time limit for a download (0.001 s)" in err


async def test_a_token_comes_from_a_file_or_the_environment_and_is_never_shown(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("secret-of-file\n")
    async with raw_server(export(["d"], lambda *_: whole())) as server:
        monkeypatch.setenv("MOCKEXPORT_TOKEN", "secret-of-environment")
        monkeypatch.setenv("MOCKEXPORT_HEADER", "X-One: secret-1\nX-Two: secret-2")
        told = "".join(map(str, await in_thread(run, "x", "--url", server.url, "-d", "--events", str(tmp_path / "e"))))
        assert all("Bearer secret-of-environment" in head for head in server.heads)
        assert all("secret-1" in head and "secret-2" in head for head in server.heads)
        server.heads.clear()
        options = ("--token-file", str(tmp_path / "token"), "--header", "X-Three: secret-3")
        told += "".join(map(str, await in_thread(run, "x", "--url", server.url, "-d", *options)))
        assert all("Bearer secret-of-file" in head and "secret-3" in head for head in server.heads)
        assert all("secret-1" not in head for head in server.heads)
    assert "secret" not in told + (tmp_path / "e").read_text()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--token-file", "none"), "token-file: none cannot be read"),
        (("--header", "secret"), "header: must be 'Name: value'"),
        (("--header", "Range: bytes=0-"), "header: Range is the download's own business"),
        (("--proxy", "secret"), "no http:// URL of a proxy"),
        (("--cacert", "none"), "cacert: none cannot be read"),
        (("--timeout", "0"), "not a number of seconds above 0"),
        (("--timeout", "nan"), "not a number of seconds above 0"),
        (("--attempts", "0"), "not a whole number from 1"),
        (("--on-failure", "maybe"), "invalid choice"),
    ],
)
def test_an_option_that_cannot_be_meant_is_refused(run: Run, options: tuple[str, ...], told: str) -> None:
    ran = run("demo", "--url", "http://127.0.0.1:9", *options)
    assert ran.code == 2
    assert told in ran.err


def test_a_checkpoint_of_another_export_is_refused_and_left_alone(run: Run, server_url: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint"
    path.write_bytes(b"something else")
    ran = run("demo", "--url", server_url, "--checkpoint", str(path))
    assert ran.code == 2
    assert f"the checkpoint {path} cannot be used: it is no checkpoint" in ran.err
    assert path.read_bytes() == b"something else"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_goes_on_where_it_was(
    run: Run, server_url: str, tmp_path: Path, number: signal.Signals
) -> None:
    checkpoint, events = tmp_path / "checkpoint", tmp_path / "events"
    command = [sys.executable, "-m", "mockexport", "small", "--url", server_url, "--checkpoint", str(checkpoint)]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MOCKEXPORT_")}
    with subprocess.Popen([*command, "--events", str(events)], stderr=subprocess.PIPE, env=clean) as process:
        assert process.stderr is not None
        while '"opened"' not in (events.read_text() if events.exists() else ""):
            assert process.poll() is None
        process.send_signal(number)
        process.communicate()
    assert process.returncode == 128 + number
    assert checkpoint.stat().st_size > 300
    assert stat.S_IMODE(checkpoint.stat().st_mode) == 0o600


async def test_killed_processes_leave_what_another_run_goes_on_from() -> None:
    told = await killing(8, seed=1)
    assert told.killed == 8
    assert told.kept > 0
    assert told.ended > 0
    assert told.wrong == 0
