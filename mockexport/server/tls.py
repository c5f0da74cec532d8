"""The server's TLS: keys that are made for the run, in a folder where a client finds the authority's certificate.

Rules: who has a context of his own brings it; else keys are made at each start, in a folder: the one named, where they
stay, or one that ends with the server. Only their owner can read them. The authority's private key is in no file.
"""

import re
import ssl
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from mockexport.errors import OptionError
from mockexport.keys import make_keys
from mockexport.newfile import NewFile, make_folder

__all__ = ["CA_FILE", "ServerTls", "Tls", "server_tls"]

# What a server may be given: whether to speak TLS, a folder for its keys, or all that it needs.
Tls = bool | str | Path | ssl.SSLContext
# In the folder of the keys: what a client is to trust.
CA_FILE = "ca.pem"
LOCAL_NAMES = ("localhost", "127.0.0.1", "::1")
# What can stand in a certificate; others may be names to listen at, as fe80::1%eth0 is.
_NAME = re.compile(r"[a-z0-9._\-]+|[0-9a-f:.]+")


@dataclass(frozen=True, slots=True)
class ServerTls:
    """What a server speaks TLS with, and the file of the authority's certificate, None where the keys are not ours."""

    context: ssl.SSLContext
    ca_file: Path | None


@contextmanager
def server_tls(tls: Tls, names: Iterable[str]) -> Iterator[ServerTls | None]:
    """Yield what `tls` means for a server that goes by `names`, beside the local ones; None for no TLS.

    Raises:
        OptionError: keys are to be made, and nothing on this machine makes any.
        OutputError: the folder cannot be written to.
    """
    if tls is False or isinstance(tls, ssl.SSLContext):
        yield None if tls is False else ServerTls(tls, None)
        return
    keys = make_keys(dict.fromkeys([*LOCAL_NAMES, *(name for name in sorted(names) if _NAME.fullmatch(name))]))
    if keys is None:
        raise OptionError("tls", "nothing on this machine makes keys; pip install 'mockexport[tls]', or name your own")
    with ExitStack() as stack:
        if tls is True:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="mockexport-tls-")))
        else:
            folder = Path(tls)
            make_folder(folder)
        for name, text in ((CA_FILE, keys.ca), ("cert.pem", keys.cert), ("key.pem", keys.key)):
            with NewFile(folder / name, named=False) as file:
                file.write(text.encode())
                file.commit()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
        yield ServerTls(context, folder / CA_FILE)
