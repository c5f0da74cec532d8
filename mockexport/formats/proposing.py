"""How a table may be read that is not read well: descriptions that were tried on its first rows, by the reference.

A proposal is never made that does not read these rows; where two readings do, and come to other rows, both are told.

Rules: pure. Step by step, from what stands in the way of most rows: no header, fields, times, values.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice

from mockexport.errors import HeaderError, OptionError
from mockexport.formats.batch import Batch, Decoded
from mockexport.formats.csv import CsvDecoder
from mockexport.formats.fields import BadField, BadRowReason
from mockexport.formats.guessing import (
    MISSING_WORDS,
    is_clock,
    is_day,
    is_id,
    number_signs,
    role_names,
    share_of_numbers,
    share_of_times,
    time_formats,
)
from mockexport.formats.layout import Layout
from mockexport.formats.quoting import Quoting, rows_in
from mockexport.formats.schema import Schema
from mockexport.model import Chunk, Span

__all__ = ["SAMPLE_BYTES", "SAMPLE_ROWS", "Trial", "attempt", "cut_sample", "fields_of", "proposals"]

# What is looked at of a table.
SAMPLE_BYTES = 64 * 1024
SAMPLE_ROWS = 1000
# And of it for most trials: a trial costs some milliseconds.
_FEW_ROWS = 100
# Lines among which the header is looked for.
_MOST_SKIPPED = 30
# Descriptions that are gone on with, and how many things may be wrong with one.
_MOST_KEPT, _MOST_STEPS = 4, 6
_SOME_FOLDER = "folder"
# A table whose times follow from lines' places would take any numbers for values: it begins with a time since 2001, and
# with a rate, alike in all its columns.
_SAMPLED_FILE = re.compile(rb"(\d{10}(?:\.\d+)?)(?:, ?\1)*\r?\n(\d{1,4}(?:\.\d+)?)(?:, ?\2)*\r?\n")
_DELIMITERS = (",", ";", "\t", "|")
_ROLES = ("patient_id", "event_time", "event_type", "value")
# How far a row got that is bad for a reason: those not here have no fields.
_GOT = {
    BadRowReason.EMPTY_ID: 1,
    BadRowReason.LONG_ID: 1,
    BadRowReason.TIME: 2,
    BadRowReason.SKIPPED_TIME: 2,
    BadRowReason.VALUE: 3,
    BadRowReason.VALUE_RANGE: 3,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """What the first rows come to by a description; `layout` is None, and `fault` says why, if it has no header."""

    schema: Schema
    decoded: Decoded
    layout: Layout | None = None
    header: str = ""
    fault: str = ""
    quoting: Quoting = field(default_factory=Quoting)

    @property
    def reads_well(self) -> bool:
        """Whether there are values, and not one bad row in ten."""
        return bool(self.decoded.batch) and len(self.decoded.bad) * 10 <= self.decoded.rows

    @property
    def score(self) -> float:
        """How far rows get, from 0 to 4, on average; below 0 without a header."""
        if self.layout is None:
            return -1.0
        got = 4 * len(self.decoded.batch) + 3.5 * len(self.decoded.missing)
        got += sum(_GOT.get(bad.reason, 0) for bad in self.decoded.bad)
        return got / max(self.decoded.rows, 1)


def cut_sample(data: bytes, rows: int = SAMPLE_ROWS) -> bytes:
    """Return the first whole lines of a table's beginning, at most `rows`."""
    if len(data) >= SAMPLE_BYTES:
        data = data[: data.rfind(b"\n", 0, SAMPLE_BYTES) + 1] or data[:SAMPLE_BYTES]
    at = -1
    for _ in range(rows):
        at = data.find(b"\n", at + 1)
        if at < 0:
            return data
    return data[: at + 1]


def attempt(sample: bytes, schema: Schema, download_id: str = "") -> Trial:
    """Return what a sample comes to by a schema; a file whose folder is not known is in one all the same."""
    decoder = CsvDecoder(schema if "/" in download_id else schema.in_folder(_SOME_FOLDER), download_id=download_id)
    try:
        decoded = decoder.decode(Chunk(Span(download_id), sample, 0, len(sample), 1))
    except HeaderError as error:
        return Trial(schema, Decoded(Batch(), [], []), fault=error.problem)
    return Trial(schema, decoded, decoder.layout, decoder.header or "", quoting=decoder.quoting)


