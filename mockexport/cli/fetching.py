"""The options that say what to read, how hard to try, and by what right: arguments in, values of the library out.

Secrets are never arguments, which every user of the machine can read: a token comes from a file or the environment.
"""

import argparse
import json
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import cast

from mockexport.analysis import AnalyzeKeywords
from mockexport.cli.fhir import fhir_server, observations
from mockexport.errors import OptionError
from mockexport.events import Event, EventLog, Listener
from mockexport.formats.descriptions import described, pairs_of, read_description
from mockexport.formats.filters import Filter
from mockexport.formats.schema import Schema
from mockexport.model import SizeLimits
from mockexport.newfile import NewFile, read_file
from mockexport.report.account import Account
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.sources.importing import import_http
from mockexport.sources.opening import SourceOptions

__all__ = ["asking", "fetching", "listening", "reaching", "read_token", "schema_of", "write_accounts"]

TOKEN_VARIABLE = "MOCKEXPORT_TOKEN"  # noqa: S105 - the variable's name
# The options that describe tables, one by one.
_DESCRIBING = (
    "columns", "constant", "values", "delimiter", "time-format", "origin", "timezone", "decimal", "thousands", "skip",
    "no-header", "comment", "quote", "escape", "encoding", "null", "replace", "censored", "text", "where",
)  # fmt: skip
# A token is a line; whatever is larger is another file.
MAX_TOKEN_FILE_BYTES = 64 * 1024


def reaching(options: argparse.Namespace) -> SourceOptions:
    """Return where the data is. Without --url or --urls nothing is sent that could be secret."""
    access, size_limits = None, _size_limits(options)
    urls = getattr(options, "urls", None)  # download has none, and no --from
    origin = getattr(options, "origin", None)
    server = fhir_server(options)
    if sum(given is not None for given in (options.url, urls, origin, server)) > 1:
        raise OptionError("url, urls, from and fhir", "each says where the data is; give one of them")
    if origin is None:
        import_http()
    if options.url is not None or urls is not None or server is not None:
        from mockexport.sources.http import Access  # no sooner: it takes 12 MB

        access = Access(
            token=_token(options.token_file),
            headers=tuple(_header(text) for text in options.header or ()),
            proxy=options.proxy,
            cacert=options.cacert,
            cert=options.cert,
            key=options.key,
            link_local=options.link_local,
        )
    return {
        "url": options.url,
        "urls": urls,
        **_at_hand(origin, size_limits),
        "fhir": server,
        "limits": TimeLimits.of(options.timeout, options.time_limit),
        "retry": RetryPolicy(attempts=options.attempts),
        "access": access,
        "concurrency": options.concurrency,
        "size_limits": size_limits,
    }


def fetching(options: argparse.Namespace, listener: Listener) -> AnalyzeKeywords:
    """Return where the data is and how to run, as far as analyze and download have options in common."""
    settings: AnalyzeKeywords = {
        "compress": options.compress,
        "schema": observations(options) or schema_of(options),
        "chunk_bytes": options.chunk_size,
        "strict": options.strict,
        "max_bad": options.max_bad,
        "engine": options.engine,
        "on_failure": options.on_failure,
        "listener": listener,
        "allow_incomplete": True,  # the faces and the exit code say so
    }
    settings.update(cast("AnalyzeKeywords", reaching(options)))  # its keys are among them
    return settings


def asking(options: argparse.Namespace) -> Filter:
    """Return which rows are asked for."""
    return Filter.of(
        since=options.since,
        until=options.until,
        patients=options.patient,
        event_types=options.event_type,
        timezone=options.timezone,
    )


def _size_limits(options: argparse.Namespace) -> SizeLimits:
    named = {
        "downloads": "downloads",
        "announced": "announced",
        "groups": "groups",
        "types": "types",
        "resources": "resources",
        "distinct": "distinct",
        "window": "window_bytes",
        "reply": "reply_bytes",
        "list": "list_bytes",
        "checkpoint": "checkpoint_bytes",
    }
    given = {field: getattr(options, f"max_{name}", None) for name, field in named.items()}
    return SizeLimits(**{field: number for field, number in given.items() if number is not None})


def schema_of(options: argparse.Namespace) -> Schema:
    """Return how the tables are described: by --like, and by options, which win over it."""
    settings = {} if options.like is None else read_description(options.like)
    for name in _DESCRIBING:
        # --from is called origin, too.
        said = getattr(options, "time_origin" if name == "origin" else name.replace("-", "_"))
        if name == "columns":
            settings["columns"] = {**settings.get("columns", {}), **(said or {})}
        elif name == "constant":
            # Role by role, too; and a column that is named here goes before a constant there.
            before = pairs_of(name, settings.get(name, {}))
            kept = {role: text for role, text in before.items() if role not in (options.columns or {})}
            settings[name] = {**kept, **pairs_of(name, said or [])}
        elif said is not None and said is not False:
            settings[name] = said
    return described(settings)


def _at_hand(origin: str | None, size_limits: SizeLimits) -> SourceOptions:
    """Return what --from means: standard input, a folder, or files."""
    if origin is None:
        return {}
    if not origin:  # a shell's variable that is not set, mostly; as a path it would be the folder one is in
        raise OptionError("from", "is empty; name a folder, a file, a pattern, or - for standard input")
    if origin == "-":
        from mockexport.sources.piped import Piped, standard_input

        return {"source": Piped(standard_input(), size_limits=size_limits)}
    return {"folder": origin} if Path(origin).is_dir() else {"files": origin}


def _token(path: str | None) -> str | None:
    if path is None:
        return os.environ.get(TOKEN_VARIABLE) or None
    return read_token("token-file", path)


def read_token(option: str, path: str) -> str:
    """Return the bearer token that a file holds.

    Raises:
        OptionError: it cannot be read, or holds none; the message names `option`.
    """
    try:
        text = read_file(path, MAX_TOKEN_FILE_BYTES)[:MAX_TOKEN_FILE_BYTES].decode("ascii").strip()
    except OSError as error:
        raise OptionError(option, f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError:
        text = ""
    if not re.fullmatch("[!-~]+", text):
        raise OptionError(option, f"{path} holds no token, which is a line of visible ASCII characters")
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


def write_accounts(options: argparse.Namespace, accounts: Sequence[Account]) -> None:
    """Write the account where --account says; those of several exports under their ids."""
    if options.account is None:
        return
    text = accounts[0].to_json()
    if len(accounts) > 1:
        plain = {account.export_id: json.loads(account.to_json()) for account in accounts}
        text = json.dumps({"exports": plain}, indent=2) + "\n"
    with NewFile(Path(options.account)) as file:
        file.write(text.encode())
        file.commit()
