"""Who may ask a server of this project: by which names it goes, pages of which origin, with what bodies.

A browser on the server's own machine is a way in for every page that is open in it: a page may post text to
127.0.0.1, and by a name of its own that suddenly means 127.0.0.1 (DNS rebinding) it may read the replies, too. So a
request names one of the server's names in `Host`, comes from no other origin, and brings JSON or nothing: a page from
elsewhere cannot send JSON unless the server agrees first, and this one never does.

Rules: pure. `Door.refusal` takes a request's facts and returns what it is refused with; the servers answer.
"""

import ipaddress
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from mockexport.errors import OptionError

__all__ = ["Asked", "Door", "Refusal", "is_loopback", "own_names"]

# RFC 9110, section 7.2: a host and perhaps a port. An IPv6 address is in brackets.
_AUTHORITY = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._\-]+)(?::([0-9]{1,5}))?", re.ASCII)
_ORIGIN = re.compile(r"(https?)://(.+)", re.ASCII | re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Refusal:
    """What a request is answered that may not be made."""

    status: int
    detail: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The facts of a request that decide whether it may be made.

    Args:
        method: in upper case.
        scheme: `http` or `https`.
        local: the address at which the connection came in, "" where there is none, as at a Unix socket.
        headers: names in any case, with their values.
        target: the host in the request's target, where it is a whole URL (RFC 9112, section 3.2.2).
    """

    method: str
    scheme: str
    local: str
    headers: Iterable[tuple[bytes, bytes]]
    target: str | None = None


@dataclass(frozen=True, slots=True)
class Door:
    """Lets requests in, or says why not.

    Args:
        names: the server's names and addresses (see `own_names`) beside `localhost`, loopback addresses and the address
            at which a connection came in.
        bodies: methods whose requests always bring JSON; others may have no body.
    """

    names: frozenset[str] = frozenset()
    bodies: frozenset[str] = frozenset()

    def refusal(self, asked: Asked) -> Refusal | None:
        """Return why a request may not be made, None if it may."""
        hosts, origins, kinds, body = [], [], [], False
        for name, value in asked.headers:
            match name.lower():
                case b"host":
                    hosts.append(value)
                case b"origin":
                    origins.append(value)
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
        if (body or asked.method in self.bodies) and [_media_type(kind) for kind in kinds] != [b"application/json"]:
            return Refusal(415, "Content-Type: must be application/json")
        return None

    def _own(self, origin: bytes, asked: Asked, port: int) -> bool:
        found = _ORIGIN.fullmatch(origin.decode("latin-1"))
        if found is None or found[1].lower() != asked.scheme:
            return False
        page = _authority(found[2].encode("latin-1"), asked.scheme)
        return page is not None and page[1] == port and _is_own(page[0], asked.local, self.names)


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