def proposals(sample: bytes, schema: Schema, download_id: str = "", known: Sequence[Schema] = ()) -> list[Trial]:
    """Return descriptions that read a sample well, the likeliest first: none if there is none.

    They differ from `schema` in as few things as possible, and each comes to other rows than those before it. `known`
    ones go first, where they read well.
    """
    plausible = known if _SAMPLED_FILE.match(sample) else [each for each in known if not each.is_sampled]
    found = [trial for each in plausible if (trial := attempt(sample, each, download_id)).reads_well]
    few = cut_sample(sample, _FEW_ROWS)
    kept, seen = [attempt(few, schema, download_id)], {schema.fingerprint}
    for _ in range(_MOST_STEPS):
        better: list[Trial] = []
        for trial in kept:
            for step in _steps(trial, few):
                if step.fingerprint not in seen:
                    seen.add(step.fingerprint)
                    tried = attempt(few, step, download_id)
                    if tried.score > trial.score:
                        better.append(tried)
        whole = [attempt(sample, trial.schema, download_id) for trial in better if trial.reads_well]
        found += [trial for trial in whole if trial.reads_well]
        kept = sorted(better, key=lambda trial: -trial.score)[:_MOST_KEPT]
        if found or not kept:
            break
    return _different(found)


def _different(trials: Sequence[Trial]) -> list[Trial]:
    best = max((trial.score for trial in trials), default=0.0)
    kept: list[Trial] = []
    for trial in trials:
        # Of two readings one that reads a tenth less is hardly meant.
        if trial.score >= best * 0.95 and all(trial.decoded.batch != other.decoded.batch for other in kept):
            kept.append(trial)
    return kept


def _steps(trial: Trial, sample: bytes) -> Iterator[Schema]:
    """Yield descriptions that differ in what stands in the way of most rows."""
    schema, layout = trial.schema, trial.layout
    if layout is None:
        yield from _with_header(schema, sample)
        return
    reasons = Counter(bad.reason for bad in trial.decoded.bad)
    if reasons[BadRowReason.ENCODING]:
        yield from _changed(schema, encoding="cp1252")
    if sum(number for reason, number in reasons.items() if reason not in _GOT):
        yield from _with_signs(schema)
    rows = fields_of(sample, trial)
    if reasons[BadRowReason.TIME] or reasons[BadRowReason.SKIPPED_TIME]:
        for name in time_formats(_texts(rows, layout.event_time)):
            yield from _changed(schema, time_formats=() if name == "iso" else (name,))
    if reasons[BadRowReason.VALUE] or reasons[BadRowReason.VALUE_RANGE]:
        yield from _with_values(schema, [text for value in layout.values for text in _texts(rows, value.columns)])


def _with_signs(schema: Schema) -> Iterator[Schema]:
    for delimiter in _DELIMITERS:
        yield from _changed(schema, delimiter=delimiter)
    yield from _changed(schema, quote=None)
    yield from _changed(schema, escape="\\")
    yield from _changed(schema, quote="'")


def _with_values(schema: Schema, texts: Sequence[str]) -> Iterator[Schema]:
    for decimal, thousands in number_signs(texts):
        yield from _changed(schema, decimal=decimal, thousands=thousands)
    words = frozenset(MISSING_WORDS).intersection(texts)
    if words:
        yield from _changed(schema, null_tokens=schema.null_tokens | words)
    yield from _changed(schema, text="missing")


def _changed(schema: Schema, **changes: object) -> Iterator[Schema]:
    """Yield the schema with other fields, if it is one."""
    try:
        yield replace(schema, **changes)  # type: ignore[arg-type]
    except OptionError:
        return


# ---- the header


