"""The options that commands share, by groups: each function here adds one to a command.

`--help` tells those in FIRST, `--help-all` the others, too.
"""

from mockexport.cli.parser import Command, Several
from mockexport.cli.words import chunk_length, columns, delimiter, length, names, natural, places, positive, seconds

__all__ = [
    "FIRST", "asked", "effort", "exports", "faces", "fhir", "most_listed", "most_varied", "reading", "statistics",
    "told", "trouble", "where",
]  # fmt: skip

# The twenty of analyze that matter first; a further one takes the place of another. And those of every command.
FIRST = frozenset({
    "--all", "--url", "--from", "--urls", "--token-file", "--concurrency",
    "--columns", "--delimiter", "--timezone", "--since", "--until", "--patient",
    "--counts", "--stats", "--rules", "--format", "--output", "--html", "--save", "--checkpoint",
    "--verbose", "--quiet", "--json",
})  # fmt: skip


def exports(command: Command) -> None:
    command.group("which export")
    command.positional("export", metavar="EXPORT", nargs="*", help="id of the export, or of several (default: demo)")
    command.option("--all", action="store_true", help="analyze every export that is listed")
    command.option(
        "-e", "--export-id", "--export_id", dest="export_id", metavar="ID", help="the same, as an option"
    )  # fmt: skip


def where(command: Command, *, local: bool) -> None:
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
        "--timeout", type=seconds, metavar="SECONDS",
        help="without an answer, or with hardly any bytes (default: 60 and 30)",
    )  # fmt: skip
    command.option(
        "--token-file", metavar="FILE",
        help="send the bearer token in FILE to --url's origin (or that in MOCKEXPORT_TOKEN)",
    )  # fmt: skip
    command.option(
        "--header", action=Several, metavar="'NAME: VALUE'",
        help="send this to --url's origin, too; may be repeated (in the environment: a line each)",
    )  # fmt: skip
    command.option(
        "--attempts", type=positive, metavar="N",
        help="how often a request may fail in a row without progress, outages included (default: 4, where an outage of"
        " up to 90 seconds counts as one)",
    )  # fmt: skip
    command.option(
        "--time-limit", type=seconds, metavar="SECONDS",
        help="for a download with all its attempts and waits (default: 43200)",
    )  # fmt: skip
    command.option("--concurrency", type=positive, default=4, metavar="N", help="requests at once (default: 4)")
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


def statistics(command: Command) -> None:
    command.group("which statistics")
    command.option("--counts", action="store_true", help="print counts only")
    command.option(
        "--stats", metavar="NAME,…",
        help="these statistics instead of the usual: count, mean, min, max, anomalies, latency, sum, first, last,"
        " variance, stddev, median, p95 (any from p0 to p100, such as p97.5), per_hour, per_day",
    )  # fmt: skip
    command.option(
        "--distinct", action="store_true",
        help="count rows once that are alike in patient, type, time and value, over all files; up to 48 bytes a row",
    )  # fmt: skip
    command.option(
        "--rules", metavar="FILE",
        help="what an anomaly is: a TOML file of event types with low, high or both, in place of the built-in rules",
    )  # fmt: skip


def reading(command: Command) -> None:
    command.group("how to read the rows")
    command.option(
        "--like", metavar="NAME",
        help="as the tables of a known program (`mockexport formats` lists them), or as a TOML file says; options win",
    )  # fmt: skip
    command.option(
        "--columns", type=columns, metavar="ROLE=NAME,…",
        help="what the columns are called: patient_id, event_time, event_type, value (default: just so), unit; #3 is"
        " the third, A+B are two joined by a space; an entry that holds a comma is quoted as in CSV",
    )  # fmt: skip
    command.option(
        "--constant", action=Several, metavar="ROLE=TEXT",
        help="what no column holds; {stem}, {name} and {parent} of the file's name are replaced; may be repeated",
    )  # fmt: skip
    command.option(
        "--values", type=names, metavar="NAME[=TYPE],…",
        help="a wide table: each of these columns is a type of its own, * are all without a role",
    )  # fmt: skip
    command.option(
        "--delimiter",
        type=delimiter,
        metavar="CHARACTER",
        help="between fields, or comma, semicolon, tab, pipe (default: comma)",
    )
    command.option(
        "--time-format", action=Several, metavar="FORMAT",
        help="how times are written: '%%d/%%m/%%Y %%H:%%M' as in strptime, iso, epoch, epoch-ms, epoch-us, or days,"
        " hours, minutes, seconds since --origin; may be repeated: the first that fits",
    )  # fmt: skip
    command.option("--origin", dest="time_origin", metavar="TIME", help="the time that elapsed ones count from")
    command.option(
        "--timezone", metavar="NAME", help="what times without an offset are local to: Europe/Berlin (default: UTC)"
    )
    command.option("--decimal", choices=("point", "comma"), help="what separates decimal places (default: point)")
    command.option(
        "--thousands", choices=("point", "comma", "space", "apostrophe"), help="what groups digits (default: nothing)"
    )
    command.option("--skip", type=natural, metavar="N", help="lines before the header")
    command.option("--no-header", action="store_true", help="there is none: columns are #1, #2, …")
    command.option("--comment", metavar="CHARACTER", help="begins lines to leave out")
    command.option("--quote", metavar="CHARACTER", help='encloses fields, or none: quotes are data (default: ")')
    command.option("--escape", metavar="CHARACTER", help="makes the next character one like others")
    command.option(
        "--encoding", metavar="NAME", help="of the text, such as cp1252 (default: UTF-8, or UTF-16 by its mark)"
    )
    command.option(
        "--null", action=Several, metavar="TOKEN",
        help="a text that means 'no value', beside none at all; may be repeated (in the environment: a line each)",
    )  # fmt: skip
    command.option(
        "--replace", action=Several, metavar="TEXT=NUMBER", help="for a value that is a word: Low=40; may be repeated"
    )
    command.option(
        "--censored", choices=("leave-out", "bound", "bad"),
        help="values such as <0.6: left out and noted (default), taken as their bound, or bad rows",
    )  # fmt: skip
    command.option(
        "--text", choices=("bad", "missing"), help="values that are no numbers: bad rows (default), or missing"
    )
    command.option(
        "--where", action=Several, metavar="COLUMN=TEXT",
        help="only rows that have TEXT in COLUMN, or with COLUMN!=TEXT have it not; may be repeated: of one column any,"
        " of several all",
    )  # fmt: skip


