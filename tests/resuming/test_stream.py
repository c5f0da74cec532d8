"""The byte stream under faults, by a virtual clock: what is kept, what is void, how long anything may take."""

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from mockexport import RetryPolicy, TimeLimits
from mockexport.errors import TransferError
from mockexport.pipeline.streams import Mark, Opened, Piece, Resumed, Retry, StartOver
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.resuming.stream import ResumingStream
from mockexport.unpacking.gunzip import GzipLimits
from tests.faults.clock import VirtualLoop, run
from tests.faults.memory import ORIGIN, MemoryReply, MemorySource

BODY = b"".join(b"row %d\n" % number for number in range(20))
TAG = '"a"'
WHOLE = {"ETag": TAG, "Content-Length": str(len(BODY))}


@dataclass
class Answer:
    """What a server does with a request: see MemoryReply; `after_s` later, or not at all."""

    status: int = 200
    fields: Mapping[str, str] = field(default_factory=lambda: WHOLE)
    body: bytes = BODY
    ending: str = "end"
    rest: bytes = b""
    after_s: float = 0.0


def part(first: int, last: int = len(BODY) - 1, **changed: str) -> Answer:
    fields = {"ETag": TAG, "Content-Range": f"bytes {first}-{last}/{len(BODY)}"}
    fields |= {name.replace("_", "-"): value for name, value in changed.items()}
    return Answer(206, fields, BODY[first : last + 1])


def cut(end: int, ending: str = "break") -> Answer:
    return Answer(body=BODY[:end], ending=ending)


def status(code: int, **fields: str) -> Answer:
    return Answer(code, {name.replace("_", "-"): value for name, value in fields.items()}, b"")


class Played:
    """What came of a stream: its markers, its bytes with all voided ones gone, what was asked, how long it took."""

    def __init__(self) -> None:
        self.markers: list[Piece] = []
        self.data = b""
        self.asked: list[dict[str, str]] = []
        self.took_s = 0.0
        self.error: TransferError | None = None

    def kinds(self) -> list[str]:
        return [type(marker).__name__ for marker in self.markers]


def play(
    answers: list[Answer | Exception],
    *,
    policy: RetryPolicy | None = None,
    limits: TimeLimits | None = None,
    start: tuple[int, Mark] | None = None,
    compress: bool = False,
    piece_bytes: int = 10,
    rest_s: float = 0.0,
    gzip_limits: GzipLimits | None = None,
    rows: bool = True,
) -> Played:
    """Read a stream to its end against these answers, the last of which is repeated."""
    played = Played()
    source = MemorySource("x", {}, piece_bytes=piece_bytes)

    async def exchange(fields: Mapping[str, str]) -> MemoryReply:
        played.asked.append(dict(fields))
        answer = answers[min(len(played.asked), len(answers)) - 1]
        if isinstance(answer, Exception):
            raise answer
        await asyncio.sleep(answer.after_s)
        return MemoryReply(source, answer.status, answer.fields, answer.body, ending=answer.ending, rest=answer.rest)

    stream = ResumingStream(
        "d", "http://u:p@memory/x?q=secret", exchange, policy or RetryPolicy(), limits or TimeLimits(),
        start=start, compress=compress, now=lambda: 784_111_777.0, gzip_limits=gzip_limits, rows=rows,
    )  # fmt: skip

    async def work() -> None:
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            async for piece in stream.pieces():
                if isinstance(piece, bytes):
                    played.data += piece
                    await asyncio.sleep(rest_s)
                    continue
                played.markers.append(piece)
                if isinstance(piece, StartOver):
                    played.data = b""
        except TransferError as error:
            played.error = error
        finally:
            played.took_s = loop.time() - started

    result, loop = run(work)
    assert isinstance(loop, VirtualLoop)
    assert result is None, result
    assert source.open == 0
    return played


def test_the_first_request_asks_for_all_and_for_no_encoding() -> None:
    played = play([Answer()])
    assert played.asked == [{"Accept-Encoding": "identity"}]
    assert played.data == BODY
    assert played.markers == [Opened(Mark(TAG, len(BODY), ORIGIN), TAG)]


