"""Turns what aiohttp raises into words of our own, once, at the seam: what happened, and whether another try may help.

The texts of foreign exceptions are not passed on: they may hold the query or credentials of a URL.
"""

import os
import ssl

import aiohttp
from aiohttp import http_exceptions

from mockexport.resuming.exchange import ExchangeFailed

__all__ = ["FOREIGN_ERRORS", "explain"]

# Everything that a request or a body may raise.
FOREIGN_ERRORS = (
    aiohttp.ClientError,
    http_exceptions.HttpProcessingError,
    TimeoutError,
    OSError,
    ssl.SSLError,
    ValueError,
)


def explain(error: BaseException) -> ExchangeFailed:
    """Return what one of FOREIGN_ERRORS means."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return ExchangeFailed("the host name could not be resolved", passing=True)
        case aiohttp.ClientConnectorCertificateError():
            return ExchangeFailed("the server's TLS certificate is not trusted", passing=False)
        case aiohttp.ClientProxyConnectionError():
            return ExchangeFailed("no connection to the proxy", passing=True)
        case aiohttp.ClientConnectorError():
            return ExchangeFailed(f"no connection ({_reason(error.os_error)})", passing=True)
        case aiohttp.ClientHttpProxyError():
            return ExchangeFailed(f"the proxy refuses (status {error.status})", passing=error.status >= 500)
        case aiohttp.ServerDisconnectedError():
            return ExchangeFailed("the server closed the connection before it answered", passing=True)
        case aiohttp.ClientPayloadError() | http_exceptions.PayloadEncodingError():
            return ExchangeFailed("the body broke off before its end", passing=True)
        case aiohttp.InvalidURL() | aiohttp.NonHttpUrlClientError() | ValueError():
            return ExchangeFailed("the URL, or one it redirects to, is not usable", passing=False)
        case aiohttp.ClientResponseError() | http_exceptions.HttpProcessingError():
            return ExchangeFailed(f"the reply is not valid HTTP ({_fault(error)})", passing=True, protocol=True)
        case TimeoutError():
            return ExchangeFailed("the time limit was reached", passing=True)
        case OSError():
            return ExchangeFailed(f"the connection failed ({_reason(error)})", passing=True)
    return ExchangeFailed(f"the request failed ({type(error).__name__})", passing=False)


def _reason(error: OSError) -> str:
    if isinstance(error, ssl.SSLError):  # its number is OpenSSL's, and would be taken for the system's
        return (error.reason or type(error).__name__).replace("_", " ").lower()
    # asyncio puts the address, as a tuple, where the system's words were.
    system = os.strerror(error.errno) if error.errno is not None and error.errno > 0 else None
    return (system or error.strerror or type(error).__name__).lower()


def _fault(error: BaseException) -> str:
    """Say what is wrong with a head, without repeating any of it: it may be 10 MB long, or hold a secret."""
    match error.__cause__ or error:
        case http_exceptions.LineTooLong():
            return "a header that is too long"
        case http_exceptions.BadStatusLine():
            return "a bad status line"
        case http_exceptions.InvalidHeader():
            return "a bad header"
    return "a head that contradicts itself or is too long"
