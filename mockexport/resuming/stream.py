"""The bytes of one download, whatever the network does to them: tried again, resumed midway, or begun anew.

It knows no sockets: an Exchange brings replies, `replies.decide` says what they mean, `Watch` keeps the time. What is
received within a run is kept: the next attempt asks for the byte after the last one, and a reply joins only if it
proves to be the rest of the same content. Otherwise the reader is told to forget what it has.
"""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import cast

from msgspec.structs import replace

from mockexport.errors import TransferError
from mockexport.model import SizeLimits, Verdict
from mockexport.pipeline.streams import Mark, Opened, Piece, Resumed, Retry, Room, StartOver
from mockexport.resuming.backoff import Backoff
from mockexport.resuming.exchange import Exchange, ExchangeFailed, ReceivingReply, Reply
from mockexport.resuming.replies import Asked, Begin, Complete, Join, Refused, Void, decide, retry_after_s
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.resuming.watching import Watch
from mockexport.unpacking.compression import START_BYTES, BadCompression, compression_of
from mockexport.unpacking.gunzip import Gunzip, GzipLimits
from mockexport.unpacking.stream import OwnRoom, decoded

__all__ = ["ResumingStream", "read_whole"]

# A reply that is no HTTP is tried once more: it may have been cut short, but two of them are how the server is.
MAX_PROTOCOL_ERRORS = 2
# Content that changes while it is fetched is fetched anew once; twice means that it keeps changing.
MAX_CHANGES = 2
# Asked for at a time where it is not known how much of it is needed: a row, and it may be a long one.
STEP_BYTES = 64 * 1024


class _Failed(Exception):  # noqa: N818 - what became of an attempt
    """An attempt failed. `final` if no other may help; `void` if what was received so far is of no use.

    `outage` if it is the server that is down, or asked too much.
    """

    def __init__(
        self, problem: str, *, final: bool = False, void: bool = False, asked_s: float | None = None,
        status: int | None = None, silent: bool = False, outage: bool = False,
    ) -> None:  # fmt: skip
        self.problem = problem
        self.final = final
        self.void = void
        self.asked_s = asked_s
        self.status = status
        self.silent = silent
        self.outage = outage
        super().__init__(problem)


@dataclass(slots=True)
class _Body:
    """What is being received: how its end will show."""

    end: int | None = None  # exclusive, of a part; None for a whole body
    framed: bool = True
    last: bytes = b""  # the last byte, or more
    start: bytes = b""  # as many bytes as tell a compressed file


