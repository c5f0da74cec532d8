"""Count, mean, min, max, anomalies and latency of every patient and event type: the default reducer.

Everything is kept as integers and divided once, in the result, so the statistics are exact and do not depend on how the
rows were split or in which order they came. Gaps between consecutive times telescope: whatever the order of arrival,
their sum is last − first, so latency needs no more than those two.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from mockexport.formats.batch import Batch
from mockexport.model import ANOMALY_RULES, VALUE_SCALE, AnomalyRule
from mockexport.reducers.packing import pack_rows, unpack_rows
from mockexport.reducers.protocol import MAX_SIZE, MAX_VALUE_SIZE, Result, is_count
from mockexport.reducers.reach import Reach, pack_reaches, reach_of_all
from mockexport.reducers.rules import check_rules

__all__ = [
    "Group",
    "Statistics",
    "Summary",
    "SummaryState",
    "columns_by_group",
    "number",
    "statistics_of",
    "told_rules",
]

_SECOND_US = 1_000_000


# There may be a million: made four times as fast as a dataclass, and nothing for the garbage collector to look through.
class Statistics(Struct, frozen=True, gc=False):
    """The statistics of a group of values, or of all groups of one event type.

    `mean` is correctly rounded from the exact sum; `min` and `max` are integers where integral; `anomalies` counts
    values outside their type's bounds; `latency` is the mean gap between consecutive events in seconds, None below two.
    """

    count: int
    mean: float
    min: int | float
    max: int | float
    anomalies: int
    latency: float | None

    if not TYPE_CHECKING:  # which would take any name for one that there is

        def __getattr__(self, name):
            known = ", ".join(self.__struct_fields__)
            problem = f"there is no {name!r}; there are {known}, and others by mockexport.Selection"
            raise AttributeError(problem, name=name, obj=self)


@dataclass(slots=True)
class Group:
    """The running state of one patient and event type: exact integers, values in units of 10⁻¹⁸."""

    count: int
    total: int
    low: int
    high: int
    anomalies: int
    first_us: int
    last_us: int

    @classmethod
    def of(cls, times: Sequence[int], values: Sequence[int], rule: AnomalyRule | None) -> "Group":
        """Return the group of some values, at least one, and of their times."""
        low, high = min(values), max(values)
        anomalies = 0
        if rule is not None:
            lowest, highest = rule.normal
            if low < lowest or high > highest:
                anomalies = len([value for value in values if value < lowest or value > highest])
        return cls(len(values), sum(values), low, high, anomalies, min(times), max(times))

    @classmethod
    def from_plain(cls, numbers: Sequence[Any]) -> "Group":
        """Return the group of a dumped row's numbers; ValueError or TypeError if no values come to them.

        So what is read from a file cannot wrap in the kernel's integers, whatever is added to it.
        """
        group = cls(*numbers)
        if not is_count(group.count):
            raise ValueError("there are no such counts")
        if not -MAX_VALUE_SIZE <= group.low <= group.high <= MAX_VALUE_SIZE:
            raise ValueError("there are no such values")
        if not group.count * group.low <= group.total <= group.count * group.high:
            raise ValueError("no values have such a sum")
        if not 0 <= group.anomalies <= group.count:
            raise ValueError("there are more anomalies than values")
        if not -MAX_SIZE <= group.first_us <= group.last_us <= MAX_SIZE:
            raise ValueError("there are no such times")
        return group

    @property
    def numbers(self) -> tuple[int, ...]:
        """All of it, in the order in which a state has it."""
        return self.count, self.total, self.low, self.high, self.anomalies, self.first_us, self.last_us

    def add(self, other: "Group") -> None:
        """Take in the values of another group of the same patient and event type."""
        self.count += other.count
        self.total += other.total
        self.low = min(self.low, other.low)
        self.high = max(self.high, other.high)
        self.anomalies += other.anomalies
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)


SummaryState = dict[tuple[str, str], Group]


@dataclass(frozen=True)
class Summary:
    """The built-in reducer, of Statistics. A state maps (patient id, event type) to its Group.

    Args:
        rules: what an anomaly is, by event type; a type without a rule has none.

    Raises:
        OptionError: if a rule is for what can be no event type.
    """

    rules: Mapping[str, AnomalyRule] = field(default_factory=lambda: ANOMALY_RULES)

    def __post_init__(self) -> None:
        check_rules(self.rules)

    @property
    def fingerprint(self) -> str:
        """Name, version and the anomaly rules, which a state has already applied."""
        return f"summary 3 {told_rules(self.rules)}"

    def empty(self) -> SummaryState:
        """Return the state of no rows."""
        return {}

    def update(self, state: SummaryState, batch: Batch) -> SummaryState:
        """Add a batch's rows to `state` and return it."""
        for key, (times, values) in columns_by_group(batch).items():
            group = Group.of(times, values, self.rules.get(key[1]))
            known = state.get(key)
            if known is None:
                state[key] = group
            else:
                known.add(group)
        return state

    def merge(self, earlier: SummaryState, later: SummaryState) -> SummaryState:
        """Add the groups of `later` to `earlier` and return it."""
        for key, group in later.items():
            known = earlier.get(key)
            if known is None:
                earlier[key] = replace(group)
            else:
                known.add(group)
        return earlier

    def dump(self, state: SummaryState) -> bytes:
        """Return the groups as columns, sorted by key (see packing.py)."""
        return pack_rows([[*key, *state[key].numbers] for key in sorted(state)])

    def reach(self, state: SummaryState) -> Reach | None:
        """Return how far in time all groups reach (see reach.py)."""
        return reach_of_all((1, group.first_us, group.last_us) for group in state.values())

    def reaches(self, state: SummaryState) -> bytes:
        """Return how far in time each group reaches (see reach.py)."""
        return pack_reaches((*key, group.first_us, group.last_us) for key, group in state.items())

    def load(self, data: bytes) -> SummaryState:
        """Return the state that `dump` wrote."""
        return {key: Group.from_plain(numbers) for key, numbers in unpack_rows(data)}

    def result(self, state: SummaryState) -> Result[Statistics]:
        """Divide: the statistics of every group, and per event type those of its groups taken together."""
        patients: dict[str, dict[str, Statistics]] = {}
        by_type: dict[str, list[Group]] = {}
        for (patient_id, event_type), group in state.items():
            patients.setdefault(patient_id, {})[event_type] = _statistics([group])
            by_type.setdefault(event_type, []).append(group)
        return Result(patients, {event_type: _statistics(groups) for event_type, groups in by_type.items()})


