"""Admission in virtual time: whatever a machine can do, it is kept busy, and what is accepted waits little."""

from collections import deque

import pytest

from mockexport.ingest.admission import BYTES_OF_ONE, FEWEST, MOST, TARGET_S, Admission


@pytest.mark.parametrize("per_second", [2_000, 8_000, 20_000])
def test_ten_times_too_much_keeps_the_server_busy_and_waits_short(per_second: int) -> None:
    admission, queue, now = Admission(), deque(), 0.0  # type: ignore[var-annotated]
    served, waits = 0.0, list[float]()
    while now < 5:
        now += 0.01
        for _ in range(per_second // 10):  # ten times what a look's time is enough for
            if admission.full:
                admission.refused += 1
            else:
                queue.append(admission.begin(now, 100))
        served += per_second / 100
        while queue and served >= 1:
            served -= 1
            admitted = queue.popleft()
            admission.end(admitted)
            if now > 2:
                waits.append(now - admitted.began)
        served = min(served, 1)
        admission.adjust(now, 0.005)
    assert len(waits) >= 0.98 * 3 * per_second
    assert max(waits) < 2 * TARGET_S


def test_the_limit_falls_with_age_and_with_lag_once_for_what_it_takes_to_show() -> None:
    for age, lag in ((TARGET_S * 1.1, 0.0), (0.0, TARGET_S * 1.1), (TARGET_S * 0.6, TARGET_S * 0.6)):
        admission = Admission()
        for _ in range(400):
            admission.begin(0, 0)
        admission.adjust(age, lag)
        fallen = admission.limit
        assert FEWEST < fallen < 400, (age, lag)
        admission.adjust(age + TARGET_S / 2, TARGET_S)
        assert admission.limit == fallen
        admission.adjust(age + TARGET_S, TARGET_S)
        assert admission.limit < fallen
        for turn in range(100):
            admission.adjust(turn, TARGET_S)
        assert admission.limit == FEWEST


def test_the_limit_rises_only_where_somebody_was_refused() -> None:
    admission = Admission()
    before = admission.limit
    admission.adjust(1, 0)
    assert admission.limit == before
    for turn in range(1_000):
        admission.refused += 1
        admission.adjust(turn, 0)
    assert admission.limit == MOST


def test_a_batch_counts_by_its_size_and_one_may_always_be() -> None:
    admission = Admission()
    admission.limit = FEWEST
    large = admission.begin(0, 10 * FEWEST * BYTES_OF_ONE)
    full_with_one = admission.full
    small = admission.begin(1, 100)
    assert admission.oldest_age_s(3) == 3
    admission.end(large)
    assert (full_with_one, admission.full) == (True, False)
    assert (admission.under_way, admission.oldest_age_s(3)) == (1, 2)
    admission.end(small)
    assert (admission.under_way, admission.oldest_age_s(3)) == (0, 0)
