"""Which part of a body a request asks for, by RFC 9110."""

import random
import time

import pytest

from mockexport.server.ranges import (
    Answer,
    Conditions,
    Failed,
    Full,
    NotModified,
    Partial,
    Unsatisfiable,
    decide,
)

ETAG = '"abc"'
HUGE = "9" * 4000


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        # plain ones, section 14.1.2; the body has 1000 bytes
        ("bytes=0-0", Partial(0, 0)),
        ("bytes=0-499", Partial(0, 499)),
        ("bytes=500-", Partial(500, 999)),
        ("bytes=0-", Partial(0, 999)),
        ("bytes=999-999", Partial(999, 999)),
        ("bytes=999-", Partial(999, 999)),
        ("bytes=0-999", Partial(0, 999)),
        ("bytes=0-1000", Partial(0, 999)),
        (f"bytes=0-{HUGE}", Partial(0, 999)),
        ("bytes=007-0010", Partial(7, 10)),
        (f"bytes={'0' * 5000}7-9", Partial(7, 9)),
        ("bytes=-1", Partial(999, 999)),
        ("bytes=-1000", Partial(0, 999)),
        ("bytes=-1001", Partial(0, 999)),
        (f"bytes=-{HUGE}", Partial(0, 999)),
        # spaces and empty elements of the list, and the unit's case
        ("BYTES=1-2", Partial(1, 2)),
        ("bytes= 1-2\t", Partial(1, 2)),
        ("bytes=,1-2, ,", Partial(1, 2)),
        # beyond the end
        ("bytes=1000-", Unsatisfiable()),
        ("bytes=1000-2000", Unsatisfiable()),
        (f"bytes={HUGE}-", Unsatisfiable()),
        (f"bytes={HUGE}-{HUGE}", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=-000", Unsatisfiable()),
        # several: bounded work, all of the body
        ("bytes=0-1,2-3", Full()),
        ("bytes=0-,0-,0-", Full()),
        ("bytes=" + ",".join(["0-"] * 10_000), Full()),
        ("bytes=5000-,6000-", Full()),
        # no sense: as if absent
        ("", Full()),
        ("bytes", Full()),
        ("bytes=", Full()),
        ("bytes=,,", Full()),
        ("bytes=-", Full()),
        ("bytes=--1", Full()),
        ("bytes=1", Full()),
        ("bytes=2-1", Full()),
        (f"bytes={HUGE}-1", Full()),
        ("bytes=1-2-3", Full()),
        ("bytes=1 - 2", Full()),
        ("bytes=+1-2", Full()),
        ("bytes=1.0-2", Full()),
        ("bytes=0x1-0x2", Full()),
        ("bytes=1_0-2_0", Full()),
        ("bytes=a-b", Full()),
        ("bytes=\u0661-\u0662", Full()),
        ("bytes=1-2\n", Full()),
        ("bytes=1-2;q=1", Full()),
        ("rows=1-2", Full()),
        ("=1-2", Full()),
        ("bytes=1-2=3-4", Full()),
        ("x" * 100_000, Full()),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_range_is_served_refused_or_ignored(header: str, answer: Answer) -> None:
    assert decide(Conditions(range=header), length=1000, etag=ETAG) == answer


@pytest.mark.parametrize(
    ("header", "answer"),
    [
        ("bytes=0-", Unsatisfiable()),
        ("bytes=0-0", Unsatisfiable()),
        ("bytes=-0", Unsatisfiable()),
        ("bytes=-5", Full()),
    ],
)
def test_an_empty_body_has_no_parts(header: str, answer: Answer) -> None:
    assert decide(Conditions(range=header), length=0, etag=ETAG) == answer


@pytest.mark.parametrize(
    ("if_range", "answer"),
    [
        (ETAG, Partial(1, 2)),
        (f" {ETAG}\t", Partial(1, 2)),
        (f"W/{ETAG}", Full()),
        ('"abd"', Full()),
        ("abc", Full()),
        ('"ABC"', Full()),
        ("*", Full()),
        ("", Full()),
        (f"{ETAG}, {ETAG}", Full()),
        ("Sat, 29 Oct 1994 19:43:31 GMT", Full()),
        ("Sat, 29 Oct 2094 19:43:31 GMT", Full()),
        ('"' * 100_000, Full()),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else None,
)
def test_a_part_is_sent_only_if_if_range_is_the_very_tag(if_range: str, answer: Answer) -> None:
    assert decide(Conditions(range="bytes=1-2", if_range=if_range), length=1000, etag=ETAG) == answer


def test_if_range_without_a_range_means_nothing() -> None:
    assert decide(Conditions(if_range='"other"'), length=1000, etag=ETAG) == Full()


def test_a_failed_if_range_spares_the_416() -> None:
    assert decide(Conditions(range="bytes=1000-", if_range='"other"'), length=1000, etag=ETAG) == Full()


@pytest.mark.parametrize(
    ("tags", "weakly", "strongly"),
    [
        (ETAG, True, True),
        ("*", True, True),
        (f'"x", {ETAG}', True, True),
        (f'"x",,{ETAG},', True, True),
        (f"W/{ETAG}", True, False),
        ('"x"', False, False),
        ("abc", False, False),
        ("", False, False),
        ('"x, "abc', False, False),
    ],
)
def test_if_match_compares_strongly_and_if_none_match_weakly(tags: str, weakly: bool, strongly: bool) -> None:
    none_match = decide(Conditions(if_none_match=tags), length=9, etag=ETAG)
    match = decide(Conditions(if_match=tags), length=9, etag=ETAG)
    assert none_match == (NotModified() if weakly else Full())
    assert match == (Full() if strongly else Failed())


def test_conditions_come_before_ranges() -> None:
    assert decide(Conditions(range="bytes=1-2", if_none_match="*"), length=9, etag=ETAG) == NotModified()
    assert decide(Conditions(range="bytes=1-2", if_match='"x"'), length=9, etag=ETAG) == Failed()
    assert decide(Conditions(if_match='"x"', if_none_match="*"), length=9, etag=ETAG) == Failed()


def test_junk_of_any_kind_gets_an_answer_that_lies_within_the_body() -> None:
    draw = random.Random("ranges")
    for _ in range(5000):
        text = "".join(draw.choices('bytes=-,0123456789 \tW/"*\x00é', k=draw.randrange(20)))
        conditions = Conditions(range=f"bytes={text}", if_range=draw.choice([None, text, ETAG]))
        length = draw.randrange(50)
        answer = decide(conditions, length=length, etag=ETAG)
        if isinstance(answer, Partial):
            assert 0 <= answer.first <= answer.last < length


@pytest.mark.parametrize(
    "text",
    ["9" * 10**6 + "-", "0" * 10**6 + "-", "," * 10**6, "0-," * 10**6, " " * 10**6, '"' * 10**6, 'W/"' * 10**6],
    ids=lambda value: value[:3],
)
def test_a_huge_header_costs_time_in_proportion(text: str) -> None:
    begun = time.process_time()
    decide(Conditions(range=f"bytes={text}", if_match=text + '"abc"', if_none_match=text), length=9, etag=ETAG)
    assert time.process_time() - begun < 2
