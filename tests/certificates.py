"""Certificates for tests, made for each run by the machine's `openssl`: none lies in the project to grow old."""

import ssl
import subprocess
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Authority", "Certificate"]

_SETTINGS = """\
[ca]
default_ca = authority
[authority]
database = index
serial = serial
new_certs_dir = .
default_md = sha256
policy = any
unique_subject = no
[any]
commonName = supplied
"""
_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate and of its private key."""

    cert: Path
    key: Path

    def server(self, *, asks_for_those_of: "Authority | None" = None) -> ssl.SSLContext:
        """Return what a server speaks TLS with; one may ask its clients for certificates of an authority."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.cert, self.key)
        if asks_for_those_of is not None:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(asks_for_those_of.own.cert)
        return context


class Authority:
    """An authority that certifies whatever a test needs, in a folder of its own."""

    def __init__(self, folder: Path, name: str = "authority of the tests") -> None:
        folder.mkdir()
        self._folder = folder
        (folder / "settings").write_text(_SETTINGS)
        (folder / "index").touch()
        (folder / "serial").write_text("01")
        self._openssl(
            "req", "-x509", *_KEY, "-keyout", "own.key", "-out", "own.pem", "-days", "9", "-subj", f"/CN={name}"
        )
        self.own: Certificate = Certificate(folder / "own.pem", folder / "own.key")

    def certify(self, name: str, *, begin: str = "20200101000000Z", end: str = "20490101000000Z") -> Certificate:
        """Return a new certificate for a host's name, valid from `begin` to `end`: `20200101000000Z`."""
        made = len(list(self._folder.glob("*.csr")))
        cert, key, asked = (f"{made}.{ending}" for ending in ("pem", "key", "csr"))
        (self._folder / "names").write_text(f"subjectAltName = DNS:{name}\n")
        self._openssl("req", "-new", *_KEY, "-keyout", key, "-out", asked, "-subj", f"/CN={name}")
        self._openssl(
            "ca", "-batch", "-notext", "-config", "settings", "-cert", "own.pem", "-keyfile", "own.key", "-in", asked,
            "-out", cert, "-startdate", begin, "-enddate", end, "-extfile", "names",
        )  # fmt: skip
        return Certificate(self._folder / cert, self._folder / key)

    def with_passphrase(self, key: Path) -> Path:
        """Return a copy of a key that a passphrase protects."""
        self._openssl("ec", "-in", str(key), "-out", "locked.key", "-aes128", "-passout", "pass:1234")
        return self._folder / "locked.key"

    def _openssl(self, *arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=self._folder, check=True, capture_output=True, timeout=50)