@pytest.mark.parametrize("end", range(1, len(BODY)))
def test_a_body_that_breaks_off_at_any_byte_is_resumed_with_the_next_one(end: int) -> None:
    played = play([cut(end), part(end)])
    assert played.data == BODY
    assert played.kinds() == ["Opened", "Retry", "Resumed"]
    assert played.asked[1] == {"Accept-Encoding": "identity", "Range": f"bytes={end}-", "If-Range": TAG}


def test_before_the_first_byte_there_is_nothing_to_resume() -> None:
    played = play([cut(0), Answer()])
    assert played.data == BODY
    assert played.kinds() == ["Opened", "Retry", "Opened"]
    assert "Range" not in played.asked[1]


def test_after_the_last_byte_416_says_that_it_was_all() -> None:
    played = play([cut(len(BODY)), status(416, Content_Range=f"bytes */{len(BODY)}")])
    assert played.data == BODY
    assert played.error is None


def test_a_part_may_hold_less_than_was_asked_for() -> None:
    played = play([cut(5), part(5, 9), part(10, 29), part(30)])
    assert played.data == BODY
    assert [marker.offset for marker in played.markers if isinstance(marker, Resumed)] == [5, 10, 30]
    assert played.kinds().count("Retry") == 1  # no failures, so no waits


def test_a_part_that_brings_nothing_is_a_failure() -> None:
    empty = Answer(206, part(5).fields, b"")
    played = play([cut(5), empty])
    assert played.error is not None
    assert played.kinds().count("Retry") == 3


def test_a_part_that_brings_more_than_it_says_is_void() -> None:
    more = Answer(206, {"ETag": TAG, "Content-Range": f"bytes 5-9/{len(BODY)}"}, BODY[5:])
    played = play([cut(5), more, Answer()])
    assert played.data == BODY
    assert played.kinds()[-2:] == ["StartOver", "Opened"]
    assert "more bytes came than the part was to hold" in str(played.markers[-2])
    assert "Range" not in played.asked[2]


@pytest.mark.parametrize(
    "fields",
    [
        {"Content-Length": str(len(BODY))},
        {"Content-Length": str(len(BODY)), "ETag": 'W/"a"'},
    ],
    ids=["no tag", "a weak tag"],
)
def test_without_a_strong_tag_it_starts_over(fields: dict[str, str]) -> None:
    played = play([Answer(fields=fields, body=BODY[:30], ending="break"), Answer(fields=fields)])
    assert played.data == BODY
    assert played.kinds() == ["Opened", "StartOver", "Opened"]
    assert "Range" not in played.asked[1]


def test_a_200_to_a_range_starts_over_with_that_very_reply() -> None:
    played = play([cut(30), Answer(fields=WHOLE | {"ETag": '"b"'}, body=BODY)])
    assert played.data == BODY
    assert len(played.asked) == 2
    assert played.kinds() == ["Opened", "Retry", "StartOver", "Opened"]
    assert "the content has changed" in str(played.markers[2])
    assert "the server does not resume" in str(play([cut(30), Answer()]).markers[2])


@pytest.mark.parametrize(
    "second",
    [
        part(31),
        part(29),
        part(30, ETag='"b"'),
        part(30, Content_Range="bytes 30-40/*"),
        part(30, Content_Encoding="gzip"),
        status(416, Content_Range="bytes */7"),
    ],
    ids=["later", "earlier", "other tag", "no total", "encoded", "416"],
)
def test_a_reply_that_does_not_join_starts_over_without_a_range(second: Answer) -> None:
    whole = Answer(fields=WHOLE | {"ETag": second.fields.get("ETag", TAG)})
    played = play([cut(30), second, whole])
    assert played.data == BODY
    assert played.kinds() == ["Opened", "Retry", "StartOver", "Opened"]
    assert "Range" not in played.asked[2]


def test_content_that_changes_twice_stops_with_both_tags() -> None:
    def body(tag: str) -> Answer:
        return Answer(fields=WHOLE | {"ETag": tag}, body=BODY[:30], ending="break")

    played = play([body('"a"'), body('"b"'), body('"c"'), Answer()])
    assert "the source keeps changing" in str(played.error)
    assert '"b"' in str(played.error)
    assert '"c"' in str(played.error)
    assert len(played.asked) == 3


