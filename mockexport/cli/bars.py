"""Bars on a terminal: lines at its bottom that are redrawn in place, with what is said meanwhile above them."""

import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TextIO, cast

from mockexport.cli.lines import tell
from mockexport.cli.preview import provisional
from mockexport.events import (
    Advanced,
    DownloadFinished,
    DownloadStarted,
    Event,
    Kept,
    Restored,
    Retried,
    RunStarted,
    Skipped,
    StartedOver,
    WorkerLost,
)
from mockexport.report.plain import cells_of, shortened, size
from mockexport.shown import printable

if TYPE_CHECKING:
    from mockexport.live import Snapshot

__all__ = ["Bars", "Bottom", "bars_on"]

# Between two drawings; an eye follows no more.
DRAW_EVERY_S = 0.1
# Columns from which on there is room for bytes a second beside the bars.
_WIDE = 100
# Cells of a bar, for which what is told beside it is cut short.
_LEAST_BAR = 8


class Bottom:
    """The lowest lines of a terminal, in the place of `sys.stderr`: what is written goes above them, by whole lines."""

    def __init__(self, terminal: TextIO) -> None:
        self._terminal = terminal
        self._lines: list[str] = []
        self._drawn = 0
        self._unfinished = ""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._terminal, name)

    def width_height(self) -> tuple[int, int]:
        """Return how many cells and lines the terminal has now."""
        try:
            width, height = os.get_terminal_size(self._terminal.fileno())
        except OSError:
            width, height = 0, 0
        return _asked("COLUMNS") or width or 80, _asked("LINES") or height or 24  # a terminal may not know

    def draw(self, lines: Sequence[str]) -> None:
        """Replace the lowest lines; they are as wide as the terminal at most."""
        self._lines = [*lines]
        self._put("")

    def write(self, text: str) -> int:
        """Write above the lowest lines what has come to its line end."""
        whole, line_end, self._unfinished = (self._unfinished + text).rpartition("\n")
        if line_end:
            self._put(whole + line_end)
        return len(text)

    def _put(self, above: str) -> None:
        up = f"\r\x1b[{self._drawn - 1}A" if self._drawn > 1 else "\r"
        erased = f"{up}\x1b[J" if self._drawn else ""
        self._drawn = len(self._lines)
        self._terminal.write(erased + above + "\n".join(self._lines))
        self._terminal.flush()


