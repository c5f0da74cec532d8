"""What may be refused by its bytes alone, and at which pace."""

import pytest

from mockexport.ingest.entrance import Entrance
from mockexport.ingest.plain import whole_post
from mockexport.ingest.refusals import LAST_REFUSAL, REFUSAL, REFUSALS_PER_S, Refusals

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
    ],
)
def test_what_is_unusual_is_left_to_the_parser(unusual: bytes) -> None:
    assert not whole_post(unusual)


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
    while refusals.take_one():
        at_once += 1
    connections = [_Connection(said, gone=number % 2 == 0) for number in range(1_000)]
    for connection in connections:
        refusals.wait(connection)
    refusals.flush(1_000.0)
    assert not said
    refusals.flush(1_000.0 + 100 / REFUSALS_PER_S)
    assert said == connections[1:200:2] or said == connections[1:198:2]
    assert not refusals.take_one(), "before none that waits"
    refusals.flush(1_001.0)
    assert said == connections[1::2]
    assert refusals.waiting == 0
    assert 0 < at_once < REFUSALS_PER_S


async def test_what_is_refused_at_once_takes_nothing_from_those_who_wait() -> None:
    entrance = Entrance()
    assert all(entrance.refuse() for _ in range(2 * REFUSALS_PER_S))
    assert entrance.refuse(_Connection([]))
    assert entrance.refusals.waiting == 0
