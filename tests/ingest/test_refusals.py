"""What may be refused by its bytes alone, and at which pace."""

import pytest

from mockexport.ingest.entrance import Entrance
from mockexport.ingest.plain import plain_post, whole_post
from mockexport.ingest.refusals import LAST_REFUSAL, REFUSAL, REFUSALS_PER_S, Refusals, price

PLAIN = b"POST /metrics/heart-rate HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nAccept: */*\r\n\r\nabc"


def test_a_plain_post_is_known_by_its_bytes() -> None:
    assert whole_post(PLAIN)
    assert whole_post(PLAIN.replace(b"Accept: */*", b"Connection: keep-alive"))
    assert whole_post(b"POST / HTTP/1.1\r\ncontent-length:0\r\n\r\n")


@pytest.mark.parametrize(
    "unusual",
    [
        b"",
        PLAIN[:-1],
        PLAIN + b"G",
        PLAIN[:40],
        PLAIN.replace(b"POST", b"GET"),
        PLAIN.replace(b"HTTP/1.1", b"HTTP/1.0"),
        PLAIN.replace(b"Accept: */*", b"Connection: close"),
        PLAIN.replace(b"Accept: */*", b"Connection: keep-alive, close"),
        PLAIN.replace(b"Accept: */*", b"Connection: keep-alive\r\nConnection: close"),
        PLAIN.replace(b"Accept: */*", b"Transfer-Encoding: chunked"),
        PLAIN.replace(b"Accept: */*", b"Content-Length: 5"),
        PLAIN.replace(b"Accept: */*", b"Expect: 100-continue"),
        PLAIN.replace(b"Content-Length: 3", b"X: 3"),
        PLAIN.replace(b"Content-Length: 3", b"Content-Length: +3"),
        PLAIN.replace(b"Content-Length: 3", b"X-Content-Length: 3"),
        PLAIN.replace(b"Accept: */*", b"Host: u"),
        PLAIN.replace(b"Accept: */*", b" folded"),
        PLAIN.replace(b"Accept: */*", b"Accept : */*"),
        PLAIN.replace(b"Accept: */*", b"Accept: \x00"),
        PLAIN.replace(b"Accept: */*", b"Accept: \n"),
        PLAIN.replace(b"Accept: */*", b"Upgrade: h2c"),
        PLAIN.replace(b"Accept: */*", b"Accept: " + b"x" * 2_048),
        PLAIN.replace(b"POST /", b"POST http://t/"),
    ],
)
def test_what_is_unusual_is_left_to_the_parser(unusual: bytes) -> None:
    assert not whole_post(unusual)


def test_of_a_post_that_is_not_whole_its_head_says_what_is_missing() -> None:
    for missing in range(4):
        found = plain_post(PLAIN[: len(PLAIN) - missing])
        assert found is not None
        assert (found[0].body_bytes, found[1]) == (3, missing)
    assert plain_post(PLAIN[:-4]) is None, "half a head"
    assert plain_post(PLAIN + b"G") is None, "more than one"


def test_a_head_is_told_by_its_fields_in_small_letters() -> None:
    head = whole_post(PLAIN)
    assert head is not None
    assert head.target == "/metrics/heart-rate"
    assert head.fields == {b"host": b"t", b"content-length": b"3", b"accept": b"*/*"}
    assert whole_post(PLAIN) is head, "found out once"


def test_refusals_are_whole_replies() -> None:
    for words, last in ((REFUSAL, False), (LAST_REFUSAL, True)):
        head, _, body = words.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        assert b"\r\nretry-after: 1" in head
        assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head
        assert (b"\r\nconnection: close" in head) is last


class _Connection:
    def __init__(self, said: list["_Connection"], *, gone: bool = False) -> None:
        self._said, self._gone = said, gone

    def say_refusal(self) -> bool:
        if not self._gone:
            self._said.append(self)
        return not self._gone


def test_beyond_the_pace_they_wait_in_order_and_the_gone_cost_nothing() -> None:
    refusals, said = Refusals(), list[_Connection]()
    refusals.flush(1_000.0)
    at_once = 0
    while refusals.take(1):
        at_once += 1
    connections = [_Connection(said, gone=number % 2 == 0) for number in range(1_000)]
    for connection in connections:
        refusals.wait(connection, 1)
    refusals.flush(1_000.0)
    assert not said
    refusals.flush(1_000.0 + 100 / REFUSALS_PER_S)
    assert said == connections[1:200:2] or said == connections[1:198:2]
    assert not refusals.take(1), "before none that waits"
    refusals.flush(1_001.0)
    assert said == connections[1::2]
    assert refusals.waiting == 0
    assert 0 < at_once < REFUSALS_PER_S


async def test_what_is_refused_at_once_takes_nothing_from_those_who_wait() -> None:
    entrance = Entrance()
    assert all(entrance.refuse(100) for _ in range(2 * REFUSALS_PER_S))
    assert entrance.refuse(100, _Connection([]))
    assert entrance.refusals.waiting == 0


def test_a_refusal_costs_what_is_dropped_with_it() -> None:
    assert price(100) == 1
    refusals = Refusals()
    refusals.flush(1_000.0)
    small = large = 0
    while refusals.take(price(100)):
        small += 1
    refusals.flush(1_001.0)
    while refusals.take(price(200_000)):
        large += 1
    assert 10 < small / large < 20