def _with_header(schema: Schema, sample: bytes) -> Iterator[Schema]:
    """Yield descriptions by which some line of the sample is the header, or there is none."""
    text = sample.decode("utf-8-sig" if schema.encoding is None else schema.encoding, "replace")
    if "\ufffd" in text and schema.encoding is None:
        for encoded in _changed(schema, encoding="cp1252"):
            yield encoded
            yield from _with_header(encoded, sample)
        return
    lines = text.splitlines()
    found = False
    for delimiter in dict.fromkeys([schema.delimiter, *_DELIMITERS]):
        quoting = replace(schema.quoting, delimiter=delimiter)
        for number, names, rows in _headers(lines, quoting, schema.columns):
            found = True
            base = next(_changed(schema, delimiter=delimiter, **_before(lines[:number])), None)
            if base is not None:
                yield from _with_columns(base, names, rows)
    if not found:
        for delimiter in dict.fromkeys([schema.delimiter, *_DELIMITERS]):
            rows = [_split(line, replace(schema.quoting, delimiter=delimiter)) for line in lines[:_FEW_ROWS] if line]
            width = len(rows[0]) if rows else 0
            if width > 1:
                numbered = [f"#{number}" for number in range(1, width + 1)]
                for base in _changed(schema, delimiter=delimiter, header=False):
                    yield from _with_columns(base, numbered, [row for row in rows if len(row) == width])


def _before(lines: Sequence[str]) -> dict[str, object]:
    """Return what leaves out the lines before a header."""
    there = [line for line in lines if line.strip()]
    if not there:
        return {}
    if all(line.startswith("#") for line in there):
        return {"comment": "#"}
    return {"skip": len(lines)}


def _headers(
    lines: Sequence[str], quoting: Quoting, wanted: Sequence[str]
) -> Iterator[tuple[int, list[str], list[list[str]]]]:
    """Yield the place of the line that may be the header, its names, and the rows that follow.

    It is the one that has all names that are `wanted`, if there is one.
    """
    split = [_split(line, quoting) for line in lines[: _MOST_SKIPPED + _FEW_ROWS]]
    widths = Counter(len(fields) for fields in split if len(fields) > 1)
    if not widths:
        return
    for number, names in enumerate(split[:_MOST_SKIPPED]):
        if wanted and all(names.count(name) == 1 for name in wanted):
            yield number, names, [row for row in split[number + 1 :] if len(row) >= len(names)]
            return
    (width, _), *_rest = widths.most_common(1)
    for number, names in enumerate(split[:_MOST_SKIPPED]):
        # Rows may have an empty field more, behind a last delimiter.
        if not width - 1 <= len(names) <= width or len(names) < 2:
            continue
        if share_of_numbers(names) or share_of_times(names) or len([name for name in names if name]) < 2:
            return  # a row of data: the header is not below it
        rows = [row for row in split[number + 1 :] if len(row) >= len(names)]
        yield number, names, rows
        return


def _split(line: str, quoting: Quoting) -> list[str]:
    try:
        return quoting.split(line)
    except BadField:
        return line.split(quoting.delimiter)


