"""The course over time: by the hour where that fits, coarser where not; quantiles nearly, anomalies exactly."""

import random
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import AnomalyRule
from mockexport.model import VALUE_SCALE
from mockexport.reducers.course import LEVELS, MAX_ENTRIES, Course
from mockexport.reducers.drawing import MAX_DRAWN, Drawn
from tests.rows import times, values

HOUR_US = 3_600_000_000
RULE = AnomalyRule(low=40, high=180)


def course(rows: list[tuple[int, int]], rule: AnomalyRule | None = RULE) -> Course:
    made = Course()
    made.add([time_us for time_us, _ in rows], [value for _, value in rows], rule)
    return made


def test_a_piece_is_an_hour_with_its_values_and_anomalies() -> None:
    rows = [(hour * HOUR_US + 7, value * VALUE_SCALE) for hour in (-1, 0, 5) for value in range(50 + hour, 151 + hour)]
    first, second, third = course([*rows, (5 * HOUR_US, 181 * VALUE_SCALE)]).pieces(10, 0, 200 * VALUE_SCALE)
    assert [(piece.hour, piece.count, piece.anomalies) for piece in (first, second, third)] == [
        (-1, 101, 0), (0, 101, 0), (5, 102, 1),
    ]  # fmt: skip
    assert (second.p5, second.median, second.p95) == pytest.approx((55, 100, 145), abs=1)


def test_the_bounds_themselves_are_normal_and_no_rule_has_no_anomaly() -> None:
    rows = [(0, value * VALUE_SCALE) for value in (40, 180)] + [(0, 40 * VALUE_SCALE - 1), (0, 180 * VALUE_SCALE + 1)]
    assert [piece.anomalies for piece in course(rows).pieces(1, 0, 200 * VALUE_SCALE)] == [2]
    assert [piece.anomalies for piece in course(rows, None).pieces(1, 0, 200 * VALUE_SCALE)] == [0]


def test_more_than_fits_makes_longer_pieces_the_same_in_any_order_and_split() -> None:
    draw = random.Random(1)
    rows = [(draw.randrange(10_000) * HOUR_US, draw.randrange(30, 200) * VALUE_SCALE) for _ in range(20_000)]
    whole = course(rows)
    assert len(whole.counts) <= MAX_ENTRIES
    assert whole.level > 0
    draw.shuffle(rows)
    parts = [course(rows[:100]), course(rows[100:15_000]), course(rows[15_000:])]
    for order in ((0, 1, 2), (2, 1, 0), (1, 0, 2)):
        merged = Course()
        for part in order:
            merged.merge(parts[part])
        assert merged.to_plain() == whole.to_plain()
    # The finest that fits: one step finer there would be too many.
    hours, bits = LEVELS[whole.level - 1]
    finer = {
        (at // HOUR_US // hours, value >> max(value.bit_length() - bits, 0), value.bit_length()) for at, value in rows
    }
    assert len(finer) > MAX_ENTRIES


def test_each_level_is_a_coarsening_of_the_one_before() -> None:
    for (hours, bits), (longer, fewer) in pairwise(LEVELS):
        assert (hours, -bits) < (longer, -fewer)
        assert longer % hours == 0
        assert bits >= fewer


def test_a_year_of_a_heart_rate_is_drawn_by_days_and_a_week_by_the_hour() -> None:
    draw = random.Random(2)

    def hours_of_a_piece(days: int) -> int:
        rows = [(minute * 60_000_000, round(draw.gauss(75, 12)) * VALUE_SCALE) for minute in range(0, days * 1_440, 5)]
        return next(course(rows).pieces(400, 0, 200 * VALUE_SCALE)).hours

    assert [hours_of_a_piece(days) for days in (7, 300)] == [1, 24]


def test_pieces_are_as_long_as_it_takes_to_be_few() -> None:
    made = course([(hour * HOUR_US, 70 * VALUE_SCALE) for hour in range(-5, 100)])
    found = list(made.pieces(8, 70 * VALUE_SCALE, 70 * VALUE_SCALE))
    assert [(piece.hour, piece.hours, piece.count) for piece in found] == [
        (-24, 24, 5), (0, 24, 24), (24, 24, 24), (48, 24, 24), (72, 24, 24), (96, 24, 4),
    ]  # fmt: skip


@given(st.lists(st.tuples(times, values), min_size=1, max_size=20))
def test_quantiles_are_within_what_was_there(rows: list[tuple[int, int]]) -> None:
    low, high = min(value for _, value in rows), max(value for _, value in rows)
    pieces = list(course(rows).pieces(20, low, high))
    for piece in pieces:
        assert low / VALUE_SCALE <= piece.p5 <= piece.median <= piece.p95 <= high / VALUE_SCALE
    assert sum(piece.count for piece in pieces) == len(rows)


def test_the_most_anomalous_groups_keep_their_drawings() -> None:
    drawn = Drawn()
    groups = [{"drawing": number} for number in range(3 * MAX_DRAWN)]
    for number, group in enumerate(groups):
        drawn.see(1.0 if number % 3 == 1 else 0.5, group)
    assert [group["drawing"] is not None for group in groups] == [number % 3 == 1 for number in range(3 * MAX_DRAWN)]
