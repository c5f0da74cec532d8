"""Small tables of kinds that people have, each with the options that read it and the figures that are right.

They are invented, all from the same readings, so what is right is known without reading them. `without` says what
becomes of a table without any option: "right"; "noted", right with a note that says what to know; "hint", refused, with
options that read it; "either", refused, with those of two readings; "other", refused, with options by which types or
patients have other names; "refused" where nothing is proposed.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction

__all__ = ["KINDS", "Kind", "Reading"]

Figures = dict[str, dict[str, tuple[int, float, float, float]]]


@dataclass(frozen=True)
class Reading:
    """A value as text with a point, at a time."""

    patient: str
    at: datetime
    type: str
    value: str


@dataclass(frozen=True)
class Kind:
    """A table, the options that read it, and count, mean, lowest and highest value by patient and type."""

    data: bytes
    options: Sequence[str]
    figures: Figures
    without: str = "hint"
    says: str = ""  # what stderr or the notes hold
    file: str = "table.csv"
    more: dict[str, bytes] = field(default_factory=dict)  # further files beside it


def figures_of(readings: Sequence[Reading]) -> Figures:
    """Return what is right for some readings."""
    groups: dict[tuple[str, str], list[Fraction]] = {}
    for reading in readings:
        groups.setdefault((reading.patient, reading.type), []).append(Fraction(reading.value))
    found: Figures = {}
    for (patient, kind), values in groups.items():
        mean = float(sum(values) / len(values))
        found.setdefault(patient, {})[kind] = (len(values), mean, float(min(values)), float(max(values)))
    return found


def _drawn(types: Sequence[tuple[str, str]], patients: Sequence[str] = ("1001", "1002")) -> list[Reading]:
    """Readings of types and the values that each begins with, one after the other; days from 13 on, for both orders."""
    found, at = [], datetime(2024, 5, 13, 8, 5)
    for number in range(24):
        for kind, first in types:
            step = Fraction(number * 7 % 11, 10 if "." in first else 1)
            value = Fraction(first) + step
            places = len(first.partition(".")[2])
            text = f"{float(value):.{places}f}"
            found.append(Reading(patients[number // 3 % len(patients)], at, kind, text))
        at += timedelta(hours=13, minutes=20, seconds=0)
    return found


PULSE = _drawn([("pulse", "60")])
BOTH = _drawn([("pulse", "60"), ("temp", "36.5")])
GLUCOSE = _drawn([("glucose", "98")])
DECIMAL = _drawn([("crp", "3.25")])


def rows(
    header: str, readings: Sequence[Reading], line: Callable[[Reading], str], end: str = "\n", encoding: str = "utf-8"
) -> bytes:
    """Return a table."""
    return "".join(f"{each}{end}" for each in [*header.split("\n"), *map(line, readings)] if each).encode(encoding)


def _iso(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S}"


def _comma(text: str) -> str:
    return text.replace(".", ",")


HEADER = "patient_id,event_time,event_type,value"


def _plain(reading: Reading) -> str:
    return f"{reading.patient},{_iso(reading.at)},{reading.type},{reading.value}"


def _value(change: Callable[[str], str]) -> Callable[[Reading], str]:
    return lambda each: f"{each.patient},{_iso(each.at)},{each.type},{change(each.value)}"


def _time(change: Callable[[datetime], str]) -> Callable[[Reading], str]:
    return lambda each: f"{each.patient},{change(each.at)},{each.type},{each.value}"


def _german(change: Callable[[str], str]) -> Callable[[Reading], str]:
    return lambda each: f"{each.patient};{each.at:%d.%m.%Y %H:%M};{each.type};{change(each.value)}"


def _thousand(text: str) -> str:
    return f"1.{int(float(text)):03},{text[-2:]}"


def _french(each: Reading) -> str:
    return f"{each.patient};{each.at:%d/%m/%Y};{each.at:%H:%M:%S};{each.type};{_comma(each.value)}"


def _with_no_value(token: str) -> Callable[[Reading], str]:
    return lambda each: _plain(each) if each.type == "pulse" else _value(lambda _: token)(each)


def _wide(readings: Sequence[Reading]) -> Iterator[tuple[str, datetime, dict[str, str]]]:
    by_time: dict[tuple[str, datetime], dict[str, str]] = {}
    for each in readings:
        by_time.setdefault((each.patient, each.at), {})[each.type] = each.value
    for (patient, at), values in by_time.items():
        yield patient, at, values


def renamed(readings: Sequence[Reading], patient: str | None = None, type: str | None = None) -> list[Reading]:  # noqa: A002
    """Return readings of one patient, or of one type."""
    return [Reading(patient or each.patient, each.at, type or each.type, each.value) for each in readings]


def _kinds() -> dict[str, Kind]:
    ill = figures_of(PULSE)
    both = figures_of(BOTH)
    crp = figures_of(DECIMAL)
    kinds: dict[str, Kind] = {}
    # ---- what has one meaning
    plain = rows(HEADER, PULSE, _plain)
    kinds["as it should be"] = Kind(plain, (), ill, "right")
    kinds["UTF-8 with a mark, CRLF"] = Kind(b"\xef\xbb\xbf" + plain.replace(b"\n", b"\r\n"), (), ill, "right")
    kinds["Excel's Unicode text"] = Kind(
        rows(HEADER, PULSE, _plain, "\r\n").decode().replace(",", "\t").encode("utf-16"),
        ("--delimiter", "tab"),
        ill,
        file="table.txt",
    )
    kinds["UTF-16, commas"] = Kind(plain.decode().encode("utf-16"), (), ill, "right")
    kinds["offsets without a colon"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: f"{at:%Y-%m-%dT%H:%M:%S}.000+0000")), (), ill, "right"
    )
    kinds["Java's LocalDateTime"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: f"{at:%Y-%m-%dT%H:%M}")), (), ill, "right"
    )
    kinds["SQLite's UTC"] = Kind(rows(HEADER, PULSE, _time(lambda at: f"{_iso(at)} UTC")), (), ill, "right")
    kinds["fractions after a comma"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: f'"{_iso(at)},000"')), (), ill, "right"
    )
    kinds["a comma at the end of rows"] = Kind(rows(HEADER, PULSE, lambda each: _plain(each) + ","), (), ill, "right")
    kinds["blanks behind commas"] = Kind(plain.replace(b",", b", "), (), ill, "right")
    kinds["everything quoted"] = Kind(
        rows('"' + HEADER.replace(",", '","') + '"', PULSE, lambda each: '"' + _plain(each).replace(",", '","') + '"'),
        (),
        ill,
        "right",
    )
    kinds["files one behind the other"] = Kind(
        plain
        + rows("value,event_time,event_type,patient_id", PULSE[:0], _plain)
        + rows("", PULSE, lambda e: f"{e.value},{_iso(e.at + timedelta(days=90))},{e.type},{e.patient}"),
        (),
        figures_of([*PULSE, *PULSE]),
        "noted",
        "header line among the rows",
    )
    kinds["notes with line breaks"] = Kind(
        rows(
            HEADER + ",note", PULSE, lambda each: _plain(each) + ',"said: ""fine""\n\nP9,2024-05-13 08:00:00,pulse,300"'
        ),
        (),
        ill,
        "right",
    )
    kinds["lines without a meaning between"] = Kind(plain.replace(b"\n", b"\n\n"), (), ill, "right")
    kinds["columns that are empty, or are there twice"] = Kind(
        rows(
            "patient_id,,note,event_time,note,event_type,value,",
            PULSE,
            lambda e: f"{e.patient},,,{_iso(e.at)},x,{e.type},{e.value},",
        ),
        (),
        ill,
        "right",
    )
    # ---- what an option says
    kinds["semicolons"] = Kind(plain.replace(b",", b";"), ("--delimiter", "semicolon"), ill)
    kinds["tabs"] = Kind(plain.replace(b",", b"\t"), ("--delimiter", "tab"), ill, file="table.tsv")
    kinds["pipes"] = Kind(plain.replace(b",", b"|"), ("--delimiter", "pipe"), ill)
    kinds["a spreadsheet in German"] = Kind(
        rows("Patient;Zeitpunkt;Parameter;Wert", DECIMAL, _german(_comma), "\r\n", "cp1252"),
        ("--delimiter", "semicolon", "--decimal", "comma", "--time-format", "%d.%m.%Y %H:%M",
         "--columns", "patient_id=Patient,event_time=Zeitpunkt,event_type=Parameter,value=Wert"), crp,
    )  # fmt: skip
    kinds["a spreadsheet in German, thousands with points"] = Kind(
        rows("Patient;Zeitpunkt;Parameter;Wert", DECIMAL, _german(_thousand), "\r\n"),
        ("--delimiter", "semicolon", "--decimal", "comma", "--thousands", "point", "--time-format", "%d.%m.%Y %H:%M",
         "--columns", "patient_id=Patient,event_time=Zeitpunkt,event_type=Parameter,value=Wert"),
        figures_of([Reading(e.patient, e.at, e.type, f"{1000 + float(e.value):.2f}") for e in DECIMAL]),
    )  # fmt: skip
    kinds["a spreadsheet in French"] = Kind(
        rows("patient;date;heure;paramètre;valeur", DECIMAL, _french, "\r\n", "cp1252"),
        ("--delimiter", "semicolon", "--decimal", "comma", "--time-format", "%d/%m/%Y %H:%M:%S", "--encoding", "cp1252",
         "--columns", "patient_id=patient,event_time=date+heure,event_type=paramètre,value=valeur"), crp,
    )  # fmt: skip
    kinds["a spreadsheet in Swiss German"] = Kind(
        rows(HEADER.replace(",", ";"), PULSE, lambda e: f"{e.patient};{_iso(e.at)};{e.type};1'0{e.value}.5"),
        ("--delimiter", "semicolon", "--thousands", "apostrophe"),
        figures_of([Reading(e.patient, e.at, e.type, f"{1000 + int(e.value)}.5") for e in PULSE]),
    )
    kinds["US dates, 12 hours"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: at.strftime("%m/%d/%Y %I:%M %p"))),
        ("--time-format", "%m/%d/%Y %I:%M %p"),
        ill,
    )
    kinds["12 hours, a.m. and p.m."] = Kind(
        rows(HEADER, PULSE, _time(lambda at: at.strftime("%d/%m/%Y %I:%M:%S ") + ("a.m." if at.hour < 12 else "p.m."))),
        ("--time-format", "%d/%m/%Y %I:%M:%S %p"),
        ill,
    )
    kinds["12 hours without a space, no zeros"] = Kind(
        rows(
            HEADER,
            PULSE,
            _time(
                lambda at: (
                    f"{at.month}/{at.day}/{at.year} {at.hour % 12 or 12}:{at.minute:02}{'am' if at.hour < 12 else 'pm'}"
                )
            ),
        ),
        ("--time-format", "%m/%d/%Y %I:%M%p"),
        ill,
    )
    kinds["day or month"] = Kind(
        rows(
            HEADER,
            [Reading(e.patient, e.at.replace(day=e.at.day % 12 + 1), e.type, e.value) for e in PULSE],
            _time(lambda at: f"{at:%d/%m/%Y %H:%M}"),
        ),
        ("--time-format", "%d/%m/%Y %H:%M"),
        ill,
        "either",
        "--time-format '%d/%m/%Y %H:%M'",
    )
    kinds["months by name"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: at.strftime("%d-%b-%Y %H:%M").upper())),
        ("--time-format", "%d-%b-%Y %H:%M"),
        ill,
    )
    kinds["SAS datetimes"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: at.strftime("%d%b%Y:%H:%M:%S").upper())),
        ("--time-format", "%d%b%Y:%H:%M:%S"),
        ill,
    )
    kinds["compact times"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: f"{at:%Y%m%d%H%M%S}")), ("--time-format", "%Y%m%d%H%M%S"), ill
    )
    kinds["epoch as floats"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: f"{(at - datetime(1970, 1, 1)).total_seconds()}")),
        ("--time-format", "epoch"),
        ill,
    )
    kinds["epoch in ms"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: f"{(at - datetime(1970, 1, 1)) // timedelta(milliseconds=1)}")),
        ("--time-format", "epoch-ms"),
        ill,
    )
    kinds["Excel's serial days"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: f"{(at - datetime(1899, 12, 30)) / timedelta(days=1):.9f}")),
        ("--time-format", "days", "--origin", "1899-12-30"),
        ill,
        "refused",
    )
    kinds["24:00"] = Kind(
        rows(
            HEADER,
            [Reading(e.patient, e.at.replace(hour=0, minute=0), e.type, e.value) for e in PULSE],
            _time(lambda at: f"{at - timedelta(days=1):%Y-%m-%d} 24:00:00"),
        ),
        (),
        {},
        "refused",
        "bad event_time",
    )
    kinds["ISO weeks"] = Kind(
        rows(HEADER, PULSE, _time(lambda at: at.strftime("%G-W%V-%u"))), (), {}, "refused", "bad event_time"
    )
    kinds["a leap second"] = Kind(
        rows(HEADER, [*PULSE, Reading("1001", datetime(2016, 12, 31), "pulse", "70")], _plain).replace(
            b"2016-12-31 00:00:00", b"2016-12-31 23:59:60"
        ),
        (),
        ill,
        "noted",
        "bad event_time",
    )
    kinds["two lines of names"] = Kind(
        rows(f"who,when,what,how much\n{HEADER}", PULSE, _plain),
        ("--skip", "1"),
        ill,
    )
    kinds["units under the names"] = Kind(
        rows(f"{HEADER}\n-,UTC,-,1/min", PULSE, _plain),
        (),
        ill,
        "noted",
        "bad",
    )
    kinds["lines of a report above"] = Kind(
        rows(f'Report of ward 7\nprinted;"by nobody\n{HEADER}', PULSE, _plain), ("--skip", "2"), ill
    )
    kinds["a line of totals below"] = Kind(plain + b"Total,,,1560\n", (), ill, "noted", "bad row")
    kinds["comments"] = Kind(b"# monitor\n" + plain, ("--comment", "#"), ill)
    kinds["no header"] = Kind(
        plain.partition(b"\n")[2],
        ("--no-header", "--columns", "patient_id=#1,event_time=#2,event_type=#3,value=#4"),
        ill,
    )
    for token in ("NA", "NaN", ".", "-", "?", "NULL", "\\N", "(null)", "n.a.", "#N/A", "nil", "unknown"):
        kinds[f"no value is {token}"] = Kind(
            rows(
                HEADER,
                [each for pair in zip(PULSE, renamed(PULSE, type="spo2"), strict=True) for each in pair],
                _with_no_value(token),
            ),
            ("--null", token),
            ill,
        )
    kinds["percent signs"] = Kind(rows(HEADER, PULSE, _value(lambda text: f"{text}%")), (), {}, "refused", "bad value")
    kinds["values with units"] = Kind(
        rows(HEADER, PULSE, _value(lambda text: f"{text} bpm")), (), {}, "refused", "bad value"
    )
    kinds["below and above"] = Kind(
        rows(
            HEADER,
            [*PULSE, Reading("1001", PULSE[-1].at, "pulse", "<40"), Reading("1002", PULSE[-1].at, "pulse", "> 250")],
            _plain,
        ),
        (),
        ill,
        "noted",
        "left out",
    )
    kinds["thousands with a comma, quoted"] = Kind(
        rows(HEADER, PULSE, _value(lambda text: f'"1,0{text}"')),
        ("--thousands", "comma"),
        figures_of([Reading(e.patient, e.at, e.type, f"{1000 + int(e.value)}") for e in PULSE]),
        "either",
        "--thousands comma",
    )
    # ---- wide tables
    kinds["a column a type"] = Kind(rows("subject_id,charttime,pulse,temp", BOTH[::2], lambda e: ""), (), both)
    wide = "".join(f"{patient},{_iso(at)},{values['pulse']},{values['temp']}\n" for patient, at, values in _wide(BOTH))
    kinds["a column a type"] = Kind(
        ("subject_id,charttime,pulse,temp\n" + wide).encode(),
        ("--columns", "patient_id=subject_id,event_time=charttime", "--values", "pulse,temp"),
        both,
    )
    kinds["a column a type, units under the names"] = Kind(
        ("subject_id,charttime,pulse,temp\n,,1/min,°C\n" + wide).encode(),
        ("--columns", "patient_id=subject_id,event_time=charttime", "--values", "pulse,temp"),
        both,
        "hint",
    )
    kinds["R's row numbers, all quoted"] = Kind(
        rows(
            '"","patient_id","event_time","event_type","value"',
            PULSE,
            lambda e: f'"7","{e.patient}","{_iso(e.at)}","{e.type}",{e.value}',
        ),
        (),
        ill,
        "right",
    )
    kinds["SDTM, by study day"] = Kind(
        rows(
            "STUDYID,USUBJID,VSTESTCD,VSSTRESN,VSSTRESU,VSDTC,VSDY",
            PULSE,
            lambda e: f"S,{e.patient},{e.type},{e.value},/min,{e.at:%Y-%m-%d},{e.at.toordinal() - 738_000}",
        ),
        ("--columns", "patient_id=USUBJID,event_time=VSDY,event_type=VSTESTCD,value=VSSTRESN", "--constant", "unit=",
         "--time-format", "days", "--origin", "2021-08-01"), ill,
    )  # fmt: skip
    kinds["OMOP, units put together when told so"] = Kind(
        rows(
            "person_id\tmeasurement_concept_id\tmeasurement_datetime\tvalue_as_number\tunit_source_value",
            PULSE,
            lambda e: f"{e.patient}\t{e.type}\t{_iso(e.at)}\t{e.value}\t{'mg/dL' if e.at.day % 2 else 'mmol/L'}",
        ),
        ("--delimiter", "tab", "--columns", "patient_id=person_id,event_time=measurement_datetime,"
         "event_type=measurement_concept_id,value=value_as_number"), ill, "other", file="table.tsv",
    )  # fmt: skip
    kinds["one patient, a file"] = Kind(
        rows("time,heart rate", PULSE, lambda e: f"{_iso(e.at)},{e.value}"),
        ("--columns", "event_time=time", "--values", "heart rate=pulse", "--constant", "patient_id={stem}"),
        figures_of(renamed(PULSE, "A7")),
        "other",
        file="A7.csv",
    )
    return kinds


KINDS = _kinds()
