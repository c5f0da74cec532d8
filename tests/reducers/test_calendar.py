"""Counts per hour and day: of UTC, before 1970 too, and named as ISO 8601 has it."""

from collections import Counter
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from mockexport.formats.fields import parse_time
from mockexport.reducers.calendar import Days, Hours
from tests.rows import times


@given(st.lists(times, max_size=20))
def test_every_value_is_in_the_hour_and_on_the_day_of_its_time(found: list[int]) -> None:
    hours, days = Hours(), Days()
    hours.add(found, found)
    days.add(found, found)
    exact = [datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us) for time_us in found]
    assert hours.by_time() == Counter(f"{time:%Y-%m-%dT%H}:00:00Z".rjust(20, "0") for time in exact)
    assert days.by_time() == Counter(time.date().isoformat() for time in exact)


def test_hours_are_in_order_and_begin_with_their_first_instant() -> None:
    hours = Hours()
    hours.add(
        [parse_time(f"{at}Z") for at in ("2025-08-26T01:00:00", "2025-08-26T00:59:59", "1969-12-31T23:59:59")], []
    )
    assert list((hours.by_time() or {}).items()) == [
        ("1969-12-31T23:00:00Z", 1), ("2025-08-26T00:00:00Z", 1), ("2025-08-26T01:00:00Z", 1),
    ]  # fmt: skip


def test_an_instant_past_the_years_of_a_calendar_has_a_name_all_the_same() -> None:
    days = Days()
    days.add([parse_time("0001-01-01T00:00:00+12:00"), parse_time("9999-12-31T23:00:00-12:00")], [])
    assert len(days.by_time() or {}) == 2
