"""What a person seems to have meant is said, and what would have helped."""

from pathlib import Path

import pytest

from mockexport.cli.arguments import COMMANDS
from tests.cli.conftest import Run

HEADER = "patient_id;event_time;event_type;value\n"


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("P1;2025-08-26 08:00:00;temperature;37,5", "bad value: a value is a number like 37.5, with a point"),
        ("P1;26/08/2025;temperature;37.5", "bad event_time: a time is like 2025-08-26 10:00:00"),
        ("P1;2025-08-26 08:00:00;größe;1.8", "not UTF-8: save it as UTF-8, or convert it: iconv"),
        ('P1;2025-08-26 08:00:00;"tempe', "unbalanced quote: what stands in quotes ends with one"),
    ],
)
@pytest.mark.parametrize("strict", [False, True])
def test_bad_rows_come_with_what_a_good_one_is_like(
    run: Run, tmp_path: Path, row: str, told: str, *, strict: bool
) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}{row}\n", encoding="latin-1")
    ran = run("--from", str(tmp_path / "a.csv"), "--delimiter", ";", *(["--strict"] if strict else []))
    assert ran.code == (6 if strict else 3)
    assert f"mockexport: {told}" in ran.err


def test_a_table_without_rows_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER}P1;2025-08-26 08:00:00;temperature;37.5\n")
    (tmp_path / "b.csv").touch()
    assert "no row in 1 download; the first is b.csv" in run("--from", str(tmp_path), "--delimiter", ";").err


def test_what_a_folder_holds_beside_its_tables_is_not_passed_over_without_a_word(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(HEADER)
    (tmp_path / ".hidden").touch()
    (tmp_path / ".hidden.csv").write_text(HEADER)
    assert "passed over" not in run("--from", str(tmp_path), "--delimiter", ";").err
    (tmp_path / "b.xlsx").touch()
    assert f"{tmp_path}: 1 other entry is passed over" in run("--from", str(tmp_path), "--delimiter", ";").err
    (tmp_path / "inner").mkdir()
    assert f"{tmp_path}: 2 other entries are passed over" in run("--from", str(tmp_path), "--delimiter", ";").err


def test_a_file_that_is_taken_for_an_export_is_told_from_one(
    run: Run, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("my a.csv", "b.csv"):
        (tmp_path / name).write_text(HEADER)
    ran = run("my a.csv", "--url", server_url)
    assert ran.code == 5
    assert "there is a file or folder of that name; to read it: --from 'my a.csv'" in ran.err
    assert "put a pattern in quotes: --from '*.csv'" in run("--from", "my a.csv", "b.csv").err


@pytest.mark.parametrize(("written", "meant"), [("dmeo", "demo"), ("analyse", "analyze"), ("generte", "generate")])
def test_a_name_that_is_nearly_right_is_told(run: Run, server_url: str, written: str, meant: str) -> None:
    ran = run(written, "--url", server_url)
    assert ran.code == 5
    assert f"did you mean {meant}?" in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["demo", "--formt", "table"], "--formt; did you mean --format?"),
        (["demo", "--stat=count"], "--stat; did you mean --stats?"),
        (["demo", "--patients", "P1"], "--patients; did you mean --patient?"),
        (["serve", "--fault", "reset=0.1"], "--fault; did you mean --faults?"),
        (["demo", "--format", "tabel"], "did you mean table?"),
        (["demo", "--engine", "kernal"], "did you mean kernel?"),
        (["demo", "--on-failure", "contine"], "did you mean continue?"),
        (["demo", "--save-format", "parkuet"], "did you mean parquet?"),
        (["demo", "--stats", "count,medain"], "did you mean median?"),
        (["demo", "--delimiter", "semicoln"], "did you mean semicolon?"),
        (["demo", "--columns", "valeu=number"], "did you mean value?"),
        (["demo", "--timezone", "Europe/Berln"], "did you mean Europe/Berlin?"),
        (["serve", "--faults", "rest=0.1"], "did you mean reset?"),
        (["list", "demo"], "demo; mockexport list --help tells those there are"),
        (["demo", "--columns", "subject_id=patient_id"], "unit; say ROLE=NAME, as in value=number"),
        (["demo", "--from", "a.csv", "--url", "http://127.0.0.1:9"], "each says where the data is; give one of them"),
    ],
)
def test_options_that_cannot_be_meant_say_which_can(run: Run, words: list[str], told: str) -> None:
    ran = run(*words)
    assert ran.code == 2
    assert told in ran.err


