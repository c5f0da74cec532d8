"""HTTP with aiohttp: sessions, redirects, secrets, proxy, certificates; replies as `exchange` has them.

Rules: this is where foreign exceptions end. Secrets (the token, the extra headers) go to the origin that the user named
and to no other, whatever it redirects to, and appear in no message, log or repr. What is not asked for (decoding,
redirects, waiting) aiohttp is told not to do.
"""

import asyncio
import base64
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote, urljoin, urlsplit

import aiohttp
from yarl import URL

from mockexport.errors import OptionError, SourceNotOpen
from mockexport.keys import load_pair, tls_fault
from mockexport.newfile import check_regular
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.resuming.replies import Head
from mockexport.resuming.retrying import TimeLimits
from mockexport.shown import given_url
from mockexport.sources.addresses import is_refused, open_socket
from mockexport.sources.http_faults import FOREIGN_ERRORS, LINK_LOCAL, explain
from mockexport.sources.receiving import Receiver, take_over

__all__ = ["Access", "HttpClient", "HttpReply"]

MAX_REDIRECTS = 5
# aiohttp stops reading a connection at twice this, which the event loop's second reading goes just beyond: these two
# lie ready for each download, and more would only be memory.
READ_BUFFER_BYTES = 96 * 1024
# aiohttp's own 8,190 bytes for a line of the head are less than what signed URLs and policies come to: 32 KiB of value,
# and room for the name.
MAX_FIELD_BYTES = 33 * 1024
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_ABSOLUTE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:")
_ASCII = bytes(range(0x21, 0x7F)).decode()
# These are of our own making, and others would break framing or resuming.
_RESERVED_FIELDS = frozenset(
    {"accept-encoding", "connection", "content-length", "host", "if-range", "range", "transfer-encoding"}
)


