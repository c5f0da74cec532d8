"""What is shown during a run: bars on a terminal, a quiet line or two elsewhere. All of it on stderr."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from mockexport.cli.lines import Lines
from mockexport.cli.text import say
from mockexport.events import Event

if TYPE_CHECKING:
    from mockexport.live import Snapshot

__all__ = ["Shown", "showing_progress"]


class Shown(Protocol):
    """What shows a run: called with its events, and given snapshots if it `previews`."""

    previews: bool

    def __call__(self, event: Event) -> None:
        """Show an event."""

    def preview(self, snapshot: "Snapshot[Any]") -> None:
        """Show provisional totals."""


@contextmanager
def showing_progress(*, bars: bool, preview: bool = False) -> Iterator[Shown]:
    """Yield what shows a run in the way that fits stderr; `bars` and provisional totals are for a terminal only."""
    if (
        not bars
        or sys.stderr is None
        or not sys.stderr.isatty()
        or os.environ.get("TERM") == "dumb"
        or os.name != "posix"
    ):
        if preview:
            say("note: no preview: it needs a terminal on stderr, and goes without --verbose and --quiet")
        yield Lines()
        return
    from mockexport.cli.bars import bars_on  # no sooner: only a terminal needs it

    with bars_on(sys.stderr, preview=preview) as drawn:
        yield drawn
