"""Connections against clients that are slow, silent, endless or many. uvicorn alone waits for half a request for ever.

A subclass of uvicorn's httptools protocol keeps one deadline per connection, moved by what happens on it (see `sweep`).

    connected, or the next request begun      its head must be whole within HEAD_TIMEOUT_S, and within HEAD_BYTES
    head whole                                its body within BODY_TIMEOUT_S
    request whole                             no deadline: the application is at work
    the client does not take the reply        it must take something within WRITE_TIMEOUT_S
    reply sent                                uvicorn's own timeout for idle connections
    a head too long                           431, and what else comes is dropped for LINGER_S

A plain reading goes the short way (see `shortway`); where there is too much under way, a plain request is refused by
its head, and what else comes of it is dropped.
"""

import asyncio
from typing import Any

from starlette.types import Receive, Scope, Send
from uvicorn.config import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from mockexport.ingest.admission import Admitted
from mockexport.ingest.bodies import MAX_BATCH_BYTES
from mockexport.ingest.entrance import CAME_TOO_LATE, ENTRANCE, Entrance
from mockexport.ingest.errors import Unavailable
from mockexport.ingest.plain import PlainHead, plain_post
from mockexport.ingest.refusals import BUSY_BODY, REFUSAL, RETRY_AFTER_S, last_words
from mockexport.ingest.sweep import NEVER, sweep_of

__all__ = ["HEAD_BYTES", "DeadlineProtocol"]

HEAD_TIMEOUT_S = 10.0
# Longer than the application's own limit (see `bodies`), which answers 408; this one only ends what is left.
BODY_TIMEOUT_S = 20.0
WRITE_TIMEOUT_S = 30.0
# Method, URL and headers together; the longest sensible URL here has two ids and two times.
HEAD_BYTES = 64 << 10
# After last words so much longer is read: closing with unread bytes would reset the connection, and what was said would
# be lost.
LINGER_S = 2.0
_CROWDED = last_words("503 Service Unavailable", "overloaded: too many connections")
_STOPPING = last_words("503 Service Unavailable", "the service is stopping; try again later")
_TOO_LONG = last_words("431 Request Header Fields Too Large", "the head of the request is too long")
_NOT_HTTP = last_words("400 Bad Request", "the request is not HTTP")


async def _busy(scope: Scope, receive: Receive, send: Send) -> None:
    """Refuse a request that is not plainly whole."""
    headers = [(b"content-type", b"application/json"), (b"retry-after", b"1"), (b"content-length", _BUSY_LENGTH)]
    await send({"type": "http.response.start", "status": 503, "headers": headers})
    await send({"type": "http.response.body", "body": BUSY_BODY})


_BUSY_LENGTH = str(len(BUSY_BODY)).encode()


