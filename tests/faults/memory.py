"""An export server in memory that misbehaves as `mockexport.server.faults` draws it: replies without sockets.

It says in exchange.Reply's words what the mock server does to real connections, so that thousands of schedules take
seconds; that the words mean the same over real sockets is tested in test_mock_faults.py.
"""

import asyncio
import gzip
from collections.abc import Mapping
from dataclasses import dataclass, field

from mockexport.model import Download, Export
from mockexport.pipeline.streams import Mark
from mockexport.resuming.backoff import Backoff
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.resuming.replies import Head
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.resuming.stream import ResumingStream
from mockexport.server.faults import Faults
from mockexport.server.kinds import Fault, Target
from mockexport.server.ranges import Conditions, Full, Partial, decide

__all__ = ["MemoryReply", "MemorySource", "edited", "versioned"]

ORIGIN = "http://memory:80"
LOGIN = b"<!DOCTYPE html>\n<html>\nPlease log in\n</html>\n"


class MemoryReply:
    """A reply that brings `body` in pieces, then ends as `ending` says: "end", "break", "stall" or "trickle"."""

    def __init__(
        self,
        source: "MemorySource",
        status: int,
        fields: Mapping[str, str],
        body: bytes = b"",
        *,
        ending: str = "end",
        rest: bytes = b"",
    ) -> None:
        self.head = Head(status, tuple(fields.items()), ORIGIN)
        self._source = source
        self._body = body
        self._ending = ending
        self._rest = rest
        self._at = 0
        self._aborted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        source.open += 1

    async def read(self) -> bytes:
        await asyncio.sleep(0.001)
        if self._aborted.done():
            self._aborted.result()
        if self._source.is_gone():
            raise ExchangeFailed("the connection failed (reset)", passing=True)
        if self._at < len(self._body):
            piece = self._body[self._at : self._at + self._source.piece_bytes]
            self._at += len(piece)
            return piece
        match self._ending:
            case "break":
                raise ExchangeFailed("the body broke off before its end", passing=True)
            case "stall":
                await self._aborted
            case "trickle":
                await asyncio.wait([self._aborted], timeout=10)
                if self._aborted.done():
                    self._aborted.result()
                piece, self._rest = self._rest[:1], self._rest[1:]
                return piece
        return b""

    def abort(self, reason: str) -> None:
        if not self._aborted.done():
            self._aborted.set_exception(ExchangeFailed(reason, passing=True))

    async def close(self) -> None:
        self._source.open -= 1
        if self._aborted.done():
            self._aborted.exception()
        else:
            self._aborted.cancel()


