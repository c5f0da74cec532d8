"""The short way of a reading: from a plain request's bytes into the journal, and its reply when that has committed.

The way through parser, task and application costs four times what storing a reading does. What the short way does not
take, because anything about it is unusual or wrong, goes that way, and is answered there.
"""

import time
from collections.abc import Callable
from functools import lru_cache

from mockexport.access import Asked, Door
from mockexport.ingest.bodies import MAX_READING_BYTES
from mockexport.ingest.errors import Unavailable
from mockexport.ingest.metrics import Metrics
from mockexport.ingest.plain import PlainHead
from mockexport.ingest.readings import decode_one
from mockexport.ingest.replies import problem_reply
from mockexport.ingest.requests import REQUEST_ID_FIELD, RequestIds
from mockexport.ingest.store import Store

__all__ = ["READING_PATH", "ShortWay"]

READING_PATH = "/metrics/heart-rate"
_HEADS = 1_024
_ACCEPTED_BODY = b'{"status":"accepted"}'
_ACCEPTED = b"HTTP/1.1 202 Accepted\r\n"
_ACCEPTED_FIELDS = b"content-type: application/json\r\ncontent-length: %d\r\nx-request-id: " % len(_ACCEPTED_BODY)


class ShortWay:
    """Takes readings for one application. `admit` gives the open store, or raises why nothing is accepted."""

    def __init__(self, door: Door, metrics: Metrics, ids: RequestIds, admit: Callable[[], Store]) -> None:
        self._door, self._metrics, self._ids, self._admit = door, metrics, ids, admit
        self._may_ask = lru_cache(maxsize=_HEADS)(self._judge)
        # What the server puts before every reply's own fields, and its text. It is another list each second.
        self._default: list[tuple[bytes, bytes]] = []
        self._default_text = b""

    def take(self, head: PlainHead, data: bytes, local: str, settled: Callable[[Unavailable | None], None]) -> bool:
        """Hand a whole request's reading to the journal; False where it must go the long way.

        `settled` is called later, in this event loop: with None when the reading is on the disk, or with why not.

        Args:
            head: the request's.
            data: all of it.
            local: the address at which it came in.
            settled: what follows.
        """
        if head.target != READING_PATH or head.body_bytes > MAX_READING_BYTES or not self._may_ask(head, local):
            return False
        try:
            reading = decode_one(data[len(data) - head.body_bytes :])
            self._admit().journal.submit((reading,), settled)
        except Exception:  # whatever it is, the long way finds out, says so and logs it
            return False
        return True

    def reply(
        self, head: PlainHead, failure: Unavailable | None, began: float, default: list[tuple[bytes, bytes]]
    ) -> bytes:
        """Return the reply to a request that was taken, and count it.

        Args:
            head: the request's.
            failure: what `settled` was called with.
            began: when it was taken, by `time.monotonic`.
            default: the fields that the server puts into every reply.
        """
        if default is not self._default:
            self._default, self._default_text = default, _text(default)
        request_id = self._ids.of(head.fields.get(REQUEST_ID_FIELD)).encode()
        status = 202
        if failure is None:
            reply = b"".join((_ACCEPTED, self._default_text, _ACCEPTED_FIELDS, request_id, b"\r\n\r\n", _ACCEPTED_BODY))
        else:
            self._metrics.refused += 1
            problem = problem_reply(failure)
            status = problem.status_code
            fields = [*default, *problem.raw_headers, (REQUEST_ID_FIELD, request_id)]
            reply = b"HTTP/1.1 %d Service Unavailable\r\n%b\r\n%b" % (status, _text(fields), bytes(problem.body))
        self._metrics.count_request("POST", READING_PATH, status, time.monotonic() - began)
        return reply

    def _judge(self, head: PlainHead, local: str) -> bool:
        """Tell whether a request with such a head may be made. Pages have an origin; they go the long way."""
        asked = Asked("POST", "http", local, head.fields.items(), READING_PATH)
        return b"origin" not in head.fields and self._door.refusal(asked) is None


def _text(fields: list[tuple[bytes, bytes]]) -> bytes:
    return b"".join(b"%b: %b\r\n" % field for field in fields)
