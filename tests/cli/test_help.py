"""Help: what matters first, all of it on demand, and what a shell completes."""

import fcntl
import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from mockexport.cli.arguments import COMMANDS
from mockexport.cli.groups import FIRST
from tests.cli.conftest import Run


def options_of(text: str) -> set[str]:
    return set(re.findall(r"(?m)^  (?:-\w(?: [A-Z]+)?, )?(--[a-z][a-z-]+)", text)) - {
        "--help",
        "--help-all",
        "--version",
    }


def test_the_help_of_analyze_tells_twenty_options_and_all_of_them_if_asked(run: Run) -> None:
    first, everything = (options_of(run("analyze", option).out) for option in ("--help", "--help-all"))
    own = first - {"--verbose", "--quiet"}
    assert len(own) == 20
    assert own < everything
    assert first <= FIRST
    assert {"--chunk-size", "--max-groups"} <= everything


def test_no_option_is_named_first_that_is_none(run: Run) -> None:
    assert {option for name in COMMANDS for option in options_of(run(name, "--help").out)} >= FIRST


@pytest.mark.parametrize("command", COMMANDS)
def test_help_is_a_command_too(run: Run, command: str) -> None:
    asked = run("help", command)
    assert asked.code == 0
    assert asked.out == run(command, "--help").out
    assert f"mockexport {'[analyze]' if command == 'analyze' else command}" in asked.out.splitlines()[0]


def test_help_alone_and_of_all(run: Run) -> None:
    assert run("help").out == run("--help").out
    assert run("help", "--all", "download").out == run("download", "--help-all").out
    ran = run("help", "analyse")
    assert ran.code == 2
    assert "did you mean analyze?" in ran.err


def test_quiet_says_nothing_of_what_is_as_it_should_be(run: Run, server_url: str, tmp_path: Path) -> None:
    assert "2 verified" in run("demo", "--url", server_url).err
    ran = run("demo", "--url", server_url, "-q")
    assert (ran.code, ran.err) == (0, "")
    assert run("demo", "--url", server_url, "-q", "-d").err != ""
    (tmp_path / "a.csv").write_text(
        "patient_id,event_time,event_type,value\n" + "P1,2025-08-26T10:00:00,x,1\n" * 20 + "P1,never,x,1\n"
    )
    assert "warning: 1 bad row" in run("--from", str(tmp_path), "-q").err
    assert "error: " in run("nosuch", "--url", server_url, "--quiet").err
    assert "2 verified" in run("demo", "--url", server_url).err


# What is typed, and what the shell makes of it.
LINES = {
    "ser": "serve",
    "demo --form": "--format",
    "analyze --chunk": "--chunk-size",
    "demo --format tab": "table",
    "serve --faul": "--faults",
    "completion fi": "fish",
    "demo --html some-f": "some-file",
}

BASH = """
source ./script
ask() {
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMPREPLY=()
    "$function" mockexport "${@: -1}" "${@: -2:1}"
    echo "${COMPREPLY[@]}"
}
function=$(complete -p mockexport | sed 's/.*-F \\([^ ]*\\) .*/\\1/')
"""


def in_bash(lines: Iterable[str]) -> list[str]:
    program = BASH + "".join(f"ask mockexport {line}\n" for line in lines)
    ran = subprocess.run(["bash"], input=program, capture_output=True, text=True, check=True, timeout=50)
    return ran.stdout.splitlines()


def in_fish(lines: Iterable[str]) -> list[str]:
    program = "source ./script\n" + "".join(f'echo (complete -C "mockexport {line}")\n' for line in lines)
    ran = subprocess.run(["fish", "--no-config"], input=program, capture_output=True, text=True, check=True, timeout=50)
    return ran.stdout.splitlines()


def in_zsh(lines: Iterable[str]) -> list[str]:
    """Type on a terminal, with a tab behind each line: zsh completes nowhere else."""
    mine, its = pty.openpty()
    fcntl.ioctl(mine, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    with subprocess.Popen(
        ["zsh", "-f", "-i"],
        stdin=its,
        stdout=its,
        stderr=its,
        env=os.environ | {"TERM": "xterm"},
        start_new_session=True,
    ) as zsh:
        os.close(its)

        def shown(until: str) -> str:
            told = ""
            while until not in told and select.select([mine], [], [], 20)[0]:
                told += os.read(mine, 65536).decode(errors="replace")
            return told

        os.write(mine, b'autoload -Uz compinit; compinit -u -D; eval "$(cat script)"; print REA""DY\n')
        shown("READY")
        shown(PASTED)
        told = []
        for line in lines:
            os.write(mine, f"mockexport {line}\t".encode())
            told.append(shown(LINES[line]))
            os.write(mine, b"\x15\n")  # the line killed, and a new prompt
            shown(PASTED)
        os.write(mine, b"exit\n")
        zsh.wait(20)
    os.close(mine)
    return told


# With this, a prompt asks the terminal to mark what is pasted: from here on it reads keys.
PASTED = "\x1b[?2004h"


@pytest.mark.parametrize(("shell", "ask"), [("bash", in_bash), ("zsh", in_zsh), ("fish", in_fish)])
def test_a_shell_completes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shell: str, ask: Callable[[Iterable[str]], list[str]]
) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    monkeypatch.chdir(tmp_path)
    Path("some-file").touch()
    Path("script").write_text(run("completion", shell).out)
    told = ask(LINES)
    assert [line for line, shown in zip(LINES, told, strict=True) if LINES[line] not in shown] == []


def test_without_the_extra_completion_says_what_to_install(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    ran = run("completion", "bash")
    assert ran.code == 2
    assert "pip install 'mockexport[completion]'" in ran.err
