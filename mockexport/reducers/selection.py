"""Statistics that are chosen by name: `Summary`'s, and those of the further families, which have a file each.

A group's state is Summary's, and one of each family that a chosen name needs: what is not asked for costs nothing. One
definition serves groups and totals, as a total is what its groups come to, put together before anything is divided.
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

from mockexport.errors import OptionError
from mockexport.formats.batch import Batch
from mockexport.formats.fields import format_time
from mockexport.model import ANOMALY_RULES, AnomalyRule
from mockexport.reducers.calendar import Days, Hours
from mockexport.reducers.course import Course
from mockexport.reducers.drawing import DRAWING, Drawing, Drawn
from mockexport.reducers.family import Family
from mockexport.reducers.histogram import Histogram
from mockexport.reducers.packing import pack_rows, unpack_rows
from mockexport.reducers.protocol import Result
from mockexport.reducers.reach import Reach, pack_reaches, reach_of_all
from mockexport.reducers.rules import check_rules
from mockexport.reducers.spread import Squares, stddev_of, variance_of
from mockexport.reducers.summary import Group, Statistics, columns_by_group, number, statistics_of, told_rules

__all__ = ["FAMILIES", "STATISTICS", "Cell", "Chosen", "Selection", "SelectionState", "Value"]

# What a statistic comes to: a number, a time or nothing; counts by hour or day.
Value = int | float | str | None | dict[str, int]
# The values of a group by the names of the statistics, in the order in which they were chosen.
Chosen = dict[str, Value]

# In the order in which a state holds them.
FAMILIES: tuple[type[Family], ...] = (Squares, Histogram, Hours, Days, Course)


@dataclass(frozen=True, slots=True)
class Cell:
    """The running state of one patient and event type: Summary's group, and families by their class."""

    group: Group
    families: dict[type[Family], Any]

    def add(self, other: "Cell") -> None:
        """Take in the values of another cell of the same families, and leave it alone."""
        self.group.add(other.group)
        for family, held in self.families.items():
            held.merge(other.families[family])

    def copy(self) -> "Cell":
        """Return an equal cell that shares nothing with this one."""
        families = {family: family() for family in self.families}
        for family, held in families.items():
            held.merge(self.families[family])
        return Cell(replace(self.group), families)


SelectionState = dict[tuple[str, str], Cell]


@dataclass(frozen=True, slots=True)
class _Further:
    """A statistic that Summary has not: what it is of a cell, and the family that it asks for."""

    of: Callable[[Cell], Any]
    families: tuple[type[Family], ...] = ()


_BASIC = Statistics.__struct_fields__

_FURTHER = {
    "sum": _Further(lambda cell: number(cell.group.total)),
    "first": _Further(lambda cell: format_time(cell.group.first_us)),
    "last": _Further(lambda cell: format_time(cell.group.last_us)),
    "variance": _Further(
        lambda cell: variance_of(cell.group.count, cell.group.total, cell.families[Squares].total), (Squares,)
    ),
    "stddev": _Further(
        lambda cell: stddev_of(cell.group.count, cell.group.total, cell.families[Squares].total), (Squares,)
    ),
    "per_hour": _Further(lambda cell: cell.families[Hours].by_time(), (Hours,)),
    "per_day": _Further(lambda cell: cell.families[Days].by_time(), (Days,)),
}

# What the page asks for besides: no figure, and so no statistic to be named by others.
_FOR_THE_PAGE = {
    DRAWING: _Further(
        lambda cell: Drawing(cell.families[Course], cell.families[Histogram], cell.group.low, cell.group.high),
        (Histogram, Course),
    )
}

# The names there are, beside the quantiles: p0 to p100, with or without decimals.
STATISTICS = (*_BASIC, *_FURTHER, "median")

_QUANTILE = re.compile(r"p(\d{1,2}(?:\.\d{1,6})?|100)", re.ASCII)