class ResumingStream:
    """The bytes of one download (streams.ByteStream).

    Args:
        download_id, where: for messages.
        exchange: asks for the body once.
        policy: when to give up.
        limits: how long anything may take.
        compress: ask for gzip, and give up resuming midway.
        gzip_limits: what a compressed body may come to.
        start: begin at this byte of what the mark stands for.
        until: with `start`, ask for no more than the bytes before this one, and after those for little at a time.
        rows: the body is rows: one without any sign of its end must end with a row's.
        backoff: what is known of the origin, shared with other streams that ask it.
        now: seconds since 1970, for servers that say until when to wait.
    """

    def __init__(
        self,
        download_id: str,
        where: str,
        exchange: Exchange,
        policy: RetryPolicy,
        limits: TimeLimits,
        *,
        compress: bool = False,
        gzip_limits: GzipLimits | None = None,
        start: tuple[int, Mark] | None = None,
        until: int | None = None,
        rows: bool = True,
        backoff: Backoff | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._download_id = download_id
        self._where = where
        self._exchange = exchange
        self._policy = policy
        self._limits = limits
        self._compress = compress
        self._gzip_limits = gzip_limits
        self._until = until
        self._rows = rows
        self._backoff = backoff or Backoff(policy)
        self._outages = 0  # in a row, without progress
        self._outage = 0  # the last one that was counted, as the back-off counts them
        self._now = now
        self._watch: Watch | None = None
        self._mark: Mark | None
        self._offset, self._mark = (0, None) if start is None else start
        self._furthest = self._offset  # what an attempt must exceed to count as progress
        self._etag: str | None = None if self._mark is None else self._mark.etag
        self._inherited = start is not None  # what it goes on from is not of its own receiving
        self._attempt = 1
        self._failures = 0  # in a row, without progress
        self._protocol_errors = 0  # in a row
        self._tags: set[str] = set() if self._etag is None else {self._etag}
        self._no_parts = False
        self.framed: bool = True  # whether the end of the last body showed
        self._wait_s = 0.0
        self._room: Room | None = None

    def __repr__(self) -> str:
        return f"<ResumingStream {self._download_id} attempt {self._attempt} byte {self._offset}>"

    def receive_into(self, room: Room) -> None:
        """Have bytes received there (see streams.ReceivingStream)."""
        self._room = room

    async def pieces(self) -> AsyncGenerator[Piece]:
        """Yield the bytes as they come, and markers between them (see ByteStream.pieces)."""
        watch = self._watch = self._watch or Watch(self._limits)
        while True:
            await asyncio.sleep(self._wait_s)
            self._wait_s = 0.0
            try:
                reply = await self._open(watch)
                try:
                    decision = self._decide(reply)
                    if isinstance(decision, Complete):
                        return
                    decoder = None
                    if isinstance(decision, Join):
                        body = _Body(end=decision.end)
                        yield Resumed(self._offset)
                    else:
                        body = _Body(framed=decision.framed)
                        self.framed = decision.framed
                        if self._offset:
                            yield self._begin_anew(decision.etag)
                        if decision.gzipped:
                            decoder = Gunzip(self._gzip_limits)
                        self._mark = decision.mark
                        yield Opened(self._mark, decision.version)
                    # A compressed body is received elsewhere: what is in it goes into the reader's room.
                    room = self._room if decoder is None else OwnRoom()
                    room = room if isinstance(reply, ReceivingReply) else None
                    watch.start(reply.abort, None if room is None else cast("ReceivingReply", reply).flush)
                    while True:
                        into = None if room is None else await room.free()
                        watch.waiting = True
                        piece: bytes | memoryview
                        if into is None:
                            piece = await reply.read()
                        else:
                            piece = await cast("ReceivingReply", reply).receive(into)
                        watch.waiting = False
                        if not piece:
                            break
                        watch.received += len(piece)
                        if decoder is None:
                            self._offset += len(piece)
                            if body.end is not None and self._offset > body.end:
                                raise _Failed("more bytes came than the part was to hold", void=True)
                            if len(body.start) < START_BYTES:
                                body.start += piece[:START_BYTES]
                            body.last = bytes(piece[-1:])
                            yield piece
                        else:
                            async with aclosing(decoded(decoder, piece, self._room)) as made:
                                async for step in made:
                                    self._offset += len(step)
                                    body.last = bytes(step[-1:])
                                    yield step
                    if self._is_whole(body, decoder):
                        return
                finally:
                    watch.stop()
                    await reply.close()
            except _Failed as failed:
                failure = failed
            except BadCompression as bad:
                failure = _Failed(bad.problem, final=not bad.passing)
            except ExchangeFailed as error:  # of the body
                self._backoff.doubt()
                failure = self._failed(error)
            else:
                continue  # the part is whole, and there is more
            yield self._next_attempt(failure, watch)

    async def _open(self, watch: Watch) -> Reply:
        fields = {"Accept-Encoding": "gzip" if self._compress else "identity"}
        if self._asks_for_part:
            assert self._mark is not None  # noqa: S101 - it does
            fields |= {"Range": f"bytes={self._offset}-{self._last(self._until)}", "If-Range": self._mark.etag}
        left_s = watch.left_s
        if left_s <= 0:
            raise _Failed(watch.out_of_time, final=True)
        try:
            async with asyncio.timeout(left_s):
                await self._backoff.turn()
        except TimeoutError:
            raise _Failed(watch.out_of_time, final=True) from None
        left_s = watch.left_s
        try:
            async with asyncio.timeout(min(self._limits.first_byte_s, left_s)) as limit:
                return await self._exchange(fields)
        except ExchangeFailed as error:
            raise self._failed(error, outage=error.passing and not error.protocol) from error
        except TimeoutError:
            if not limit.expired():
                raise
            if left_s < self._limits.first_byte_s:
                raise _Failed(watch.out_of_time, final=True) from None
            problem = f"no answer within the time limit ({self._limits.first_byte_s:g} s)"
            raise _Failed(problem, silent=True, outage=True) from None

    def _failed(self, error: ExchangeFailed, *, outage: bool = False) -> _Failed:
        self._protocol_errors += error.protocol
        final = not error.passing or self._protocol_errors >= MAX_PROTOCOL_ERRORS
        return _Failed(error.problem, final=final, silent=error.silent, outage=outage)

    @property
    def _asks_for_part(self) -> bool:
        return self._mark is not None and bool(self._offset or self._until is not None)

    def _last(self, until: int | None) -> int | str:
        """Return the last byte to ask for, nothing for all there are."""
        if until is None:
            return ""
        return (until if self._offset < until else self._offset + STEP_BYTES) - 1

    def _decide(self, reply: Reply) -> Begin | Join | Complete:
        """Return how the reply goes on, or raise what it is instead."""
        asked = Asked(self._offset, self._mark if self._asks_for_part else None, self._compress)
        decided = decide(asked, reply.head)
        if not (isinstance(decided, Refused) and decided.outage):
            self._backoff.answered()
        match decided:
            case Refused(problem, passing, retry_after, outage):
                asked_s = retry_after_s(retry_after, self._now()) if passing else None
                raise _Failed(problem, final=not passing, asked_s=asked_s, status=reply.head.status, outage=outage)
            case Void(problem, etag, no_parts):
                self._no_parts = self._no_parts or no_parts
                self._note(etag)
                raise _Failed(problem, void=True)
            case Begin() as decision:
                self._note(decision.etag)
                return replace(decision, mark=None) if self._no_parts else decision
            case Join() as decision:
                if self._mark is not None:
                    self._mark = Mark(self._mark.etag, decision.total, self._mark.origin)
                return decision
            case Complete() as decision:
                return decision

    def _note(self, etag: str | None) -> None:
        """Take note of the content's tag, and stop if it keeps changing.

        A tag that was there before is that of another mirror behind the same name: it costs an attempt, as it begins
        anew, and is no sign that the content will never come to rest.
        """
        if etag is None:
            return
        before, self._etag = self._etag, etag
        if etag not in self._tags:
            self._tags.add(etag)
            if before is not None and len(self._tags) > MAX_CHANGES:
                raise _Failed(
                    f"the source keeps changing: its ETag was {before[:80]} and is now {etag[:80]}", final=True
                )

    def _is_whole(self, body: _Body, decoder: Gunzip | None) -> bool:
        """Tell whether the download is complete, now that a body has ended; raise if it ended before its time."""
        if decoder is not None:
            decoder.finish()
        rows = self._rows and compression_of(body.start) is None  # a compressed file shows its end by itself
        if rows and not body.framed and self._offset and not body.last.endswith(b"\n"):
            # The connection's end is the only sign of the body's. The number of rows may be right, and still the last
            # row's value cut: nobody could tell.
            raise _Failed("the connection ended in the middle of a row, and nothing says where the body should end")
        if body.end is None:
            return True
        if self._offset < body.end:
            raise _Failed("the part ended before its announced end")
        return self._mark is not None and body.end == self._mark.total

    def start_over(self, problem: str) -> StartOver:
        """Void a stream that ended well but did not hold what was promised (see ByteStream.start_over)."""
        watch = self._watch or Watch(self._limits)
        marker = self._next_attempt(_Failed(problem, void=True), watch)
        assert isinstance(marker, StartOver)  # noqa: S101 - void
        return marker

    def _next_attempt(self, failure: _Failed, watch: Watch) -> StartOver | Retry:
        """Return how the stream goes on after a failed attempt.

        Raises:
            TransferError: it does not.
        """
        if self._offset > self._furthest:
            self._furthest = self._offset
            self._failures = self._protocol_errors = self._outages = 0
        # That what was there before cannot be gone on from is no failure to fetch: else the last attempt would go on
        # from it again in every run.
        self._failures += not (failure.void and self._inherited)
        self._inherited = self._inherited and not failure.void
        problem, passing = failure.problem, not failure.final
        if failure.asked_s is not None and failure.asked_s > self._policy.max_retry_after_s:
            limit_s = self._policy.max_retry_after_s
            asked = f"{failure.asked_s:,.0f} s" if failure.asked_s < 1e12 else "a time without end"
            raise self._error(f"{problem}; the server asks to wait {asked}, and the limit is {limit_s:g} s", failure)
        if failure.outage and passing:
            wait_s = self._backoff.failed(self._failures, failure.asked_s, answer=failure.status is not None)
        else:
            wait_s = max(self._policy.wait_s(self._failures), failure.asked_s or 0.0)
        if not passing or self._is_exhausted(failure):
            raise self._error(problem, failure)
        if wait_s >= watch.left_s:
            raise self._error(f"{problem}; {watch.out_of_time}", failure)
        self._wait_s = wait_s
        attempt, self._attempt = self._attempt, self._attempt + 1
        if failure.void or (self._mark is None and self._offset):
            self._offset, self._mark, self._until = 0, None, None
            return StartOver(attempt, wait_s, problem, failure.asked_s)
        return Retry(attempt, wait_s, problem, self._offset, failure.asked_s)

    def _is_exhausted(self, failure: _Failed) -> bool:
        """Tell whether no attempt is left."""
        backoff, most = self._backoff, self._policy.most_failures
        if not failure.outage or self._policy.attempts is not None or not backoff.has_answered:
            return self._failures >= most
        # One outage counts as one failure, however often it was met with. A server that is down for this download alone
        # is up in between, for others: that makes several.
        self._failures -= 1
        if backoff.outage != self._outage:
            self._outage = backoff.outage
            self._outages += 1
        return self._outages >= most or backoff.is_hopeless

    def _begin_anew(self, etag: str | None) -> StartOver:
        """All of the body comes though a part was asked for: it has changed, or the server cannot resume."""
        same = self._mark is not None and etag == self._mark.etag
        self._furthest = max(self._furthest, self._offset)
        self._offset, self._until = 0, None
        reason = "the server does not resume, it began anew" if same else "the content has changed since"
        return StartOver(self._attempt - 1, 0.0, reason)

    def _error(self, problem: str, failure: _Failed) -> TransferError:
        return TransferError(
            self._download_id,
            self._where,
            problem,
            attempt=self._attempt,
            offset=self._offset,
            passing=not failure.final,
            status=failure.status,
            silent=failure.silent,
        )

    async def close(self, verdict: Verdict | None) -> None:
        """Nothing is left to do: the body closes with the iteration."""


async def read_whole(
    stream: ResumingStream, limits: SizeLimits, name: str, *, shows_end: Callable[[bytes], bool]
) -> bytes:
    """Return all of a body that is small. One that ends with its connection, anywhere, must show its end by itself.

    Raises:
        TransferError: it cannot be had, or not so that it is known to be whole.
        ValueError: it is longer than the limit of that name.
    """
    while True:
        body = await _read(stream, limits, name)
        if stream.framed or shows_end(body):
            return body
        stream.start_over("the connection ended, and nothing says whether that was all (no Content-Length)")


async def _read(stream: ResumingStream, limits: SizeLimits, name: str) -> bytes:
    body = bytearray()
    async with aclosing(stream.pieces()) as pieces:
        async for piece in pieces:
            if isinstance(piece, bytes):
                body += piece
            elif isinstance(piece, StartOver):
                body.clear()
            if len(body) > getattr(limits, name):
                raise ValueError(f"it is longer than {limits.told(name)}")
    return bytes(body)
