"""What can be said on the command line. Every option has a variable in the environment: MOCKEXPORT_ and its long name.

Only the standard library is imported here, so that `--help` answers at once.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import permutations
from typing import Any

from mockexport import __version__
from mockexport.cli import groups
from mockexport.cli.parser import Command, FromEnvironment, Several
from mockexport.cli.words import length, natural, one_of, port, positive, seconds, span_length
from mockexport.errors import nearest
from mockexport.shown import given_url

__all__ = ["COMMANDS", "SHELLS", "for_completion", "parse"]

COMMANDS = (
    "analyze", "look", "formats", "list", "show", "download", "generate", "serve", "ingest", "doctor", "completion",
    "help",
)  # fmt: skip

# Those whose completion is tested.
SHELLS = ("bash", "zsh", "fish")

# Ways to say where the data is, by twos: one said on the command line overrules another in the environment.
WHERE = tuple(permutations(("url", "origin", "urls", "fhir", "fhir_manifest"), 2))

_NAMING_A_SERVER = ("url", "urls", "fhir", "fhir_status", "fhir_manifest")
# Options that are for a server that is named, and may be secret. In the environment they may wait for one.
_FOR_A_SERVER = ("token_file", "header", "proxy", "cacert", "cert", "key", "link_local")

_EPILOG = """\
exit codes:
  0  nothing failed or mismatched      5  server unreachable or export unknown
  2  usage                             6  a bad row or note, with --strict
  3  a download failed                 130  interrupted (143: terminated)
  4  a download differs from its       1  anything else
     metadata

Every option can be given in the environment: --chunk-size as MOCKEXPORT_CHUNK_SIZE, and so on.
`mockexport EXPORT` is short for `mockexport analyze EXPORT`; `mockexport help COMMAND` tells more.
"""

_EXAMPLES = {
    "analyze": """\
mockexport demo --format table
mockexport small --url http://127.0.0.1:8000 -o small.json --html small.html
mockexport --from 'ward/*.csv.gz' --stats count,median,p95 --delimiter semicolon
mockexport demo --since 2025-08-26 --until 2025-08-27 --patient P001""",
    "look": "mockexport look ward.csv\nmockexport look 'readings/*.csv.gz' --delimiter semicolon",
    "list": "mockexport list --url http://127.0.0.1:8000",
    "show": "mockexport show demo",
    "download": "mockexport download demo files/",
    "generate": "mockexport generate small files/",
    "serve": """\
mockexport serve --port 0 --faults reset=0.2,status=0.1 --seed 7
mockexport serve --export ward=tables/ --faults faults.toml --tls-dir keys""",
    "completion": """\
eval "$(mockexport completion bash)"      in ~/.bashrc
eval "$(mockexport completion zsh)"       in ~/.zshrc, after compinit
mockexport completion fish | source       in ~/.config/fish/config.fish""",
    "ingest": """\
