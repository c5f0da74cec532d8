"""SMART Backend Services against a token endpoint that checks everything: signature, audience, times, and once only."""

import json
import logging
import time
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from mockexport import MockServer, Report, RetryPolicy, analyze
from mockexport.errors import OptionError, ServerUnreachable
from mockexport.formats.fhir import FhirObservations
from mockexport.server.fhir.authorization import Authorization
from mockexport.sources.fhir import FhirServer
from mockexport.sources.fhir.authorizing import read_key

RETRY = RetryPolicy(attempts=8, base_wait_s=0.001)
ELLIPTIC = ec.generate_private_key(ec.SECP384R1())
RSA = rsa.generate_private_key(65537, 2048)


def pem(path: Path, key: Any) -> Path:
    path.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return path


def public(path: Path) -> dict[str, Any]:
    """The public key of a file of ours, as the server is given it."""
    key = read_key(path)
    algorithm = jwt.get_algorithm_by_name(key.algorithm)
    jwk = algorithm.to_jwk(key.key.public_key(), as_dict=True)
    return {"keys": [{**jwk, "kid": key.kid, "alg": key.algorithm}]}


async def report_of(server: MockServer, key: Path, client_id: str = "me") -> Report[Any]:
    asked = FhirServer(url=f"{server.url}/fhir", group="ward", client_id=client_id, key=key, poll_s=0.001)
    return await analyze(fhir=asked, schema=FhirObservations(), retry=RETRY)


@pytest.mark.parametrize("key", [ELLIPTIC, RSA], ids=["ES384", "RS384"])
@pytest.mark.parametrize("form", ["pem", "jwks"])
async def test_a_token_is_had_and_renewed_when_refused(
    ward: Path, right: Report[Any], tmp_path: Path, key: Any, form: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = pem(tmp_path / "key.pem", key)
    keys = public(path)
    if form == "jwks":
        own = read_key(path)
        jwk = jwt.get_algorithm_by_name(own.algorithm).to_jwk(key, as_dict=True)
        keys["keys"][0]["kid"] = "mine"
        path = tmp_path / "key.json"
        path.write_text(json.dumps({"keys": [{**jwk, "kid": "mine"}]}))
    faults = "fhir-expired-token=0.3,fhir-other-origin=1,fhir-redirect=0.5"
    async with MockServer(data=ward, fhir_client=("me", keys), faults=faults, seed=2) as server:
        with caplog.at_level(logging.DEBUG):
            report = await report_of(server, path)
    assert report.to_json() == right.to_json()
    assert "eyJ" not in caplog.text  # how every assertion begins


async def test_another_s_key_or_name_is_refused(ward: Path, tmp_path: Path) -> None:
    ours, theirs = pem(tmp_path / "a.pem", ELLIPTIC), pem(tmp_path / "b.pem", ec.generate_private_key(ec.SECP384R1()))
    async with MockServer(data=ward, fhir_client=("me", public(ours))) as server:
        with pytest.raises(ServerUnreachable, match="the server gave no token"):
            await report_of(server, theirs)
        with pytest.raises(ServerUnreachable, match="another client"):
            await report_of(server, ours, "somebody")
        with pytest.raises(ServerUnreachable, match="HTTP 401"):
            await analyze(fhir=FhirServer(url=f"{server.url}/fhir", group="ward"), retry=RETRY)


@pytest.mark.parametrize(
    "content",
    [b"", b"{}", b'{"keys": []}', b'{"keys": 7}', b"-----BEGIN PRIVATE KEY-----\nsecret\n-----END PRIVATE KEY-----\n"],
)
def test_what_is_no_key_is_told_without_repeating_it(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "key").write_bytes(content)
    with pytest.raises(OptionError, match="holds no private key") as raised:
        read_key(tmp_path / "key")
    assert "secret" not in str(raised.value)


def test_another_curve_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OptionError, match="holds no private key"):
        read_key(pem(tmp_path / "key", ec.generate_private_key(ec.SECP256R1())))


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": "https://elsewhere.example/token"},
        {"exp": 1},
        {"exp": 2**40},
        {"iss": "another"},
        {"sub": "another"},
        {"jti": None},
    ],
)
def test_the_server_refuses_what_is_not_as_it_should_be(tmp_path: Path, claims: dict[str, Any]) -> None:
    path = pem(tmp_path / "key", ELLIPTIC)
    server, key = Authorization("me", public(path)), read_key(path)
    good: dict[str, Any] = {
        "iss": "me",
        "sub": "me",
        "aud": "http://h/token",
        "exp": int(time.time()) + 200,
        "jti": "1",
    }

    def granted(told: dict[str, Any]) -> int:
        told = {name: value for name, value in told.items() if value is not None}
        form = {
            "grant_type": "client_credentials",
            "scope": "system/Observation.rs",
            "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            "client_assertion": jwt.encode(told, key.key, key.algorithm, {"kid": key.kid}),
        }
        return server.grant(form, "http://h/token")[0]

    assert granted(good | claims) == 401
    assert [granted(good), granted(good)] == [200, 401]  # once only