def test_mirrors_with_tags_of_their_own_behind_one_name_are_survived() -> None:
    def mirror(tag: str, end: int) -> Answer:
        return Answer(fields=WHOLE | {"ETag": tag}, body=BODY[:end], ending="break" if end < len(BODY) else "end")

    turns = [mirror('"a"', 30), mirror('"b"', 60), mirror('"a"', 90), mirror('"b"', len(BODY))]
    played = play([*turns])
    assert played.data == BODY
    assert [marker.reason for marker in played.markers if isinstance(marker, StartOver)] == [
        "the content has changed since"
    ] * 3
    # Each of them proves nothing about the other's bytes: parts of the other do not join.
    played = play([mirror('"a"', 30), part(30, ETag='"b"'), mirror('"b"', 60), part(60), mirror('"a"', len(BODY))])
    assert played.data == BODY


def test_mirrors_that_break_off_for_ever_end_with_the_attempts() -> None:
    def mirror(tag: str) -> Answer:
        return Answer(fields=WHOLE | {"ETag": tag}, body=BODY[:30], ending="break")

    played = play([mirror('"a"'), mirror('"b"')] * 20, policy=RetryPolicy(attempts=4))
    assert "broke off" in str(played.error)
    assert len(played.asked) == 4


@pytest.mark.parametrize("code", [400, 403, 412, 501])
def test_a_range_that_is_refused_starts_over_and_asks_for_none_again(code: int) -> None:
    played = play([cut(30), status(code), cut(60), Answer()])
    assert played.data == BODY
    assert played.kinds() == ["Opened", "Retry", "StartOver", "Opened", "StartOver", "Opened"]
    assert ["Range" in asked for asked in played.asked] == [False, True, False, False]
    # Nobody may rely on going on with such a body in another run, either.
    assert played.markers[-1] == Opened(None, TAG)
    # Where the whole is refused, too, that is final.
    played = play([cut(30), status(code)])
    assert f"attempt 3, byte 0: status {code}" in str(played.error)


def test_a_200_that_says_it_is_a_part_starts_over_without_a_range() -> None:
    lie = Answer(200, WHOLE | {"Content-Range": f"bytes 30-{len(BODY) - 1}/{len(BODY)}"}, BODY[30:])
    played = play([cut(30), lie, Answer()])
    assert played.data == BODY
    assert ["Range" in asked for asked in played.asked] == [False, True, False]
    played = play([lie], policy=RetryPolicy(attempts=3))
    assert "status 200 with the Content-Range of a part" in str(played.error)
    assert len(played.asked) == 3


def test_a_part_nobody_asked_for_is_final() -> None:
    played = play([part(0)])
    assert "nobody asked for" in str(played.error)
    assert len(played.asked) == 1


@pytest.mark.parametrize("code", [400, 401, 403, 404, 410, 416, 501])
def test_what_does_not_pass_is_final(code: int) -> None:
    played = play([status(code)])
    assert f"status {code}" in str(played.error)
    assert len(played.asked) == 1


def test_errors_name_download_place_attempt_and_byte_but_no_secret() -> None:
    played = play([cut(30), status(404)])
    assert str(played.error) == "download d from http://***@memory/x?***, attempt 2, byte 30: status 404"


def test_attempts_are_counted_from_the_last_progress() -> None:
    # Each brings a byte more than all before it, so a hundred failures are not too many.
    answers: list[Answer | Exception] = [cut(1)]
    answers += [Answer(206, part(n).fields, BODY[n : n + 1], "break") for n in range(1, 100)]
    played = play([*answers, part(100)], policy=RetryPolicy(attempts=2, base_wait_s=0))
    assert played.data == BODY
    # Bytes that came before are no progress: this would go on for ever.
    again = Answer(fields={"Content-Length": str(len(BODY))}, body=BODY[:30], ending="break")
    played = play([again], policy=RetryPolicy(attempts=3))
    assert len(played.asked) == 3