mockexport ingest --data readings --priority watch=1,strap=2
mockexport ingest token dashboard --right read >> tokens""",
}


def parse(arguments: Sequence[str], *, counts: bool = False) -> argparse.Namespace:
    """Return what `arguments` say; exits with usage (2), --help or --version (0).

    `counts` presets --counts.
    """
    words = list(arguments)
    everything = "--help-all" in words or (words[:1] == ["help"] and "--all" in words)
    parser = Command(
        prog="mockexport",
        description="Statistics while you download: fetch, verify and reduce a data export in one pass.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _version(parser)
    commands = _commands(parser, everything=everything)
    given = _command_first(words, commands.values())
    options, unknown = parser.parse_known_args(given)
    if unknown:
        command = commands[options.command]
        meant = nearest(unknown[0].partition("=")[0], command.known_options())
        remedy = f"did you mean {meant}?" if meant else f"mockexport {options.command} --help tells those there are"
        # What was said with an option is not repeated: it may be a secret.
        repeated = [word.partition("=")[0] for word in unknown if word.startswith("-")] or unknown
        command.error(f"unrecognized arguments: {' '.join(map(given_url, repeated))}; {remedy}")
    if options.command == "help":
        asked = parser if options.about is None else commands[options.about]
        asked.print_help()
        asked.exit()
    for problem in commands[options.command].problems:
        parser.error(problem)
    for name, other in (*WHERE, ("export_id", "export")):
        said = getattr(options, other, None) or None
        overruled = isinstance(getattr(options, name, None), FromEnvironment)
        if overruled and said is not None and not isinstance(said, FromEnvironment):
            setattr(options, name, None)
    for export in (*_words(getattr(options, "export", None)), *_words(getattr(options, "export_id", None))):
        if "://" in export:
            commands[options.command].error(f"{given_url(export)} is a URL and no EXPORT; did you mean --url?")
    if hasattr(options, "url") and all(getattr(options, name, None) is None for name in _NAMING_A_SERVER):
        for name in _FOR_A_SERVER:
            if getattr(options, name, None) is not commands[options.command].get_default(name):
                option = f"--{name.replace('_', '-')}"
                commands[options.command].error(f"{option} goes with --url, --urls or --fhir, and to no other server")
    if counts:
        options.counts = True
    options.misspelt = _misspelt(variable for command in commands.values() for variable in command.known_variables)
    return options


class _AlsoAnalyze(Command):
    """The parser of `mockexport COMMAND …` with the options of `mockexport EXPORT …`; a first word is a COMMAND."""

    def positional(self, name: str, **settings: Any) -> None:
        """Leave it out."""


def for_completion() -> list[Command]:
    """Return a parser of all that can be said, `mockexport EXPORT …` included, and after it those of its commands."""
    parser = _AlsoAnalyze(prog="mockexport", allow_abbrev=False)
    _analyze(lambda *_, **__: parser, "analyze")
    return [parser, *_commands(parser, everything=True).values()]


def _commands(parser: Command, *, everything: bool) -> dict[str, Command]:
    """Add the commands; their help names all options if it is to tell `everything`."""
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Command)
    add = partial(commands.add_parser, everything=everything)
    for name, add_command in (
        ("analyze", _analyze),
        ("look", _look),
        ("formats", _formats),
        ("list", _list),
        ("show", _show),
        ("download", _download),
        ("generate", _generate),
        ("serve", _serve),
        ("ingest", _ingest),
        ("doctor", _doctor),
        ("completion", _completion),
        ("help", _help),
    ):
        add_command(add, name)
    return commands.choices


def _words(said: str | Sequence[str] | None) -> Sequence[str]:
    return [said] if isinstance(said, str) else said or ()


def _command_first(given: list[str], commands: Iterable[Command]) -> list[str]:
    """Return the arguments with their command in front: the first word that is no option's, or analyze."""
    if given and given[0] in ("-h", "--help", "-v", "--version"):
        return given
    taking = {option for command in commands for option in command.taking}
    place = 0
    while place < len(given) and given[place].startswith("-") and given[place] not in ("-", "--"):
        place += 2 if given[place] in taking else 1
    if place < len(given) and given[place] in COMMANDS:
        return [given[place], *given[:place], *given[place + 1 :]]
    return ["analyze", *given]


def _misspelt(known: Iterable[str]) -> dict[str, str]:
    """Return the variables in the environment that nobody reads, and which ones may have been meant."""
    beginning = Command.variables
    names = [variable.removeprefix(beginning) for variable in known]
    asked = [name.removeprefix(beginning) for name in os.environ if name.startswith(beginning)]
    meant = {name: nearest(name, names, alike=0.8) for name in asked if name not in names and name != "TOKEN"}
    return {beginning + name: beginning + other for name, other in meant.items() if other is not None}


def _version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--version", action="version", version=f"mockexport {__version__}")


_Add = Callable[..., Any]