def _asked(variable: str) -> int:
    """Return what the environment says of the terminal's size, as others read it, too; 0 if it says nothing."""
    told = os.environ.get(variable, "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < 6 else 0


@contextmanager
def bars_on(terminal: TextIO, *, preview: bool = False) -> Iterator["Bars"]:
    """Yield bars at the bottom of a terminal, which is stderr, and clear them away."""
    bottom = Bottom(terminal)
    sys.stderr = cast("TextIO", bottom)
    try:
        yield Bars(bottom, previews=preview, colours=not os.environ.get("NO_COLOR"))
    finally:
        bottom.draw([])
        sys.stderr = terminal


class Bars:
    """A bar per download in flight, and one for the run; measured in rows, which are announced.

    Args:
        now: seconds, from any point on.
    """

    def __init__(
        self, bottom: Bottom, *, previews: bool, colours: bool, now: Callable[[], float] = time.monotonic
    ) -> None:
        self.previews = previews
        self._bottom = bottom
        self._colours = colours
        self._now = now
        self._began_s = now()
        self._next_s = self._began_s
        self._above: list[str] = []
        self._name = ""
        self._announced: dict[str, int | None] = {}
        self._flying: dict[str, float] = {}  # since when
        self._so_far: dict[str, tuple[int, int]] = {}  # rows and bytes
        try:
            "━─".encode(bottom.encoding or "ascii")
            self._done, self._left = "━", "─"
        except UnicodeEncodeError:
            self._done, self._left = "#", "-"

    def __call__(self, event: Event) -> None:
        """Show an event."""
        match event:
            case RunStarted():
                self._name = event.export_id
                self._announced |= {download.id: download.rows for download in event.downloads}
            case DownloadStarted(download_id):
                self._flying[download_id] = self._now()
            case Advanced(download_id, received_bytes, rows):
                self._so_far[download_id] = (rows, received_bytes)
            case Skipped(download_id):
                self._announced.pop(download_id, None)
            case StartedOver(download_id):
                tell(event)
                self._so_far[download_id] = (0, 0)
            case Retried() | Kept() | WorkerLost():
                tell(event)
            case Restored(download_id, offset, rows):
                tell(event)
                self._so_far[download_id] = (rows, offset)
            case DownloadFinished(download_id, _, received_bytes, rows):
                tell(event)
                self._so_far[download_id] = (rows, received_bytes)
                self._flying.pop(download_id, None)
            case _:
                return
        if self._now() >= self._next_s:
            self._draw()

    def preview(self, snapshot: "Snapshot[Any]") -> None:
        """Show provisional totals above the bars."""
        width, height = self._bottom.width_height()
        room = height - len(self._flying) - 2
        self._above = [shortened(line, width - 1) for line in provisional(snapshot, width - 1, room)]
        self._draw()

    def _draw(self) -> None:
        self._next_s = self._now() + DRAW_EVERY_S
        width, height = self._bottom.width_height()
        counts = list(self._announced.values())
        whole = None if None in counts else sum(filter(None, counts))
        rows, received_bytes = (sum(numbers) for numbers in zip(*self._so_far.values(), (0, 0), strict=True))
        elapsed_s = max(self._now() - self._began_s, 1e-9)
        rates = f"  {rows / elapsed_s:,.0f} rows/s"
        if width >= _WIDE:
            rates = f"  {size(received_bytes / elapsed_s)}/s{rates}"
        bars = [(self._name, rows, whole, f"{size(received_bytes)}  {rows:,} rows{rates}", self._began_s)]
        for download_id, began_s in self._flying.items():
            rows, received_bytes = self._so_far.get(download_id, (0, 0))
            told = f"{size(received_bytes)}  {rows:,} rows"
            bars.append((download_id[:8], rows, self._announced.get(download_id), told, began_s))
        names = [shortened(printable(name), max(min(24, width // 4), 1)) for name, *_ in bars]
        name_cells = max(map(cells_of, names))
        # Beside the bar: the percentage and how long it takes, with a space before each, and a cell that stays free.
        room = width - name_cells - len(" ") - len(" 100%") - len(" 00:00") - 1
        told_cells = min(max(len(told) for *_, told, _ in bars), max(room - _LEAST_BAR - 1, 0))
        room -= told_cells + 1
        lines = [
            f"{name}{' ' * (name_cells - cells_of(name))} {self._bar(done, of, room)}"
            f" {told[:told_cells].ljust(told_cells)} {self._left_time(done, of, since_s)}"
            for name, (_, done, of, told, since_s) in zip(names, bars, strict=True)
        ]
        self._bottom.draw([*self._above, *lines][: height - 1])

    def _bar(self, rows: int, whole: int | None, cells: int) -> str:
        share = min(rows / whole, 1) if whole else 0.0
        percent = f"{share:4.0%}" if whole else "   ?"
        cells = max(cells, 0)
        done = round(share * cells)
        begin, end = self._done * done, self._left * (cells - done)
        return f"\x1b[36m{begin}\x1b[0m\x1b[2m{end}\x1b[0m {percent}" if self._colours else f"{begin}{end} {percent}"

    def _left_time(self, rows: int, whole: int | None, since_s: float) -> str:
        if not rows or not whole:
            return "--:--"
        left_s = round((self._now() - since_s) * max(whole - rows, 0) / rows)
        minutes, seconds = divmod(left_s, 60)
        return f"{minutes:02}:{seconds:02}" if minutes < 100 else f"{minutes // 60}h"