def test_an_outage_counts_once_beside_what_fails_after_it() -> None:
    others = RetryPolicy().most_failures - 2
    played = play([cut(1), *[status(503)] * 6, *[status(500)] * others, part(1)])
    assert played.data == BODY
    played = play([cut(1), *[status(500)] * (others + 2), part(1)])
    assert "status 500" in str(played.error)


def test_progress_does_not_refill_the_time() -> None:
    slow = [Answer(206, part(n).fields, BODY[n : n + 1], "break", after_s=50) for n in range(1, 100)]
    played = play([cut(1), *slow], limits=TimeLimits(total_s=1000))
    assert "longer than the time limit for a download (1000 s)" in str(played.error)
    assert 900 < played.took_s <= 1000


@pytest.mark.parametrize("code", [503, 500], ids=["an outage", "this download alone"])
@pytest.mark.parametrize(("text", "least"), [("7", 7), ("Sun, 06 Nov 1994 08:49:47 GMT", 10), ("0", 0)])
def test_retry_after_is_a_minimum(text: str, least: float, code: int) -> None:
    played = play([status(code, Retry_After=text), Answer()])
    (retry,) = [marker for marker in played.markers if isinstance(marker, Retry)]
    assert retry.asked_s == least
    assert retry.wait_s >= least
    assert played.took_s >= least
    assert played.data == BODY


@pytest.mark.parametrize("text", ["-1", "1e9", "junk", ""])
def test_junk_in_retry_after_is_ignored(text: str) -> None:
    played = play([status(429, Retry_After=text), Answer()])
    assert played.data == BODY
    assert played.took_s < 1


@pytest.mark.parametrize("text", ["1000000000", "9" * 400, "Sun, 06 Nov 2094 08:49:37 GMT"])
def test_a_wait_beyond_the_limit_fails_at_once_and_says_so(text: str) -> None:
    played = play([status(503, Retry_After=text), Answer()])
    assert "status 503; the server asks to wait" in str(played.error)
    assert "the limit is 300 s" in str(played.error)
    assert played.took_s == 0


def test_a_wait_beyond_the_time_that_is_left_is_not_begun() -> None:
    played = play([status(503, Retry_After="200"), Answer()], limits=TimeLimits(total_s=100))
    assert "longer than the time limit for a download (100 s)" in str(played.error)
    assert played.took_s == 0


def test_retry_after_0_again_and_again_does_not_spin() -> None:
    played = play([status(503, Retry_After="0")], policy=RetryPolicy(attempts=4))
    assert len(played.asked) == 4
    played = play([status(503, Retry_After="0")])
    assert played.took_s > 60
    assert len(played.asked) < 40


def test_500_for_ever_fails_by_its_attempts_with_growing_waits() -> None:
    played = play([status(500)], policy=RetryPolicy(attempts=6))
    assert "attempt 6, byte 0: status 500" in str(played.error)
    assert played.took_s <= 0.5 + 1 + 2 + 4 + 8


def test_no_valid_http_is_tried_once_more() -> None:
    played = play([ExchangeFailed("the reply is not valid HTTP", passing=True, protocol=True)])
    assert len(played.asked) == 2
    assert "not valid HTTP" in str(played.error)


def test_no_answer_has_a_time_limit_of_its_own() -> None:
    played = play([Answer(after_s=1e6), Answer()], limits=TimeLimits(first_byte_s=20))
    assert played.data == BODY
    (retry,) = [marker for marker in played.markers if isinstance(marker, Retry)]
    assert retry.reason == "no answer within the time limit (20 s)"


def test_a_body_that_falls_silent_is_broken_off_and_resumed() -> None:
    played = play([cut(30, "stall"), part(30)], limits=TimeLimits(stall_s=20))
    assert played.data == BODY
    (retry,) = [marker for marker in played.markers if isinstance(marker, Retry)]
    assert "the body stalled" in retry.reason
    assert "minimum rate of 100 bytes/s" in retry.reason
    assert 20 <= played.took_s < 30


def test_a_byte_every_ten_seconds_is_below_the_minimum_rate() -> None:
    played = play([Answer(body=BODY[:30], ending="trickle", rest=BODY[30:]), part(36), part(33), part(32)])
    reasons = [marker.reason for marker in played.markers if isinstance(marker, Retry)]
    assert "the body stalled: 32 bytes in 30.0 s" in reasons[0]


