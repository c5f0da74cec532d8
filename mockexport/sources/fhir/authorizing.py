"""SMART Backend Services: a signed assertion out, a token in; one for all requests, and renewed before it expires.

Keys and tokens reach no log, error or repr. Signing takes the extra mockexport[fhir].
"""

import asyncio
import base64
import hashlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import msgspec

from mockexport.errors import OptionError
from mockexport.newfile import read_file
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.shown import foreign

__all__ = ["SigningKey", "Tokens", "read_key"]

MAX_KEY_BYTES = 256 * 1024
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
# Good for so long at most, says the standard; a little less, as clocks differ.
ASSERTION_S = 240
# A token is renewed when this share of its time, or these seconds, are left.
RENEW_SHARE, RENEW_S = 0.2, 60.0
# Where the server does not say how long a token is good.
USUAL_S = 300.0


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A private key, the algorithm that it signs with, and the name by which the server knows it."""

    kid: str
    algorithm: str
    key: Any = field(repr=False)


def read_key(path: str | Path) -> SigningKey:
    """Return the private key of a file: PEM, or a JWK or JWK set, of which the first private one is taken.

    A PEM has no key id: it is the key's thumbprint (RFC 7638).

    Raises:
        OptionError: the file cannot be read or holds none, or what signs is not installed.
    """
    try:
        import jwt
        from jwt.algorithms import ECAlgorithm, RSAAlgorithm
    except ImportError as error:
        raise OptionError("fhir-key", "needs one more package: pip install 'mockexport[fhir]'") from error
    try:
        data = read_file(path, MAX_KEY_BYTES)[:MAX_KEY_BYTES]
    except OSError as error:
        raise OptionError("fhir-key", f"{path} cannot be read: {error.strerror}") from error
    problem = f"{path} holds no private key for RS384 or ES384, as PEM without a passphrase or as JWK set"
    try:
        if data.lstrip().startswith(b"{"):
            found = msgspec.json.decode(data)
            listed = found.get("keys", [found])
            jwk = next(key for key in listed if "d" in key and key.get("kty") in ("RSA", "EC"))
        else:
            from cryptography.hazmat.primitives.serialization import load_pem_private_key

            private: Any = load_pem_private_key(data, None)
            is_rsa = type(private).__name__.lower().startswith("rsa") or (
                hasattr(private, "private_numbers") and hasattr(private.private_numbers(), "p")
            )
            jwk = (RSAAlgorithm if is_rsa else ECAlgorithm).to_jwk(private, as_dict=True)
        algorithm = "RS384" if jwk["kty"] == "RSA" else "ES384"
        if algorithm == "ES384" and jwk.get("crv") != "P-384":
            raise ValueError("another curve")
        kid = jwk.get("kid") or _thumbprint(jwk)
        return SigningKey(str(kid), algorithm, jwt.PyJWK({**jwk, "alg": algorithm}).key)
    except (StopIteration, ValueError, TypeError, KeyError, AttributeError, jwt.PyJWTError, msgspec.DecodeError):
        raise OptionError("fhir-key", problem) from None  # what was read is not repeated
    except Exception as error:
        # Of the library that reads keys: its errors are its own, and may quote.
        raise OptionError("fhir-key", f"{problem} ({type(error).__name__})") from None


def _thumbprint(jwk: dict[str, Any]) -> str:
    names = ("e", "kty", "n") if jwk["kty"] == "RSA" else ("crv", "kty", "x", "y")
    canonical = msgspec.json.encode({name: jwk[name] for name in names})
    return base64.urlsafe_b64encode(hashlib.sha256(canonical).digest()).rstrip(b"=").decode()


# Asks: method, URL, fields, body; returns status and body.
Ask = Callable[[str, str, dict[str, str], bytes | None], Awaitable[tuple[int, bytes]]]


class Tokens:
    """The token of one client at one server.

    Args:
        base: the FHIR server's base URL.
        client_id, key: who the client is.
        scope: what is asked for.
        ask: asks the server.
    """

    def __init__(self, base: str, client_id: str, key: SigningKey, scope: str, ask: Ask) -> None:
        self._base = base.rstrip("/")
        self._client_id = client_id
        self._key = key
        self._scope = scope
        self._ask = ask
        self._endpoint: str | None = None
        self._token: str | None = None
        self._renew_at = 0.0
        self._asking = asyncio.Lock()

    def __repr__(self) -> str:
        return f"<Tokens {'with' if self._token else 'without'} a token>"

    async def get(self, *, refused: str | None = None) -> str:
        """Return a token that is good; another than the one that was `refused`.

        Raises:
            ExchangeFailed: the server gives none.
        """
        async with self._asking:  # one asks for all
            if self._token is None or self._token == refused or time.monotonic() >= self._renew_at:
                await self._renew()
            assert self._token is not None  # noqa: S101 - renewed
            return self._token

    async def _renew(self) -> None:
        if self._endpoint is None:
            status, body = await self._ask("GET", f"{self._base}/.well-known/smart-configuration", {}, None)
            endpoint = _member(body, "token_endpoint") if status == 200 else None
            allowed = ("https://",) if self._base.startswith("https://") else ("https://", "http://")
            if not isinstance(endpoint, str) or not endpoint.startswith(allowed):
                raise ExchangeFailed("the server does not say where tokens are to be had", passing=status >= 500)
            self._endpoint = endpoint
        form = {
            "grant_type": "client_credentials",
            "scope": self._scope,
            "client_assertion_type": ASSERTION_TYPE,
            "client_assertion": self._assertion(self._endpoint),
        }
        fields = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}
        status, body = await self._ask("POST", self._endpoint, fields, urlencode(form).encode())
        token, lasts_s = _member(body, "access_token"), _member(body, "expires_in")
        if status != 200 or not isinstance(token, str) or not token.isascii() or not token.isprintable():
            why = _member(body, "error_description") or _member(body, "error")
            told = f": {foreign(why)}" if isinstance(why, str) else ""
            raise ExchangeFailed(f"the server gave no token (HTTP {status}{told})", passing=status >= 500)
        usable_s = float(lasts_s) if isinstance(lasts_s, int | float) and lasts_s > 0 else USUAL_S
        self._token = token
        self._renew_at = time.monotonic() + usable_s - min(RENEW_S, usable_s * RENEW_SHARE)

    def _assertion(self, endpoint: str) -> str:
        import jwt

        claims = {
            "iss": self._client_id,
            "sub": self._client_id,
            "aud": endpoint,
            "exp": int(time.time()) + ASSERTION_S,
            "jti": secrets.token_urlsafe(24),
        }
        return jwt.encode(claims, self._key.key, algorithm=self._key.algorithm, headers={"kid": self._key.kid})


def _member(body: bytes, name: str) -> object:
    try:
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return found.get(name) if isinstance(found, dict) else None
