"""Statistics by name: those of Summary are Summary's, totals are those of all values together, names are checked."""

import statistics
from fractions import Fraction

import pytest
from hypothesis import given, settings

from mockexport import Batch, Selection, Summary
from mockexport.errors import OptionError
from mockexport.formats.fields import format_time
from mockexport.reducers import Result
from mockexport.reducers.calendar import Days, Hours
from mockexport.reducers.histogram import MAX_EXACT_VALUES, Histogram
from mockexport.reducers.selection import STATISTICS, Chosen
from mockexport.reducers.spread import Squares
from tests.rows import batches


def result_of(names: list[str], *of: Batch) -> Result[Chosen]:
    reducer = Selection(names)
    state = reducer.empty()
    for batch in of:
        state = reducer.update(state, batch)
    return reducer.result(state)


@settings(max_examples=40)
@given(batches(max_size=20))
def test_summarys_statistics_are_the_same_by_name(batch: Batch) -> None:
    names = ["count", "mean", "min", "max", "anomalies", "latency"]
    chosen, usual = result_of(names, batch), Summary().result(Summary().update({}, batch))
    for event_type, total in usual.totals.items():
        assert chosen.totals[event_type] == {name: getattr(total, name) for name in names}
    for patient_id, types in usual.patients.items():
        for event_type, found in types.items():
            assert chosen.patients[patient_id][event_type] == {name: getattr(found, name) for name in names}


@settings(max_examples=40)
@given(batches(max_size=20))
def test_totals_are_the_statistics_of_all_values_together(batch: Batch) -> None:
    totals = result_of(["stddev", "sum", "p25", "first", "last", "per_day"], batch).totals
    for event_type, total in totals.items():
        rows = [row for row in zip(batch.event_times, batch.event_types, batch.values, strict=True)]  # noqa: C416
        found = [Fraction(value, 10**18) for _, of, value in rows if of == event_type]
        times = [time_us for time_us, of, _ in rows if of == event_type]
        quarter = statistics.quantiles(found, method="inclusive")[0] if len(found) > 1 else found[0]
        assert total["stddev"] == (statistics.stdev(found) if len(found) > 1 else None)
        assert total["sum"] == (int(sum(found)) if sum(found).denominator == 1 else float(sum(found)))
        assert total["p25"] == float(quarter)
        assert (total["first"], total["last"]) == (format_time(min(times)), format_time(max(times)))
        assert isinstance(total["per_day"], dict)
        assert sum(total["per_day"].values()) == len(found)


def test_a_sum_beyond_doubles_is_exact_where_it_is_integral() -> None:
    (total,) = result_of(["sum"], Batch(["P"] * 3, [0] * 3, ["t"] * 3, [10**33, 10**33, 10**18])).totals.values()
    assert total == {"sum": 2 * 10**15 + 1}
    big = Batch(["P"] * 20_000, [0] * 20_000, ["t"] * 20_000, [10**33 - 10**18] * 19_999 + [10**18])
    (total,) = result_of(["sum"], big).totals.values()
    assert total == {"sum": (10**15 - 1) * 19_999 + 1}


def test_a_state_holds_what_the_names_need_and_no_more() -> None:
    assert Selection(["count", "sum", "first", "latency"]).families == ()
    assert Selection(["p5", "stddev", "median", "per_day"]).families == (Squares, Histogram, Days)
    assert Selection(STATISTICS).families == (Squares, Histogram, Hours, Days)
    # A checkpoint of one is one of the other.
    assert Selection(["p5"]).fingerprint == Selection(["median", "count"]).fingerprint


def test_statistics_come_in_the_order_in_which_they_were_chosen_each_once() -> None:
    found = result_of(["p95", "count", "p95", "first"], Batch(["P"], [0], ["t"], [1]))
    assert list(found.totals["t"]) == ["p95", "count", "first"]


@pytest.mark.parametrize("name", ["p101", "p-1", "p100.1", "p", "95", "p5.", "p\u0665", "Mean", "", "p1e1", "quantile"])
def test_an_unknown_name_is_an_error_that_lists_those_there_are(name: str) -> None:
    with pytest.raises(OptionError, match=r"there is no .*count, mean.*stddev.*per_day.*p97\.5"):
        Selection(["count", name])


def test_no_name_is_an_error() -> None:
    with pytest.raises(OptionError, match="no name is given"):
        Selection([])


def test_what_is_approximate_is_told() -> None:
    many = Batch(["P"] * 5_000, [0] * 5_000, ["t"] * 5_000, list(range(5_000)))
    few = Batch(["Q"], [0], ["t"], [1])
    assert result_of(["p99", "median"], few).notes == ()
    (note,) = result_of(["p99", "median", "stddev"], many, few).notes
    assert note.startswith("quantiles are approximate, made of values kept to within 0.4%")
    assert f"more than {MAX_EXACT_VALUES:,} different ones" in note
    assert "1 of 2 groups and 1 of 1 totals" in note
