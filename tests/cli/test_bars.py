"""Bars at the bottom of a terminal: what they show, and what is said meanwhile above them."""

import fcntl
import os
import pty
import struct
import sys
import termios
from collections.abc import Iterator

import pytest

from mockexport import Download, Verdict
from mockexport.cli.bars import Bars, Bottom
from mockexport.cli.text import say
from mockexport.events import Advanced, DownloadFinished, DownloadStarted, RunStarted, Skipped
from mockexport.model import VerdictKind
from tests.captures import screens


class Terminal:
    """A pseudo-terminal of a size, with a bottom; `shown()` is what stands on it."""

    def __init__(self, width: int, height: int) -> None:
        self._mine, its = pty.openpty()
        fcntl.ioctl(its, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))
        self._file = os.fdopen(its, "w", encoding="utf-8")
        self.bottom = Bottom(self._file)
        self._text = ""

    def shown(self) -> list[str]:
        self._file.write("\0")  # behind all that was written
        self._file.flush()
        while not self._text.endswith("\0"):
            self._text += os.read(self._mine, 65536).decode()
        self._text = self._text.removesuffix("\0")
        return screens(self._text)[-1]

    def close(self) -> None:
        self._file.close()
        os.close(self._mine)


@pytest.fixture(params=[(80, 24)])
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    terminal = Terminal(*request.param)
    yield terminal
    terminal.close()


def bars_of(terminal: Terminal, clock: list[float]) -> Bars:
    return Bars(terminal.bottom, previews=False, colours=False, now=lambda: clock[0])


def test_a_bar_says_how_much_is_done_and_how_long_the_rest_takes(terminal: Terminal) -> None:
    clock = [0.0]
    bars = bars_of(terminal, clock)
    bars(RunStarted("x", (Download("a", rows=1_000), Download("b", rows=3_000), Download("c", rows=9)), "kernel"))
    bars(Skipped("c", "not asked for"))
    bars(DownloadStarted("a"))
    bars(DownloadStarted("b"))
    bars(Advanced("a", 50_000, 500))
    clock[0] = 10.0
    bars(Advanced("b", 1_450_000, 1_500))
    run, first, second = terminal.shown()
    assert "50% 1.5 MB  2,000 rows  200 rows/s 00:10" in run
    assert "50% 50.0 kB  500 rows" in first
    assert run.startswith("x ━")
    assert len({line.count("━") + line.count("─") for line in (run, first, second)}) == 1
    assert [len(line) for line in (run, first, second)] == [79] * 3
    clock[0] = 11.0
    bars(DownloadFinished("a", Verdict(VerdictKind.VERIFIED), 100_000, 1_000, 0))
    assert [line.split()[0] for line in terminal.shown()] == ["x", "b"]


def test_rows_that_are_not_announced_have_a_bar_without_a_share(terminal: Terminal) -> None:
    bars = bars_of(terminal, [0.0])
    bars(RunStarted("x", (Download("a"),), "kernel"))
    (run,) = terminal.shown()
    assert " ? " in run
    assert "--:--" in run


@pytest.mark.parametrize("terminal", [(30, 3), (0, 0), (100, 7)], indirect=True)
def test_a_small_terminal_is_not_overrun(terminal: Terminal) -> None:
    clock = [0.0]
    bars = bars_of(terminal, clock)
    bars(RunStarted("x", tuple(Download(f"d{n}", rows=1) for n in range(50)), "kernel"))
    for n in range(50):
        bars(DownloadStarted(f"d{n}"))
    clock[0] = 1.0
    bars(Advanced("d0", 1, 1))
    width, height = terminal.bottom.width_height()
    assert len(terminal.shown()) == height - 1
    assert max(map(len, terminal.shown())) < width


def test_what_is_said_goes_above_by_whole_lines(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.bottom)
    terminal.bottom.draw(["one", "two"])
    say("something happened")
    assert terminal.shown() == ["mockexport: something happened", "one", "two"]
    terminal.bottom.write("half a")
    assert terminal.shown() == ["mockexport: something happened", "one", "two"]
    terminal.bottom.write(" line\n")
    terminal.bottom.draw(["one"])
    assert terminal.shown() == ["mockexport: something happened", "half a line", "one"]
    terminal.bottom.draw([])
    assert terminal.shown() == ["mockexport: something happened", "half a line", ""]