@dataclass(frozen=True)
class Selection:
    """The reducer of the statistics that `stats` names. A state maps (patient id, event type) to its Cell.

    A result maps their names to values: in the unit of the data, variance in its square, latency in seconds, times as
    texts of UTC. Quantiles are of type 7 of Hyndman and Fan, "Sample Quantiles in Statistical Packages" (The American
    Statistician 50, 1996).

    Args:
        stats: names out of STATISTICS, and quantiles such as p95 or p97.5.
        rules: what an anomaly is, by event type, in place of the built-in rules.

    Raises:
        OptionError: if there is no statistic of a name, or no name; if a rule is for what can be no event type.
    """

    stats: Sequence[str]
    rules: Mapping[str, AnomalyRule] = field(default_factory=lambda: ANOMALY_RULES)

    def __post_init__(self) -> None:
        if isinstance(self.stats, str):  # its characters are hardly meant
            raise OptionError("stats", f"takes a sequence of names, not a text: [{self.stats!a}]")
        names = tuple(dict.fromkeys(self.stats))
        unknown = [name for name in names if _further(name) is None and name not in _BASIC]
        if unknown or not names:
            problem = f"there is no {unknown[0]!a}" if unknown else "no name is given"
            problem = f"{problem}; there are {', '.join(STATISTICS)}, and quantiles: p5, p97.5"
            raise OptionError("stats", problem, given=unknown[0] if unknown else "", known=STATISTICS)
        check_rules(self.rules)
        object.__setattr__(self, "stats", names)

    @property
    def families(self) -> tuple[type[Family], ...]:
        """The families that the chosen statistics need, in the order of FAMILIES."""
        needed = {family for name in self.stats if (further := _further(name)) for family in further.families}
        return tuple(family for family in FAMILIES if family in needed)

    @property
    def fingerprint(self) -> str:
        """Name, version, what is kept of every group, and the anomaly rules; statistics of equal states may differ."""
        return f"selection 3 {','.join(family.kept for family in self.families)} {told_rules(self.rules)}"

    def empty(self) -> SelectionState:
        """Return the state of no rows."""
        return {}

    def update(self, state: SelectionState, batch: Batch) -> SelectionState:
        """Add a batch's rows to `state` and return it."""
        families = self.families
        for key, (times, values) in columns_by_group(batch).items():
            group = Group.of(times, values, self.rules.get(key[1]))
            known = state.get(key)
            if known is None:
                known = state[key] = Cell(group, {family: family() for family in families})
            else:
                known.group.add(group)
            for held in known.families.values():
                held.add(times, values, self.rules.get(key[1]))
        return state

    def merge(self, earlier: SelectionState, later: SelectionState) -> SelectionState:
        """Add the cells of `later` to `earlier` and return it."""
        for key, cell in later.items():
            known = earlier.get(key)
            if known is None:
                earlier[key] = cell.copy()
            else:
                known.add(cell)
        return earlier

    def dump(self, state: SelectionState) -> bytes:
        """Return the cells as columns, sorted by key (see packing.py)."""
        rows = [
            [*key, *cell.group.numbers, *(held.to_plain() for held in cell.families.values())]
            for key, cell in sorted(state.items(), key=lambda item: item[0])
        ]
        return pack_rows(rows, self.families)

    def reach(self, state: SelectionState) -> Reach | None:
        """Return how far in time all groups reach (see reach.py)."""
        return reach_of_all((1, cell.group.first_us, cell.group.last_us) for cell in state.values())

    def reaches(self, state: SelectionState) -> bytes:
        """Return how far in time each group reaches (see reach.py)."""
        return pack_reaches((*key, cell.group.first_us, cell.group.last_us) for key, cell in state.items())

    def load(self, data: bytes) -> SelectionState:
        """Return the state that `dump` wrote."""
        return {key: self._checked_cell(numbers) for key, numbers in unpack_rows(data, self.families)}

    def _checked_cell(self, numbers: Sequence[Any]) -> Cell:
        """Return the cell of a dumped row without its ids; ValueError or TypeError if no values come to it."""
        group = Group.from_plain(numbers[:7])
        families = {}
        for family, plain in zip(self.families, numbers[7:], strict=True):
            families[family] = held = family.from_plain(plain)
            held.check(group.count, group.total)
            if held.to_plain() != plain:
                raise ValueError("it was not written so: out of order, or beyond a limit")
        return Cell(group, families)

    def cell(self, numbers: Sequence[Any]) -> Cell:
        """Return the cell of a state's numbers, which are as `dump` writes them."""
        families = zip(self.families, numbers[7:], strict=True)
        return Cell(Group(*numbers[:7]), {family: family.from_plain(plain) for family, plain in families})

    def result(self, state: SelectionState) -> Result[Chosen]:
        """Divide: the chosen statistics of every group, and per event type those of its groups taken together."""
        totals: dict[str, tuple[int, int, Cell]] = {}
        for (_, event_type), cell in state.items():
            waited_us = cell.group.last_us - cell.group.first_us
            if event_type not in totals:
                totals[event_type] = (1, waited_us, cell.copy())
            else:
                groups, waits_us, total = totals[event_type]
                total.add(cell)
                totals[event_type] = (groups + 1, waits_us + waited_us, total)
        return self.result_of(
            ((*key, cell) for key, cell in state.items()),
            ((event_type, *total) for event_type, total in totals.items()),
        )

    def result_of(
        self, groups: Iterable[tuple[str, str, Cell]], totals: Iterable[tuple[str, int, int, Cell]]
    ) -> Result[Chosen]:
        """Return the result of groups, as (patient id, event type, cell), and of what they come to by event type.

        A total is (event type, how many groups, sum over them of last - first in microseconds, cell).
        """
        told = {family for name in self.stats if name != DRAWING and (f := _further(name)) for family in f.families}
        notes = _Notes(family for family in self.families if family in told)
        drawn = Drawn()
        patients: dict[str, dict[str, Chosen]] = {}
        for patient_id, event_type, cell in groups:
            notes.see(cell)
            waited_us = cell.group.last_us - cell.group.first_us
            patients.setdefault(patient_id, {})[event_type] = chosen = self._chosen(cell, 1, waited_us)
            if DRAWING in chosen:
                drawn.see(cell.group.anomalies / cell.group.count, chosen)
        of_types = {}
        for event_type, number_of_groups, waited_us, cell in totals:
            notes.see_total(cell)
            of_types[event_type] = self._chosen(cell, number_of_groups, waited_us)
        return Result(patients, of_types, notes.told())

    def _chosen(self, cell: Cell, groups: int, waited_us: int) -> Chosen:
        g = cell.group
        basic = statistics_of(groups, g.count, g.total, g.low, g.high, g.anomalies, waited_us)
        return {
            name: getattr(basic, name) if (further := _further(name)) is None else further.of(cell)
            for name in self.stats
        }