def fhir(command: Command) -> None:
    command.group("where FHIR data is")
    command.option(
        "--fhir", metavar="URL",
        help="start a FHIR Bulk Data export at the server with this base URL, and wait for it",
    )  # fmt: skip
    command.option("--group", metavar="ID", help="with --fhir: of this group (default: of all patients)")
    command.option("--fhir-status", metavar="URL", help="wait for a FHIR job that was started before")
    command.option("--fhir-manifest", metavar="URL", help="read what the manifest of a finished FHIR job names")
    command.option("--fhir-client-id", metavar="ID", help="who asks, for a FHIR server that gives out tokens")
    command.option("--fhir-key", metavar="FILE", help="its private key, PEM or a JWK set (mockexport[fhir])")
    command.option(
        "--fhir-keep", action="store_true", help="leave the job on the server also when the report is complete"
    )
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


def asked(command: Command) -> None:
    command.group("which rows are asked for")
    command.option("--since", metavar="TIME", help="only rows from this time on, such as 2025-08-26T10:00:00Z, or date")
    command.option("--until", metavar="TIME", help="only rows before this time or date")
    command.option("--patient", action=Several, metavar="ID", help="only rows of this patient; may be repeated")
    command.option("--event-type", action=Several, metavar="TYPE", help="only rows of this type; may be repeated")


def faces(command: Command) -> None:
    command.group("what is written and told")
    command.option("--format", choices=("json", "table", "csv"), default="json", help="of the report (default: json)")
    command.option("--round", type=places, metavar="N", help="round to N decimal places (default: full precision)")
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


def told(command: Command) -> None:
    command.option("--account", metavar="FILE", help="write how it went to FILE, as JSON")
    command.option("--events", metavar="FILE", help="write what happens to FILE, a line of JSON each")
    command.option("-t", "--time", action="store_true", help="seconds and rows per second on stderr")


def most_listed(command: Command) -> None:
    command.group("how much there may be, so that memory stays bounded")
    command.option("--max-downloads", type=positive, metavar="N", help="exports, downloads, URLs (default: 100000)")
    command.option(
        "--max-announced", type=positive, metavar="N",
        help="patients and event types that the metadata of an export names (default: 5000000)",
    )  # fmt: skip
    command.option("--max-reply", type=length, metavar="BYTES", help="a reply with metadata (default: 16M)")
    command.option("--max-list", type=length, metavar="BYTES", help="a list of URLs, an export.json (default: 64M)")


def most_varied(command: Command) -> None:
    command.option(
        "--max-groups", type=positive, metavar="N",
        help="pairs of a patient and an event type, and patients (default: 1000000)",
    )  # fmt: skip
    command.option("--max-types", type=positive, metavar="N", help="event types (default: 10000)")
    command.option("--max-window", type=length, metavar="BYTES", help="memory that zstd may ask for (default: 128M)")


def effort(command: Command) -> None:
    command.group("how the work is done")
    command.option(
        "--chunk-size", type=chunk_length, metavar="BYTES",
        help="bytes that go through the queue at once; K and M are understood (default: 1M on two cores, less on more;"
        " in Python 384K)",
    )  # fmt: skip
    command.option(
        "--engine", choices=("auto", "kernel", "python"), default="auto",
        help="what reads the rows: the compiled kernel or Python; the report is the same (default: auto, the fastest)",
    )  # fmt: skip


def trouble(command: Command) -> None:
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
    command.option(
        "--strict",
        action="store_true",
        help="end at the first bad row, and at whatever else would be noted of the data",
    )
