"""A mock server in a process of its own, and the command line as a function that returns what a shell would see."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from mockexport.cli import main


@pytest.fixture(scope="session")
def server_url() -> Iterator[str]:
    """The URL of a `mockexport serve` that runs as long as the tests."""
    command = [sys.executable, "-m", "mockexport", "serve", "--port", "0", "--exit-with-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None
        yield process.stdout.readline().decode().strip()
        process.communicate()


@dataclass(frozen=True)
class Ran:
    """What a command left: its exit code, and the texts of stdout and stderr."""

    code: int
    out: str
    err: str


Run = Callable[..., Ran]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """`run("demo", "--counts")` runs the command line in this process, with no MOCKEXPORT_ variable set."""
    import os

    for name in list(os.environ):
        if name.startswith("MOCKEXPORT_"):
            monkeypatch.delenv(name)

    def call(*arguments: str) -> Ran:
        capsys.readouterr()
        try:
            code = main(arguments)
        except SystemExit as ended:
            code = int(ended.code or 0)
        return Ran(code, *capsys.readouterr())

    return call
