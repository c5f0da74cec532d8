"""Local times: which instant is meant, which never is, and that offsets known beforehand are those asked for singly."""

import random
from bisect import bisect_right
from datetime import UTC, datetime

import pytest

from mockexport import Schema
from mockexport.errors import OptionError
from mockexport.formats.fields import BadField, BadRowReason, parse_time
from mockexport.formats.zones import ahead_s, spans, zone_named
from tests.fuzz.rows import ZONES


def utc(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1_000_000


@pytest.mark.parametrize(
    ("zone", "local", "instant"),
    [
        ("Europe/Berlin", "2025-08-26 12:00:00", "2025-08-26T10:00:00"),
        ("Europe/Berlin", "2025-10-26 02:30:00", "2025-10-26T00:30:00"),  # comes twice: the first
        ("Europe/Berlin", "2025-10-26 03:00:00", "2025-10-26T02:00:00"),
        ("Europe/Berlin", "2025-03-30 01:59:59", "2025-03-30T00:59:59"),
        ("Europe/Berlin", "2025-03-30 03:00:00", "2025-03-30T01:00:00"),
        ("Europe/Berlin", "2180-07-23 14:00:00", "2180-07-23T12:00:00"),
        ("Europe/Berlin", "9999-12-31 23:59:59", "9999-12-31T22:59:59"),
        ("Europe/Berlin", "1890-01-01 00:53:28", "1890-01-01T00:00:00"),  # by the sun
        ("America/New_York", "2037-11-01 01:30:00", "2037-11-01T05:30:00"),
        ("America/New_York", "2150-11-01 01:30:00", "2150-11-01T05:30:00"),
        ("Australia/Lord_Howe", "2025-04-06 01:45:00", "2025-04-05T14:45:00"),
        ("Asia/Kathmandu", "2025-01-01 05:45:00", "2025-01-01T00:00:00"),
        ("Africa/Monrovia", "1972-01-06 12:00:00", "1972-01-06T12:44:30"),
        ("Pacific/Apia", "2011-12-29 23:59:59", "2011-12-30T09:59:59"),
        ("Pacific/Apia", "2011-12-31 00:00:00", "2011-12-30T10:00:00"),
        ("UTC", "2025-08-26 12:00:00", "2025-08-26T12:00:00"),
    ],
)
def test_a_time_without_an_offset_is_local(zone: str, local: str, instant: str) -> None:
    assert parse_time(local, zone_named(zone)) == utc(instant)
    assert parse_time(f"{local}.250", zone_named(zone)) == utc(instant) + 250_000


@pytest.mark.parametrize("text", ["2025-03-30T02:30:00Z", "2025-03-30T02:30:00+01:00", "2025-03-30 02:30:00-23:59"])
def test_a_time_with_an_offset_is_what_it_says(text: str) -> None:
    assert parse_time(text, zone_named("Europe/Berlin")) == parse_time(text)


@pytest.mark.parametrize(
    ("zone", "local"),
    [
        ("Europe/Berlin", "2025-03-30 02:00:00"),
        ("Europe/Berlin", "2025-03-30T02:59:59.999999"),
        ("Europe/Berlin", "2150-03-29 02:30:00"),
        ("Australia/Lord_Howe", "2025-10-05 02:15:00"),
        ("Pacific/Apia", "2011-12-30 12:00:00"),
    ],
)
def test_a_time_that_the_clocks_skip_is_bad_for_a_reason_of_its_own(zone: str, local: str) -> None:
    with pytest.raises(BadField) as raised:
        parse_time(local, zone_named(zone))
    assert raised.value.reason is BadRowReason.SKIPPED_TIME


@pytest.mark.parametrize("name", ZONES)
def test_offsets_known_beforehand_are_those_asked_for_singly(name: str) -> None:
    draw, zone = random.Random(name), zone_named(name)
    table = spans(zone)
    starts = [start for start, _ in table]
    assert starts == sorted(set(starts))
    near = [start + shift for start in starts[1:-1] for shift in (-1, 0, 1)]
    for local_s in [*draw.choices(near or [0], k=200), *(draw.randrange(starts[0], starts[-1]) for _ in range(500))]:
        assert table[bisect_right(starts, local_s) - 1][1] == ahead_s(zone, local_s)


@pytest.mark.parametrize("name", ["Europe", "Mars/Olympus", "", "../zone", "/etc/localtime", "a\0b"])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(OptionError, match="timezone: there is no time zone"):
        Schema(timezone=name)


def test_a_machine_without_time_zones_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    import importlib.util
    import zoneinfo

    if importlib.util.find_spec("tzdata") is not None:
        pytest.skip("the package tzdata is installed")
    zone_named.cache_clear()
    zoneinfo.reset_tzpath(to=[])
    try:
        zoneinfo.ZoneInfo.clear_cache()
        with pytest.raises(OptionError, match="install the Python package tzdata"):
            Schema(timezone="Europe/Berlin")
    finally:
        zoneinfo.reset_tzpath()
