"""What grows with the variety of the data, held to its limits: groups, event types and patients.

Rules: no tasks. Looked at once a chunk and once a merge, never once a row. A limit that is reached ends the run; its
checkpoint stays, and with a higher limit another run goes on from there.
"""

from collections.abc import Sized
from typing import Any, Generic, TypeVar, cast

from mockexport.engine.fold import Fold
from mockexport.errors import reducer_at_work
from mockexport.formats import Batch
from mockexport.model import Export, SizeLimits
from mockexport.reducers import Distinct, GroupReducer, Reducer, Result, Selection, Summary
from mockexport.reducers.distinct import DistinctState
from mockexport.reducers.latest import Records
from mockexport.report.overlaps import Reached

__all__ = ["Limited", "check_listed"]

S = TypeVar("S")
R = TypeVar("R")

_GROUPS = "groups of a patient and an event type"
# More groups than this take longer to merge than others should wait.
_MANY_GROUPS = 10_000


def check_listed(export: Export, limits: SizeLimits) -> None:
    """Raise LimitError if an export has more downloads, or announces more of them, than there may be."""
    limits.check("downloads", len(export.downloads), f"downloads in the export {export.id}")
    announced = sum(len(d.patients or ()) + len(d.event_types or ()) for d in export.downloads)
    limits.check("announced", announced, f"patients and event types announced in the export {export.id}")


class Limited(Generic[S, R]):
    """A reducer (reducers.Reducer), in the engine's form, whose states are held to the limits when they are merged.

    How many groups a state holds is known of the reducers that come with the package, and of a GroupReducer; of all
    others, the patients and event types are counted.
    """

    def __init__(self, reducer: Reducer[S, R], limits: SizeLimits) -> None:
        self._reducer = reducer
        self._limits = limits
        # What it is called, and what it is: the engine's form stands for it.
        self.reference: object = getattr(reducer, "reference", reducer)
        self._has_groups = isinstance(self.reference, Summary | Selection | GroupReducer | Distinct)

    @property
    def fingerprint(self) -> str:
        """That of the reducer."""
        return self._reducer.fingerprint

    def empty(self) -> S:
        """Return the state of no rows."""
        with reducer_at_work(self._reducer, "empty"):
            return self._reducer.empty()

    def update(self, state: S, batch: Batch) -> S:
        """Return the state with the batch's rows added."""
        return self._reducer.update(state, batch)

    def merge(self, earlier: S, later: S) -> S:
        """Return the state of both.

        Raises:
            LimitError: it holds more groups than there may be.
        """
        with reducer_at_work(self._reducer, "merge"):
            merged = self._reducer.merge(earlier, later)
        self._check_groups(merged)
        return merged

    def is_large(self, state: S) -> bool:
        """Tell whether a state is known to take some time to merge."""
        return self._has_groups and len(cast("Sized", state)) > _MANY_GROUPS

    def dump(self, state: S) -> bytes:
        """Return the state as bytes."""
        return self._reducer.dump(state)

    def reached(self, state: S, most: int) -> Reached | None:
        """Return how far in time the groups reach, and each of them if they are no more than `most`.

        None if there are none, or of a reducer that cannot say.
        """
        reducer: Any = self._reducer
        if not hasattr(reducer, "reach"):
            return None
        with reducer_at_work(reducer, "reach"):
            if (reach := reducer.reach(state)) is None:
                return None
            groups, first_us, last_us = reach
            return Reached(groups, first_us, last_us, reducer.reaches(state) if groups <= most else b"")

    def load(self, data: bytes) -> S:
        """Return the state that `dump` wrote."""
        return self._reducer.load(data)

    def result(self, state: S) -> Result[R]:
        """Return the results of a state.

        Raises:
            LimitError: it holds more event types than there may be.
        """
        with reducer_at_work(self._reducer, "result"):
            result = self._reducer.result(state)
        self._limits.check("types", len(result.totals), "event types")
        return result

    def check(self, fold: Fold[S]) -> None:
        """Hold what a fold has come to, to the limits.

        Raises:
            LimitError: there are more groups, patients or event types than there may be.
        """
        patients, types = fold.known
        where = f"in download {fold.download_id}"
        self._limits.check("types", types, f"event types {where}")
        self._limits.check("groups", patients, f"patients {where}")
        self._check_groups(fold.state)

    def _check_groups(self, state: S) -> None:
        if isinstance(state, Records):
            self._limits.check("resources", len(state), "rows of resources with ids")
        elif self._has_groups:
            self._limits.check("groups", len(cast("Sized", state)), _GROUPS)
        if (
            isinstance(state, DistinctState)
            and state.fed > self._limits.distinct
            and state.held > self._limits.distinct
        ):
            # Those that wait may be there already: what counts is how many are different.
            self._limits.check("distinct", state.settle(), "different rows")