def _with_columns(schema: Schema, names: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[Schema]:
    """Yield the schema with columns that are among the names: those that it has, and for others the likeliest."""
    texts = {name: [row[at] for row in rows] for at, name in enumerate(names) if name and list(names).count(name) == 1}
    columns = {role: getattr(schema, role) for role in _ROLES if getattr(schema, role) in texts}
    if "event_time" not in columns:
        texts |= _joined(texts)
    left = [name for name in texts if name not in columns.values()]
    missing = [role for role in _ROLES if role not in columns and role not in dict(schema.constants)]
    if schema.values:
        missing = [role for role in missing if role not in ("event_type", "value")]
    choices: list[dict[str, object]] = [dict(columns)]
    for role in ("event_time", "value", "patient_id", "event_type"):
        if role not in missing:
            continue
        grown: list[dict[str, object]] = []
        for chosen in choices:
            taken = _parts_of(chosen)
            free = [name for name in left if name not in taken]
            most = 1 if role == "patient_id" else 2
            grown += [{**chosen, role: name} for name in islice(_candidates(role, free, texts, left), most)] or [chosen]
        choices = grown
    for chosen in choices[:8]:
        yield from _completed(schema, chosen, missing, texts)


def _joined(texts: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return a day and a time of day, in two columns, as one, by its name in a description."""
    days = [name for name in texts if "+" not in name and is_day(texts[name])]
    clocks = [name for name in texts if "+" not in name and is_clock(texts[name])]
    if len(days) != 1 or len(clocks) != 1:
        return {}
    pairs = zip(texts[days[0]], texts[clocks[0]], strict=True)
    return {f"{days[0]}+{clocks[0]}": [f"{day} {clock}" for day, clock in pairs]}


def _parts_of(chosen: dict[str, object]) -> set[object]:
    """Return the columns that have a role, and those that are joined."""
    names = [name for name in chosen.values() if isinstance(name, str)]
    return {*names, *(part for name in names for part in name.split("+"))}


def _candidates(role: str, free: Sequence[str], texts: dict[str, list[str]], names: Sequence[str]) -> Iterator[str]:
    """Yield the columns that may have a role, the likeliest first."""
    called = role_names(free, role)
    if role == "event_time":
        times = {name: share_of_times(texts[name]) for name in free}
        joined = [name for name in free if "+" in name and times[name] >= 0.9]
        if joined and all(times[name] <= 0.5 or is_day(texts[name]) for name in called if name not in joined):
            yield joined[0]  # the day alone would do, and lose the hours
            return
        yield from sorted((name for name in called if times[name] > 0.5), key=lambda name: -times[name])
        if not any(times[name] > 0.5 for name in called):
            yield from (name for name in free if times[name] >= 0.9)
        return
    if role == "value":
        numbers = {name: share_of_numbers(texts[name]) for name in free}
        yield from (name for name in called if numbers[name] > 0.3)
        if not called and names and all(name.startswith("#") for name in names):
            yield from (name for name in reversed(free) if numbers[name] >= 0.5)
        return
    if called or (role == "patient_id" and not all(name.startswith("#") for name in names)):
        yield from called
    elif all(name.startswith("#") for name in names):
        yield from (name for name in free if any(texts[name]))
    elif role_names(names, "value"):  # one column of values: of what, another has to say
        yield from (name for name in free if _names_things(texts[name]))


def _names_things(texts: Sequence[str]) -> bool:
    """Tell whether some texts are names that come again and again: they may be what the values beside them are of."""
    different = {*texts} - {""}
    return 0 < len(different) <= len(texts) / 2 and not share_of_numbers(texts) and not share_of_times(texts)


def _completed(
    schema: Schema, chosen: dict[str, object], missing: Sequence[str], texts: dict[str, list[str]]
) -> Iterator[Schema]:
    """Yield the schema with the chosen columns; what no column has is constant, or a type is a column of its own."""
    if "event_time" in missing and "event_time" not in chosen:
        return
    changes: dict[str, object] = {role: chosen[role] for role in missing if role in chosen}
    constants = dict(schema.constants)
    if "patient_id" in missing and "patient_id" not in chosen:
        constants["patient_id"] = "{stem}"
    taken = _parts_of(chosen)
    numeric = [
        name
        for name in texts
        if name not in taken and not is_id(name) and any(texts[name]) and share_of_numbers(texts[name]) >= 0.9
    ]
    if "event_type" in missing and "event_type" not in chosen:
        if "value" in chosen:
            constants["event_type"] = "{stem}"
        else:
            changes["values"] = tuple((name, None) for name in numeric)
    elif "value" in missing and "value" not in chosen:
        return
    if changes.get("values") == ():
        return
    units = role_names([name for name in texts if name not in taken], "unit")
    if schema.unit is None and units and "values" not in changes and len({*texts[units[0]]} - {""}) > 1:
        changes["unit"] = units[0]
    yield from _changed(schema, **changes, constants=tuple(constants.items()))


# ---- the rows


def fields_of(sample: bytes, trial: Trial) -> list[list[str]]:
    """Return the fields of the rows behind the header, bad ones included."""
    schema = trial.schema
    width = 0 if trial.layout is None else trial.layout.fields
    quoting, found = trial.quoting, []
    texts = [
        raw.removesuffix(b"\r").decode(schema.encoding or "utf-8", "replace")
        for _, raw in rows_in(sample, quoting, 1, ended=True).rows
    ]
    header = trial.header.rpartition("\n")[2]
    # It is the first line that is not left out, but for a mark before it.
    start = next((at for at, text in enumerate(texts) if text.removeprefix("\ufeff") == header), -1) + 1
    for text in texts[start:]:
        fields = _split(text, quoting)
        if len(fields) >= width and not (quoting.comment is not None and text.startswith(quoting.comment)):
            found.append(fields)
    return found


def _texts(rows: Sequence[Sequence[str]], part: tuple[int, ...] | str) -> list[str]:
    if isinstance(part, str):
        return []
    return [" ".join(row[at] for at in part) for row in rows]
