"""`--columns`, `--delimiter`, `--null`, `--timezone`, and the options that say which rows are asked for."""

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Run
from tests.cli.test_analyze import export

TABLE = """\
subject_id\tcharttime\titemid\t"valuenum, mg"\tnote
10\t2025-08-26 12:00:00\tspo2\t97\tü
10\t2025-08-26 13:00:00\tspo2\tNULL\t
11\t2025-08-26 14:00:00\tspo2\t95\t
10\t2025-08-26 14:00:00\theart_rate\t-\t
"""
READ = (
    "--columns",
    'patient_id=subject_id,event_time=charttime,event_type=itemid,"value=valuenum, mg"',
    "--delimiter",
    "tab",
    "--null",
    "NULL",
    "--null",
    "-",
)


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "chartevents.csv").write_text(TABLE)
    return str(tmp_path)


def test_any_table_can_be_read_when_its_columns_are_named(run: Run, folder: str) -> None:
    ran = run("--from", folder, *READ, "--counts")
    assert ran.code == 0
    assert json.loads(ran.out)["patients"] == {"10": {"spo2": 1}, "11": {"spo2": 1}}
    assert "2 rows without a value" in ran.err


def test_they_can_be_said_in_the_environment_too(run: Run, folder: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MOCKEXPORT_COLUMNS", READ[1])
    monkeypatch.setenv("MOCKEXPORT_DELIMITER", "\\t")
    monkeypatch.setenv("MOCKEXPORT_NULL", "NULL\n-")
    monkeypatch.setenv("MOCKEXPORT_PATIENT", "10")
    assert json.loads(run("--from", folder, "--counts").out)["totals"] == {"spo2": 1}


def test_names_that_are_not_given_stay_and_may_hold_any_sign(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient_id;event_time;event_type;a=b;\nP;2025-08-26T00:00:00Z;t;1;\n")
    ran = run("--from", str(tmp_path), "--columns", "value=a=b", "--delimiter", "semicolon", "--counts")
    assert json.loads(ran.out)["totals"] == {"t": 1}


@pytest.mark.parametrize(
    ("asked", "totals", "left_out"),
    [
        (["--timezone", "Europe/Berlin", "--since", "2025-08-26T11:00:00Z"], {"spo2": 1}, 1),
        (["--timezone", "Europe/Berlin", "--since", "2025-08-26 12:00:00"], {"spo2": 2}, 0),
        (["--until", "2025-08-26"], {}, 2),
        (["--patient", "10", "--patient", "12"], {"spo2": 1}, 1),
        (["--event-type", "spo2", "--since", "2025-08-26"], {"spo2": 2}, 0),
    ],
)
def test_only_what_is_asked_for_is_in_the_report(
    run: Run, folder: str, asked: list[str], totals: dict[str, int], left_out: int
) -> None:
    ran = run("--from", folder, *READ, *asked, "--counts")
    assert (ran.code, json.loads(ran.out)["totals"]) == (0, totals)
    assert ("not asked for" in ran.err) == bool(left_out)


def test_a_run_that_skips_a_download_by_its_metadata_is_complete(run: Run, tmp_path: Path) -> None:
    announced = {"rows": 5, "start_time": "2025-08-26T00:00:00", "end_time": "2025-08-27T00:00:00"}
    folder = export(tmp_path / "x", "no row at all", **announced)
    account = tmp_path / "account"
    ran = run("--from", str(folder), "--since", "2025-08-27", "--account", str(account))
    assert (ran.code, json.loads(ran.out)) == (0, {"patients": {}, "totals": {}})
    assert "1 skipped" in ran.err
    (download,) = json.loads(account.read_text())["downloads"]
    assert (download["verdict"], download["filtered_rows"]) == ("skipped", 0)
    assert download["reasons"] == ["all of it is announced to be earlier than what is asked for"]
    assert run("--from", str(folder)).code == 3


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--columns", "patient=x"), "'patient' is none of patient_id, event_time, event_type, value"),
        (("--columns", "value"), "value is given no name: say value=NAME"),
        (("--columns", "value="), "value is given no name"),
        (("--columns", "value=a,value=b"), "value is named twice"),
        (("--columns", '"value=a'), "is no list such as"),
        (("--columns", "value=event_type"), "columns: the columns need different"),
        (("--delimiter", "::"), "delimiter: must be one ASCII character"),
        (("--delimiter", ""), "delimiter: must be one ASCII character"),
        (("--timezone", "Europe"), "timezone: there is no time zone 'Europe'"),
        (("--since", "noon"), "since: 'noon': bad event_time"),
        (("--patient", ""), "patient: names nothing"),
        (("--since", "2025-08-27", "--until", "2025-08-26"), "until: must be later than since"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_meant_is_usage(run: Run, folder: str, words: tuple[str, ...], told: str) -> None:
    ran = run("--from", folder, *words)
    assert (ran.code, ran.out) == (2, "")
    assert told in ran.err


def test_download_reads_the_same_tables_and_keeps_whole_files(run: Run, tmp_path: Path) -> None:
    ran = run("download", "demo", str(tmp_path), "--since", "2025-08-26")
    assert ran.code == 2
    assert "unrecognized arguments: --since" in ran.err
