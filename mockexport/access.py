"""Who may ask a server of this project: by which names it goes, pages of which origin, with which token, what bodies.

A browser on the server's own machine is a way in for every page that is open in it: a page may post text to
127.0.0.1, and by a name of its own that suddenly means 127.0.0.1 (DNS rebinding) it may read the replies, too. So a
request names one of the server's names in `Host`, comes from no other origin, and brings JSON or nothing: a page from
elsewhere cannot send JSON unless the server agrees first, and this one never does.

Tokens are stored as SHA-256 of what was drawn at random: who reads the file cannot use them, and no salt is needed.

Rules: pure, but for the file of tokens, which is read once. `Door.refusal` takes a request's facts and returns what it
is refused with; the servers answer.
"""

import hashlib
import hmac
import ipaddress
import re
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mockexport.errors import OptionError

__all__ = ["RIGHTS", "Asked", "Door", "Refusal", "Tokens", "is_loopback", "new_token", "own_names"]

# RFC 9110, section 7.2: a host and perhaps a port. An IPv6 address is in brackets.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(?::([0-9]{1,5}))?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://(.+)", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}

# What a token may be for. `admin` may do all that the others may, and delete.
RIGHTS = ("write", "read", "admin")
# What a method needs; all others read.
_NEEDED: Mapping[str, str] = {"POST": "write", "PUT": "write", "PATCH": "write", "DELETE": "admin"}
_TOKEN_LINE = re.compile(r"([!-+\--~]{1,100})[ \t,]+(write|read|admin)[ \t,]+([0-9A-Fa-f]{64})", re.ASCII)
_REALM = 'Bearer realm="mockexport"'
# Enough for every device of a hospital, and each request is compared with all of them.
_MAX_TOKENS = 1_000
_MAX_FILE_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a request is answered that may not be made."""

    status: int
    detail: str
    # The WWW-Authenticate field of a 401 or 403, where a token would help.
    challenge: str | None = None


@dataclass(frozen=True, slots=True)
class Asked:
    """The facts of a request that decide whether it may be made.

    Args:
        method: in upper case.
        scheme: `http` or `https`.
        local: the address at which the connection came in, "" where there is none, as at a Unix socket.
        headers: names in any case, with their values.
        path: of the target, decoded.
        target: the host in the request's target, where it is a whole URL (RFC 9112, section 3.2.2).
    """

    method: str
    scheme: str
    local: str
    headers: Iterable[tuple[bytes, bytes]]
    path: str = "/"
    target: str | None = None


class Tokens:
    """The tokens that a server knows: of each its name, what it is for, and the SHA-256 of it."""

    def __init__(self, known: Iterable[tuple[str, str, bytes]]) -> None:
        self._known = tuple(known)

    def __len__(self) -> int:
        return len(self._known)

    @classmethod
    def read(cls, path: Path) -> "Tokens":
        """Read a file of tokens: a line each, of a name, `write`, `read` or `admin`, and the SHA-256 in hexadecimal.

        Empty lines, and those that begin with #, are left out.

        Raises:
            OptionError: it cannot be read, a line is none, a name or token is there twice, or there is no token.
        """
        try:
            with path.open("rb") as file:
                data = file.read(_MAX_FILE_BYTES + 1)
        except OSError as error:
            raise OptionError("token_file", f"{path} cannot be read: {error.strerror}") from error
        known: dict[bytes, tuple[str, str, bytes]] = {}
        names = set()
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if not line.strip() or line.startswith("#"):
                continue
            found = _TOKEN_LINE.fullmatch(line.strip())
            where = f"{path}, line {number}"
            if found is None:
                raise OptionError(
                    "token_file", f"{where}: is not a name, write, read or admin, and a SHA-256 in hexadecimal digits"
                )
            name, right, digest = found[1], found[2], bytes.fromhex(found[3])
            if name in names or digest in known:
                raise OptionError("token_file", f"{where}: its name or its token is there already")
            names.add(name)
            known[digest] = (name, right, digest)
        if not known or len(known) > _MAX_TOKENS or len(data) > _MAX_FILE_BYTES:
            raise OptionError("token_file", f"{path} holds {len(known):,} tokens; it must be 1 to {_MAX_TOKENS:,}")
        return cls(known.values())

    @classmethod
    def one(cls, token: str) -> "Tokens":
        """Return one token alone, which may do everything.

        Raises:
            OptionError: it is none that could stand in a request.
        """
        if not re.fullmatch("[!-~]+", token):
            raise OptionError("token", "must be printable ASCII without spaces, and not empty")
        return cls([("the one", "admin", hashlib.sha256(token.encode()).digest())])

    def right_of(self, token: bytes) -> str | None:
        """Return what a token is for, None if nobody knows it, in a time that tells nothing of those that are known."""
        digest = hashlib.sha256(token).digest()
        right = None
        for _, its_right, its_digest in self._known:
            if hmac.compare_digest(digest, its_digest):
                right = its_right
        return right


def new_token(name: str, right: str) -> tuple[str, str]:
    """Draw a token; return it, and the line for the file of tokens that lets it in.

    Raises:
        OptionError: `name` or `right` cannot stand in such a line.
    """
    token = secrets.token_urlsafe(32)
    line = f"{name} {right} {hashlib.sha256(token.encode()).hexdigest()}"
    if right not in RIGHTS:
        raise OptionError("right", f"{right!a} is none of {', '.join(RIGHTS)}")
    if not _TOKEN_LINE.fullmatch(line) or name.startswith("#"):
        raise OptionError("name", f"{name!a} must be up to 100 letters, digits and signs, without space or comma")
    return token, line


@dataclass(frozen=True, slots=True)
class Door:
    """Lets requests in, or says why not.

    Args:
        names: the server's names and addresses (see `own_names`) beside `localhost`, loopback addresses and the address
            at which a connection came in.
        bodies: methods whose requests always bring JSON; others may have no body.
        tokens: those of which each request must bring one; None lets all in.
        open_paths: paths that need no token.
        kinds: the media types that a body may have.
    """

    names: frozenset[str] = frozenset()
    bodies: frozenset[str] = frozenset()
    tokens: Tokens | None = None
    open_paths: frozenset[str] = frozenset()
    kinds: frozenset[bytes] = frozenset({b"application/json"})

    def refusal(self, asked: Asked) -> Refusal | None:
        """Return why a request may not be made, None if it may."""
        hosts, origins, kinds, credentials, body = [], [], [], [], False
        for name, value in asked.headers:
            match name.lower():
                case b"host":
                    hosts.append(value)
                case b"origin":
                    origins.append(value)
                case b"authorization":
                    credentials.append(value)
                case b"content-type":
                    kinds.append(value)
                case b"content-length":
                    body = body or value.strip() != b"0"
                case b"transfer-encoding":
                    body = True
        if len(hosts) != 1:
            return Refusal(400, "Host: is missing" if not hosts else "Host: is given more than once")
        host = _authority(hosts[0], asked.scheme)
        if host is None:
            return Refusal(400, "Host: is no name or address of a host")
        if not all(_is_own(_plain(name), asked.local, self.names) for name in (host[0], asked.target or host[0])):
            return Refusal(421, "Host: is none of this server's names; host_name gives it one")
        if origins and not all(self._own(origin, asked, port=host[1]) for origin in origins):
            return Refusal(403, "Origin: pages from elsewhere may not ask this server")
        if self.tokens is not None and asked.path not in self.open_paths:
            refusal = _judge(credentials, self.tokens, _NEEDED.get(asked.method, "read"))
            if refusal is not None:
                return refusal
        if (body or asked.method in self.bodies) and (len(kinds) != 1 or _media_type(kinds[0]) not in self.kinds):
            wanted = " or ".join(sorted(kind.decode() for kind in self.kinds))
            return Refusal(415, f"Content-Type: must be {wanted}")
        return None

    def _own(self, origin: bytes, asked: Asked, port: int) -> bool:
        found = _ORIGIN.fullmatch(origin.decode("latin-1"))
        if found is None or found[1].lower() != asked.scheme:
            return False
        page = _authority(found[2].encode("latin-1"), asked.scheme)
        return page is not None and page[1] == port and _is_own(page[0], asked.local, self.names)


def _judge(credentials: list[bytes], tokens: Tokens, needed: str) -> Refusal | None:
    """Return what a request is refused with whose token does not give the right that it needs (RFC 6750)."""
    scheme, _, token = credentials[0].strip().partition(b" ") if len(credentials) == 1 else (b"", b"", b"")
    if scheme.lower() != b"bearer" or not token:
        return Refusal(401, "Authorization: a bearer token is needed", _REALM)
    right = tokens.right_of(token.strip())
    if right is None:
        return Refusal(401, "Authorization: the token is not known", f'{_REALM}, error="invalid_token"')
    if right not in (needed, "admin"):
        challenge = f'{_REALM}, error="insufficient_scope", scope="{needed}"'
        return Refusal(403, f"Authorization: the token is for {right}, this needs {needed}", challenge)
    return None


def own_names(host: str, further: Iterable[str]) -> frozenset[str]:
    """Return the names of a server that listens at `host` and has `further` ones.

    Raises:
        OptionError: one of `further` is neither a host's name nor an address.
    """
    names = {host.lower()}
    for name in further:
        found = _AUTHORITY.fullmatch(f"[{name}]" if ":" in name else name)
        if found is None:
            raise OptionError("host_name", f"{name!a} is no name of a host; without scheme, port and path, please")
        names.add(_plain(found[1].strip("[]")))
    return frozenset(names)


def is_loopback(host: str) -> bool:
    """Tell whether a name or address means this machine alone."""
    if _plain(host) == "localhost":
        return True
    address = _address(host)
    return address is not None and address.is_loopback


@lru_cache(maxsize=256)
def _authority(text: bytes, scheme: str) -> tuple[str, int] | None:
    """Return the host, without brackets, and the port of an authority; None if it is none."""
    found = _AUTHORITY.fullmatch(text.decode("latin-1").strip(" \t"))
    if found is None:
        return None
    host, port = _plain(found[1].strip("[]")), int(found[2] or _PORTS[scheme])
    if port > 65_535 or (found[1].startswith("[") and _address(host) is None):
        return None
    return host, port


@lru_cache(maxsize=256)
def _is_own(host: str, local: str, names: frozenset[str]) -> bool:
    if host in names or is_loopback(host):
        return True
    address = _address(host)
    return address is not None and address == _address(local)


def _plain(name: str) -> str:
    """Return a name as it is compared: a dot at its end and the case of its letters mean nothing."""
    return name.lower().removesuffix(".")


def _address(text: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    # An IPv4 client of a socket for both is told as ::ffff:192.0.2.1.
    return (address.ipv4_mapped or address) if isinstance(address, ipaddress.IPv6Address) else address


def _media_type(text: bytes) -> bytes:
    return text.partition(b";")[0].strip().lower()
