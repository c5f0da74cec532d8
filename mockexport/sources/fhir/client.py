"""Requests to a FHIR server and their replies: small ones whole, files as streams, each with a token where one is due.

Rules: a token goes to the server's own origin, and to where a manifest says that files take one; never along a redirect
to another origin. One that is refused is renewed once. What is said of a failure names no file's URL.
"""

import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from mockexport.model import SizeLimits
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.resuming.replies import Head
from mockexport.resuming.retrying import TimeLimits
from mockexport.sources.fhir.authorizing import SigningKey, Tokens, read_key
from mockexport.sources.fhir.options import FhirServer
from mockexport.sources.http import Access, HttpClient, HttpReply

__all__ = ["FhirClient"]


class FhirClient:
    """Asks a FHIR server, inside `async with` of its `http`.

    Args:
        server: which one, and who asks.
        http: what asks.
        access: token and header fields of the user's.
        limits: how long anything may take.
        size_limits: how long a reply may be.
    """

    def __init__(
        self, server: FhirServer, http: HttpClient, access: Access, limits: TimeLimits, size_limits: SizeLimits
    ) -> None:
        self._http = http
        self._limits = limits
        self._size_limits = size_limits
        self._own = _origin(server.begin)
        self._access = access
        self._tokens: Tokens | None = None
        if server.client_id is not None and server.key is not None and server.url is not None:
            key: SigningKey = read_key(server.key)
            self._tokens = Tokens(server.url, server.client_id, key, server.scope, self._ask_for_token)

    async def ask(
        self, method: str, url: str, fields: Mapping[str, str], body: bytes | None = None, *, limit: str = "reply_bytes"
    ) -> tuple[Head, bytes, str]:
        """Return the head of the reply to a request, its body, and where it came from; `limit` is one of SizeLimits.

        Raises:
            ExchangeFailed: there is none, or it is too long.
        """
        reply = await self._with_token(
            lambda secrets: self._http.ask(method, url, fields, body=body, secrets=secrets),
            own=_origin(url) == self._own,
        )
        try:
            return reply.head, await self._whole(reply, limit), reply.url
        finally:
            await reply.close()

    async def open(self, url: str, fields: Mapping[str, str], *, needs_token: bool, named_by: str) -> HttpReply:
        """Return the reply to a request for a file that a manifest names.

        Raises:
            ExchangeFailed: there is none.
        """
        return await self._with_token(
            lambda secrets: self._http.get(url, fields, named_by=named_by, secrets=secrets), own=needs_token
        )

    async def _with_token(self, asked: Callable[[dict[str, str]], Awaitable[HttpReply]], *, own: bool) -> HttpReply:
        secrets: dict[str, str] = {}
        token: str | None = None
        if own:
            secrets = self._access.secrets()
            if self._tokens is not None:
                token = await self._tokens.get()
                secrets["Authorization"] = f"Bearer {token}"
        reply = await asked(secrets)
        if reply.head.status == 401 and self._tokens is not None and token is not None:
            await reply.close()
            secrets["Authorization"] = f"Bearer {await self._tokens.get(refused=token)}"
            reply = await asked(secrets)
        return reply

    async def _ask_for_token(
        self, method: str, url: str, fields: dict[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        reply = await self._http.ask(method, url, {**fields, "Accept-Encoding": "identity"}, body=body, secrets={})
        try:
            return reply.head.status, await self._whole(reply)
        finally:
            await reply.close()

    async def _whole(self, reply: HttpReply, limit: str = "reply_bytes") -> bytes:
        body = bytearray()
        began = time.monotonic()
        while piece := await reply.read():
            body += piece
            if len(body) > getattr(self._size_limits, limit):
                raise ExchangeFailed(f"the reply is longer than {self._size_limits.told(limit)}", passing=False)
            if time.monotonic() - began > self._limits.first_byte_s + self._limits.stall_s:
                raise ExchangeFailed("the reply does not come to its end", passing=True)
        return bytes(body)


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc.rpartition("@")[2]
