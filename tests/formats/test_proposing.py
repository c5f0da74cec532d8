"""What is proposed reads the rows at hand; nothing is guessed where two readings come to other rows."""

import pytest

from mockexport import Schema
from mockexport.formats.descriptions import described, known_names, known_schemas, read_description
from mockexport.formats.proposing import attempt, cut_sample, proposals
from mockexport.formats.wording import as_options
from mockexport.pipeline.advice import advice_for

HEADER = "patient_id,event_time,event_type,value\n"
PLAIN = "".join(f"P{n % 3},2024-05-{n + 1:02} 08:00:00,hr,{60 + n}.5\n" for n in range(12))


def table(header: str, row: str, *, rows: int = 12) -> bytes:
    return (header + "".join(row.format(n=n, day=n + 10, value=60 + n) for n in range(rows))).encode()


KINDS = {
    "--skip 2": ("Monitor v3\nward;7\n" + HEADER + PLAIN).encode(),
    "--comment '#'": ("# v3\n" + HEADER + PLAIN).encode(),
    "--delimiter semicolon": (HEADER + PLAIN).replace(",", ";").encode(),
    "--time-format '%d/%m/%Y %H:%M'": table(HEADER, "P1,{day}/05/2024 08:00,hr,{value}\n"),
    "--time-format epoch": table(HEADER, "P1,17145504{day},hr,{value}\n"),
    "--null NA": table(HEADER, "P1,2024-05-{day} 08:00,hr,{value}\nP1,2024-05-{day} 08:00,spo2,NA\n"),
    "--text missing": table(HEADER, "P1,2024-05-{day} 08:00,hr,{value}\nP1,2024-05-{day} 08:00,hr,see note {n}\n"),
    "--delimiter semicolon --decimal comma": table(HEADER.replace(",", ";"), "P1;2024-05-{day};crp;{n},25\n"),
    "--columns patient_id=SUBJECT_ID,event_time=CHARTTIME,event_type=ITEMID,value=VALUENUM": table(
        "SUBJECT_ID,CHARTTIME,ITEMID,VALUENUM\n", "7,2024-05-{day} 08:00,22,{value}\n"
    ),
    "--columns patient_id=subject,event_time=time --values hr,spo2": table(
        "subject,time,hr,spo2\n", "7,2024-05-{day} 08:00,{value},97\n"
    ),
    "--encoding cp1252": table(HEADER, "P1,2024-05-{day} 08:00,größe,{value}\n").decode().encode("cp1252"),
    "--columns 'patient_id=#1,event_time=#2,event_type=#3,value=#4' --no-header": PLAIN.encode(),
}


@pytest.mark.parametrize(("options", "sample"), KINDS.items(), ids=list(KINDS))
def test_a_table_that_is_not_read_is_read_by_the_options_proposed(options: str, sample: bytes) -> None:
    first = proposals(sample, Schema())[0]
    assert as_options(first.schema, Schema()) == options
    assert attempt(sample, first.schema).reads_well
    assert f"`{options}`" in str(advice_for(sample, Schema(), "a.csv"))


def test_where_the_day_may_be_the_month_both_readings_are_proposed() -> None:
    sample = table(HEADER, "P1,0{n}/05/2024 08:00,hr,{value}\n", rows=9).replace(b"00/05", b"01/05")
    found = [trial.schema.time_formats for trial in proposals(sample, Schema())]
    assert found == [("%d/%m/%Y %H:%M",), ("%m/%d/%Y %H:%M",)]
    assert "; or " in str(advice_for(sample, Schema(), "a.csv"))


def test_two_units_are_not_put_together() -> None:
    sample = (
        b"patient,time,type,value,unit\n" + b"P1,2024-05-01,glucose,4.1,mmol/L\nP1,2024-05-02,glucose,89,mg/dL\n" * 9
    )
    first = proposals(sample, Schema())[0]
    assert first.schema.unit == "unit"
    assert set(first.decoded.batch.event_types) == {"glucose [mmol/L]", "glucose [mg/dL]"}


@pytest.mark.parametrize(
    "sample", [b"", b"<html>Log in, please</html>\n", b"PK\3\4\0\0\n", b"x\n" * 50, HEADER.encode() + b"a,b,c,d\n" * 9]
)
def test_nothing_is_proposed_for_what_nothing_reads(sample: bytes) -> None:
    assert proposals(sample, Schema()) == []
    assert advice_for(sample, Schema(), "a.csv") is None


def test_there_is_no_advice_for_a_table_that_is_read() -> None:
    assert advice_for((HEADER + PLAIN).encode(), Schema(), "a.csv") is None


def test_a_sample_is_of_whole_lines() -> None:
    sample = cut_sample((HEADER + PLAIN * 1000).encode())
    assert sample.endswith(b"\n")
    assert sample.count(b"\n") == 1000


@pytest.mark.parametrize("name", known_names())
def test_a_known_description_is_one_and_says_where_it_is_from(name: str) -> None:
    schema = described(read_description(name))
    assert known_schemas()[schema]
    assert schema != Schema()


def test_known_tables_are_known_again() -> None:
    sample = table("Id,Time,Value\n", "7,4/{day}/2016 11:58:00 PM,{value}\n")
    (first, *_) = proposals(sample, Schema(), "a.csv", [*known_schemas()])
    assert as_options(first.schema, Schema()) == "--like fitabase"


def test_a_sensors_file_is_proposed_to_be_read_as_one_and_other_numbers_are_not() -> None:
    sampled = "1551453312.000000\n4.000000\n" + "".join(f"{value}.5\n" for value in range(60, 90))
    assert "`--like empatica`" in str(advice_for(sampled.encode(), Schema(), "HR.csv"))
    numbers = "1001,1\n1001,4\n" + "".join(f"1001,{value}\n" for value in range(60, 90))
    assert "empatica" not in str(advice_for(numbers.encode(), Schema(), "HR.csv"))
