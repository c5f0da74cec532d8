"""Bytes that come by themselves: once, as they come, in bounded memory."""

import gzip
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest

from mockexport import Pipeline, Summary, analyze
from mockexport.errors import OptionError
from mockexport.model import VerdictKind
from mockexport.sources.piped import Piped, standard_input
from tests.cli.test_process import MODULE, clean
from tests.rows import HEADER

ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"


async def bits(data: bytes, size: int) -> AsyncGenerator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize("compress", [bytes, gzip.compress])
async def test_pieces_of_any_size_are_one_download(size: int, compress: type[bytes]) -> None:
    report = await analyze(source=Piped(bits(compress(HEADER + ROW * 5), size), name="ward"))
    assert report.account.export_id == "ward"
    assert report.totals["heart_rate"].count == 5
    assert [d.verdict.kind for d in report.account.downloads] == [VerdictKind.UNVERIFIABLE]


async def test_pieces_are_bytes_or_what_can_be_seen_as_bytes_and_nothing_is_lost_silently() -> None:
    async def given(*pieces: Any) -> AsyncGenerator[Any]:
        for piece in pieces:
            yield piece

    report = await analyze(source=Piped(given(HEADER, bytearray(ROW), memoryview(ROW))))
    assert report.totals["heart_rate"].count == 2
    with pytest.raises(OptionError, match="of the type str"):
        await analyze(source=Piped(given(HEADER, ROW.decode())))


async def test_it_is_read_once() -> None:
    source = Piped(bits(HEADER + ROW, 9))
    assert (await Pipeline(source, Summary()).run("stdin")).downloads[0].rows == 1
    second = await Pipeline(source, Summary()).run("stdin")
    assert "only once" in str(second.downloads[0].verdict)


@pytest.mark.parametrize(
    ("data", "problem"),
    [(b"", "nothing came"), (HEADER + ROW[:-2], "middle of a row"), (gzip.compress(HEADER + ROW)[:-1], "cut off")],
    ids=["nothing", "stump", "cut"],
)
@pytest.mark.parametrize("size", [1, 1000])
async def test_a_pipe_that_ends_too_soon_gives_no_number(data: bytes, problem: str, size: int) -> None:
    report = await analyze(source=Piped(bits(data, size)), allow_incomplete=True)
    assert report.totals == {}
    assert problem in str(report.account.downloads[0].verdict)


async def test_a_compressed_table_need_not_end_its_last_row() -> None:
    report = await analyze(source=Piped(bits(gzip.compress(HEADER + ROW[:-1]), 7)))
    assert report.totals["heart_rate"].count == 1


@pytest.mark.parametrize("kind", ["file", "pipe"])
def test_standard_input_is_read(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "table.csv.gz"
    rows = b"".join(b"P%03d,2025-08-26T00:00:04Z,heart_rate,%d\n" % (i % 701, i % 97) for i in range(70_000))
    path.write_bytes(gzip.compress(HEADER + rows))
    with path.open("rb") as file:
        command = [*MODULE, "--from", "-", "--counts"]
        piped: dict[str, Any] = {"input": file.read()} if kind == "pipe" else {"stdin": file}
        ran = subprocess.run(command, capture_output=True, env=clean(), timeout=50, check=True, **piped)
    assert b'"heart_rate": 70000' in ran.stdout


def test_a_silent_pipe_is_waited_for_until_interrupted() -> None:
    with subprocess.Popen(
        [*MODULE, "--from", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean()
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(HEADER)
        process.stdin.flush()
        assert b"stdin: 1 download" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 130
        assert b"interrupted" in process.stderr.read()


def test_no_standard_input_is_an_error_at_once() -> None:
    ran = subprocess.run(
        ["bash", "-c", '"$@" <&-', "_", *MODULE, "--from", "-"], capture_output=True, env=clean(), timeout=50
    )
    assert (ran.returncode, b"closed" in ran.stderr) == (2, True)


async def test_a_terminal_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True, raising=False)
    with pytest.raises(OptionError, match="terminal"):
        standard_input()
