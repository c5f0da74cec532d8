"""Keys for TLS: made for one run, by the package `cryptography` or else by the machine's `openssl`; or read from files.

An authority signs one certificate and is forgotten: its private key is written nowhere and signs nothing else. What is
made fits the strict checks of Python 3.13, and the programs that take no authority for a server (webpki).
"""

import ipaddress
import shutil
import ssl
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from mockexport.errors import OptionError
from mockexport.newfile import check_regular

__all__ = ["Keys", "load_pair", "make_keys", "tls_fault"]

DAYS = 365
_AUTHORITY = "mockexport, for one run"


@dataclass(frozen=True, slots=True)
class Keys:
    """An authority's certificate, and a certificate of that authority with its private key: PEM, all three."""

    ca: str
    cert: str
    key: str = field(repr=False)


def make_keys(names: Iterable[str] = ()) -> Keys | None:
    """Make keys for servers and clients that go by `names`, of hosts or addresses; None if nothing here makes any."""
    of_hosts, addresses = [], []
    for name in names:
        try:
            addresses.append(str(ipaddress.ip_address(name)))
        except ValueError:
            of_hosts.append(name)
    if find_spec("cryptography") is not None:
        return _by_package(of_hosts, addresses)
    command = shutil.which("openssl")
    return None if command is None else _by_command(command, of_hosts, addresses)


def load_pair(
    context: ssl.SSLContext,
    cert: str | Path,
    key: str | Path | None,
    *,
    cert_option: str = "cert",
    key_option: str = "key",
) -> None:
    """Let a context show the certificate in a file, with the private key in another, or in the same one.

    Raises:
        OptionError: a file cannot be used; the message names its option.
    """
    asked = False

    def passphrase() -> str:  # without this, OpenSSL would ask for it on the terminal, and wait
        nonlocal asked
        asked = True
        return ""

    for option, path in ((cert_option, cert), (key_option, key)):
        try:
            if path is not None:
                check_regular(path)
        except OSError as error:
            raise OptionError(option, f"{path} cannot be read: {error.strerror}") from error
    try:
        context.load_cert_chain(cert, key, passphrase)
    except (OSError, ssl.SSLError) as error:
        if asked:
            problem = "has a passphrase, which is not asked for; name a file without one, for its owner's eyes alone"
            raise OptionError(key_option, f"{key or cert} {problem}") from error
        if getattr(error, "reason", None) == "KEY_VALUES_MISMATCH":
            raise OptionError(key_option, f"{key or cert} holds the key of another certificate") from error
        if key is None and _is_certificate_alone(cert):
            raise OptionError(key_option, f"is needed: {cert} holds a certificate without its private key") from error
        files = f"{cert} and {key}" if key is not None else f"{cert}"
        raise OptionError(cert_option, f"{files}: no certificate with its private key ({tls_fault(error)})") from error


def _is_certificate_alone(cert: str | Path) -> bool:
    text = Path(cert).read_text(errors="replace")
    return "-----BEGIN CERTIFICATE-----" in text and "PRIVATE KEY-----" not in text


def tls_fault(error: OSError) -> str:
    """Say why a file of keys cannot be used."""
    return "not in PEM form" if isinstance(error, ssl.SSLError) else error.strerror or type(error).__name__


def _by_package(names: list[str], addresses: list[str]) -> Keys:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    def usage(*, signs_others: bool) -> x509.KeyUsage:
        return x509.KeyUsage(
            digital_signature=not signs_others, key_cert_sign=signs_others, crl_sign=signs_others,
            content_commitment=False, key_encipherment=False, data_encipherment=False, key_agreement=False,
            encipher_only=False, decipher_only=False,
        )  # fmt: skip

    now = datetime.now(UTC)
    authority, own = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _AUTHORITY)])

    def certificate(key: ec.EllipticCurvePrivateKey, subject: str, *, signs_others: bool) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .issuer_name(issuer)
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, subject)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))  # clocks differ
            .not_valid_after(now + timedelta(days=DAYS))
            .add_extension(x509.BasicConstraints(ca=signs_others, path_length=0 if signs_others else None), True)
            .add_extension(usage(signs_others=signs_others), True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        )

    ca = certificate(authority, _AUTHORITY, signs_others=True).sign(authority, SHA256())
    both = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH])
    told: list[x509.GeneralName] = [
        *map(x509.DNSName, names),
        *(x509.IPAddress(ipaddress.ip_address(address)) for address in addresses),
    ]
    builder = (
        certificate(own, "mockexport", signs_others=False)
        .add_extension(both, False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(authority.public_key()), False)
    )
    if told:
        builder = builder.add_extension(x509.SubjectAlternativeName(told), False)
    private = own.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    cert = builder.sign(authority, SHA256())
    return Keys(ca.public_bytes(Encoding.PEM).decode(), cert.public_bytes(Encoding.PEM).decode(), private)


_SETTINGS = """\
[req]
distinguished_name = nobody
[nobody]
[authority]
basicConstraints = critical,CA:TRUE,pathlen:0
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[own]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = serverAuth,clientAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""
_NEW = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-config", "settings")


def _by_command(command: str, names: list[str], addresses: list[str]) -> Keys | None:
    told = [*(f"DNS:{name}" for name in names), *(f"IP:{address}" for address in addresses)]
    with tempfile.TemporaryDirectory(prefix="mockexport-keys-") as made:  # its owner's alone
        folder = Path(made)
        (folder / "settings").write_text(_SETTINGS + (f"subjectAltName = {','.join(told)}\n" if told else ""))
        for step in (
            ("req", "-x509", *_NEW, "-extensions", "authority", "-subj", f"/CN={_AUTHORITY}", "-days", str(DAYS),
             "-keyout", "ca.key", "-out", "ca.pem"),
            ("req", "-new", *_NEW, "-subj", "/CN=mockexport", "-keyout", "own.key", "-out", "own.csr"),
            ("x509", "-req", "-in", "own.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
             "-extfile", "settings", "-extensions", "own", "-days", str(DAYS), "-out", "own.pem"),
        ):  # fmt: skip
            if subprocess.run([command, *step], cwd=folder, capture_output=True).returncode != 0:  # noqa: S603
                return None
        return Keys(*((folder / name).read_text() for name in ("ca.pem", "own.pem", "own.key")))