class DeadlineProtocol(HttpToolsProtocol):
    """uvicorn's protocol with deadlines, a bound on heads and connections, and no access log (URLs hold user ids)."""

    head_timeout_s = HEAD_TIMEOUT_S
    body_timeout_s = BODY_TIMEOUT_S
    write_timeout_s = WRITE_TIMEOUT_S

    def __init__(
        self,
        config: Config,
        server_state: ServerState,
        app_state: dict[str, Any],
        _loop: asyncio.AbstractEventLoop | None = None,
    ) -> None:
        super().__init__(config, server_state, app_state, _loop)
        # Of what is read, and of what is sent and the client does not take.
        self._read_deadline = self._write_deadline = NEVER
        # Since when no request has become whole and none is at work.
        self.quiet_since: float = NEVER
        self.access_log = False
        self.ws_protocol_class: None = None
        self._head_bytes = 0
        self._in_head = True
        # Whether the parser has seen some of a request and not all: also of one that came right behind another.
        self._begun = False
        self._too_long = False
        self._sweep = sweep_of(self.loop)
        self._entrance: Entrance = app_state[ENTRANCE]
        self._came = b""
        self._admitted: Admitted | None = None
        self._refusal_due = False
        self._refused_at = -NEVER
        # How much is to come of a request that has been refused by its head.
        self._to_drop = 0
        self._body_bytes = 0
        # Of a request on the short way: its head, what has come behind it, and whether its reply is the last.
        self._short: PlainHead | None = None
        self._behind = b""
        self._last = False

    @property
    def deadline(self) -> float:
        """When the connection is aborted, by the loop's clock (s); reading and writing are bounded each by itself."""
        return min(self._read_deadline, self._write_deadline)

    @deadline.setter
    def deadline(self, at: float) -> None:
        self._read_deadline = at

    def begin_with(self, data: bytes, admitted: Admitted | None) -> None:
        """Learn what has come before this connection was one of the loop's, and whether it is an admitted request."""
        self._came, self._admitted = data, admitted

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        super().connection_made(transport)
        if self._sweep.full:
            transport.write(_CROWDED)
            transport.close()
            return
        self.quiet_since = self.loop.time()
        self.deadline = self.quiet_since + self.head_timeout_s
        self._sweep.add(self)
        if self._came:
            self.data_received(self._came)
            self._came = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._sweep.discard(self)
        self._end()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._too_long:
            return
        if self._short is not None:
            self._behind += data
            self.transport.pause_reading()
            return
        if self._to_drop:
            data = self._drop(data)
            if not data:
                return
        if self._refusal_due:
            self.say_refusal()
        if self._in_head and self._head_bytes == 0:
            # Who does not take the replies gets the next one by the parser's way, which waits for that.
            ready = self._at_rest() and not self._begun and not self.flow.write_paused
            found = plain_post(data) if ready else None
            if found is not None:
                head, missing = found
                if self._entrance.is_full_for(head.body_bytes):
                    self._refuse(head.body_bytes, missing)
                    return
                if not missing and self._take(head, data):
                    return
            self.quiet_since = self.loop.time()
            self.deadline = self.quiet_since + self.head_timeout_s
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        """Parse what came; of a head never more than it may have, so that its end beyond that is not reached."""
        while self._in_head and data and not self._too_long and not self.transport.is_closing():
            piece, data = data[: HEAD_BYTES - self._head_bytes], data[HEAD_BYTES - self._head_bytes :]
            self._head_bytes += len(piece)
            super().data_received(piece)
            if self._in_head and self._head_bytes >= HEAD_BYTES:
                self._stop_reading()
        if data and not self._too_long and not self.transport.is_closing():
            super().data_received(data)

    def _stop_reading(self) -> None:
        """Take no more requests: a head is too long. Replies under way go out first."""
        self._too_long = True
        self._head_bytes = 0
        self.deadline = self.quiet_since = NEVER
        if self._at_rest():
            self._say_too_long()

    def _say_too_long(self) -> None:
        self.deadline = self.loop.time() + LINGER_S
        self.transport.write(_TOO_LONG)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        if not self._too_long:
            self.transport.write(_NOT_HTTP)
            self.transport.close()

    def on_message_begin(self) -> None:
        self._begun = True
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        # The parser leaves the blanks behind a value, which are none of it (RFC 9110, section 5.5).
        super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        # Where a head came right behind another request, its bytes were not counted; so it usually is written.
        told = sum(len(name) + len(value) + len(": \r\n") for name, value in self.headers)
        if len(self.url) + told + len("GET  HTTP/1.1\r\n\r\n") > HEAD_BYTES:
            self._stop_reading()
            raise ValueError("the head is too long")  # ends the parser, whatever follows
        self._in_head = False
        self._head_bytes = self._body_bytes = 0
        self.deadline = self.loop.time() + self.body_timeout_s
        refused = False
        if self._admitted is None and self.parser.get_method() == b"POST":
            announced = self._announced()
            refused = self._entrance.is_full_for(announced)
            if refused:
                self._entrance.refuse(announced)
        self.app: Any = _busy if refused else self.config.loaded_app
        super().on_headers_complete()

    def _announced(self) -> int:
        """Return how many bytes of a body are announced; a batch's where it is not said."""
        length = next((value for name, value in self.headers if name == b"content-length"), b"")
        return int(length) if length.isdigit() and len(length) < 10 else MAX_BATCH_BYTES

    def on_body(self, body: bytes) -> None:
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._in_head, self._begun = True, False
        self.deadline = self.quiet_since = NEVER
        # Only whole requests count as under way: half of one is the client's business.
        wanted = self.app is not _busy and not self.cycle.response_complete and self.scope["method"] == "POST"
        if wanted and self._admitted is None:
            # Many may have been let in by their heads since, and become whole together.
            self.scope["state"][CAME_TOO_LATE] = self._entrance.is_full_for(self._body_bytes)
            self._admitted = self._entrance.begin(self._body_bytes)
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._end()
        self.quiet_since = self.loop.time()
        super().on_response_complete()
        if self._too_long and self._at_rest():
            self._say_too_long()

    def _end(self) -> None:
        if self._admitted is not None:
            self._admitted.end()
            self._admitted = None

    def _at_rest(self) -> bool:
        """Tell whether no request is under way."""
        idle = self.cycle is None or self.cycle.response_complete
        return idle and self._admitted is None and not self.transport.is_closing()

    def _take(self, head: PlainHead, data: bytes) -> bool:
        """Let a plain reading go the short way; tell whether it does."""
        short_way, local = self._entrance.short_way, self.server[0] if self.server else ""
        if short_way is None or not short_way.take(head, data, local, self._settled):
            return False
        self._short, self._admitted = head, self._entrance.begin(head.body_bytes)
        self._unset_keepalive_if_required()
        self.deadline = self.quiet_since = NEVER
        return True

    def _settled(self, failure: Unavailable | None) -> None:
        """Answer what went the short way."""
        head, admitted, short_way = self._short, self._admitted, self._entrance.short_way
        if head is None or admitted is None or short_way is None or self.transport.is_closing():
            return  # the client has left
        self._short = None
        self._end()
        self.quiet_since = self.loop.time()
        self.deadline = self.quiet_since + self.timeout_keep_alive
        self.transport.write(short_way.reply(head, failure, admitted.began, self.server_state.default_headers))
        if self._last:
            self.transport.close()
        elif self._behind:
            behind, self._behind = self._behind, b""
            self.transport.resume_reading()
            self.data_received(behind)

    def _drop(self, data: bytes) -> bytes:
        """Drop what belongs to a refused request; return the rest."""
        rest = data[self._to_drop :]
        self._to_drop -= len(data) - len(rest)
        if not self._to_drop:
            self.deadline = self.loop.time() + self.timeout_keep_alive
        return rest

    def _refuse(self, body_bytes: int, missing: int) -> None:
        """Refuse a request by its head; nobody looks at its body, or at what is missing of it."""
        self._unset_keepalive_if_required()
        now = self.quiet_since = self.loop.time()
        self._to_drop = missing
        self.deadline = now + (self.body_timeout_s if missing else self.timeout_keep_alive)
        heeded = now - self._refused_at >= RETRY_AFTER_S
        if self._entrance.refuse(body_bytes, None if heeded else self):
            self._refused_at = now
            self.transport.write(REFUSAL)
        else:
            self._refusal_due = True

    def say_refusal(self) -> bool:
        """Say the refusal that waits, if it still does; return whether."""
        if not self._refusal_due or self.transport.is_closing():
            return False
        self._refusal_due = False
        self._refused_at = self.loop.time()
        self.transport.write(REFUSAL)
        return True

    def shutdown(self) -> None:
        if self._half_request() and not self.transport.is_closing():
            # The rest of it is not waited for.
            self.transport.write(_STOPPING)
            self.transport.close()
        elif self._short is not None:
            self._last = True
        else:
            self.say_refusal()
            super().shutdown()

    def give_way(self) -> None:
        """Leave the place to another connection; half a request is told why."""
        if not self.transport.is_closing():
            if self._half_request():
                self.transport.write(_CROWDED)
            self.transport.close()

    def _half_request(self) -> bool:
        """Tell whether the next thing to say is an answer to a request that is not whole."""
        cycle = self.cycle
        if self._in_head:
            return self._head_bytes > 0 and self._at_rest()
        return not cycle.response_started and not self.pipeline

    def pause_writing(self) -> None:
        self._write_deadline = self.loop.time() + self.write_timeout_s
        super().pause_writing()

    def resume_writing(self) -> None:
        self._write_deadline = NEVER
        super().resume_writing()