def test_the_whole_has_a_time_limit_of_its_own() -> None:
    limits = TimeLimits(total_s=100, min_rate=0.001, stall_s=1000)
    played = play([Answer(body=BODY[:30], ending="trickle", rest=BODY[30:])], limits=limits)
    assert "longer than the time limit for a download (100 s)" in str(played.error)
    assert 100 <= played.took_s < 115


def test_our_own_waiting_is_nobodys_delay() -> None:
    played = play([Answer()], limits=TimeLimits(stall_s=5, total_s=60), rest_s=50)
    assert played.data == BODY
    assert played.took_s > 600
    # Nor is it part of the time that is left for another attempt.
    played = play([cut(90), part(90)], limits=TimeLimits(stall_s=5, total_s=60), rest_s=50)
    assert played.data == BODY


def test_a_checkpoints_stream_begins_where_its_state_ends() -> None:
    mark = Mark(TAG, len(BODY), ORIGIN)
    played = play([part(35)], start=(35, mark))
    assert played.data == BODY[35:]
    assert played.asked == [{"Accept-Encoding": "identity", "Range": "bytes=35-", "If-Range": TAG}]
    changed = play([Answer(fields=WHOLE | {"ETag": '"b"'})], start=(35, mark))
    assert changed.data == BODY
    assert changed.kinds() == ["StartOver", "Opened"]
    complete = play([status(416, Content_Range=f"bytes */{len(BODY)}")], start=(len(BODY), mark))
    assert (complete.data, complete.error) == (b"", None)


def test_a_body_without_a_framed_end_must_end_with_a_row() -> None:
    whole = Answer(fields={})
    assert play([whole]).data == BODY
    played = play([Answer(fields={}, body=BODY[:-2])])
    assert "the connection ended in the middle of a row" in str(played.error)
    assert play([Answer(fields={}, body=BODY[:-2]), whole]).data == BODY
    # JSON has an end of its own.
    assert play([Answer(fields={}, body=b"{}")], rows=False).data == b"{}"


PACKED = gzip.compress(BODY)
GZIP = {"ETag": TAG, "Content-Encoding": "gzip"}


def test_compressed_bodies_are_decoded_and_start_over() -> None:
    played = play(
        [Answer(fields=GZIP, body=PACKED[:-5], ending="break"), Answer(fields=GZIP, body=PACKED)], compress=True
    )
    assert played.data == BODY
    assert played.kinds() == ["Opened", "StartOver", "Opened"]
    assert played.markers[0] == Opened(None, TAG)
    assert all(asked == {"Accept-Encoding": "gzip"} for asked in played.asked)


def test_a_server_that_does_not_compress_is_resumed_all_the_same() -> None:
    assert play([cut(30), part(30)], compress=True).data == BODY


@pytest.mark.parametrize("end", range(len(PACKED)))
def test_a_compressed_body_cut_with_a_length_that_fits_is_no_whole_one(end: int) -> None:
    fields = GZIP | {"Content-Length": str(end)}
    played = play([Answer(fields=fields, body=PACKED[:end]), Answer(fields=GZIP, body=PACKED)], compress=True)
    assert played.data == BODY
    assert len(played.asked) == 2


def test_a_bomb_is_final() -> None:
    bomb = gzip.compress(bytes(20 * 2**20))
    played = play([Answer(fields=GZIP, body=bomb)], compress=True, piece_bytes=4096)
    assert "a gzip bomb" in str(played.error)
    assert len(played.asked) == 1


def test_what_was_there_before_and_is_void_is_no_attempt_that_failed() -> None:
    start = (35, Mark(TAG, len(BODY), ORIGIN))
    played = play([part(35, ETag='"b"'), Answer(fields=WHOLE | {"ETag": '"b"'})], start=start, policy=RetryPolicy(1))
    assert played.data == BODY
    assert played.kinds() == ["StartOver", "Opened"]
    # Once: what it has received itself is another matter.
    played = play([part(35, ETag='"b"'), cut(5)], start=start, policy=RetryPolicy(1))
    assert played.error is not None
