"""`mockexport look`: what the first rows of files hold, how they would be read, and the command that is proposed."""

import argparse
import shlex
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import cast

from mockexport.cli import exits
from mockexport.cli.fetching import schema_of
from mockexport.cli.text import put
from mockexport.formats.batch import Row
from mockexport.formats.descriptions import known_schemas
from mockexport.formats.fields import BadField, format_time
from mockexport.formats.guessing import number_signs, share_of_numbers, time_formats
from mockexport.formats.proposing import SAMPLE_BYTES, Trial, attempt, cut_sample, fields_of, proposals
from mockexport.formats.quoting import Quoting
from mockexport.formats.schema import ROLES, Schema
from mockexport.formats.wording import as_options, reasons_for
from mockexport.model import Download
from mockexport.pipeline.streams import Source
from mockexport.reducers.summary import number
from mockexport.report.plain import aligned, counted, shortened
from mockexport.shown import printable
from mockexport.sources.opening import open_source

__all__ = ["look"]

# Files that are looked into, and what is shown of each: it fits a screen.
MOST_FILES, MOST_COLUMNS, MOST_ROWS, MOST_BAD, MOST_WAYS = 8, 20, 5, 3, 3
_CELL = 24


async def look(options: argparse.Namespace) -> int:
    """Run the command; return its exit code."""
    schema = schema_of(options)
    read = True
    async with open_source(None, files=options.file) as opened:
        (export_id,) = await opened.source.export_ids()
        export = await opened.source.discover(export_id)
        for at, download in enumerate(export.downloads[:MOST_FILES]):
            sample = cut_sample(await _beginning(opened.source, export_id, download))
            lines = list(_looked_at(download.id, sample, schema, options.file))
            read = read and bool(lines) and not lines[-1].startswith("Nothing")
            put("\n" * bool(at) + "".join(f"{line}\n" for line in lines))
        if len(export.downloads) > MOST_FILES:
            put(f"\n{counted(len(export.downloads) - MOST_FILES, 'further file')} not looked into\n")
    return 0 if read else exits.FAILED


async def _beginning(source: Source, export_id: str, download: Download) -> bytes:
    """Return the first bytes of a file, unpacked."""
    stream, found = source.stream(export_id, download), bytearray()
    try:
        async with aclosing(cast("AsyncGenerator[object]", stream.pieces())) as pieces:
            async for piece in pieces:
                if isinstance(piece, bytes | memoryview):
                    found += piece
                if len(found) >= SAMPLE_BYTES:
                    break
    finally:
        await stream.close(None)
    return bytes(found)


def _in_its_folder(download_id: str, files: Sequence[str]) -> str:
    """Return a file's name with that of its folder, which a description may ask for."""
    if "/" in download_id:
        return download_id
    at = Path(files[0])
    return f"{(at if at.is_dir() else at.parent).resolve().name}/{download_id}"


def _looked_at(name: str, sample: bytes, schema: Schema, files: Sequence[str]) -> Iterator[str]:
    """Yield what is to be said of one file, line by line."""
    place = _in_its_folder(name, files)
    asked = attempt(sample, schema, place)
    ways = [asked] if asked.reads_well else proposals(sample, schema, place, [*known_schemas()])[:MOST_WAYS]
    best = ways[0] if ways else asked
    yield f"{printable(name)}: the first {counted(len(sample.splitlines()), 'line')}"
    if best.layout is not None:
        yield from _columns(sample, best)
        yield from _rows(best)
        yield from _bad(best)
    if asked.reads_well:
        yield "It is read as it is, with:" if schema != Schema() else "It is read without any option:"
        yield f"  {_command(files, schema)}"
        return
    yield f"As asked for it is not read: {_problem(asked)}"
    if not ways:
        yield "Nothing that was tried reads it: say which columns it has (--columns), or what program wrote it (--like)"
    for at, way in enumerate(ways):
        why = "; ".join(reasons_for(way.schema, schema))
        yield f"{'Or otherwise' if at else 'Proposed'}{f' ({why})' if why else ''}:"
        yield f"  {_command(files, way.schema)}"


def _problem(asked: Trial) -> str:
    if asked.layout is None:
        return printable(asked.fault)
    reasons = Counter(bad.reason for bad in asked.decoded.bad)
    told = ", ".join(f"{count:,} {reason}" for reason, count in reasons.most_common())
    return (
        f"{len(asked.decoded.bad):,} of {counted(asked.decoded.rows, 'row')} are bad ({told})" if told else "no values"
    )


def _command(files: Sequence[str], schema: Schema) -> str:
    where = " ".join(shlex.quote(file) for file in files[:1])
    return printable(f"mockexport --from {where} {as_options(schema, Schema())}".rstrip())


def _columns(sample: bytes, trial: Trial) -> Iterator[str]:
    """Yield what each column seems to hold, and what it is taken for; nothing where times follow from lines' places."""
    if trial.schema.is_sampled:
        return
    names, rows = _split(trial.header, trial.quoting), fields_of(sample, trial)
    roles = {name: role for role in ROLES if (name := getattr(trial.schema, role)) is not None}
    values = {name for name, _ in trial.schema.values}
    lines = []
    for at, name in enumerate(names[:MOST_COLUMNS]):
        texts = [row[at] for row in rows if at < len(row) and row[at]]
        taken = roles.get(name) or ("a type of its own" if name in values else "")
        lines.append([f"#{at + 1}", shortened(printable(name), _CELL), _held(texts), taken])
    yield from aligned(["", "column", "seems to hold", "is taken for"], lines, left=4).splitlines()
    if len(names) > MOST_COLUMNS:
        yield f"and {counted(len(names) - MOST_COLUMNS, 'further column')}"


def _held(texts: Sequence[str]) -> str:
    if not texts:
        return "nothing"
    if formats := time_formats(texts[:200]):
        return f"times ({' or '.join(formats[:2])})"
    if share_of_numbers(texts) >= 0.9:
        signs = number_signs(texts)
        decimal, thousands = signs[0] if signs else (".", None)
        written = "" if (decimal, thousands) == (".", None) else f" like 1{thousands or ''}234{decimal}5"
        return f"numbers{written}"
    different = len(set(texts))
    return "one text" if different == 1 else f"{different:,} different texts"


def _split(line: str, quoting: Quoting) -> list[str]:
    try:
        return quoting.split(line.rpartition("\n")[2])
    except BadField:
        return line.split(quoting.delimiter)


def _rows(trial: Trial) -> Iterator[str]:
    rows = list(trial.decoded.batch.rows())[:MOST_ROWS]
    if rows:
        yield "The first rows, as they would be read:"
        yield from aligned(
            ["patient_id", "event_time", "event_type", "value"], [_cells(row) for row in rows], left=3
        ).splitlines()


def _cells(row: Row) -> list[str]:
    texts = (row.patient_id, format_time(row.event_time), row.event_type, str(number(row.value)))
    return [shortened(printable(text), _CELL + 12) for text in texts]


def _bad(trial: Trial) -> Iterator[str]:
    decoded = trial.decoded
    told = f"{counted(len(decoded.batch), 'value')}, {len(decoded.missing):,} missing"
    told += "".join(f", {count:,} {kind}" for kind, count in sorted(decoded.noted.items()))
    yield told
    if decoded.bad:
        first = ", ".join(f"line {bad.line:,} ({bad.reason})" for bad in decoded.bad[:MOST_BAD])
        yield f"{counted(len(decoded.bad), 'bad row')}: {first}{' …' if len(decoded.bad) > MOST_BAD else ''}"
