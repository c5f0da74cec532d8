"""Importing the HTTP library in half the time: for a process that is the command line's own."""

import os

__all__ = ["import_http"]

# What OpenSSL looks into for the certificates of the machine.
_PLACES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def import_http() -> None:
    """Import aiohttp, without the certificates of the machine.

    It reads them while it is imported, twice, which takes as long as all the rest of it. What it has then trusts
    nobody; our requests bring what they trust (http.HttpClient), read when a server is first spoken to by TLS. The
    environment is changed meanwhile: that is nothing for a process with threads of somebody else's.
    """
    given = {name: os.environ.get(name) for name in _PLACES}
    os.environ.update(dict.fromkeys(_PLACES, os.devnull))
    try:
        import aiohttp  # noqa: F401
    finally:
        for name, place in given.items():
            if place is None:
                del os.environ[name]
            else:
                os.environ[name] = place
