"""What all connections of a server share at its entrance: admission, the pace of refusals, a look at both by a timer.

The application makes one and hands it to its server by the lifespan's state; a connection finds it there.
"""

import asyncio
import time

from mockexport.ingest.admission import FEWEST, Admission, Admitted
from mockexport.ingest.refusals import Refusals, Waiting

__all__ = ["ENTRANCE", "Entrance"]

# Its name in the lifespan's state.
ENTRANCE = "entrance"
# How often it looks, while there is anything to look at.
_LOOK_S = 0.01


class Entrance:
    """Who may come in, and who is told to come again."""

    def __init__(self) -> None:
        self.admission: Admission = Admission()
        self.refusals: Refusals = Refusals()
        self._looking = False
        self._due = 0.0

    def begin(self, body_bytes: int) -> Admitted:
        """Count a request in that is whole."""
        admitted = self.admission.begin(time.monotonic(), body_bytes)
        if not self._looking and self.admission.under_way >= FEWEST:
            self._look_later()
        return admitted

    def refuse(self, connection: Waiting | None = None) -> bool:
        """Count a refusal; tell whether to say it now. If not, the connection is told to when its turn comes.

        A connection is given where it is back before it was asked to be; any other is refused now.
        """
        self.admission.refused += 1
        if not self._looking:
            self._look_later()
        if connection is None or self.refusals.take_one():
            return True
        self.refusals.wait(connection)
        return False

    def _look_later(self) -> None:
        self._looking = True
        self._due = time.monotonic() + _LOOK_S
        asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self.admission.adjust(now, max(0.0, now - self._due))
        self.refusals.flush(now)
        self._looking = False
        if self.admission.under_way >= FEWEST or self.refusals.waiting:
            self._look_later()