@pytest.mark.parametrize("word", ["--headr", "--ulr=http://name:secret@127.0.0.1", "--token=secret"])
def test_what_is_said_with_an_unknown_option_is_not_repeated(run: Run, word: str) -> None:
    for command in ("list", "demo"):
        ran = run(command, word, "X-Key: secret")
        assert ran.code == 2
        assert word.partition("=")[0] in ran.err
        assert "secret" not in ran.err


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--url", "URL", "list"], "demo\nsmall\nlarge\n"),
        (["-d", "--url=URL", "list"], "demo\nsmall\nlarge\n"),
        (["--url", "URL", "--json", "show", "demo"], '"id": "demo"'),
        (["--verbose", "doctor"], "engine"),
        (["--url", "URL", "--patient", "list", "demo"], '"patients": {}'),  # a value is no command
        (["--url", "URL", "--counts"], '"P001"'),
    ],
)
def test_options_may_stand_before_the_command(run: Run, server_url: str, words: list[str], told: str) -> None:
    ran = run(*[word.replace("URL", server_url) for word in words])
    assert ran.code == 0
    assert told in ran.out


def test_every_command_may_follow_its_options(run: Run) -> None:
    for command in COMMANDS:
        ran = run("--verbose", command, "--help")
        assert ran.code == 0
        assert ran.out.startswith(f"usage: mockexport {'[analyze]' if command == 'analyze' else command}")


def test_a_variable_that_is_nearly_right_is_told(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.csv").write_text("patient_id,event_time,event_type,value\n")
    for name in ("CONCURENCY", "DELIMETER", "TOKEN", "SOMETHING_ELSE", "CHUNK_SIZE", "INGEST_PORT"):
        monkeypatch.setenv(f"MOCKEXPORT_{name}", "4")
    monkeypatch.setenv("MOCKEXPORT_CHUNK_SIZE", "64K")
    ran = run("--from", str(tmp_path))
    warnings = [line for line in ran.err.splitlines() if "warning" in line]
    assert ran.code == 0
    assert warnings == [
        "mockexport: warning: MOCKEXPORT_CONCURENCY is read by nothing; did you mean MOCKEXPORT_CONCURRENCY?",
        "mockexport: warning: MOCKEXPORT_DELIMETER is read by nothing; did you mean MOCKEXPORT_DELIMITER?",
    ]


@pytest.mark.parametrize("option", ["--token-file", "--header", "--proxy", "--cacert", "--cert", "--key"])
def test_what_is_for_one_server_is_not_taken_in_vain(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    (tmp_path / "a.csv").write_text("patient_id,event_time,event_type,value\n")
    ran = run("--from", str(tmp_path), option, "secret")
    assert ran.code == 2
    assert f"{option} goes with --url" in ran.err
    assert "secret" not in ran.err
    monkeypatch.setenv(f"MOCKEXPORT_{option[2:].upper().replace('-', '_')}", "secret")
    assert run("--from", str(tmp_path)).code == 0


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--group", "g"], "group: goes with --fhir, --fhir-status or --fhir-manifest"),
        (["--fhir-key", "k.pem"], "fhir-key: goes with --fhir"),
        (["--encoding", "utf-32"], "'utf-32' is not read, as ASCII is not itself in it; convert it"),
        (["--encoding", "no-such"], "there is no encoding 'no-such'"),
    ],
)
def test_options_that_cannot_be_meant_say_what_to_do(run: Run, words: list[str], told: str) -> None:
    ran = run("demo", *words)
    assert ran.code == 2
    assert told in ran.err


def test_a_service_that_would_be_open_to_all_names_the_options(run: Run, tmp_path: Path) -> None:
    ran = run("ingest", "--host", "0.0.0.0", "--data", str(tmp_path / "data"))  # noqa: S104 - it is refused
    assert ran.code == 2
    assert "--token-file FILE" in ran.err