@lru_cache(maxsize=1024)
def _further(name: str) -> _Further | None:
    """Return the statistic of a name, unless it is one of Summary's, or none at all."""
    if name in _FURTHER or name in _FOR_THE_PAGE:
        return _FURTHER.get(name) or _FOR_THE_PAGE[name]
    match = _QUANTILE.fullmatch("p50" if name == "median" else name)
    if match is None:
        return None
    share = Fraction(match[1]) / 100
    return _Further(
        lambda cell: cell.families[Histogram].quantile(share, cell.group.low, cell.group.high), (Histogram,)
    )


class _Notes:
    """Counts where a family could not keep all that came apart, and tells it."""

    def __init__(self, families: Iterable[type[Family]]) -> None:
        self._groups = self._totals = 0
        self._over = {family: [0, 0] for family in families}

    def see(self, cell: Cell) -> None:
        self._groups += 1
        for family, over in self._over.items():
            over[0] += cell.families[family].over

    def see_total(self, cell: Cell) -> None:
        self._totals += 1
        for family, over in self._over.items():
            over[1] += cell.families[family].over

    def told(self) -> tuple[str, ...]:
        return tuple(
            f"{family.over_note} (so in {groups:,} of {self._groups:,} groups and {totals} of {self._totals} totals)"
            for family, (groups, totals) in self._over.items()
            if groups or totals
        )
