"""Rows of one layout into columns: which field is what, and what becomes of a row that is not plain."""

from collections import Counter
from collections.abc import Callable, Iterator
from operator import itemgetter

from mockexport.formats.batch import BadRow, Decoded, MissingValue
from mockexport.formats.cutting import MAX_ROW_BYTES
from mockexport.formats.fields import BadField, BadRowReason, check_id, is_date
from mockexport.formats.layout import Condition, Layout, Part, names_again
from mockexport.formats.noted import Noted
from mockexport.formats.quoting import Quoting
from mockexport.formats.schema import Schema
from mockexport.formats.times import time_reader
from mockexport.formats.values import value_reader

__all__ = ["decode_until_header"]

_Get = Callable[[list[str]], str]


def decode_until_header(
    rows: Iterator[tuple[int, bytes]], schema: Schema, quoting: Quoting, layout: Layout, into: Decoded
) -> tuple[int, str] | None:
    """Decode `rows` (without their "\\n") and append each to the part of `into` where it belongs.

    A row that names the columns again ends it: its line number and text are returned, None if there was none.
    """
    patient_of, time_of = _getter(layout.patient_id), _getter(layout.event_time)
    type_of = None if layout.event_type is None else _getter(layout.event_type)
    unit_of = None if layout.unit is None else _getter(layout.unit)
    values = [(_getter(value.columns), value.event_type) for value in layout.values]
    wide = layout.values[0].event_type is not None
    read_time = time_reader(schema.time_formats, schema.origin, schema.timezone)
    read_value = value_reader(schema)
    batch, noted = into.batch, into.noted
    blanks = quoting.blanks.encode()
    comment = None if quoting.comment is None else quoting.comment.encode()
    dates_alone = not schema.time_formats or "iso" in schema.time_formats
    for number, raw in rows:
        if raw.endswith(b"\r"):
            raw = raw[:-1]
        if not raw.strip(blanks) or (comment is not None and raw.startswith(comment)):
            continue
        fields: list[str] = []
        try:
            fields = _fields(raw, quoting)
            _fit(fields, layout.fields)
            if layout.where and not _is_wanted(fields, layout.where):
                if names_again(fields, layout):
                    return number, _text(raw, noted)
                into.left_out.append(number)
                continue
            patient_id = patient_of(fields)
            check_id(patient_id)
            if type_of is not None:
                event_type = type_of(fields)
                check_id(event_type)
            time_text = time_of(fields)
            event_time = read_time(time_text)
        except BadField as fault:
            if fields and names_again(fields, layout):
                return number, _text(raw, noted)
            into.bad.append(BadRow(number, fault.reason))
            continue
        if dates_alone and is_date(time_text):
            noted[Noted.DATES_ONLY] += 1
        unit = "" if unit_of is None else unit_of(fields)
        for value_of, named in values:
            text = value_of(fields)
            if wide:
                if not text:
                    continue
                event_type = named or ""
            try:
                typed = event_type if not unit else f"{event_type} [{unit}]"
                if unit:
                    check_id(typed)
                scaled, note = read_value(text)
            except BadField as fault:
                into.bad.append(BadRow(number, fault.reason))
                continue
            if note is not None:
                noted[note] += 1
            if scaled is None:
                into.missing.append(MissingValue(patient_id, event_time, typed))
                into.missing_lines.append(number)
                continue
            batch.patient_ids.append(patient_id)
            batch.event_times.append(event_time)
            batch.event_types.append(typed)
            batch.values.append(scaled)
            into.lines.append(number)
    return None


def _text(raw: bytes, noted: Counter[str]) -> str:
    noted[Noted.HEADER_LINES] += 1
    return raw.decode()


def _getter(part: Part) -> _Get:
    """Return what takes a text out of the fields of a row: a constant, a column, or several joined by spaces."""
    if isinstance(part, str):
        return lambda fields: part
    if len(part) == 1:
        return itemgetter(part[0])
    return lambda fields: " ".join([fields[place] for place in part if fields[place]])


def _is_wanted(fields: list[str], where: tuple[Condition, ...]) -> bool:
    return all(
        (not condition.any_of or fields[condition.column] in condition.any_of)
        and fields[condition.column] not in condition.none_of
        for condition in where
    )


def _fields(raw: bytes, quoting: Quoting) -> list[str]:
    """Return the fields of a row.

    Raises:
        BadField: it is no text, or too long.
    """
    if len(raw) > MAX_ROW_BYTES:
        raise BadField(BadRowReason.TOO_LONG)
    if 0 in raw:
        raise BadField(BadRowReason.NUL)
    try:
        text = raw.decode()
    except UnicodeDecodeError:
        raise BadField(BadRowReason.ENCODING) from None
    return quoting.split(text)


def _fit(fields: list[str], width: int) -> None:
    """Take off empty fields after the last column.

    Raises:
        BadField: there are fewer fields than columns, or more.
    """
    if len(fields) < width:
        raise BadField(BadRowReason.TOO_FEW_FIELDS)
    if len(fields) > width:
        if any(fields[width:]):
            raise BadField(BadRowReason.TOO_MANY_FIELDS)
        del fields[width:]