def _command(add: _Add, name: str, summary: str, *, help_all: str = argparse.SUPPRESS) -> Command:
    examples = "".join(f"  {line}\n" for line in _EXAMPLES.get(name, "").splitlines())
    command: Command = add(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", allow_abbrev=False,
        epilog=f"examples:\n{examples}" if examples else None, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.usage = f"mockexport {name} [option …]"
    command.option("-d", "--verbose", action="store_true", help="a debug log on stderr")
    _version(command)
    command.add_argument("--help-all", action="help", help=help_all)
    return command


def _with_many(add: _Add, name: str, summary: str) -> Command:
    """Add a command of more options than one wants to read: its help tells `groups.FIRST`, --help-all the others."""
    told = "show all other options, too, and exit"
    command = _command(partial(add, first=groups.FIRST), name, summary, help_all=told)
    _quiet(command)
    return command


def _quiet(command: Command) -> None:
    command.option(
        "-q", "--quiet", action="store_true", help="nothing on stderr but errors, warnings and what goes wrong"
    )


def _analyze(add: _Add, name: str) -> None:
    command = _with_many(add, name, "print the report of an export: statistics per patient and in total")
    command.usage = "mockexport [analyze] [option …] [EXPORT …]"
    groups.exports(command)
    groups.where(command, local=True)
    groups.reading(command)
    groups.fhir(command)
    groups.asked(command)
    groups.statistics(command)
    groups.faces(command)
    groups.told(command)
    groups.trouble(command)
    command.option(
        "--checkpoint", metavar="FILE",
        help="save to FILE every few seconds and when interrupted; the same command again goes on from there",
    )  # fmt: skip
    groups.effort(command)
    command.option(
        "--split", type=span_length, metavar="BYTES",
        help="fetch a longer download in spans of BYTES, as many at once as --concurrency allows; K, M and G are"
        " understood (default: a download is one connection's)",
    )  # fmt: skip
    command.option(
        "--dask", metavar="ADDRESS",
        help="run on the workers of the Dask scheduler at ADDRESS, or in N processes of this machine with local:N"
        " (needs the extra: mockexport[dask])",
    )  # fmt: skip
    command.option("--dask-ca", metavar="FILE", help="certificates of the authority of a cluster with tls://")
    command.option("--dask-cert", metavar="FILE", help="certificate to show to its scheduler")
    command.option("--dask-key", metavar="FILE", help="its private key (default: that in --dask-cert)")
    command.option(
        "--dask-wait", type=seconds, default=60.0, metavar="SECONDS",
        help="how long to wait for a worker, at the start and when all are lost (default: 60)",
    )  # fmt: skip
    groups.most_listed(command)
    groups.most_varied(command)
    command.option(
        "--max-resources", type=positive, metavar="N",
        help="rows of FHIR resources with ids, kept to the end: 66 bytes each, most on disk (default: 20000000)",
    )  # fmt: skip
    command.option(
        "--max-distinct", type=positive, metavar="N", help="different rows, with --distinct (default: 10000000)"
    )
    command.option("--max-rules", type=length, metavar="BYTES", help="length of --rules (default: 1M)")
    command.option("--max-checkpoint", type=length, metavar="BYTES", help="length of --checkpoint (default: 2G)")


def _look(add: _Add, name: str) -> None:
    command = _command(add, name, "look at files: what their first rows hold, and the command that reads them")
    command.positional("file", metavar="FILE", nargs="+", help="a file or 'a pattern*.csv.gz'; gzip and zstd, too")
    groups.reading(command)


def _formats(add: _Add, name: str) -> None:
    command = _command(add, name, "list the known descriptions of tables, or print one to start from")
    command.positional("name", metavar="NAME", nargs="?", help="the one to print")


def _list(add: _Add, name: str) -> None:
    command = _with_many(add, name, "list the exports there are")
    groups.where(command, local=True)
    groups.most_listed(command)
    command.group("what is told")
    command.option("--json", action="store_true", help="for programs")


def _show(add: _Add, name: str) -> None:
    command = _with_many(add, name, "show the downloads of an export and what is announced of them")
    command.usage = "mockexport show [option …] EXPORT"
    command.positional("export", metavar="EXPORT", help="id of the export")
    groups.where(command, local=True)
    groups.most_listed(command)
    command.group("what is told")
    command.option("--json", action="store_true", help="for programs")


def _download(add: _Add, name: str) -> None:
    command = _with_many(add, name, "keep an export's files, verified, in a folder; what is there is not fetched again")
    command.usage = "mockexport download [option …] EXPORT DIR"
    command.positional("export", metavar="EXPORT", help="id of the export")
    command.positional("directory", metavar="DIR", help="folder for its files; made if it is not there")
    groups.where(command, local=False)
    groups.reading(command)
    command.group("what is told")
    groups.told(command)
    groups.trouble(command)
    groups.effort(command)
    groups.most_listed(command)
    groups.most_varied(command)


def _generate(add: _Add, name: str) -> None:
    command = _command(add, name, "write a synthetic export into a folder, without any server")
    command.usage = "mockexport generate [option …] EXPORT DIR"
    _quiet(command)
    command.positional("export", metavar="EXPORT", help="demo, small or large")
    command.positional("directory", metavar="DIR", help="folder for its files; made if it is not there")


def _serve(add: _Add, name: str) -> None:
    command = _command(add, name, "run the mock export server; its URL is printed on stdout")
    _quiet(command)
    command.group("where it listens, and who may ask")
    command.option("--host", default="127.0.0.1", help="address to bind (default: 127.0.0.1, this machine alone)")
    command.option("--port", type=port, default=8000, help="port to bind, 0 for any free one (default: 8000)")
    _host_name(command)
    command.option("--bearer", metavar="FILE", help="let in those alone who bring the bearer token in FILE")
    command.option(
        "--tls", action="store_true", help="https, with keys made for the run; stderr says what clients are to trust"
    )
    command.option("--tls-dir", metavar="DIR", help="the same; keep them in DIR: clients are to trust its ca.pem")
    command.option("--tls-cert", metavar="FILE", help="https with this certificate")
    command.option("--tls-key", metavar="FILE", help="its private key (default: that in --tls-cert)")
    command.group("what it serves")
    command.option("--data", metavar="DIR", help="serve what generate or download left in DIR, straight from disk")
    command.option(
        "--export", action=Several, default=[], metavar="NAME=FOLDER",
        help="serve the *.csv in FOLDER, or one file, as the export NAME; may be repeated (in the environment: a line"
        " each)",
    )  # fmt: skip
    command.option(
        "--like",
        metavar="NAME",
        help="how they are written: as a known program's tables, or as a TOML file says",
    )
    command.group("what goes wrong")
    command.option(
        "--faults",
        metavar="KIND=P,…",
        help="what goes wrong, with which probability per data request: reset=0.2,cut=0.1; or a TOML file that says"
        " what happens to which request",
    )
    command.option(
        "--seed",
        type=natural,
        default=0,
        metavar="N",
        help="of the probabilities: the same faults for the same N (default: 0)",
    )
    command.group("its end")
    command.option("--exit-with-stdin", action="store_true", help="end when standard input is closed")


def _host_name(command: Command) -> None:
    command.option(
        "--host-name", action=Several, default=[], metavar="NAME",
        help="a further name by which clients may call it in Host; may be repeated (localhost, loopback addresses and"
        " the address to bind are its names anyway; all others are refused)",
    )  # fmt: skip


def _ingest(add: _Add, name: str) -> None:
    command = _command(add, name, "run the heart-rate service (needs the extra: mockexport[ingest])")
    command.usage = "mockexport ingest [option …] [ACTION …]"
    # The same variables that `uvicorn mockexport.ingest:app` reads; another server's port and folder are not its own.
    command.variables = "MOCKEXPORT_INGEST_"
    command.option("--host", default="127.0.0.1", help="address to bind (default: 127.0.0.1, this machine alone)")
    command.option("--port", type=port, default=8000, help="port to bind, 0 for any free one (default: 8000)")
    command.option("--data", metavar="DIR", default="data", help="where everything is kept (default: data)")
    command.option(
        "--priority", metavar="DEVICE=N,…", help="lower is preferred (default: device_a=1,device_b=2; then by name)"
    )
    command.option(
        "--compact-rows", type=positive, metavar="N", help="journal rows that start a compaction (default: 200000)"
    )
    command.option(
        "--compact-age-s", type=seconds, metavar="S", help="age of the oldest row that starts one (default: 30)"
    )
    command.option("--keep-days", type=positive, metavar="N", help="days before today that are kept (default: all)")
    _host_name(command)
    command.option(
        "--token-file", metavar="FILE",
        help="tokens of which each request must bring one: a line each, as `mockexport ingest token NAME` prints them",
    )  # fmt: skip
    command.option("--without-token", action="store_true", help="listen beyond this machine, and let all in")
    actions = command.add_subparsers(dest="action", metavar="ACTION", title="in place of running it")
    token = actions.add_parser(
        "token",
        help="make a token: its line for the file goes to stdout, the token itself to stderr",
        allow_abbrev=False,
    )
    token.add_argument("name", metavar="NAME", help="whose it is")
    token.add_argument(
        "--right", choices=("write", "read", "admin"), default="write",
        help="what it is for: write (the default), read, or admin, which may do both and delete",
    )  # fmt: skip
    backup = actions.add_parser(
        "backup", help="make a backup of the data folder, also while the service runs", allow_abbrev=False
    )
    backup.add_argument("folder", metavar="DIR", help="where to; must not exist yet")
    # Given before the action or after it; the default is the command's.
    backup.add_argument("--data", metavar="DIR", default=argparse.SUPPRESS, help="the folder (default: data)")
    check = actions.add_parser(
        "check", help="hold a backup or a data folder against all its checksums", allow_abbrev=False
    )
    check.add_argument("folder", metavar="DIR", help="what to check")


def _doctor(add: _Add, name: str) -> None:
    _command(add, name, "tell what this installation has and uses: engine and why, Python, packages, cores, memory")


def _completion(add: _Add, name: str) -> None:
    command = _command(
        add, name, "print what lets a shell complete commands and options (extra: mockexport[completion])"
    )
    command.usage = "mockexport completion SHELL"
    command.positional("shell", metavar="SHELL", type=one_of(SHELLS), choices=SHELLS, help=", ".join(SHELLS))


def _help(add: _Add, name: str) -> None:
    command = _command(add, name, "show the help of a command")
    command.usage = "mockexport help [--all] [COMMAND]"
    command.add_argument("--all", action="store_true", help="all options, as COMMAND --help-all does")
    command.positional(
        "about", metavar="COMMAND", nargs="?", type=one_of(COMMANDS), choices=COMMANDS, help=", ".join(COMMANDS)
    )
