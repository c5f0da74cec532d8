"""The pictures on the pages, made anew: what commands show on a terminal, and pages in a browser.

    python -m tests.captures             all of them, into docs/images/
    python -m tests.captures doctor      this one

Commands run under a pseudo-terminal, and what it shows becomes an SVG; pages are drawn by headless Chromium. Numbers
that a machine and its day make, such as rates, differ from run to run; nothing else should.
"""

import argparse
import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import tempfile
import termios
import urllib.request
from collections.abc import Callable
from datetime import UTC, datetime
from io import StringIO
from math import sin
from pathlib import Path

from mockexport.ingest.devices import time_text
from tests.browser import Browser
from tests.ingest.running import RunningService

IMAGES = Path(__file__).parent.parent / "docs" / "images"
_DRAWN = "return document.readyState === 'complete'"
_STEER = re.compile(r"(\x1b\[\d*A|\x1b\[J|\x1b\[\?\d+[hl]|\r|\n)")


def screens(output: str) -> list[list[str]]:
    """Return what the terminal showed before each time that the cursor went up, and at the end; colours stay.

    Only what the bars steer by is known here: lines up, what is below erased, and back to a line's begin.
    """
    shown: list[list[str]] = []
    lines, row, fresh = [""], 0, False
    for part in _STEER.split(output):
        if part == "\n":
            row += 1
            lines += [""] * (row + 1 - len(lines))
        elif part == "\r":
            fresh = True
            continue
        elif part.endswith("A") and part.startswith("\x1b["):
            if not shown or shown[-1] != lines:
                shown.append(list(lines))
            row -= int(part[2:-1] or 1)
        elif part == "\x1b[J":
            lines[row:] = [""]
        elif not part.startswith("\x1b[?"):
            lines[row] = part if fresh and part else lines[row] + part
        fresh = False if part else fresh
    return [*shown, lines]


def terminal(*commands: str, columns: int = 100, halfway: bool = False) -> str:
    """Run commands in an empty folder; return the SVG of the terminal after them, or in the middle of the last."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=columns, file=StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as folder:
        for command in commands:
            console.print(Text.assemble(("$ ", "bold green"), command))
            shown = screens(_shown_by(command, Path(folder), columns))
            if halfway and command is commands[-1]:
                lines = max(shown[:-1], key=lambda lines: (sum("━" in line for line in lines), -_from_half(lines)))
            else:
                lines = shown[-1]
            for line in lines:
                console.print(Text.from_ansi(line.rstrip()))
    text = console.export_svg(title="mockexport", unique_id="mockexport")
    # Its fonts would be fetched from elsewhere.
    return re.sub(r"@font-face \{.*?\}\s*", "", text, flags=re.DOTALL).replace("Fira Code", "monospace")


def _from_half(lines: list[str]) -> float:
    told = re.search(r"(\d+)%", lines[next(n for n, line in enumerate(lines) if "━" in line)]) if lines else None
    return abs(50 - int(told[1])) if told else 100.0


def _shown_by(command: str, folder: Path, columns: int) -> str:
    process, terminal_end = pty.fork()
    if process == 0:
        os.chdir(folder)
        bin_folder = str(Path(sys.executable).parent)
        environment = {"PATH": f"{bin_folder}:{os.environ['PATH']}", "TERM": "xterm-256color", "COLUMNS": str(columns)}
        os.execvpe("bash", ["bash", "-c", command], environment)
    fcntl.ioctl(terminal_end, termios.TIOCSWINSZ, struct.pack("HHHH", 30, columns, 0, 0))
    output = b""
    while True:
        try:
            piece = os.read(terminal_end, 65536)
        except OSError:  # so Linux says that the other end is closed
            break
        output += piece
    os.waitpid(process, 0)
    # No place of the machine on which it was made.
    text = output.decode().replace(str(Path(sys.executable).parent.parent), ".venv").rstrip("\r\n")
    text = re.sub(r", \S*\.venv/bin/python\S*", ", .venv/bin/python", text)
    return re.sub(r"Linux (\d+\.\d+)[^,\s]*", r"Linux \1", text)


def page(
    url: str, until: str, *, width: int = 1000, height: int | None = 700, dark: bool = False, act: str = ""
) -> bytes:
    """Return the PNG of a page, all of it without a height, once the script `until` is true, after `act`."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "page.png"
        with Browser(Path(folder), width=width, height=height or 700, dark=dark) as browser:
            browser.open(url)
            if act:
                browser.run(act)
            browser.until(until)
            if height is None:
                whole = int(browser.run("return document.documentElement.scrollHeight"))
                browser.emulate(width, whole, dark=dark)
            browser.screenshot(path)
        return path.read_bytes()


def ingest_page() -> bytes:
    """A user's day from two devices, of which one is taken off for the morning."""
    day_us = int(datetime(2024, 1, 15, tzinfo=UTC).timestamp()) * 10**6
    readings: list[dict[str, object]] = []
    for minute in range(1_440):
        rate = (
            68 + 9 * sin(minute / 230) + 5 * sin(minute / 37) + (minute * 7 % 5) + (35 if 1_020 < minute < 1_080 else 0)
        )
        for device, shift, worn in (("device_a", 0, not 380 < minute < 700), ("device_b", 3, 240 < minute < 1_300)):
            if worn:
                at = time_text(day_us + minute * 60_000_000)
                readings.append(
                    {"device_id": device, "user_id": "user_123", "timestamp": at, "heart_rate": round(rate + shift)}
                )
    with tempfile.TemporaryDirectory() as folder, RunningService(Path(folder)) as service:
        data = json.dumps({"readings": readings}).encode()
        json_body = {"content-type": "application/json"}
        url = f"{service.url}/metrics/heart-rate/batch"
        urllib.request.urlopen(urllib.request.Request(url, data=data, headers=json_body)).close()
        return page(service.url, "return document.querySelectorAll('#rows tr').length > 1000", height=640)


def report_page() -> bytes:
    """The report of `demo`, as `--html` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "demo.html"
        command = [
            str(Path(sys.executable).with_name("mockexport")),
            "demo",
            "--html",
            str(path),
            "-q",
            "-o",
            os.devnull,
        ]
        subprocess.run(command, check=True)
        return page(path.as_uri(), _DRAWN, height=None)


def server_page() -> bytes:
    """The mock server's own page."""
    command = [str(Path(sys.executable).with_name("mockexport")), "serve", "--port", "8000", "--exit-with-stdin"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout is not None
        return page(server.stdout.readline().strip(), _DRAWN, height=1060)


PICTURES: dict[str, Callable[[], str | bytes]] = {
    "progress.svg": lambda: terminal("mockexport small -o small.json", halfway=True),
    "table.svg": lambda: terminal("mockexport demo --format table"),
    "browse.svg": lambda: terminal("mockexport list", "mockexport show demo", columns=124),
    "doctor.svg": lambda: terminal("mockexport doctor", columns=124),
    "ingest.png": ingest_page,
    "report.png": report_page,
    "server.png": server_page,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the pictures on the pages anew.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}; all by default")
    wanted = parser.parse_args().names or list(PICTURES)
    IMAGES.mkdir(exist_ok=True)
    for name, make in PICTURES.items():
        if name in wanted or name.partition(".")[0] in wanted:
            made = make()
            data = made if isinstance(made, bytes) else made.encode()
            (IMAGES / name).write_bytes(data)
            print(f"{name}: {len(data):,} bytes")


if __name__ == "__main__":
    main()
