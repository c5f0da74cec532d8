"""Turns what aiohttp raises into words of our own, once, at the seam: what happened, and whether another try may help.

The texts of foreign exceptions are not passed on: they may hold the query or credentials of a URL.
"""

import os
import ssl
from dataclasses import dataclass

import aiohttp

__all__ = ["FOREIGN_ERRORS", "RETRYABLE_STATUSES", "Fault", "explain"]

# Everything that a request or a body may raise.
FOREIGN_ERRORS = (aiohttp.ClientError, TimeoutError, OSError, ssl.SSLError, ValueError)

# Statuses that may pass (RFC 9110, section 15, and RFC 6585); all others are final.
RETRYABLE_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Fault:
    """What happened, in words, and whether it may pass."""

    problem: str
    passing: bool


def explain(error: BaseException) -> Fault:
    """Return what one of FOREIGN_ERRORS means."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return Fault("the host name could not be resolved", passing=True)
        case aiohttp.ClientConnectorCertificateError():
            return Fault("the server's TLS certificate is not trusted", passing=False)
        case aiohttp.ClientConnectorError():
            return Fault(f"no connection ({_reason(error.os_error)})", passing=True)
        case aiohttp.ConnectionTimeoutError():
            return Fault("no connection within the time limit", passing=True)
        case aiohttp.SocketTimeoutError():
            return Fault("no bytes came within the time limit", passing=True)
        case aiohttp.ServerDisconnectedError():
            return Fault("the server closed the connection before it answered", passing=True)
        case aiohttp.ClientPayloadError():
            return Fault("the body broke off before its end", passing=True)
        case aiohttp.TooManyRedirects():
            return Fault("too many redirects", passing=False)
        case aiohttp.InvalidURL() | ValueError():
            return Fault("the URL, or one it redirects to, is not usable", passing=False)
        case aiohttp.ClientResponseError():
            return Fault("the reply is not valid HTTP", passing=True)
        case TimeoutError():
            return Fault("the time limit was reached", passing=True)
        case OSError():
            return Fault(f"the connection failed ({_reason(error)})", passing=True)
    return Fault(f"the request failed ({type(error).__name__})", passing=False)


def _reason(error: OSError) -> str:
    # asyncio puts the address, as a tuple, where the system's words were.
    system = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else None
    return (system or error.strerror or type(error).__name__).lower()