@dataclass(frozen=True, slots=True)
class Access:
    """How to get at a server. What may be secret is kept out of the repr.

    Args:
        token: sent as `Authorization: Bearer …`.
        headers: further header fields.
        proxy: URL of an HTTP proxy.
        cacert: a file of CA certificates to trust instead of the system's.
        cert: a file with a certificate to show to the server, if it asks who is there; to no other server.
        key: the file with its private key, without a passphrase; by default that of `cert`.
        link_local: connect to link-local addresses, too, where clouds hand out credentials to their machines.
    """

    token: str | None = field(default=None, repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    proxy: str | None = field(default=None, repr=False)
    cacert: str | Path | None = None
    cert: str | Path | None = None
    key: str | Path | None = None
    link_local: bool = False

    def __post_init__(self) -> None:
        if self.token is not None and not (self.token and self.token.isascii() and self.token.isprintable()):
            raise OptionError("token", "must be one line of visible ASCII characters")
        for name, value in self.headers:
            if not name or not name.isascii() or not all(c.isalnum() or c in "!#$%&'*+-.^_`|~" for c in name):
                # What was said is not repeated: where the colon is missing, the secret is all there is.
                raise OptionError("header", "what stands before the colon is no name of a header field")
            if any(c in value for c in "\r\n\0"):
                raise OptionError("header", f"the value of {name} must be one line")
            if name.lower() in _RESERVED_FIELDS:
                raise OptionError("header", f"{name} is the download's own business")
        if self.proxy is not None and (urlsplit(self.proxy).scheme != "http" or not urlsplit(self.proxy).hostname):
            raise OptionError("proxy", f"{given_url(self.proxy)!a} is no http:// URL of a proxy")
        if self.key is not None and self.cert is None:
            raise OptionError("key", "goes with a certificate (Access.cert)")

    def secrets(self) -> dict[str, str]:
        """Return the header fields that are for the user's origin alone."""
        fields = dict(self.headers)
        return fields if self.token is None else fields | {"Authorization": f"Bearer {self.token}"}

    def ssl_context(self, *, own: bool = True) -> ssl.SSLContext | bool:
        """Return what TLS is to trust; with the user's certificate, if the server is the user's `own`.

        Raises:
            OptionError: a file cannot be used.
        """
        if self.cacert is None and self.cert is None:
            return True
        try:
            if self.cacert is not None:
                check_regular(self.cacert)
        except OSError as error:
            raise OptionError("cacert", f"{self.cacert} cannot be read: {error.strerror}") from error
        try:
            context = ssl.create_default_context(cafile=None if self.cacert is None else str(self.cacert))
        except (OSError, ssl.SSLError) as error:
            raise OptionError(
                "cacert", f"{self.cacert} holds no certificates that can be used ({tls_fault(error)})"
            ) from error
        if own and self.cert is not None:
            load_pair(context, self.cert, self.key)
        return context


class HttpReply:
    """An aiohttp response as an exchange.Reply."""

    def __init__(self, response: aiohttp.ClientResponse, paths: tuple[str, ...]) -> None:
        self._response = response
        self.url: str = str(response.url)  # after redirects, without credentials
        self.head: Head = Head(response.status, tuple(response.headers.items()), _origin(response.url), paths)
        # The pieces of a chunked body are small, and come joined; others go on as they came, which saves a copy.
        self._chunked = "chunked" in response.headers.get("Transfer-Encoding", "").lower()
        self._receiver: Receiver | None = None
        self._is_taken_over = False

    async def read(self) -> bytes:
        """Return the body's next bytes (see Reply.read)."""
        try:
            if self._chunked:
                return await self._response.content.readany()
            return (await self._response.content.readchunk())[0]
        except FOREIGN_ERRORS as error:
            raise explain(error) from error

    async def receive(self, into: memoryview) -> bytes | memoryview:
        """Return the body's next bytes, received into memory where that can be (see ReceivingReply.receive)."""
        if not self._is_taken_over:
            self._is_taken_over = True
            try:
                buffered, self._receiver = take_over(self._response)
            except FOREIGN_ERRORS as error:
                raise explain(error) from error
            if buffered:
                return buffered
        if self._receiver is None:
            return await self.read()
        return into[: await self._receiver.receive(into)]

    def flush(self) -> int:
        """Have a pending `receive` return what has come (see ReceivingReply.flush)."""
        return 0 if self._receiver is None else self._receiver.flush()

    def abort(self, reason: str) -> None:
        """Make a pending read fail, and every later one."""
        failed = ExchangeFailed(reason, passing=True)
        if self._receiver is not None:
            self._receiver.abort(failed)
        else:
            self._response.content.set_exception(failed)

    async def close(self) -> None:
        """Let go of the connection: back into the pool after the whole body, closed otherwise."""
        if self._receiver is not None:
            self._receiver.close()
        elif self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class HttpClient:
    """Asks one server, and wherever it redirects to.

    Args:
        base: the URL whose origin may see the secrets.
        session: a session of the caller's, left open; by default one is made and closed by `async with`.
    """

    def __init__(self, base: str, *, session: aiohttp.ClientSession | None, access: Access, limits: TimeLimits) -> None:
        at = URL(base, encoded=True)
        self._origin = _origin(at)
        self._secrets = access.secrets()
        if at.user is not None or at.password is not None:
            if access.token is not None:
                raise OptionError("token", "the URL holds credentials, too; give one of the two")
            credentials = f"{at.user or ''}:{at.password or ''}".encode()
            self._secrets["Authorization"] = f"Basic {base64.b64encode(credentials).decode()}"
        self._given_session = session
        self._session = session
        self._access = access
        self._ssl = access.ssl_context()
        self._ssl_elsewhere = access.ssl_context(own=False)
        self._system_ssl: ssl.SSLContext | None = None
        self._limits = limits
        self._timeout = aiohttp.ClientTimeout(
            total=None, connect=limits.connect_s, sock_connect=limits.connect_s, sock_read=None
        )

    async def __aenter__(self) -> Self:
        if self._session is None:
            # Downloads in flight are bounded by the pipeline; the pool must not bound them a second time.
            opener = None if self._access.link_local else open_socket
            self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0, socket_factory=opener))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._session is not None and self._given_session is None:
            await self._session.close()
            self._session = None

    def require_open(self, name: str) -> aiohttp.ClientSession:
        """Return the session.

        Raises:
            SourceNotOpen: outside the `async with`.
        """
        if self._session is None:
            raise SourceNotOpen(name)
        return self._session

    async def get(
        self,
        url: str,
        fields: Mapping[str, str],
        *,
        named_by: str | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Return the reply to a GET, redirects followed; under their rules is a URL, too, that is `named_by` another.

        With `secrets`, those go to the URL's own origin, and the user's to none.

        Raises:
            ExchangeFailed: there is none, or it lies where it must not be fetched from.
            SourceNotOpen: outside the `async with`.
        """
        return await self.ask("GET", url, fields, named_by=named_by, secrets=secrets)

    async def ask(
        self,
        method: str,
        url: str,
        fields: Mapping[str, str],
        *,
        body: bytes | None = None,
        named_by: str | None = None,
        secrets: Mapping[str, str] | None = None,
    ) -> HttpReply:
        """Return the reply to any request, as `get` does; redirects of a GET alone are followed."""
        self.require_open(url)
        at = URL(url, encoded=True)
        paths: tuple[str, ...] = ()
        given = None if secrets is None else (_origin(at), secrets)
        for turn in range(MAX_REDIRECTS + 1):
            try:
                paths += (at.raw_path,)
                if named_by is not None and turn == 0:
                    await self._check(URL(named_by, encoded=True), at, "a link")
                response = await self._ask(method, at, fields, body, given)
                if method != "GET" or response.status not in _REDIRECTS or "Location" not in response.headers:
                    return HttpReply(response, paths)
                target = response.headers["Location"]
                response.close()
                at = await self._follow(at, target)
            except aiohttp.ConnectionTimeoutError as error:
                limit_s = self._limits.connect_s
                problem = f"no connection within the time limit ({limit_s:g} s)"
                raise ExchangeFailed(problem, passing=True, silent=True) from error
            except FOREIGN_ERRORS as error:
                raise explain(error, tls=at.scheme == "https") from error
        raise ExchangeFailed(f"more than {MAX_REDIRECTS} redirects", passing=False)

    async def _ask(
        self,
        method: str,
        at: URL,
        fields: Mapping[str, str],
        body: bytes | None,
        given: tuple[str, Mapping[str, str]] | None,
    ) -> aiohttp.ClientResponse:
        if not self._access.link_local and is_refused(at.raw_host or ""):
            raise ExchangeFailed(LINK_LOCAL, passing=False)  # a proxy would connect to it
        own = _origin(at) == self._origin
        origin, secrets = (self._origin, self._secrets) if given is None else given
        secrets = secrets if _origin(at) == origin else {}
        return await self.require_open(str(at)).request(
            method,
            at.with_user(None),  # the user's are among the secrets, and a redirect's are nobody's
            data=body,
            headers={**secrets, **fields},
            allow_redirects=False,
            auto_decompress=False,
            proxy=self._access.proxy,
            ssl=self._trusted(own=own, tls=at.scheme == "https"),
            timeout=self._timeout,
            read_bufsize=READ_BUFFER_BYTES,
            max_line_size=MAX_FIELD_BYTES,
            max_field_size=MAX_FIELD_BYTES,
        )

    def _trusted(self, *, own: bool, tls: bool) -> ssl.SSLContext | bool:
        """Return what TLS is to trust; of a session of our own that is never aiohttp's default (see importing)."""
        found = self._ssl if own else self._ssl_elsewhere
        if found is not True or not tls or self._given_session is not None:
            return found
        if self._system_ssl is None:
            self._system_ssl = ssl.create_default_context()
        return self._system_ssl

    async def _follow(self, at: URL, location: str) -> URL:
        """Return where a redirect leads, if that is a place to go: byte for byte, as a signature covers its spelling.

        Only what no request line can hold is encoded: spaces, and bytes beyond ASCII.
        """
        if _ABSOLUTE.match(location):
            whole = location
        elif location.startswith("/") and not location.startswith("//"):
            whole = f"{at.scheme}://{at.raw_authority}{location}"  # urljoin would take out empty segments
        else:
            whole = urljoin(str(at), location)
        if urlsplit(whole).netloc.isascii():
            target = URL(quote(whole, safe=_ASCII, errors="surrogateescape"), encoded=True)
        else:
            target = URL(whole)  # a name that is to be encoded; no signature is known that covers one
        await self._check(at, target, "a redirect")
        return target

    async def _check(self, at: URL, target: URL, what: str) -> None:
        """Raise unless something that came from `at` may lead to `target`."""
        if target.scheme not in ("http", "https") or not target.host:
            raise ExchangeFailed(f"{what} to a {target.scheme[:20]!a} address, which is refused", passing=False)
        if at.scheme == "https" and target.scheme == "http":
            raise ExchangeFailed(f"{what} from https to http, which is refused", passing=False)
        if self._given_session is not None and self._access.proxy is None and not self._access.link_local:
            # The caller's own way to connect. The name may be looked up again, with another answer, but a cloud's
            # credentials are worth a check that is not perfect.
            found = await asyncio.get_running_loop().getaddrinfo(target.host, target.port)
            if any(is_refused(str(address[4][0])) for address in found):
                raise ExchangeFailed(LINK_LOCAL, passing=False)


def _origin(url: URL) -> str:
    return f"{url.scheme}://{url.host}:{url.port}"
