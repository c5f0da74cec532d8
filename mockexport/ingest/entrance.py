"""What all connections of a server share at its entrance: admission, the pace of refusals, a look at both by a timer.

The application makes one and hands it to its server by the lifespan's state; a connection finds it there.
"""

import asyncio
import time

from mockexport.ingest.admission import BATCHES, FEWEST, READINGS, SINGLE_BYTES, Admission, Admitted
from mockexport.ingest.refusals import Refusals, Waiting, price
from mockexport.ingest.shortway import ShortWay

__all__ = ["CAME_TOO_LATE", "ENTRANCE", "Entrance"]

# Its name in the lifespan's state.
ENTRANCE = "entrance"
# The name in a request's state of whether there was too much under way when it became whole.
CAME_TOO_LATE = "came too late"
# How often it looks, while there is anything to look at.
_LOOK_S = 0.01


class Entrance:
    """Who may come in, and who is told to come again."""

    def __init__(self) -> None:
        self.readings: Admission = Admission(READINGS)
        self.batches: Admission = Admission(BATCHES)
        self.refusals: Refusals = Refusals()
        # None where something stands between server and application that must see every request.
        self.short_way: ShortWay | None = None
        self._looking = False

    def is_full_for(self, body_bytes: int) -> bool:
        """Tell whether there is enough under way of what has bodies of such a length."""
        return (self.readings if body_bytes <= SINGLE_BYTES else self.batches).full

    def begin(self, body_bytes: int) -> Admitted:
        """Count a request in that is whole."""
        now = time.monotonic()
        if body_bytes > SINGLE_BYTES:
            admitted = self.batches.begin(now, -(-body_bytes // 1_024))
        else:
            admitted = self.readings.begin(now)
        if not self._looking and self._busy:
            self._look_later()
        return admitted

    def refuse(self, body_bytes: int, connection: Waiting | None = None) -> bool:
        """Count a refusal; tell whether to say it now. If not, the connection is told to when its turn comes.

        A connection is given where it is back before it was asked to be; any other is refused now.
        """
        (self.readings if body_bytes <= SINGLE_BYTES else self.batches).refused += 1
        if not self._looking:
            self._look_later()
        cost = price(body_bytes)
        if connection is None or self.refusals.take(cost):
            return True
        self.refusals.wait(connection, cost)
        return False

    def _look_later(self) -> None:
        self._looking = True
        asyncio.get_running_loop().call_later(_LOOK_S, self._look)

    def _look(self) -> None:
        now = time.monotonic()
        self.readings.adjust(now)
        self.batches.adjust(now)
        self.refusals.flush(now)
        self._looking = False
        if self._busy or self.refusals.waiting:
            self._look_later()

    @property
    def _busy(self) -> bool:
        return self.readings.under_way >= FEWEST or self.batches.under_way > 0
