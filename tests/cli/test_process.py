"""The command line as a process: signals, pipes, terminals, the embedded server, start-up."""

import json
import os
import pty
import select
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.rows import HEADER

MODULE = [sys.executable, "-m", "mockexport"]
BIN = Path(sys.executable).parent


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("MOCKEXPORT_")}


def start(*words: str) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [*MODULE, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=clean()
    )  # fmt: skip


def children_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split(") ")[1].startswith("Z")
    except FileNotFoundError:
        return True


@pytest.mark.parametrize(
    ("number", "code", "told"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "terminated")]
)
def test_a_signal_ends_the_run_cleanly_and_the_embedded_server_with_it(
    number: signal.Signals, code: int, told: str
) -> None:
    with start("large") as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "rows announced" in line:
                break
        children = children_of(process.pid)
        process.send_signal(number)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (code, "")
    assert told in err
    assert "Traceback" not in err
    assert children
    assert all(gone(child) for child in children)


def test_without_a_server_the_embedded_one_is_used_and_said_to_be_synthetic() -> None:
    with start("demo", "--counts") as process:
        out, err = process.communicate(timeout=50)
    assert (process.returncode, json.loads(out)["totals"]) == (0, {"bp_dia": 9372, "bp_sys": 9412})
    assert "synthetic" in err or "using the export server at" in err


def test_an_unknown_export_without_a_server_names_the_built_in_ones() -> None:
    with start("nosuch") as process:
        out, err = process.communicate(timeout=50)
    assert (process.returncode, out) == (5, "")
    assert "demo, small, large" in err


def test_a_reader_that_leaves_is_no_reason_to_shout(server_url: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [*MODULE, "demo", "--url", server_url]
    ran = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=50, check=False, env=clean()
    )
    os.close(writing)
    assert ran.returncode == 1
    assert "Traceback" not in ran.stderr
    assert "BrokenPipe" not in ran.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full, which Linux has")
def test_a_full_stdout_is_an_error(server_url: str) -> None:
    with open("/dev/full", "w") as full:
        command = [*MODULE, "demo", "--url", server_url]
        ran = subprocess.run(
            command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=50, check=False, env=clean()
        )
    assert ran.returncode == 1
    assert "stdout: No space left on device" in ran.stderr
    assert "Traceback" not in ran.stderr


def on_a_terminal(*words: str, **environment: str) -> str:
    """Run with stderr on a pseudo-terminal, stdout thrown away; return what the terminal got."""
    mine, theirs = pty.openpty()
    with subprocess.Popen(
        [*MODULE, *words], stdout=subprocess.DEVNULL, stderr=theirs, env=clean() | {"TERM": "xterm"} | environment
    ) as process:
        os.close(theirs)
        told = b""
        while select.select([mine], [], [], 50)[0]:
            try:
                piece = os.read(mine, 65536)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not piece:
                break
            told += piece
        assert process.wait(timeout=50) == 0
    os.close(mine)
    return told.decode()


def test_a_terminal_gets_progress_bars_and_they_are_cleared_away(server_url: str) -> None:
    told = on_a_terminal("demo", "--url", server_url)
    assert "18,784 rows" in told
    assert "\x1b[J" in told
    assert "2 verified" in told.rsplit("\x1b[J", 1)[1]


def test_no_color_is_honoured(server_url: str) -> None:
    assert "\x1b[3" in on_a_terminal("demo", "--url", server_url)
    assert "\x1b[3" not in on_a_terminal("demo", "--url", server_url, NO_COLOR="1")


def test_a_pipe_gets_quiet_lines_only(server_url: str) -> None:
    with start("demo", "--url", server_url) as process:
        _, err = process.communicate(timeout=50)
    assert "\x1b" not in err
    assert len(err.splitlines()) == 2


@pytest.mark.parametrize("words", [["--help"], ["--version"], ["analyze", "--help"]], ids=" ".join)
def test_help_and_version_load_nothing_heavy(words: list[str]) -> None:
    command = [sys.executable, "-X", "importtime", "-m", "mockexport", *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=50, check=True, env=clean())
    loaded = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    assert not loaded & {"aiohttp", "asyncio", "msgspec", "mockexport.analysis", "logging", "json"}


