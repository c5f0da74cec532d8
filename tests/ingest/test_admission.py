"""Admission in virtual time: whatever a machine can do, it is kept busy, and what is accepted waits little."""

from collections import deque

import pytest

from mockexport.ingest.admission import BATCHES, FEWEST, READINGS, TARGET_S, Admission, Admitted

LOOK_S = 0.01


class _Server:
    """Answers so many a second, in order, in virtual time."""

    def __init__(self, per_second: float) -> None:
        self.admission = Admission()
        self.now, self.per_second = 0.0, per_second
        self.waits: list[float] = []
        self._queue: deque[Admitted] = deque()
        self._served = 0.0

    def look(self, asked: int) -> int:
        """Let a look's time go by in which so many ask; return how many were refused."""
        self.now += LOOK_S
        refused = 0
        for _ in range(asked):
            if self.admission.full:
                refused += 1
            else:
                self._queue.append(self.admission.begin(self.now))
        self.admission.refused += refused
        self._served += self.per_second * LOOK_S
        while self._queue and self._served >= 1:
            self._served -= 1
            admitted = self._queue.popleft()
            admitted.end()
            self.waits.append(self.now - admitted.began)
        self._served = min(self._served, 1)
        self.admission.adjust(self.now)
        return refused


@pytest.mark.parametrize("per_second", [2_000, 8_000, 20_000])
def test_ten_times_too_much_keeps_the_server_busy_and_waits_short(per_second: int) -> None:
    server = _Server(per_second)
    for _ in range(200):
        server.look(per_second // 10)
    server.waits.clear()
    for _ in range(300):
        server.look(per_second // 10)
    assert len(server.waits) >= 0.98 * 3 * per_second
    assert max(server.waits) < 2 * TARGET_S


def test_clients_that_come_back_a_second_later_all_together_keep_it_busy_too() -> None:
    server = _Server(8_000)
    back = deque([0] * 100)
    asked = done = 0
    for turn in range(600):
        # Who was answered asks again at once, who was refused a second later.
        back.append(server.look(asked + back.popleft() + (3_500 if turn == 0 else 0)))
        asked, done = len(server.waits) - done, len(server.waits)
        if turn == 200:
            at_200 = done
    assert done - at_200 >= 0.9 * 4 * server.per_second


def test_the_limit_follows_what_gets_done_and_forgives_a_pause() -> None:
    server = _Server(8_000)
    for _ in range(100):
        server.look(1_000)
    before = server.admission.limit
    assert before == pytest.approx(8_000 * TARGET_S, rel=0.1)
    server.per_second = 0
    for _ in range(50):
        server.look(1_000)
    assert server.admission.limit == pytest.approx(before), "half a second is a pause of the disk"
    server.per_second = 2_000
    for _ in range(150):
        server.look(1_000)
    assert server.admission.limit == pytest.approx(2_000 * TARGET_S, rel=0.1)
    server.per_second = 0
    for _ in range(150):
        server.look(1_000)
    assert server.admission.limit == FEWEST


def test_where_nobody_is_refused_the_limit_does_not_fall_and_may_rise() -> None:
    server = _Server(100_000)
    for _ in range(200):
        server.look(10)
    assert server.admission.limit == READINGS.at_first
    for _ in range(100):
        server.look(200)
    assert server.admission.refused == 0
    assert server.admission.limit == pytest.approx(20_000 * TARGET_S, rel=0.1)


def test_a_time_in_which_nobody_looked_says_nothing() -> None:
    server = _Server(8_000)
    for _ in range(100):
        server.look(1_000)
    before = server.admission.limit
    server.now += 60
    for _ in range(10):
        server.look(1_000)
    assert server.admission.limit == pytest.approx(before, rel=0.1)


def test_a_batch_counts_by_its_size_and_one_may_always_be() -> None:
    admission = Admission(BATCHES)
    large = admission.begin(0, 10 * BATCHES.most)
    full_with_one = admission.full
    small = admission.begin(1, 100)
    large.end()
    assert (full_with_one, admission.full, admission.under_way) == (True, False, 100)
    small.end()
    assert admission.under_way == 0
