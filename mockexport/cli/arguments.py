"""What can be said on the command line. Every option has a variable in the environment: MOCKEXPORT_ and its long name.

Only the standard library is imported here, so that `--help` answers at once.
"""

import argparse
import os
from collections.abc import Callable, Iterable, Sequence
from itertools import permutations
from typing import Any, NoReturn

from mockexport import __version__
from mockexport.errors import nearest
from mockexport.shown import given_url, shown

__all__ = ["COMMANDS", "parse"]

COMMANDS = ("analyze", "list", "show", "download", "generate", "serve", "ingest", "doctor")

# Ways to say where the data is, by twos: one said on the command line overrules another in the environment.
WHERE = tuple(permutations(("url", "origin", "urls"), 2))

# Options that are for a server that is named, and may be secret. In the environment they may wait for one.
_FOR_A_SERVER = ("token_file", "header", "proxy", "cacert", "cert", "key", "link_local")

_EPILOG = """\
exit codes:
  0  nothing failed or mismatched      5  server unreachable or export unknown
  2  usage                             6  a bad row, with --strict
  3  a download failed                 130  interrupted (143: terminated)
  4  a download differs from its       1  anything else
     metadata

Every option can be given in the environment: --chunk-size as MOCKEXPORT_CHUNK_SIZE, and so on.
`mockexport EXPORT` is short for `mockexport analyze EXPORT`.
"""


_EXAMPLES = {
    "analyze": """\
mockexport demo --format table
mockexport small --url http://127.0.0.1:8000 -o small.json --html small.html
mockexport --from 'ward/*.csv.gz' --stats count,median,p95 --delimiter semicolon
mockexport demo --since 2025-08-26 --until 2025-08-27 --patient P001""",
    "list": "mockexport list --url http://127.0.0.1:8000",
    "show": "mockexport show demo",
    "download": "mockexport download demo files/",
    "generate": "mockexport generate small files/",
    "serve": "mockexport serve --port 0 --faults reset=0.2,status=0.1 --seed 7",
    "ingest": """\
mockexport ingest --data readings --priority watch=1,strap=2
mockexport ingest token dashboard --right read >> tokens""",
}


