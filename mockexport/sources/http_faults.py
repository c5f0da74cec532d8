"""Turns what aiohttp raises into words of our own, once, at the seam: what happened, and whether another try may help.

The texts of foreign exceptions are not passed on: they may hold the query or credentials of a URL. And as they stay
chained to what is raised, those that hold a request or the way to a proxy lose it here: a traceback would show it.
"""

import errno
import os
import re
import ssl

import aiohttp
from aiohttp import http_exceptions
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from mockexport.resuming.exchange import ExchangeFailed
from mockexport.sources.addresses import AddressRefused

__all__ = ["FOREIGN_ERRORS", "LINK_LOCAL", "explain"]

LINK_LOCAL = (
    "the address is link-local or a cloud's, where credentials are handed out, and is refused"
    " (Access.link_local allows it)"
)

# Everything that a request or a body may raise.
FOREIGN_ERRORS = (
    aiohttp.ClientError,
    http_exceptions.HttpProcessingError,
    TimeoutError,
    OSError,
    ssl.SSLError,
    ValueError,
)


# What OpenSSL calls the verdicts on a certificate (X509_V_ERR_…).
_NOT_YET_VALID, _EXPIRED, _OTHER_NAMES = 9, 10, frozenset({62, 64})
_UNKNOWN_AUTHORITY = frozenset({2, 18, 19, 20, 21})
# What OpenSSL says when the other side sends something else than TLS.
_NO_TLS = frozenset({"WRONG_VERSION_NUMBER", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", "UNKNOWN_PROTOCOL"})
_NO_DESCRIPTORS = frozenset({errno.EMFILE, errno.ENFILE})


def explain(error: BaseException, *, tls: bool | None = None) -> ExchangeFailed:
    """Return what one of FOREIGN_ERRORS means; `tls` tells what an answer was asked for by, where it was."""
    if isinstance(error, aiohttp.ClientError | ValueError) and not isinstance(error, OSError):
        _forget_secrets(error)
    if (fault := _tls_fault(error)) is not None:
        return ExchangeFailed(fault, passing=False)
    found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(found, AddressRefused):
        return ExchangeFailed(LINK_LOCAL, passing=False)
    if isinstance(found, OSError) and found.errno in _NO_DESCRIPTORS:
        return ExchangeFailed(
            "this machine lets the process open no more files and connections: raise the limit (ulimit -n), or fetch"
            " fewer downloads at once",
            passing=True,
        )
    match error:
        case aiohttp.ClientConnectorDNSError():
            return ExchangeFailed("the host name could not be resolved", passing=True, silent=True)
        case aiohttp.ClientProxyConnectionError():
            return ExchangeFailed("no connection to the proxy (Access.proxy)", passing=True)
        case aiohttp.ClientConnectorError():
            return ExchangeFailed(f"no connection ({_reason(error.os_error)})", passing=True, silent=True)
        case aiohttp.ClientHttpProxyError(status=407):
            problem = "status 407: the proxy asks for a name and password, which go into its URL (Access.proxy)"
            return ExchangeFailed(problem, passing=False)
        case aiohttp.ClientHttpProxyError():
            return ExchangeFailed(f"the proxy refuses (status {error.status})", passing=error.status >= 500)
        case aiohttp.ServerDisconnectedError():
            may_be = {
                None: "",
                False: "; is it an https:// URL?",
                True: "; does it ask for a certificate (Access.cert)?",
            }
            return ExchangeFailed(
                f"the server closed the connection before it answered{may_be[tls]}", passing=True, silent=tls is None
            )
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


def _forget_secrets(error: BaseException) -> None:
    """Take URLs, header fields and the way to a proxy out of an error: its kind, and what the system said, stay."""
    error.args = tuple(fact for fact in error.args if isinstance(fact, OSError))
    if isinstance(error, aiohttp.ClientResponseError):
        nowhere = URL("https://***", encoded=True)
        error.request_info = aiohttp.RequestInfo(nowhere, "GET", CIMultiDictProxy(CIMultiDict()), nowhere)
        error.history, error.headers = (), None
    elif isinstance(error, aiohttp.InvalidURL):
        aiohttp.InvalidURL.__init__(error, "***")
        error.__cause__ = None


def _tls_fault(error: BaseException) -> str | None:
    """Say what went wrong with TLS, if that is what did, and what helps."""
    found = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        found = error.certificate_error
    if isinstance(found, ssl.SSLCertVerificationError):
        match found.verify_code:
            case code if code == _EXPIRED:
                return "the server's TLS certificate has expired (or this machine's clock is wrong)"
            case code if code == _NOT_YET_VALID:
                return "the server's TLS certificate is not valid yet (or this machine's clock is wrong)"
            case code if code in _OTHER_NAMES:
                return "the server's TLS certificate is for another name than the URL's; use the name it is for"
            case code if code in _UNKNOWN_AUTHORITY:
                return (
                    "the server's TLS certificate is not trusted, as it is of an authority that is not known here; name"
                    " the file with that authority's own certificate (Access.cacert)"
                )
        return f"the server's TLS certificate is not trusted ({found.verify_message})"
    # In the middle of a connection aiohttp passes on OpenSSL's text alone: its name for what happened is in it.
    named = re.search(r"\[SSL: ([A-Z0-9_]+)\]", str(getattr(found, "strerror", None) or ""))
    if named is None:
        return None
    reason = named[1]
    if reason in _NO_TLS:
        return "what answers there does not speak TLS; is it an http:// URL?"
    if "CERTIFICATE_REQUIRED" in reason or reason.endswith("HANDSHAKE_FAILURE"):
        return "the server asks for a certificate, and got none that it takes (Access.cert, Access.key)"
    if "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
        told = reason.partition("ALERT_")[2].lower().replace("_", " ")
        return f"the server does not take the certificate that it got ({told}; Access.cert, Access.key)"
    return f"TLS failed ({reason.lower().replace('_', ' ')})"


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
