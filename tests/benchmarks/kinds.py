"""Kinds of tables that people have, each as it is written, as it is described here, and as DuckDB is to read it."""

import csv
import io
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from mockexport.formats.descriptions import described, read_description
from mockexport.formats.schema import Schema

__all__ = ["KINDS", "Kind", "Reading", "readings"]

PATIENTS, TYPES = 25, ("heart_rate", "spo2", "bp_sys", "bp_dia")
_HEADER = ["patient_id", "event_time", "event_type", "value"]
_ISO = "%Y-%m-%dT%H:%M:%SZ"

Reading = tuple[str, datetime, str, str]
Writer = Callable[[Sequence[Reading]], str]
_More = Mapping[str, Callable[[Reading], str]]
_NONE: _More = {}


@dataclass(frozen=True)
class Kind:
    """A kind of table: how it is written, described here, and queried there (`{rows}` is the call of read_csv)."""

    schema: Schema
    write: Writer
    read_csv: str
    select: str = "SELECT patient_id p, event_time t, event_type k, value v FROM {rows}"
    encoding: str = "utf-8"


def readings(number: int) -> list[Reading]:
    """So many values, in the order of their times."""
    draw = random.Random(1)
    at, found = datetime(2024, 3, 1), []
    for _ in range(number):
        at += timedelta(seconds=draw.randrange(1, 9))
        value = f"{draw.gauss(90, 20):.{draw.randrange(3)}f}"
        found.append((f"P{draw.randrange(PATIENTS):03}", at, draw.choice(TYPES), value))
    return found


def table(
    names: Sequence[str], fields: Callable[[Reading], Sequence[str]], delimiter: str = ",", before: str = ""
) -> Writer:
    """Return what writes a table of a row a value."""

    def write(rows: Sequence[Reading]) -> str:
        text = io.StringIO()
        text.write(before)
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\n")
        writer.writerow(names)
        writer.writerows(map(fields, rows))
        return text.getvalue()

    return write


def long(time_format: str = _ISO, delimiter: str = ",", before: str = "", more: _More = _NONE) -> Writer:
    """Return what writes the usual columns; `more` are others, by their names."""

    def fields(row: Reading) -> list[str]:
        return [row[0], row[1].strftime(time_format), row[2], row[3], *[text(row) for text in more.values()]]

    return table([*_HEADER, *more], fields, delimiter, before)


