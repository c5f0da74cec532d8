"""`mockexport serve` and `mockexport ingest`: the mock export server and the heart-rate service, until Ctrl-C."""

import argparse
import ssl
from collections.abc import Sequence
from pathlib import Path

from mockexport.access import new_token
from mockexport.cli import exits
from mockexport.cli.fetching import read_token
from mockexport.cli.text import inform, put, say
from mockexport.errors import OptionError
from mockexport.formats.descriptions import described, read_description
from mockexport.ingest.extra import explained
from mockexport.keys import load_pair
from mockexport.server.faults import Faults
from mockexport.server.run import MockServer, stdin_closed
from mockexport.server.run import serve as serve_exports
from mockexport.server.tls import Tls

__all__ = ["ingest", "serve"]


async def serve(options: argparse.Namespace) -> int:
    """Run the command; the server's URL is the one line on stdout."""
    server = MockServer(
        options.host,
        options.port,
        data=options.data,
        exports=_exports(options.export),
        schema=None if options.like is None or not options.export else described(read_description(options.like)),
        faults=Faults.of(options.faults, seed=options.seed),
        host_names=options.host_name,
        token=None if options.bearer is None else read_token("bearer", options.bearer),
        tls=_tls(options),
        record=False,
    )

    def ready(server: MockServer) -> None:
        put(server.url + "\n")
        inform(f"serving {_what(options)}; Ctrl-C ends it")
        if server.ca_file is not None:
            inform(f"clients are to trust {server.ca_file}: curl --cacert, mockexport --cacert")

    await serve_exports(server, on_ready=ready, until=stdin_closed() if options.exit_with_stdin else None)
    return 0


def _exports(said: Sequence[str]) -> dict[str, list[str]] | None:
    """Return what --export says, by name: one that is said again has further tables."""
    found: dict[str, list[str]] = {}
    for text in said:
        name, equals, path = text.partition("=")
        if not equals or not path:
            raise OptionError("export", f"{text!a} is not NAME=FOLDER")
        found.setdefault(name, []).append(path)
    return found or None


def _what(options: argparse.Namespace) -> str:
    told = [*([options.data] if options.data else []), *options.export]
    return ", ".join(told) if told else "synthetic data"


def _tls(options: argparse.Namespace) -> Tls:
    """Return what the server is to speak TLS with; options about it mean it."""
    if options.tls_cert is None:
        if options.tls_key is not None:
            raise OptionError("tls-key", "goes with a certificate (--tls-cert)")
        folder: str | None = options.tls_dir
        return folder or bool(options.tls)
    if options.tls_dir is not None:
        raise OptionError("tls-dir and tls-cert", "keys are made or yours; give one of them")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    load_pair(context, options.tls_cert, options.tls_key, cert_option="tls-cert", key_option="tls-key")
    return context


def ingest(options: argparse.Namespace) -> int:
    """Run `mockexport ingest`; it has a log of its own, of one JSON object a line."""
    if options.action == "backup":
        return _backup(Path(options.data), Path(options.folder))
    if options.action == "check":
        return _check(Path(options.folder))
    if options.action == "token":
        token, line = new_token(options.name, options.right)
        put(line + "\n")
        say(f"the token of {options.name}, which is shown this once: {token}")
        return 0
    from mockexport.ingest.service import run

    return run(
        options.host,
        options.port,
        options.data,
        priority=options.priority,
        compact_rows=options.compact_rows,
        compact_age_s=options.compact_age_s,
        keep_days=options.keep_days,
        host_names=options.host_name,
        token_file=options.token_file,
        without_token=options.without_token,
    )


def _backup(data: Path, target: Path) -> int:
    with explained():
        from mockexport.ingest.backup import back_up
    made = back_up(data, target)
    form = "copies" if made.copied else "links"
    say(f"{target}: {made.readings:,} readings in {made.files:,} files ({form}), and the journal")
    return 0


def _check(folder: Path) -> int:
    with explained():
        from mockexport.ingest.backup import check
    found = check(folder)
    for problem in found.problems:
        say(problem)
    whole = f"{found.readings:,} readings in {found.files:,} files and {found.journal_rows:,} in the journal"
    problems = f"{len(found.problems)} problem{'' if len(found.problems) == 1 else 's'}"
    say(f"{folder}: {whole}: {problems if found.problems else 'all as written'}")
    return exits.OTHER if found.problems else 0
