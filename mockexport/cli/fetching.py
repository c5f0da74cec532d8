"""The options that say how hard to try, and by what right: arguments in, values of the library out.

Secrets are never arguments, which every user of the machine can read: a token comes from a file or the environment.
"""

import argparse
import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TypedDict

from mockexport.errors import OptionError
from mockexport.eventlog import EventLog
from mockexport.events import Event, Listener
from mockexport.newfile import NewFile
from mockexport.report import Account
from mockexport.sources.http import Access
from mockexport.sources.retrying import RetryPolicy, TimeLimits

__all__ = ["Fetching", "fetching", "listening", "reaching", "write_account"]

TOKEN_VARIABLE = "MOCKEXPORT_TOKEN"  # noqa: S105 - the variable's name
# A token is a line; whatever is larger is another file.
MAX_TOKEN_FILE_BYTES = 64 * 1024


class Reaching(TypedDict):
    """The arguments of `open_source` that say how to get at a server."""

    url: str | None
    limits: TimeLimits
    access: Access | None


class Fetching(Reaching):
    """The arguments of `analyze` that say how to fetch."""

    retry: RetryPolicy
    on_failure: str
    compress: bool


def reaching(options: argparse.Namespace) -> Reaching:
    """Return how to get at the server. Without --url nothing is sent that could be secret."""
    access = None
    if options.url is not None:
        access = Access(
            token=_token(options.token_file),
            headers=tuple(_header(text) for text in options.header or ()),
            proxy=options.proxy,
            cacert=options.cacert,
        )
    total_s = getattr(options, "time_limit", None)
    return {"url": options.url, "limits": TimeLimits.of(options.timeout, total_s), "access": access}


def fetching(options: argparse.Namespace) -> Fetching:
    """Return how to fetch."""
    return {
        **reaching(options),
        "retry": RetryPolicy(attempts=options.attempts),
        "on_failure": options.on_failure,
        "compress": options.compress,
    }


def _token(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    try:
        with Path(path).open("rb") as file:
            text = file.read(MAX_TOKEN_FILE_BYTES).decode("ascii").strip()
    except OSError as error:
        raise OptionError("token-file", f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if not text:
        raise OptionError("token-file", f"{path} holds no token, which is a line of visible ASCII characters")
    return text


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon:
        # What was said is not repeated: it may be the secret alone.
        raise OptionError("header", "must be 'Name: value'")
    return name.strip(), value.strip()


@contextmanager
def listening(options: argparse.Namespace, shown: Listener) -> Iterator[Listener]:
    """Yield a listener that shows events, and logs them where --events says."""
    with ExitStack() as stack:
        if options.events is None:
            yield shown
            return
        log = stack.enter_context(EventLog(options.events))

        def both(event: Event) -> None:
            log(event)
            shown(event)

        yield both


def write_account(options: argparse.Namespace, account: Account) -> None:
    """Write the account where --account says."""
    if options.account is not None:
        with NewFile(Path(options.account)) as file:
            file.write(account.to_json().encode())
            file.commit()
