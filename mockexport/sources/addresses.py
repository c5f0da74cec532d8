"""Addresses that are refused: link-local ones, and those at which clouds hand out credentials to their machines.

A URL that somebody else wrote (in a list, or as a redirect) could make this machine ask there on his behalf. What a
name means can change between two questions, so the last check is made with the address that a socket is about to be
connected to; the check of a URL's text is for what a proxy would connect to.
"""

import errno
import ipaddress
import socket
from collections.abc import Iterator
from typing import Any

__all__ = ["AddressRefused", "is_refused", "open_socket"]

# Where clouds do so outside the link-local ranges: AWS and Google over IPv6, Alibaba, Azure, Oracle.
_CLOUDS = frozenset(
    map(
        ipaddress.ip_address,
        ("fd00:ec2::254", "fd20:ce::254", "100.100.100.200", "168.63.129.16", "192.0.0.192"),
    )
)
# IPv4 addresses as translators write them (RFC 6052, section 2.1), and as they once were written.
_TRANSLATED = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
# As getaddrinfo gives it: family, kind, protocol, name, and the place, whose form is the family's.
_Address = tuple[int | socket.AddressFamily, int | socket.SocketKind, int, str, tuple[Any, ...]]


class AddressRefused(OSError):  # noqa: N818 - a state of the world, named as one
    """A socket would have been connected to such an address."""


def is_refused(host: str) -> bool:
    """Tell whether a host is such an address, in any spelling that is looked up as one; a name is none."""
    text = host.strip("[]").partition("%")[0].rstrip(".")
    try:
        ip: _IP = ipaddress.ip_address(text)
    except ValueError:
        try:
            ip = ipaddress.IPv4Address(socket.inet_aton(text))  # 2852039166, 0xa9fea9fe, 0251.0376.43518
        except (OSError, UnicodeEncodeError):
            return False
    return any(meant.is_link_local or meant in _CLOUDS for meant in _meant(ip))


def _meant(ip: _IP) -> Iterator[_IP]:
    """Yield an address, and the IPv4 address that is in it, if one is."""
    yield ip
    if isinstance(ip, ipaddress.IPv6Address):
        yield from filter(None, (ip.ipv4_mapped, ip.sixtofour, *(ip.teredo or ())))
        if any(ip in network for network in _TRANSLATED):
            yield ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)


def open_socket(address: _Address) -> socket.socket:
    """Return a socket to be connected to an address.

    Raises:
        AddressRefused: it must not be.
    """
    family, kind, protocol, _, place = address
    if is_refused(str(place[0])):
        raise AddressRefused(errno.EACCES, "refused")
    return socket.socket(family, kind, protocol)