def test_every_name_of_the_command_answers() -> None:
    for command in ([BIN / "mockexport"], MODULE, [BIN / "server"], [BIN / "cli"]):
        ran = subprocess.run([*command, "--help"], capture_output=True, text=True, timeout=50, check=True, env=clean())
        assert "usage: mockexport" in ran.stdout


def test_cli_prints_the_counts_and_server_serves() -> None:
    with subprocess.Popen(
        [BIN / "server", "--port", "0", "--exit-with-stdin"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True, env=clean(),
    ) as server:  # fmt: skip
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        ran = subprocess.run(
            [BIN / "cli", "demo", "--url", url], capture_output=True, text=True, timeout=50, check=True
        )
        server.communicate(timeout=30)
    assert json.loads(ran.stdout)["totals"] == {"bp_dia": 9372, "bp_sys": 9412}
    assert server.returncode == 0


def test_a_port_that_is_taken_is_an_error_that_says_so(server_url: str) -> None:
    with start("serve", "--port", server_url.rpartition(":")[2]) as process:
        out, err = process.communicate(timeout=50)
    assert (process.returncode, out) == (2, "")
    assert "choose another" in err
    assert "Traceback" not in err


def test_a_folder_can_be_served(tmp_path: Path) -> None:
    subprocess.run([*MODULE, "generate", "demo", str(tmp_path)], check=True, timeout=50, capture_output=True)
    with start("serve", "--port", "0", "--data", str(tmp_path)) as server:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        with start("demo", "--url", url, "--counts") as process:
            out, _ = process.communicate(timeout=50)
        server.send_signal(signal.SIGINT)
        server.communicate(timeout=30)
    assert json.loads(out)["totals"] == {"bp_dia": 9372, "bp_sys": 9412}
    assert server.returncode == 130


def test_a_report_to_a_closed_stdout_is_an_error_in_words(server_url: str) -> None:
    command = shlex.join([*MODULE, "demo", "--url", server_url])
    ran = subprocess.run(["sh", "-c", f"{command} >&-"], stderr=subprocess.PIPE, text=True, env=clean(), timeout=50)
    assert ran.returncode == 1
    assert "cannot write the result to stdout" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_report_comes_also_where_nobody_reads_stderr(server_url: str) -> None:
    command = shlex.join([*MODULE, "demo", "--counts", "--url", server_url])
    reading, writing = os.pipe()
    os.close(reading)
    try:
        for line in (f"{command} 2>&-", f"{command} 2>&{writing}"):
            ran = subprocess.run(
                ["bash", "-c", line], stdout=subprocess.PIPE, env=clean(), timeout=50, pass_fds=[writing]
            )
            assert (ran.returncode, json.loads(ran.stdout)["totals"]["bp_dia"]) == (0, 9372)
    finally:
        os.close(writing)


def test_a_table_for_a_terminal_without_unicode_is_escaped(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(HEADER + "Jörg,2025-08-26T00:00:04Z,spo2,97\n".encode())
    ran = subprocess.run(
        [*MODULE, "analyze", "--from", str(tmp_path), "--format", "table"],
        capture_output=True, env=clean() | {"PYTHONIOENCODING": "ascii"}, timeout=50,
    )  # fmt: skip
    assert ran.returncode == 0
    assert b"J\\xf6rg" in ran.stdout


@pytest.mark.parametrize("words", [["mockexport", "demo", "-v"], ["cli", "--version"], ["server", "-v"]], ids=" ".join)
def test_every_command_tells_the_version(words: list[str]) -> None:
    told = subprocess.run([BIN / words[0], *words[1:]], capture_output=True, text=True, check=True, timeout=50).stdout
    assert told.startswith("mockexport ")


def test_generating_ends_when_it_is_told_to_and_leaves_no_part_of_a_file(tmp_path: Path) -> None:
    with start("generate", "large", str(tmp_path / "made")) as process:
        deadline = time.monotonic() + 30
        while not list(tmp_path.glob("made/*.partial")) and time.monotonic() < deadline:
            time.sleep(0.01)  # until it is at work
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=30)
    assert (process.returncode, out) == (130, "")
    assert "Traceback" not in err
    assert not list(tmp_path.glob("made/*.partial"))
