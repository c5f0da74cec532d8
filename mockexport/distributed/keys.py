"""The keys by which the processes of a cluster know each other: files for one that is there, made for a local one.

Whoever reaches a scheduler can run programs on its workers, and one on this machine's loopback all its users reach. So
the processes of a local cluster speak TLS with keys that are made for the run, and are in their memory alone.
"""

from typing import Any

from mockexport.errors import OptionError
from mockexport.keys import make_keys
from mockexport.sources.http import Access

__all__ = ["keys_for_one_run", "keys_in_files"]

# What Access calls the files, and what they are here.
_FILES = {"cacert": "dask-ca", "cert": "dask-cert", "key": "dask-key"}
_ROLES = ("client", "scheduler", "worker")


def keys_for_one_run(library: Any) -> Any:
    """Return keys that nobody else has, for all processes of a cluster, as Dask's Security.

    Raises:
        OptionError: nothing on this machine makes keys.
    """
    keys = make_keys()
    if keys is None:
        raise OptionError(
            "dask",
            "local:N keeps this machine's other users out by keys, and nothing here makes any: pip install"
            " 'mockexport[dask]'",
        )
    files = {f"tls_{role}_key": keys.key for role in _ROLES} | {f"tls_{role}_cert": keys.cert for role in _ROLES}
    return library.Security(require_encryption=True, tls_ca_file=keys.ca, **files)


def keys_in_files(library: Any, ca: str | None, cert: str | None, key: str | None) -> Any:
    """Return the keys in files as Dask's Security; without any, those that Dask's own configuration names.

    Args:
        library: Dask's scheduler library.
        ca: certificates of the authority that all processes of the cluster have theirs from.
        cert: the certificate to show to the scheduler.
        key: its private key, by default in the same file.

    Raises:
        OptionError: one is missing, or cannot be used.
    """
    if ca is None and cert is None and key is None:
        return library.Security()
    if ca is None or cert is None:
        missing = "dask-ca" if ca is None else "dask-cert"
        raise OptionError(missing, "must be given, too: both sides of a connection show certificates")
    try:
        Access(cacert=ca, cert=cert, key=key).ssl_context()
    except OptionError as error:
        raise OptionError(_FILES[error.option], error.problem) from error
    return library.Security(require_encryption=True, tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key or cert)