def wide(rows: Sequence[Reading]) -> str:
    """A column a type; of four cells one is empty."""
    lines = ["subject_id,charttime,temperature,heartrate,resprate,o2sat,rhythm"]
    for at in range(0, len(rows) - 2, 3):
        cells = [rows[at][3], rows[at + 1][3], rows[at + 2][3]]
        cells.insert(at // 3 % 4, "")
        lines.append(f"{rows[at][0]},{rows[at][1]},{','.join(cells)},Sinus Rhythm")
    return "\n".join(lines) + "\n"


def libre(rows: Sequence[Reading]) -> str:
    """LibreView's: two columns of values, and a line before the header."""
    lines = [
        "Glucose Data,Generated on,07-05-2025 15:14 UTC",
        "Device,Serial Number,Device Timestamp,Record Type,Historic Glucose mg/dL,Scan Glucose mg/dL,Notes",
    ]
    for patient, at, _, value in rows:
        kind = at.second % 2
        cells = f",{value}" if kind else f"{value},"
        lines.append(f"FreeStyle LibreLink,{patient},{at:%d-%m-%Y %H:%M},{kind},{cells},")
    return "\n".join(lines) + "\n"


def charts(row: Reading) -> list[str]:
    """A row of MIMIC-IV's chartevents."""
    return [row[0], "20001", "30001", "7", f"{row[1]}", f"{row[1]}", row[2], row[3], row[3], "bpm", "0"]


def comma(row: Reading) -> str:
    """A value with a decimal comma, and points between thousands."""
    whole, _, rest = row[3].partition(".")
    return f"1.{int(whole) % 1000:03}{',' + rest if rest else ''}"


def like(name: str) -> Schema:
    """A known description."""
    return described(read_description(name))


_TYPED = "{'patient_id': 'VARCHAR', 'event_time': 'TIMESTAMP', 'event_type': 'VARCHAR', 'value': 'DOUBLE'}"
_CHART = "subject_id,hadm_id,stay_id,caregiver_id,charttime,storetime,itemid,value,valuenum,valueuom,warning"


def _call(options: str = "", columns: str = _TYPED) -> str:
    """The call of read_csv: nothing is left to be detected."""
    return f"read_csv(?, auto_detect = false, header = true, columns = {columns}{', ' * bool(options)}{options})"


def _texts(names: str, **types: str) -> str:
    """Columns for read_csv: texts, but for those of another type."""
    return "{" + ", ".join(f"'{name}': '{types.get(name, 'VARCHAR')}'" for name in names.split(",")) + "}"


_LIBRE = _texts("d,sn,t,kind,historic,scan,notes", t="TIMESTAMP", historic="DOUBLE", scan="DOUBLE")
_VITALS = _texts(
    "p,t,temperature,heartrate,resprate,o2sat,rhythm", t="TIMESTAMP", temperature="DOUBLE", heartrate="DOUBLE",
    resprate="DOUBLE", o2sat="DOUBLE",
)  # fmt: skip
_SIGNS = (("temperature", None), ("heartrate", None), ("resprate", None), ("o2sat", None))
_OMOP = "person_id,measurement_concept_id,measurement_datetime,value_as_number,unit_source_value"
_NOTED: _More = {"note": lambda row: "NO NEEDLE SIZE\nSPECIFIED, twice" if row[1].second % 4 == 0 else "___"}
_WARDS: _More = {"station": lambda row: "Süd" if row[1].second % 2 else "Höhe"}
_MORE = _texts("patient_id,event_time,event_type,value,more", event_time="TIMESTAMP", value="DOUBLE")

KINDS = {
    "plain": Kind(Schema(), long(), _call()),
    "plain, local time": Kind(
        Schema(timezone="Europe/Berlin"),
        long("%Y-%m-%d %H:%M:%S"),
        _call(),
        "SELECT patient_id p, timezone('UTC', timezone('Europe/Berlin', event_time)) t, event_type k, value v "
        "FROM {rows}",
    ),
    "like mimic-iv-chartevents": Kind(
        like("mimic-iv-chartevents"),
        table(_CHART.split(","), charts),
        _call(columns=_texts(_CHART, charttime="TIMESTAMP", valuenum="DOUBLE")),
        "SELECT subject_id p, charttime t, itemid k, valuenum v FROM {rows}",
    ),
    "like libreview": Kind(
        like("libreview"),
        libre,
        _call("skip = 1, timestampformat = '%d-%m-%Y %H:%M'", _LIBRE),
        "SELECT sn p, t, kind k, coalesce(historic, scan) v FROM {rows} WHERE kind IN ('0', '1')",
    ),
    "like fitabase": Kind(
        like("fitabase"),
        table(["Id", "Time", "Value"], lambda row: [row[0], row[1].strftime("%m/%d/%Y %I:%M:%S %p"), row[3]]),
        _call(
            "timestampformat = '%m/%d/%Y %I:%M:%S %p'", "{'p': 'VARCHAR', 't': 'TIMESTAMP', 'v': 'DOUBLE'}"
        ),
        "SELECT p, t, 'heart_rate' k, v FROM {rows}",
    ),
    "like omop-measurement (units)": Kind(
        like("omop-measurement"),
        table(
            _OMOP.split(","), lambda row: [row[0], row[2], f"{row[1]}", row[3], ("mmol/L", "mg/dL")[row[0] < "P012"]],
            "\t",
        ),
        _call("delim = '\t'", _texts(_OMOP, measurement_datetime="TIMESTAMP", value_as_number="DOUBLE")),
        "SELECT person_id p, measurement_datetime t, measurement_concept_id || ' [' || unit_source_value || ']' k, "
        "value_as_number v FROM {rows}",
    ),
    "like synthea-observations (where)": Kind(
        like("synthea-observations"),
        table(
            ["DATE", "PATIENT", "ENCOUNTER", "CATEGORY", "CODE", "DESCRIPTION", "VALUE", "UNITS", "TYPE"],
            lambda row: [
                row[1].strftime(_ISO), row[0], "ad38835e", "vital-signs", row[2], "Body Height", row[3], "cm",
                "text" if row[1].second % 8 == 0 else "numeric",
            ],
        ),
        _call(columns=_texts("t,p,e,c,k,d,v,u,kind", t="TIMESTAMP", v="DOUBLE")),
        "SELECT p, t, k, v FROM {rows} WHERE kind = 'numeric'",
    ),
    "wide": Kind(
        Schema("subject_id", "charttime", values=(("*", None),), text="missing"),
        wide,
        _call(columns=_VITALS),
        "SELECT p, t, k, v FROM (UNPIVOT (SELECT * EXCLUDE rhythm FROM {rows}) "
        "ON temperature, heartrate, resprate, o2sat INTO NAME k VALUE v)",
    ),
    "wide, like mimic-iv-ed-vitalsign": Kind(
        replace(like("mimic-iv-ed-vitalsign"), values=_SIGNS),
        wide,
        _call(columns=_VITALS),
        "SELECT p, t, k, v FROM (UNPIVOT (SELECT * EXCLUDE rhythm FROM {rows}) "
        "ON temperature, heartrate, resprate, o2sat INTO NAME k VALUE v)",
    ),
    "times like 31.12.2024 23:59:59": Kind(
        Schema(time_formats=("%d.%m.%Y %H:%M:%S",)),
        long("%d.%m.%Y %H:%M:%S"),
        _call("timestampformat = '%d.%m.%Y %H:%M:%S'"),
    ),
    "times like 05-Mar-2024 23:59": Kind(
        Schema(time_formats=("%d-%b-%Y %H:%M",)),
        long("%d-%b-%Y %H:%M"),
        _call("timestampformat = '%d-%b-%Y %H:%M'"),
    ),
    "times in epoch-ms": Kind(
        Schema(time_formats=("epoch-ms",)),
        table(_HEADER, lambda row: [row[0], f"{row[1].replace(tzinfo=UTC).timestamp():.0f}000", *row[2:]]),
        _call(columns=_texts(",".join(_HEADER), event_time="BIGINT", value="DOUBLE")),
        "SELECT patient_id p, make_timestamp(event_time * 1000) t, event_type k, value v FROM {rows}",
    ),
    "date and time in two columns": Kind(
        Schema(event_time="day+hour"),
        table(
            ["patient_id", "day", "hour", "event_type", "value"],
            lambda row: [row[0], f"{row[1]:%Y-%m-%d}", f"{row[1]:%H:%M:%S}", row[2], row[3]],
        ),
        _call(columns=_texts("patient_id,day,hour,event_type,value", day="DATE", hour="TIME", value="DOUBLE")),
        "SELECT patient_id p, day + hour t, event_type k, value v FROM {rows}",
    ),
    "decimal comma": Kind(
        Schema(delimiter=";", decimal=","),
        table(_HEADER, lambda row: [row[0], row[1].strftime(_ISO), row[2], row[3].replace(".", ",")], ";"),
        _call("delim = ';', decimal_separator = ','"),
    ),
    "decimal comma, points between thousands": Kind(
        Schema(delimiter=";", decimal=",", thousands="."),
        table(_HEADER, lambda row: [row[0], row[1].strftime(_ISO), row[2], comma(row)], ";"),
        _call("delim = ';', decimal_separator = ',', thousands = '.'"),
    ),
    "line breaks in quotes": Kind(Schema(), long(more=_NOTED), _call(columns=_MORE)),
    "all fields quoted": Kind(
        Schema(),
        lambda rows: "\n".join('"' + line.replace(",", '","') + '"' for line in long()(rows).splitlines()) + "\n",
        _call(),
    ),
    "quotes are data": Kind(
        Schema(delimiter="\t", quote=None), long(delimiter="\t"), _call("delim = '\t', quote = '', escape = ''")
    ),
    "comments, two lines before": Kind(
        Schema(skip=2, comment="#"), long(before="Monitor v3\nward 7\n"), _call("skip = 2, comment = '#'")
    ),
    "words for no value, and values": Kind(
        Schema(null_tokens=frozenset({"NA"}), text="missing"),
        table(_HEADER, lambda row: [row[0], row[1].strftime(_ISO), row[2], "NA" if row[1].second == 7 else row[3]]),
        _call("nullstr = 'NA'"),
        "SELECT patient_id p, event_time t, event_type k, value v FROM {rows} WHERE value IS NOT NULL",
    ),
    "latin-1": Kind(
        Schema(encoding="latin-1"), long(more=_WARDS), _call("encoding = 'latin-1'", _MORE), encoding="latin-1"
    ),
    "utf-16": Kind(Schema(), long(more=_WARDS), _call("encoding = 'utf-16'", _MORE), encoding="utf-16"),
}  # fmt: skip