class _Several(argparse.Action):
    """Collects what a repeated option says; the first one said replaces what the environment says."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        so_far = getattr(namespace, self.dest)
        setattr(namespace, self.dest, [values] if so_far is self.default else [*so_far, values])


class _FromEnvironment(str):
    """A text from the environment: what the command line says goes before it, contradictions included."""

    __slots__ = ()


class _Command(argparse.ArgumentParser):
    """A parser whose options fall back to the environment: to variables that begin with `variables`.

    `problems` are those with its variables: no concern of other commands, nor of --help and --version.
    """

    variables = "MOCKEXPORT_"

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.problems: list[str] = []
        self.known_variables: list[str] = []
        self.taking: set[str] = set()  # options that take a value
        self._group: argparse._ActionsContainer = self

    def group(self, title: str) -> None:
        """Put the options that follow under a title of their own."""
        self._group = self.add_argument_group(title)

    def option(self, *names: str, **settings: Any) -> None:
        """Add an option; its default is taken from the environment if it is set there."""
        long_name = next(name for name in names if name.startswith("--"))
        variable = self.variables + long_name[2:].upper().replace("-", "_")
        self.known_variables.append(variable)
        if settings.get("action") != "store_true":
            self.taking.update(names)
        if "choices" in settings:
            settings["type"] = _one_of(settings["choices"])
        text = os.environ.get(variable)
        if text:
            if settings.get("action") == "store_true":
                settings["default"] = self._truth(variable, text)
            elif settings.get("action") is _Several:
                settings["default"] = [line for line in text.splitlines() if line.strip()]
            else:
                if "choices" in settings and text not in settings["choices"]:
                    self.problems.append(f"{variable}: {text!a} is none of {', '.join(settings['choices'])}")
                else:
                    settings["default"] = _FromEnvironment(text)  # argparse converts and checks a default that is text
        self._group.add_argument(*names, **settings)

    def error(self, message: str) -> NoReturn:
        """End with a usage error, which repeats what was said: a secret excepted."""
        super().error(shown(message))

    def known_options(self) -> list[str]:
        """Return the options there are, by all their names."""
        return [*self._option_string_actions]

    def _truth(self, variable: str, text: str) -> bool:
        if text.lower() in ("1", "true", "yes", "on"):
            return True
        if text.lower() not in ("0", "false", "no", "off"):
            self.problems.append(f"{variable}: {text!a} is neither true nor false")
        return False


def parse(arguments: Sequence[str], *, counts: bool = False) -> argparse.Namespace:
    """Return what `arguments` say; exits with usage (2), --help or --version (0).

    `counts` presets --counts.
    """
    parser = _Command(
        prog="mockexport",
        description="Statistics while you download: fetch, verify and reduce a data export in one pass.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _version(parser)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, add in (
        ("analyze", _analyze),
        ("list", _list),
        ("show", _show),
        ("download", _download),
        ("generate", _generate),
        ("serve", _serve),
        ("ingest", _ingest),
        ("doctor", _doctor),
    ):
        add(commands.add_parser, name)
    given = _command_first(list(arguments), commands.choices.values())
    options, unknown = parser.parse_known_args(given)
    if unknown:
        command = commands.choices[options.command]
        meant = nearest(unknown[0].partition("=")[0], command.known_options())
        remedy = f"did you mean {meant}?" if meant else f"mockexport {options.command} --help tells those there are"
        # What was said with an option is not repeated: it may be a secret.
        words = [word.partition("=")[0] for word in unknown if word.startswith("-")] or unknown
        command.error(f"unrecognized arguments: {' '.join(map(given_url, words))}; {remedy}")
    for problem in commands.choices[options.command].problems:
        parser.error(problem)
    for name, other in (*WHERE, ("export_id", "export")):
        said = getattr(options, other, None) or None
        overruled = isinstance(getattr(options, name, None), _FromEnvironment)
        if overruled and said is not None and not isinstance(said, _FromEnvironment):
            setattr(options, name, None)
    for export in (*_words(getattr(options, "export", None)), *_words(getattr(options, "export_id", None))):
        if "://" in export:
            commands.choices[options.command].error(f"{given_url(export)} is a URL and no EXPORT; did you mean --url?")
    if hasattr(options, "url") and options.url is None and getattr(options, "urls", None) is None:
        for name in _FOR_A_SERVER:
            if getattr(options, name, None) is not commands.choices[options.command].get_default(name):
                option = f"--{name.replace('_', '-')}"
                commands.choices[options.command].error(f"{option} goes with --url or --urls, and to no other server")
    if counts:
        options.counts = True
    options.misspelt = _misspelt(
        variable for command in commands.choices.values() for variable in command.known_variables
    )
    return options


def _words(said: str | Sequence[str] | None) -> Sequence[str]:
    return [said] if isinstance(said, str) else said or ()


def _command_first(given: list[str], commands: Iterable[_Command]) -> list[str]:
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
    beginning = _Command.variables
    names = [variable.removeprefix(beginning) for variable in known]
    asked = [name.removeprefix(beginning) for name in os.environ if name.startswith(beginning)]
    meant = {name: nearest(name, names, alike=0.8) for name in asked if name not in names and name != "TOKEN"}
    return {beginning + name: beginning + other for name, other in meant.items() if other is not None}


def _version(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-v", "--version", action="version", version=f"mockexport {__version__}")


_Add = Callable[..., Any]


def _command(add: _Add, name: str, summary: str) -> _Command:
    examples = "".join(f"  {line}\n" for line in _EXAMPLES.get(name, "").splitlines())
    command: _Command = add(
        name, help=summary, description=summary[0].upper() + summary[1:] + ".", allow_abbrev=False,
        epilog=f"examples:\n{examples}" if examples else None, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.option("-d", "--verbose", action="store_true", help="a debug log on stderr")
    _version(command)
    return command


def _analyze(add: _Add, name: str) -> None:
    command = _command(add, name, "print the report of an export: statistics per patient and in total")
    command.usage = "mockexport [analyze] [option …] [EXPORT …]"
    _export(command)
    _where(command, local=True)
    _rows(command)
    _fhir(command)
    _asked(command)
    _statistics(command)
    _faces(command)
    _told(command)
    _trouble(command)
    command.option(
        "--checkpoint", metavar="FILE",
        help="save to FILE every few seconds and when interrupted; the same command again goes on from there",
    )  # fmt: skip
    _effort(command)
    command.option(
        "--split", type=_span_size, metavar="BYTES",
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
        "--dask-wait", type=_seconds, default=60.0, metavar="SECONDS",
        help="how long to wait for a worker, at the start and when all are lost (default: 60)",
    )  # fmt: skip
    _most_listed(command)
    _most_varied(command)
    command.option(
        "--max-resources", type=_positive, metavar="N",
        help="rows of FHIR resources with ids, which are kept to the end, 64 bytes each (default: 20000000)",
    )  # fmt: skip
    command.option("--max-rules", type=_bytes, metavar="BYTES", help="length of --rules (default: 1M)")
    command.option("--max-checkpoint", type=_bytes, metavar="BYTES", help="length of --checkpoint (default: 2G)")


def _list(add: _Add, name: str) -> None:
    command = _command(add, name, "list the exports there are")
    _where(command, local=True)
    _most_listed(command)
    command.group("what is told")
    command.option("--json", action="store_true", help="for programs")


def _show(add: _Add, name: str) -> None:
    command = _command(add, name, "show the downloads of an export and what is announced of them")
    command.add_argument("export", metavar="EXPORT", help="id of the export")
    _where(command, local=True)
    _most_listed(command)
    command.group("what is told")
    command.option("--json", action="store_true", help="for programs")


def _download(add: _Add, name: str) -> None:
    command = _command(add, name, "keep an export's files, verified, in a folder; what is there is not fetched again")
    command.usage = "mockexport download [option …] EXPORT DIR"
    command.add_argument("export", metavar="EXPORT", help="id of the export")
    command.add_argument("directory", metavar="DIR", help="folder for its files; made if it is not there")
    _where(command, local=False)
    _rows(command)
    command.group("what is told")
    _told(command)
    _trouble(command)
    _effort(command)
    _most_listed(command)
    _most_varied(command)


def _generate(add: _Add, name: str) -> None:
    command = _command(add, name, "write a synthetic export into a folder, without any server")
    command.add_argument("export", metavar="EXPORT", help="demo, small or large")
    command.add_argument("directory", metavar="DIR", help="folder for its files; made if it is not there")


def _serve(add: _Add, name: str) -> None:
    command = _command(add, name, "run the mock export server; its URL is printed on stdout")
    command.option("--host", default="127.0.0.1", help="address to bind (default: 127.0.0.1, this machine alone)")
    command.option("--port", type=_port, default=8000, help="port to bind, 0 for any free one (default: 8000)")
    _host_name(command)
    command.option("--bearer", metavar="FILE", help="let in those alone who bring the bearer token in FILE")
    command.option("--data", metavar="DIR", help="serve what generate or download left in DIR, straight from disk")
    command.option(
        "--faults",
        metavar="KIND=P,…",
        help="what goes wrong, with which probability per data request: reset=0.2,cut=0.1",
    )
    command.option("--seed", type=_natural, default=0, metavar="N", help="the same faults for the same N (default: 0)")
    command.option("--exit-with-stdin", action="store_true", help="end when standard input is closed")


def _host_name(command: _Command) -> None:
    command.option(
        "--host-name", action=_Several, default=[], metavar="NAME",
        help="a further name by which clients may call it in Host; may be repeated (localhost, loopback addresses and"
        " the address to bind are its names anyway; all others are refused)",
    )  # fmt: skip


def _ingest(add: _Add, name: str) -> None:
    command = _command(add, name, "run the heart-rate service (needs the extra: mockexport[ingest])")
    # The same variables that `uvicorn mockexport.ingest:app` reads; another server's port and folder are not its own.
    command.variables = "MOCKEXPORT_INGEST_"
    command.option("--host", default="127.0.0.1", help="address to bind (default: 127.0.0.1, this machine alone)")
    command.option("--port", type=_port, default=8000, help="port to bind, 0 for any free one (default: 8000)")
    command.option("--data", metavar="DIR", default="data", help="where everything is kept (default: data)")
    command.option(
        "--priority", metavar="DEVICE=N,…", help="lower is preferred (default: device_a=1,device_b=2; then by name)"
    )
    command.option(
        "--compact-rows", type=_positive, metavar="N", help="journal rows that start a compaction (default: 200000)"
    )
    command.option(
        "--compact-age-s", type=_seconds, metavar="S", help="age of the oldest row that starts one (default: 30)"
    )
    command.option("--keep-days", type=_positive, metavar="N", help="days before today that are kept (default: all)")
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


def _export(command: _Command) -> None:
    command.add_argument("export", metavar="EXPORT", nargs="*", help="id of the export, or of several (default: demo)")
    command.option("--all", action="store_true", help="analyze every export that is listed")
    command.option(
        "-e", "--export-id", "--export_id", dest="export_id", metavar="ID", help="the same, as an option"
    )  # fmt: skip


def _where(command: _Command, *, local: bool) -> None:
    command.group("where the data is")
    command.option(
        "--url",
        help="base URL of the export server (default: one on local port 8000 that has the export; else, for demo,"
        " small and large, the mock server is started for the run)",
    )
    if local:
        command.option(
            "--from", dest="origin", metavar="PATH",
            help="read a folder, a file or 'a pattern*.csv.gz' instead, or standard input (-); gzip and zstd, too",
        )  # fmt: skip
        command.option(
            "--urls", metavar="FILE",
            help="fetch the URLs that FILE lists, a line each, or a manifest in JSON; FILE may be a URL itself",
        )  # fmt: skip
    command.group("how to get at a server")
    command.option(
        "--timeout", type=_seconds, metavar="SECONDS",
        help="without an answer, or with hardly any bytes (default: 60 and 30)",
    )  # fmt: skip
    command.option(
        "--token-file", metavar="FILE",
        help="send the bearer token in FILE to --url's origin (or that in MOCKEXPORT_TOKEN)",
    )  # fmt: skip
    command.option(
        "--header", action=_Several, metavar="'NAME: VALUE'",
        help="send this to --url's origin, too; may be repeated (in the environment: a line each)",
    )  # fmt: skip
    command.option(
        "--attempts", type=_positive, metavar="N",
        help="how often a request may fail in a row without progress, outages included (default: 4, where an outage of"
        " up to 90 seconds counts as one)",
    )  # fmt: skip
    command.option(
        "--time-limit", type=_seconds, metavar="SECONDS",
        help="for a download with all its attempts and waits (default: 43200)",
    )  # fmt: skip
    command.option("--concurrency", type=_positive, default=4, metavar="N", help="requests at once (default: 4)")
    command.option("--proxy", metavar="URL", help="http:// URL of a proxy")
    command.option("--cacert", metavar="FILE", help="certificates to trust instead of the system's")
    command.option(
        "--cert", metavar="FILE", help="certificate to show to --url's server, and to no other, if it asks for one"
    )
    command.option("--key", metavar="FILE", help="its private key, without a passphrase (default: that in --cert)")
    command.option(
        "--link-local", action="store_true",
        help="connect to link-local addresses, too (169.254.…, fe80::…), where clouds hand out their credentials",
    )  # fmt: skip


def _statistics(command: _Command) -> None:
    command.group("which statistics")
    command.option("--counts", action="store_true", help="print counts only")
    command.option(
        "--stats", metavar="NAME,…",
        help="these statistics instead of the usual: count, mean, min, max, anomalies, latency, sum, first, last,"
        " variance, stddev, median, p95 (any from p0 to p100, such as p97.5), per_hour, per_day",
    )  # fmt: skip
    command.option(
        "--rules", metavar="FILE",
        help="what an anomaly is: a TOML file of event types with low, high or both, in place of the built-in rules",
    )  # fmt: skip


def _rows(command: _Command) -> None:
    command.group("how to read the rows")
    command.option(
        "--columns", type=_columns, metavar="ROLE=NAME,…",
        help="what the columns are called: patient_id, event_time, event_type, value (default: just so); an entry that"
        " holds a comma is quoted as in CSV",
    )  # fmt: skip
    command.option(
        "--delimiter",
        type=_delimiter,
        metavar="CHARACTER",
        help="between fields, or comma, semicolon, tab, pipe (default: comma)",
    )
    command.option(
        "--null", action=_Several, metavar="TOKEN",
        help="a text that means 'no value', beside none at all; may be repeated (in the environment: a line each)",
    )  # fmt: skip
    command.option(
        "--timezone", metavar="NAME", help="what times without an offset are local to: Europe/Berlin (default: UTC)"
    )


def _fhir(command: _Command) -> None:
    command.group("how to read FHIR Observations")
    command.option(
        "--input", choices=("csv", "fhir"),
        help="what the data is: tables, or FHIR Observations as NDJSON (default: fhir where names end in .ndjson or"
        " .jsonl, compressed or not)",
    )  # fmt: skip
    command.option(
        "--fhir-codes", metavar="FILE", help="further LOINC codes, or other meanings of known ones: a TOML file"
    )
    command.option(
        "--fhir-base", metavar="URL", help="the FHIR server's URL: patients referred to by it are those without"
    )
    command.option("--fhir-preliminary", action="store_true", help="let preliminary observations count")
    command.option("--fhir-issued", action="store_true", help="without an effective time, take the one of issue")
    command.option("--fhir-unitless", action="store_true", help="without any unit, take the usual one")


def _asked(command: _Command) -> None:
    command.group("which rows are asked for")
    command.option("--since", metavar="TIME", help="only rows from this time on, such as 2025-08-26T10:00:00Z, or date")
    command.option("--until", metavar="TIME", help="only rows before this time or date")
    command.option("--patient", action=_Several, metavar="ID", help="only rows of this patient; may be repeated")
    command.option("--event-type", action=_Several, metavar="TYPE", help="only rows of this type; may be repeated")


def _faces(command: _Command) -> None:
    command.group("what is written and told")
    command.option("--format", choices=("json", "table", "csv"), default="json", help="of the report (default: json)")
    command.option("--round", type=_places, metavar="N", help="round to N decimal places (default: full precision)")
    command.option(
        "-o", "--output", metavar="FILE", default="-",
        help="write the report to FILE, at once and whole, instead of stdout (-); an incomplete one to FILE.partial",
    )  # fmt: skip
    command.option(
        "--html", metavar="FILE",
        help="write the report as a page for the browser to FILE, too; an incomplete one to NAME.partial.html",
    )  # fmt: skip
    command.option(
        "--save", metavar="DIR",
        help="keep the files in DIR in the same pass, verified; what is there already is not fetched again",
    )  # fmt: skip
    command.option(
        "--save-format", choices=("csv", "parquet"), default="csv",
        help="of the files kept (default: csv, the bytes as they came); parquet takes the extra mockexport[parquet]",
    )  # fmt: skip
    command.option("--preview", action="store_true", help="on a terminal, show provisional statistics during the run")


def _told(command: _Command) -> None:
    command.option("--account", metavar="FILE", help="write how it went to FILE, as JSON")
    command.option("--events", metavar="FILE", help="write what happens to FILE, a line of JSON each")
    command.option("-t", "--time", action="store_true", help="seconds and rows per second on stderr")


def _most_listed(command: _Command) -> None:
    command.group("how much there may be, so that memory stays bounded")
    command.option("--max-downloads", type=_positive, metavar="N", help="exports, downloads, URLs (default: 100000)")
    command.option(
        "--max-announced", type=_positive, metavar="N",
        help="patients and event types that the metadata of an export names (default: 5000000)",
    )  # fmt: skip
    command.option("--max-reply", type=_bytes, metavar="BYTES", help="a reply with metadata (default: 16M)")
    command.option("--max-list", type=_bytes, metavar="BYTES", help="a list of URLs, an export.json (default: 64M)")


def _most_varied(command: _Command) -> None:
    command.option(
        "--max-groups", type=_positive, metavar="N",
        help="pairs of a patient and an event type, and patients (default: 1000000)",
    )  # fmt: skip
    command.option("--max-types", type=_positive, metavar="N", help="event types (default: 10000)")
    command.option("--max-window", type=_bytes, metavar="BYTES", help="memory that zstd may ask for (default: 128M)")


def _effort(command: _Command) -> None:
    command.group("how the work is done")
    command.option(
        "--chunk-size", type=_size, metavar="BYTES",
        help="bytes that go through the queue at once; K and M are understood (default: 768K; in Python 384K)",
    )  # fmt: skip
    command.option(
        "--engine", choices=("auto", "kernel", "python"), default="auto",
        help="what reads the rows: the compiled kernel or Python; the report is the same (default: auto, the fastest)",
    )  # fmt: skip


def _trouble(command: _Command) -> None:
    command.group("when things go wrong")
    command.option(
        "--on-failure", choices=("continue", "stop"), default="continue",
        help="when a download has failed: finish the others, or stop there (default: continue)",
    )  # fmt: skip
    command.option("--compress", action="store_true", help="ask for gzip; gives up resuming midway")
    command.option(
        "--max-bad", default="10%", metavar="N|P%",
        help="with more bad rows than this, a number or a share, a download has failed; with bad ones alone it always"
        " has (default: 10%%)",
    )  # fmt: skip
    command.option("--strict", action="store_true", help="end at the first bad row")


def _one_of(words: Sequence[str]) -> Callable[[str], str]:
    """Return a type of arguments that are one of `words`; the nearest is named to who writes another."""

    def word(text: str) -> str:
        if text in words:
            return text
        meant = nearest(text, words)
        more = "" if meant is None else f"; did you mean {meant}?"
        raise argparse.ArgumentTypeError(f"invalid choice: {text!a} (choose from {', '.join(words)}){more}")

    return word


_ROLES = ("patient_id", "event_time", "event_type", "value")


def _columns(text: str) -> dict[str, str]:
    """Return the names of columns by role."""
    import csv  # no sooner: --help should not wait for it

    try:
        (entries,) = csv.reader([text], strict=True)
    except (ValueError, csv.Error):
        raise argparse.ArgumentTypeError(f"{text!a} is no list such as {_ROLES[0]}=subject,value=number") from None
    names: dict[str, str] = {}
    for entry in entries:
        role, sign, name = entry.partition("=")
        if role not in _ROLES:
            meant = nearest(role, _ROLES)
            more = "" if meant is None else f"; did you mean {meant}?"
            raise argparse.ArgumentTypeError(
                f"{role!a} is none of {', '.join(_ROLES)}; say ROLE=NAME, as in value=number{more}"
            )
        if not sign or not name:
            raise argparse.ArgumentTypeError(f"{role} is given no name: say {role}=NAME")
        if role in names:
            raise argparse.ArgumentTypeError(f"{role} is named twice")
        names[role] = name
    return names


_DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "\\t": "\t", "pipe": "|"}


def _delimiter(text: str) -> str:
    if len(text) > 1 and text not in _DELIMITERS and (meant := nearest(text, list(_DELIMITERS))) is not None:
        raise argparse.ArgumentTypeError(f"{text!a} is not one character; did you mean {meant}?")
    return _DELIMITERS.get(text, text)


def _natural(text: str) -> int:
    number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
    if number < 0:
        raise argparse.ArgumentTypeError(f"{text!a} is not a whole number from 0")
    return number


# More than any double needs to be told from its neighbours; without a limit a table would be as wide as is asked for.
_MOST_PLACES = 100


def _places(text: str) -> int:
    number = _natural(text)
    if number > _MOST_PLACES:
        raise argparse.ArgumentTypeError(f"{text!a} is more than {_MOST_PLACES} decimal places")
    return number


def _positive(text: str) -> int:
    try:
        number = _natural(text)
    except argparse.ArgumentTypeError:
        number = 0
    if not number:
        raise argparse.ArgumentTypeError(f"{text!a} is not a whole number from 1")
    return number


def _seconds(text: str) -> float:
    try:
        seconds = float(text) if len(text) < 20 else 0.0
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e9:
        raise argparse.ArgumentTypeError(f"{text!a} is not a number of seconds above 0")
    return seconds


def _port(text: str) -> int:
    number = _natural(text)
    if number > 65535:
        raise argparse.ArgumentTypeError(f"{text!a} is not a port")
    return number


# A request that brings less than this is not worth it.
_LEAST_SPAN_BYTES = 4 * 1024
# Beyond this, memory is no longer a budget.
_MAX_CHUNK_BYTES = 64 * 1024 * 1024


def _bytes(text: str) -> int:
    factor = {"K": 1024, "M": 1024**2, "G": 1024**3}.get(text[-1:].upper(), 1)
    return _positive(text[:-1] if factor > 1 else text) * factor


def _span_size(text: str) -> int:
    number = _bytes(text)
    if number < _LEAST_SPAN_BYTES:
        raise argparse.ArgumentTypeError(f"{text!a} is less than 4K: a span costs a request")
    return number


def _size(text: str) -> int:
    number = _bytes(text)
    if number > _MAX_CHUNK_BYTES:
        raise argparse.ArgumentTypeError(f"{text!a} is more than 64M")
    return number
