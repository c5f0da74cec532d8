"""SMART Backend Services, the server's side: a signed assertion in, a short-lived token out. It checks all there is.

Rules: a client is who has the private key of one of the public keys given at the start. An assertion is good once.
Needs the extra mockexport[fhir], as signatures do.
"""

import secrets
import time
from typing import Any

from mockexport.errors import OptionError

__all__ = ["Authorization"]

ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
ALGORITHMS = ("RS384", "ES384")
# An assertion may be good for five minutes at most.
MAX_ASSERTION_S = 300
TOKEN_S = 300
# Ids of assertions are remembered while one of them could still be good.
MAX_REMEMBERED = 10_000


class Authorization:
    """Knows one client by its id and public keys, and the tokens that it was given.

    Args:
        client_id: who may come.
        keys: the public keys, a JWK set.
        token_s: how long a token is good.

    Raises:
        OptionError: the package that checks signatures is not installed, or the keys are none.
    """

    def __init__(self, client_id: str, keys: dict[str, Any], *, token_s: int = TOKEN_S) -> None:
        try:
            import jwt
        except ImportError as error:
            raise OptionError("fhir-keys", "needs one more package: pip install 'mockexport[fhir]'") from error
        self._jwt = jwt
        try:
            self._keys = {key["kid"]: jwt.PyJWK(key) for key in keys["keys"]}
        except (KeyError, TypeError, jwt.PyJWTError) as error:
            raise OptionError("fhir-keys", "are no JWK set of public keys with a kid each") from error
        self._client_id = client_id
        self._token_s = token_s
        self._tokens: dict[str, float] = {}
        self._used: dict[str, float] = {}
        self.granted: int = 0

    def configuration(self, token_url: str) -> dict[str, Any]:
        """Return what .well-known/smart-configuration says."""
        return {
            "token_endpoint": token_url,
            "token_endpoint_auth_methods_supported": ["private_key_jwt"],
            "token_endpoint_auth_signing_alg_values_supported": list(ALGORITHMS),
            "scopes_supported": ["system/Observation.rs", "system/*.rs"],
            "grant_types_supported": ["client_credentials"],
            "capabilities": ["client-confidential-asymmetric", "permission-v2"],
        }

    def grant(self, form: dict[str, Any], token_url: str) -> tuple[int, dict[str, Any]]:
        """Return the status and the JSON that a request for a token is answered with."""
        if form.get("grant_type") != "client_credentials" or not str(form.get("scope", "")).startswith("system/"):
            return 400, {"error": "unsupported_grant_type"}
        if form.get("client_assertion_type") != ASSERTION_TYPE:
            return 400, {"error": "invalid_request"}
        problem = self._problem(str(form.get("client_assertion", "")), token_url)
        if problem is not None:
            return 401, {"error": "invalid_client", "error_description": problem}
        token = secrets.token_urlsafe(24)
        self._tokens[token] = time.monotonic() + self._token_s
        self.granted += 1
        return 200, {
            "access_token": token, "token_type": "bearer", "expires_in": self._token_s, "scope": form["scope"],
        }  # fmt: skip

    def _problem(self, assertion: str, token_url: str) -> str | None:
        """Return why an assertion is refused, None if it is good."""
        jwt = self._jwt
        try:
            head = jwt.get_unverified_header(assertion)
            key = self._keys.get(head.get("kid", ""))
            if key is None or head.get("alg") not in ALGORITHMS or head.get("typ", "JWT") != "JWT":
                return "no such key or algorithm"
            claims = jwt.decode(
                assertion, key, algorithms=list(ALGORITHMS), audience=token_url,
                options={"require": ["iss", "sub", "aud", "exp", "jti"]},
            )  # fmt: skip
        except jwt.PyJWTError as error:
            return type(error).__name__
        now = time.time()
        if claims["iss"] != self._client_id or claims["sub"] != self._client_id:
            return "another client"
        if claims["exp"] > now + MAX_ASSERTION_S + 1:
            return "good for longer than five minutes"
        if claims["jti"] in self._used:
            return "used before"
        self._used = {jti: exp for jti, exp in list(self._used.items())[-MAX_REMEMBERED:] if exp > now}
        self._used[claims["jti"]] = claims["exp"]
        return None

    def admits(self, authorization: str, *, expired: bool) -> bool:
        """Tell whether a request's Authorization is a token that is good; one that has `expired` is so from now on."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or token not in self._tokens:
            return False
        if expired:
            del self._tokens[token]
            return False
        return self._tokens[token] > time.monotonic()
