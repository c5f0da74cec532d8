"""Each known description reads a small table of its kind; and every option of a description does what it says."""

from pathlib import Path
from typing import Any

import pytest

from mockexport import Schema, analyze
from mockexport.errors import OptionError
from mockexport.formats import Decoded
from mockexport.formats.descriptions import described, known_names, read_description
from mockexport.formats.fields import parse_time
from mockexport.model import VALUE_SCALE, Chunk, Span

Found = list[tuple[str, int, str, float]]


def decode(schema: Schema, text: str, name: str = "ward/A1.csv") -> Decoded:
    data = text.encode(schema.encoding or "utf-8")
    return schema.decoder(download_id=name).decode(Chunk(Span(name), data, 0, len(data), 1))


def found(decoded: Decoded) -> Found:
    batch = decoded.batch
    columns = zip(batch.patient_ids, batch.event_times, batch.event_types, batch.values, strict=True)
    return [(patient, at, kind, value / VALUE_SCALE) for patient, at, kind, value in columns]


def row(patient: str, time: str, kind: str, value: float) -> tuple[str, int, str, float]:
    return patient, parse_time(time), kind, value


KNOWN: dict[str, tuple[str, list[tuple[str, int, str, float]]]] = {
    "apple-health": (
        "type,sourceName,unit,creationDate,startDate,endDate,value\n"
        "Pulse,watch,count/min,,2024-03-01 10:00:00 +0100,,61\nSleep,watch,,,2024-03-01 10:00:00 +0100,,Asleep\n",
        [row("A1", "2024-03-01T09:00Z", "Pulse [count/min]", 61)],
    ),
    "clif-vitals": (
        '"","hospitalization_id","recorded_dttm","vital_category","vital_value"\n'
        '"1","007","2024-03-01 20:00:00","spo2",96\n"2","007","2024-03-01 20:00:00","spo2",NA\n',
        [row("007", "2024-03-01T20:00", "spo2", 96)],
    ),
    "dexcom-clarity": (
        "Index,Timestamp (YYYY-MM-DDThh:mm:ss),Event Type,Glucose Value (mg/dL),Transmitter ID\n1,,FirstName,,\n"
        "2,2024-01-02T03:04:05,EGV,101,T1\n3,2024-01-02T03:09:05,EGV,Low,T1\n",
        [row("T1", "2024-01-02T03:04:05", "EGV", 101)],
    ),
    "eicu-vitalperiodic": (
        "patientunitstayid,observationoffset,temperature,sao2,heartrate,respiration,cvp,etco2,systemicsystolic,"
        "systemicdiastolic,systemicmean,pasystolic,padiastolic,pamean,st1,st2,st3,icp\n7,-5,,95,80,,,,,,,,,,,,,\n",
        [row("7", "1999-12-31T23:55", "sao2", 95), row("7", "1999-12-31T23:55", "heartrate", 80)],
    ),
    "empatica": (
        "1551453312.5\n4.0\n60\n61\n",
        [row("ward", "2019-03-01T15:15:12.5", "A1", 60), row("ward", "2019-03-01T15:15:12.75", "A1", 61)],
    ),
    "fitabase": (
        "Id,Time,Value\n5,4/12/2016 12:00:05 AM,97\n5,4/12/2016 1:00:00 PM,98\n",
        [row("5", "2016-04-12T00:00:05", "heart_rate", 97), row("5", "2016-04-12T13:00", "heart_rate", 98)],
    ),
    "i2b2-observation-fact": (
        "PATIENT_NUM,CONCEPT_CD,START_DATE,VALTYPE_CD,NVAL_NUM\n1,LOINC:1,2010-05-06 07:08:09,N,5.5\n"
        "1,LOINC:2,2010-05-06 07:08:09,T,\n",
        [row("1", "2010-05-06T07:08:09", "LOINC:1", 5.5)],
    ),
    "libreview": (
        "Glucose Data,Generated on\nDevice,Serial Number,Device Timestamp,Record Type,Historic Glucose mg/dL,"
        "Scan Glucose mg/dL\nF,S,28-04-2025 00:02,0,74,\nF,S,28-04-2025 00:09,1,,83\nF,S,28-04-2025 00:10,6,,\n",
        [row("S", "2025-04-28T00:02", "0", 74), row("S", "2025-04-28T00:09", "1", 83)],
    ),
    "mimic-iv-chartevents": (
        "subject_id,charttime,itemid,value,valuenum\n9,2180-07-23 14:00:00,220045,72,72\n9,2180-07-23 14:00:00,1,x,\n",
        [row("9", "2180-07-23T14:00", "220045", 72)],
    ),
    "mimic-iv-ed-vitalsign": (
        "subject_id,stay_id,charttime,temperature,heartrate,resprate,o2sat,sbp,dbp,rhythm,pain\n"
        "9,3,2180-05-06 12:20:00,,105,13,,,,Sinus,uta\n",
        [row("9", "2180-05-06T12:20", "heartrate", 105), row("9", "2180-05-06T12:20", "resprate", 13)],
    ),
    "mimic-iv-labevents": (
        'subject_id,itemid,charttime,valuenum,comments\n9,50912,2140-01-01 06:00:00,1.2,"a\n9,50912,b"\n',
        [row("9", "2140-01-01T06:00", "50912", 1.2)],
    ),
    "omop-measurement": (
        "person_id\tmeasurement_concept_id\tmeasurement_datetime\tvalue_as_number\tunit_source_value\n"
        "1\t3004501\t2022-01-01 08:00:00\t4.1\tmmol/L\n",
        [row("1", "2022-01-01T08:00", "3004501 [mmol/L]", 4.1)],
    ),
    "physionet-2012": (
        "Time,Parameter,Value\n00:07,HR,73\n47:30,HR,-1\n47:30,Temp,35.1\n",
        [row("A1", "2000-01-01T00:07", "HR", 73), row("A1", "2000-01-02T23:30", "Temp", 35.1)],
    ),
    "sdtm-lb": (
        "USUBJID,LBTESTCD,LBSTRESN,LBDTC\nS1,GLUC,5.1,2013-01-07T09:05\n",
        [row("S1", "2013-01-07T09:05", "GLUC", 5.1)],
    ),
    "sdtm-vs": ("USUBJID,VSTESTCD,VSSTRESN,VSDTC\nS1,PULSE,57,2013-01-07\n", [row("S1", "2013-01-07", "PULSE", 57)]),
    "synthea-observations": (
        "DATE,PATIENT,CODE,VALUE,UNITS,TYPE\n2014-03-08T16:35:19Z,u,8302-2,150.3,cm,numeric\n"
        "2014-03-08T16:35:19Z,u,72166-2,Never,,text\n",
        [row("u", "2014-03-08T16:35:19Z", "8302-2", 150.3)],
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", known_names())
def test_a_known_description_reads_a_table_of_its_kind(name: str) -> None:
    text, expected = KNOWN[name]
    decoded = decode(described(read_description(name)), text)
    assert found(decoded) == expected
    assert not decoded.bad


HEADER = "patient_id,event_time,event_type,value\n"


def values(texts: str, **description: Any) -> list[float | None]:
    """The values of rows with these texts, None for a bad one; a missing one is -1."""
    results: list[float | None] = []
    for value in texts.split("|"):
        decoded = decode(Schema(**description), f'{HEADER}P,2025-08-26,t,"{value}"\n')
        results.append(None if decoded.bad else -1 if decoded.missing else decoded.batch.values[0] / VALUE_SCALE)
    return results


@pytest.mark.parametrize(
    ("text", "expected", "description"),
    [
        ("8,4|2.521|1,5e2|-,5|1.234,5", [8.4, None, 150, -0.5, None], {"decimal": ","}),
        ("1.234,5|2.521|2.52|12.34|1234,5", [1234.5, 2521, None, None, 1234.5], {"decimal": ",", "thousands": "."}),
        ("1,234.5|12,34|1 234", [1234.5, None, None], {"thousands": ","}),
        ("1 234|1\u00a0234|1\u202f234|1 23", [1234, 1234, 1234, None], {"thousands": " "}),
        ("1'234|1\u2019234", [1234, 1234], {"thousands": "'"}),
        ("Low|High|low", [40, 400, None], {"replace": (("Low", "40"), ("High", "4e2"))}),
        ("<0.6|> 250|>=3|<x|<", [-1, -1, -1, None, None], {}),
        ("<0.6|> 250|>=3|<x", [0.6, 250, 3, None], {"censored": "bound"}),
        ("<0.6|7", [None, 7], {"censored": "bad"}),
        ("uta|<0.6|7|1e99|<x", [-1, -1, 7, None, -1], {"text": "missing"}),
        ("-999|-999,0|-998", [-1, -1, -998], {"null_tokens": {"-999"}, "decimal": ","}),
    ],
)
def test_values_are_read_as_described(text: str, expected: list[float | None], description: dict[str, Any]) -> None:
    assert values(text, **description) == expected


@pytest.mark.parametrize(
    ("time", "formats", "expected"),
    [
        ("31/12/2024 11:59:00 pm", ("%d/%m/%Y %I:%M:%S %p",), "2024-12-31T23:59"),
        ("5 Mar 99 07:08", ("%d %b %y %H:%M",), "1999-03-05T07:08"),
        ("March 5, 2024", ("%B %d, %Y",), "2024-03-05"),
        ("2024-03-05T07:08:09.25+0100", ("%Y-%m-%dT%H:%M:%S.%f%z",), "2024-03-05T06:08:09.25Z"),
        ("1700000000", ("epoch",), "2023-11-14T22:13:20"),
        ("1700000000123", ("epoch-ms",), "2023-11-14T22:13:20.123"),
        ("1700000000123456.9", ("epoch-us",), "2023-11-14T22:13:20.123456"),
        ("2024-03-05", ("%d.%m.%Y", "iso"), "2024-03-05"),
        ("31/12/2024 11:59:00 p.m.", ("%d/%m/%Y %I:%M:%S %p",), "2024-12-31T23:59"),
        ("5/3/2024, 8:05:00\u202fa.\u00a0m.", ("%d/%m/%Y, %I:%M:%S %p",), "2024-03-05T08:05"),
        ("20240305070809", ("%Y%m%d%H%M%S",), "2024-03-05T07:08:09"),
        ("2024115123", ("%Y%m%d%H%M",), None),  # of two readings none
        ("31/02/2024", ("%d/%m/%Y",), None),
        ("13:00 PM 1/1/2024", ("%I:%M %p %d/%m/%Y",), None),
        ("2024-03-05", ("epoch",), None),
    ],
)
def test_times_are_read_by_their_formats(time: str, formats: tuple[str, ...], expected: str | None) -> None:
    decoded = decode(Schema(time_formats=formats), f'{HEADER}P,"{time}",t,1\n')
    assert decoded.batch.event_times == ([] if expected is None else [parse_time(expected)])
    assert len(decoded.bad) == (expected is None)


def test_a_table_is_taken_apart_as_described() -> None:
    schema = Schema(
        patient_id="#1", event_time="day+hour", values=(("*", None),), skip=1, comment="#", quote="'", delimiter=";",
        where=("ward=a", "ward=b", "state!=void"),
    )  # fmt: skip
    text = (
        "exported\n# by\nid;day;hour;ward;state;hr;spo2\n1;2024-01-01;10:00;a;ok;60;\n"
        "# no row\n2;2024-01-01;10:01;b;void;61;\n3;2024-01-01;10:02;c;ok;62;\n'4';2024-01-01;10:03;b;ok;63;97\n"
    )
    decoded = decode(schema, text)
    assert [(p, k, v) for p, _, k, v in found(decoded)] == [("1", "hr", 60), ("4", "hr", 63), ("4", "spo2", 97)]
    assert decoded.left_out == [6, 7]
    assert (
        decode(
            Schema(patient_id="#1", event_time="#2", event_type="#3", value="#4", header=False), "P,2025-01-01,t,1\n"
        ).rows
        == 1
    )


@pytest.mark.parametrize(
    ("description", "told"),
    [
        ({"decimal": ",", "thousands": ","}, "thousands"),
        ({"time_formats": ("%d/%m",)}, "has no year, month and day"),
        ({"time_formats": ("hours",)}, "counted from a time"),
        ({"origin": "2000-01-01"}, "origin"),
        ({"constants": (("value", "1"),)}, "constant"),
        ({"where": ("ward",)}, "where"),
        ({"encoding": "cp037"}, "encoding"),
        ({"quote": ","}, "different characters"),
        ({"values": ("a", "a")}, "different, non-empty"),
    ],
)
def test_what_describes_no_table_is_refused(description: dict[str, Any], told: str) -> None:
    with pytest.raises(OptionError, match=told):
        Schema(**description)


@pytest.mark.parametrize("where", ["files", "pattern", "folder"])
async def test_files_that_are_all_in_one_folder_have_its_name_as_their_parent(tmp_path: Path, where: str) -> None:
    (tmp_path / "A01").mkdir()
    (tmp_path / "A01" / "HR.csv").write_text("1551453312.0\n1.0\n60\n61\n")
    path = {"files": "A01/HR.csv", "pattern": "A01/*.csv", "folder": "A01"}[where]
    options: Any = {"folder" if where == "folder" else "files": tmp_path / path}
    report = await analyze(schema=described(read_description("empatica")), **options)
    assert list(report.patients) == ["A01"]
    (tmp_path / "B02").mkdir()
    (tmp_path / "B02" / "HR.csv").write_text("1551453312.0\n1.0\n60\n61\n")
    both = await analyze(schema=described(read_description("empatica")), files=str(tmp_path / "*" / "HR.csv"))
    assert list(both.patients) == ["A01", "B02"]