def columns_by_group(batch: Batch) -> dict[tuple[str, str], tuple[list[int], list[int]]]:
    """Return the times and the values of every (patient id, event type) in a batch."""
    gathered: dict[tuple[str, str], tuple[list[int], list[int]]] = {}
    for key, time_us, value in zip(
        zip(batch.patient_ids, batch.event_types, strict=True), batch.event_times, batch.values, strict=True
    ):
        columns = gathered.get(key)
        if columns is None:
            gathered[key] = ([time_us], [value])
        else:
            columns[0].append(time_us)
            columns[1].append(value)
    return gathered


def told_rules(rules: Mapping[str, AnomalyRule]) -> str:
    """Return rules as a fingerprint names them."""
    return ",".join(f"{json.dumps(name)}:{rule}" for name, rule in sorted(rules.items()))


def _statistics(groups: Iterable[Group]) -> Statistics:
    """Return the statistics of one or more groups, of different patients, taken together."""
    groups = list(groups)
    return statistics_of(
        len(groups),
        sum(group.count for group in groups),
        sum(group.total for group in groups),
        min(group.low for group in groups),
        max(group.high for group in groups),
        sum(group.anomalies for group in groups),
        sum(group.last_us - group.first_us for group in groups),
    )


def statistics_of(
    groups: int, count: int, total: int, low: int, high: int, anomalies: int, waited_us: int
) -> Statistics:
    """Return the statistics that the sums of so many groups come to.

    Latency is pooled: the sum of all gaps, `waited_us`, over their number, so it weighs like the patients' own figures.
    """
    gaps = count - groups
    # Division of two integers is correctly rounded in Python, however large they are.
    mean = total / (count * VALUE_SCALE)
    latency = waited_us / (_SECOND_US * gaps) if gaps else None
    return Statistics(count, mean, number(low), number(high), anomalies, latency)


def number(scaled: int) -> int | float:
    """Return a value, or a sum of values, as an integer where it is integral, and else as the nearest double."""
    whole, rest = divmod(scaled, VALUE_SCALE)
    return scaled / VALUE_SCALE if rest else whole
