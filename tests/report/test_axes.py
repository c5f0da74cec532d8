"""Marks are round, within the axis, in order, and few."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport.report.axes import time_marks, time_unit, value_marks


def hour(*date: int) -> int:
    return round(datetime(*date, tzinfo=UTC).timestamp()) // 3600  # type: ignore[misc, arg-type]


@pytest.mark.parametrize(
    ("start", "end", "marks"),
    [
        (hour(2025, 8, 26, 1), hour(2025, 8, 26, 5), ["01:00", "02:00", "03:00", "04:00", "05:00"]),
        (hour(2025, 8, 25, 22), hour(2025, 8, 27), ["08-26", "06:00", "12:00", "18:00", "08-27"]),
        (hour(2025, 8, 26), hour(2025, 9, 25), ["09-01", "09-08", "09-15", "09-22"]),
        (hour(2025, 8, 26), hour(2026, 4, 29), ["2025-09", "2025-11", "2026-01", "2026-03"]),
        (hour(1999, 8, 26), hour(2026, 4, 29), ["2000", "2005", "2010", "2015", "2020", "2025"]),
        (hour(1, 1, 1) - 10**6, hour(9999, 1, 1) + 10**6, ["2000", "4000", "6000", "8000"]),
    ],
)
def test_times_are_marked_by_hours_days_weeks_months_or_years(start: int, end: int, marks: list[str]) -> None:
    assert [label for _, label in time_marks(start, end)] == marks


@given(st.integers(-10_000_000, 60_000_000), st.integers(1, 80_000_000))
def test_marks_of_time_are_few_and_in_order(start: int, hours: int) -> None:
    marks = [at for at, _ in time_marks(start, start + hours)]
    assert marks == sorted(set(marks))
    assert len(marks) <= 8
    assert all(start <= at <= start + hours for at in marks)


@given(st.floats(-1e15, 1e15), st.floats(1e-9, 1e15))
def test_marks_of_values_are_few_and_in_order(low: float, width: float) -> None:
    marks = [at for at, _ in value_marks(low, low + width)]
    assert marks == sorted(marks)
    assert len(marks) <= 7


def test_values_are_marked_at_round_numbers() -> None:
    assert value_marks(36.2, 103) == [(40, "40"), (60, "60"), (80, "80"), (100, "100")]
    assert [label for _, label in value_marks(7.31, 7.46)] == ["7.35", "7.40", "7.45"]
    assert [label for _, label in value_marks(-1_500, 2_600_000)] == ["0", "1,000,000", "2,000,000"]


def test_a_piece_of_time_has_a_name() -> None:
    assert [time_unit(hours) for hours in (1, 2, 24, 96)] == ["hour", "2 hours", "day", "4 days"]
