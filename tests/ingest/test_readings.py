"""The judgement of readings: the fast path never disagrees with the reference, and times mean what they say."""

import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mockexport.errors import OptionError
from mockexport.ingest import readings
from mockexport.ingest.errors import RequestProblem
from mockexport.ingest.readings import (
    BatchOutcome,
    Problem,
    Reading,
    check,
    decode_batch,
    decode_one,
    id_problem,
    parse_time,
)
from mockexport.ingest.settings import Settings, parse_priority

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

near_times = st.one_of(
    st.datetimes(datetime(1969, 1, 1), datetime(2101, 1, 1)).map(lambda moment: moment.isoformat() + "Z"),
    st.from_regex(
        r"[12][90]\d\d-[01]\d-[0-3]\d[T ][0-2]\d:[0-5]\d(:[0-6]\d)?(\.\d{1,9})?(Z|[+-][0-2]\d:?[0-5]\d)?",
        fullmatch=True,
    ),
    st.sampled_from(["2024-W03-1T10:00:00Z", "2024-01-15T100000.1Z", "2024-01-15T10:00:00,5Z", "2024-01-15t10:00:00z"]),
    st.text(max_size=24),
)
near_ids = st.text(max_size=6) | st.sampled_from(["device_a", "x" * 128, "x" * 129, "e\u0301", "\u00e9", "a\u200bb"])
near_items = st.fixed_dictionaries(
    {
        "device_id": near_ids | st.none(),
        "user_id": near_ids,
        "timestamp": near_times | st.integers(),
        "heart_rate": st.integers(25, 225) | st.floats(25, 225) | st.booleans() | st.text(max_size=3),
    },
    optional={"more": st.recursive(st.none() | st.text(), st.lists, max_leaves=3)},
)


@given(near_items)
@example({"device_id": "a", "user_id": "b", "timestamp": "2024-01-15T10:00:00.9999999Z", "heart_rate": 70})
@example({"device_id": "a", "user_id": "b", "timestamp": "2024-01-15T100000.1Z", "heart_rate": 70})
@example({"device_id": "a", "user_id": "b", "timestamp": "2024-W03-1T10:00:00Z", "heart_rate": 70})
def test_the_fast_path_says_what_the_reference_says(item: dict[str, object]) -> None:
    expected = check(item)
    body = json.dumps(item).encode()
    try:
        found: object = decode_one(body)
    except RequestProblem as problem:
        found = Problem(problem.field, problem.message)
    if isinstance(expected, Problem) and "surrogate" in repr(found):
        return
    assert found == expected
    outcome = decode_batch(b'{"readings": [' + body + b"]}")
    if isinstance(expected, Problem):
        assert outcome == BatchOutcome([], [(0, expected)])
    else:
        assert list(outcome.readings) == [expected]


def test_plain_readings_take_the_fast_path(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(body: bytes) -> object:
        raise AssertionError("the slow path was taken")

    monkeypatch.setattr(readings, "_decode_slowly", refuse)
    for fraction in ("", ".123", ".123456"):
        item = {"device_id": "a", "user_id": "b", "timestamp": f"2024-01-15T10:00:00{fraction}Z", "heart_rate": 70}
        body = json.dumps(item).encode()
        assert decode_one(body) == check(item)
        assert list(decode_batch(b'{"readings": [' + body + b"]}").readings) == [check(item)]


@given(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30)),
    st.integers(-1439, 1439),
    st.sampled_from(["T", " "]),
)
def test_every_instant_is_read_back_to_the_microsecond(moment: datetime, minutes: int, separator: str) -> None:
    zone = timezone(timedelta(minutes=minutes))
    text = moment.replace(tzinfo=zone).isoformat(sep=separator)
    expected = (moment.replace(tzinfo=UTC) - EPOCH) // timedelta(microseconds=1) - minutes * 60_000_000
    assert parse_time(text) == expected


def test_digits_beyond_the_microsecond_are_cut() -> None:
    assert parse_time("1970-01-01T00:00:00.0000019Z") == 1
    assert parse_time("1970-01-01T00:00:00.999999999Z") == 999_999
    assert parse_time("1970-01-01T00:01Z") == 60_000_000


def test_an_id_has_one_spelling() -> None:
    assert id_problem("\u00e9") is None
    assert id_problem("e\u0301") is not None
    assert id_problem("\ud800") is not None
    assert id_problem("日" * 128) is None


def test_no_message_repeats_a_value() -> None:
    unique = "183unique183"
    for field in readings.FIELDS:
        item = {"device_id": "a", "user_id": "b", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": 70} | {
            field: [unique]
        }
        found = check(item)
        assert isinstance(found, Problem)
        assert found.field == field
        assert unique not in found.message


def test_reading_is_a_plain_tuple() -> None:
    assert Reading("u", "d", 1, 70)[:3] == ("u", "d", 1)


def test_a_priority_is_read_or_refused() -> None:
    assert dict(parse_priority("device_a=1, device_b=2,c=d=3")) == {"device_a": 1, "device_b": 2, "c=d": 3}
    assert dict(parse_priority("")) == {}
    for text in ("device_a", "device_a=", "=1", "a=-1", "a=1,a=2", "a=x", "a=1e3"):
        with pytest.raises(OptionError):
            parse_priority(text)


def test_settings_come_from_the_environment_and_name_what_is_wrong() -> None:
    made = Settings.from_environment(
        {"MOCKEXPORT_INGEST_PORT": "9000", "MOCKEXPORT_INGEST_DATA": "/x", "MOCKEXPORT_INGEST_PRIORITY": "b=1"}
    )
    assert (made.port, str(made.data), dict(made.priority), made.host) == (9000, "/x", {"b": 1}, "127.0.0.1")
    for name, value in (
        ("PORT", "x"),
        ("PORT", "70000"),
        ("COMPACT_ROWS", "0"),
        ("COMPACT_AGE_S", "-1"),
        ("PRIORITY", "x"),
    ):
        with pytest.raises(OptionError):
            Settings.from_environment({f"MOCKEXPORT_INGEST_{name}": value})


def test_a_boolean_is_no_number() -> None:
    item = {"device_id": "a", "user_id": "b", "timestamp": "2024-01-15T10:00:00Z", "heart_rate": True}
    assert check(item) == Problem("heart_rate", "must be a whole number")