@dataclass
class MemorySource:
    """A Source of one export: its downloads and their bodies, with the faults of a plan."""

    export_id: str
    bodies: Mapping[Download, bytes]
    faults: Faults = field(default_factory=lambda: Faults({}))
    policy: RetryPolicy = field(default_factory=RetryPolicy)
    limits: TimeLimits = field(default_factory=TimeLimits)
    compress: bool = False
    etags: bool = True
    dates: bool = False  # a Last-Modified
    first_version: int = 0  # of its bodies
    piece_bytes: int = 1000
    name: str = "memory"
    open: int = 0
    outages: tuple[tuple[float, float], ...] = ()  # from and until when, by the loop's time, the server is gone
    slow_downs: tuple[tuple[float, float], ...] = ()  # from and until when it answers 429 to everybody
    changes_at: tuple[float, ...] = ()  # when its bodies are replaced by others
    backoff: Backoff | None = None
    requests: list[float] = field(default_factory=list)  # when they came
    sent: dict[str, list[str]] = field(default_factory=dict)  # by download, the kinds that changed what was sent

    async def export_ids(self) -> list[str]:
        return [self.export_id]

    async def discover(self, export_id: str) -> Export:
        return Export.of(export_id, self.bodies)

    def stream(self, export_id: str, download: Download) -> ResumingStream:
        return self._stream(download, None)

    def stream_from(
        self, export_id: str, download: Download, offset: int, mark: Mark, *, until: int | None = None
    ) -> ResumingStream:
        return self._stream(download, (offset, mark), until)

    def _stream(self, download: Download, start: tuple[int, Mark] | None, until: int | None = None) -> ResumingStream:
        async def exchange(fields: Mapping[str, str]) -> MemoryReply:
            await asyncio.sleep(0)
            return await self._answer(download, fields)

        self.backoff = self.backoff or Backoff(self.policy)
        return ResumingStream(
            download.id, self.name, exchange, self.policy, self.limits, compress=self.compress and start is None,
            start=start, until=until, backoff=self.backoff, now=lambda: 1_000_000_000.0,
        )  # fmt: skip

    @property
    def version(self) -> int:
        """Which version of its bodies the server has now."""
        return self.first_version + sum(at <= asyncio.get_running_loop().time() for at in self.changes_at)

    def is_gone(self) -> bool:
        """Whether nothing answers now."""
        return any(start <= asyncio.get_running_loop().time() < end for start, end in self.outages)

    async def _answer(self, download: Download, asked: Mapping[str, str]) -> MemoryReply:
        now_s = asyncio.get_running_loop().time()
        self.requests.append(now_s)
        if self.is_gone():
            raise ExchangeFailed("no connection (connection refused)", passing=True)
        for start, end in self.slow_downs:
            if start <= now_s < end:
                return MemoryReply(self, 429, {"Retry-After": str(max(1, round(end - now_s)))})
        body = plain = versioned(self.bodies[download], self.version)
        fault = self.faults.next(Target(download.id, ranged="Range" in asked))
        if fault is not None and fault.kind == "new-etag":
            self.faults.changes[download.id] += 1
            fault = None
        changes = self.faults.changes[download.id]
        tag = f'"{download.id}-{changes}"' if not self.version else f'"{download.id}-{changes}-{self.version}"'
        fields = {"ETag": tag} if self.etags else {}
        if self.dates:
            fields["Last-Modified"] = f"Tue, 26 Aug 2025 00:00:{self.version:02} GMT"
        if "gzip" in asked["Accept-Encoding"]:
            fields.pop("ETag", None)
            fields["Content-Encoding"] = "gzip"
            body = gzip.compress(body[: len(body) // 2]) + gzip.compress(body[len(body) // 2 :])
        # A server without tags has no ranges to offer.
        answer = decide(
            Conditions(range=asked.get("Range"), if_range=asked.get("If-Range")),
            length=len(body), etag=fields.get("ETag", "none"),
        )  # fmt: skip
        status, first, count = 200, 0, len(body)
        if isinstance(answer, Partial):
            status, first, count = 206, answer.first, answer.last - answer.first + 1
            fields["Content-Range"] = f"bytes {first}-{answer.last}/{len(body)}"
        elif not isinstance(answer, Full):
            return MemoryReply(self, 416, {"Content-Range": f"bytes */{len(body)}"})
        part = body[first : first + count]
        framed = {**fields, "Content-Length": str(count)}
        if fault is None or (fault.kind in ("no-range", "wrong-206") and not fault.prepares and status != 206):
            return MemoryReply(self, status, framed, part)
        return await self._misbehave(download, fault, status, fields, framed, part, body, plain)

    async def _misbehave(
        self, download: Download, fault: Fault, status: int, fields: dict[str, str], framed: dict[str, str],
        part: bytes, body: bytes, plain: bytes,
    ) -> MemoryReply:  # fmt: skip
        cut, rest = part[: fault.byte(len(part))], part[fault.byte(len(part)) :]
        kind = "reset" if fault.prepares else fault.kind
        gzipped = "Content-Encoding" in fields
        if kind == "cut-gzip" and not gzipped:
            kind = "cut"
        match kind:
            case "refuse":
                raise ExchangeFailed("the connection failed (reset)", passing=True)
            case "delay" | "slow-headers":
                await asyncio.sleep(5)
                return MemoryReply(self, status, framed, part)
            case "stall" | "trickle":
                return MemoryReply(self, status, framed, cut, ending=kind, rest=rest)
            case "reset" | "cut":
                return MemoryReply(self, status, framed, cut, ending="break" if rest else "end")
            case "etag":
                self.faults.changes[download.id] += 1
                return MemoryReply(self, status, framed, cut, ending="break" if rest else "end")
            case "cut-chunked":
                return MemoryReply(self, status, {**fields, "Transfer-Encoding": "chunked"}, cut, ending="break")
            case "short-length":
                return MemoryReply(self, status, {**fields, "Content-Length": str(len(cut))}, cut)
            case "cut-close":
                return MemoryReply(self, status, fields, cut)
            case "cut-gzip":
                return MemoryReply(self, 200, {**fields, "Content-Length": str(len(cut))}, cut)
            case "status":
                retry = {"date": "Sun, 09 Sep 2001 01:46:41 GMT"}.get(fault.retry_after or "", fault.retry_after)
                return MemoryReply(self, fault.status, {} if retry is None else {"Retry-After": retry})
            case "no-range":
                fields.pop("Content-Range", None)
                return MemoryReply(self, 200, {**fields, "Content-Length": str(len(body))}, body)
            case "wrong-206":
                wrong = dict(framed)
                wrong["Content-Range"] = {
                    "other-first": "bytes 1-2/3", "other-total": f"bytes 0-{len(body)}/{len(body) + 1}",
                    "any-total": "bytes 1-2/*", "any-range": "bytes */9",
                }.get(fault.variant, wrong["Content-Range"])  # fmt: skip
                if fault.variant == "other-etag":
                    wrong["ETag"] = '"another"'
                if fault.variant == "no-content-range":
                    del wrong["Content-Range"]
                if fault.variant == "multipart":
                    wrong["Content-Type"] = "multipart/byteranges; boundary=x"
                return MemoryReply(self, 206, wrong, part)
            case "html":
                return MemoryReply(self, 200, {"Content-Length": str(len(LOGIN))}, LOGIN)
            case _:
                self.sent.setdefault(download.id, []).append(kind)
                return MemoryReply(self, 200, {"Transfer-Encoding": "chunked"}, edited(plain, kind))


def versioned(body: bytes, version: int) -> bytes:
    """Return the body as it is in a later version: as many rows, and other values."""
    if not version:
        return body
    header, *rows, rest = body.split(b"\n")
    cells = [row.rpartition(b",") for row in rows]
    return b"\n".join([header, *(b"%s,%d" % (most, int(value) + version) for most, _, value in cells), rest])


def edited(body: bytes, kind: str) -> bytes:
    """Return a body with some of its rows not as they were."""
    header, *rows, rest = body.split(b"\n")
    if rows:
        match kind:
            case "few-rows":
                del rows[-1]
            case "bad-row":
                rows[0] = rows[0].rpartition(b",")[0] + b",oops"
            case "duplicate-row":
                rows.append(rows[0])
            case _:
                rows.reverse()
    return b"\n".join([header, *rows, rest])
