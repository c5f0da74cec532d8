"""`mockexport analyze`: reports on stdout or in files, and every exit code."""

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mockexport.server.folder import generate
from tests.cli.conftest import Run
from tests.rows import HEADER

DATA = Path(__file__).parent.parent / "data"

DEMO_TOTALS = {
    "bp_dia": {
        "count": 9372, "mean": 79.44078104993598, "min": 30, "max": 138, "anomalies": 906, "latency": 42.08054795922288
    },
    "bp_sys": {
        "count": 9412, "mean": 119.23608159796005, "min": 60, "max": 191, "anomalies": 653, "latency": 41.89179295046769
    },
}  # fmt: skip


def export(folder: Path, *rows: str, **announced: Any) -> Path:
    """Write a folder of one download with these rows; announce what is given."""
    folder.mkdir()
    body = HEADER + "".join(f"{row}\n" for row in rows).encode()
    (folder / "a.csv").write_bytes(body)
    listed = {
        "id": "a", "file": "a.csv", "bytes": len(body), "sha256": hashlib.sha256(body).hexdigest(), **announced
    }  # fmt: skip
    (folder / "export.json").write_text(json.dumps({"id": "x", "downloads": [listed]}))
    return folder


GOOD = "P001,2025-08-26T00:00:04Z,heart_rate,72"
BAD = "P001,2025-08-26T00:00:04Z,heart_rate,nan"


def test_the_report_is_on_stdout_and_nothing_else_is(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url)
    assert ran.code == 0
    assert json.loads(ran.out)["totals"] == DEMO_TOTALS
    assert "2 verified" in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "words",
    [["demo"], ["analyze", "demo"], ["-e", "demo"], ["--export-id", "demo"], ["--export_id", "demo"], [], ["analyze"]],
    ids=" ".join,
)
def test_an_export_can_be_named_in_every_documented_way(run: Run, server_url: str, words: list[str]) -> None:
    ran = run(*words, "--url", server_url, "--counts")
    assert (ran.code, json.loads(ran.out)["totals"]) == (0, {"bp_dia": 9372, "bp_sys": 9412})


def test_two_different_names_are_a_contradiction(run: Run, server_url: str) -> None:
    ran = run("demo", "-e", "small", "--url", server_url)
    assert (ran.code, ran.out) == (2, "")
    assert "contradicts" in ran.err


@pytest.mark.parametrize("concurrency", ["1", "2", "10"])
@pytest.mark.parametrize("chunk_size", ["100", "64K", "1M"])
def test_the_reports_bytes_do_not_depend_on_how_it_was_made(
    run: Run, server_url: str, concurrency: str, chunk_size: str
) -> None:
    expected = run("demo", "--url", server_url).out
    assert run("demo", "--url", server_url, "--concurrency", concurrency, "--chunk-size", chunk_size).out == expected


def test_rounding(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url, "--round", "2")
    assert json.loads(ran.out)["totals"]["bp_dia"]["mean"] == 79.44


def test_a_table_has_a_line_per_patient_and_type_and_totals_last(run: Run, server_url: str) -> None:
    lines = run("demo", "--url", server_url, "--format", "table").out.splitlines()
    assert lines[0].split() == ["patient", "event", "type", "count", "mean", "min", "max", "anomalies", "latency"]
    assert lines[11].split() == ["all", "bp_sys", "9,412", "119.24", "60", "191", "653", "!", "41.89"]
    assert all(len(line) <= 80 for line in lines)


def test_statistics_are_chosen_by_name(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url, "--stats", "count, p50,stddev,first,per_day", "--round", "3")
    assert json.loads(ran.out)["totals"]["bp_sys"] == {
        "count": 9412,
        "p50": 119.0,
        "stddev": 19.829,
        "first": "2025-08-26T00:00:04.906404Z",
        "per_day": {"2025-08-26": 6156, "2025-08-27": 3256},
    }
    words = ["demo", "--url", server_url, "--stats", "count,p50,stddev,first,per_day"]
    law = run(*words, "--engine", "python").out
    assert run(*words, "--concurrency", "1", "--chunk-size", "1000").out == law


def test_chosen_statistics_are_the_columns_of_a_table(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url, "--stats", "sum,stddev,per_hour,last", "--format", "table")
    lines = ran.out.splitlines()
    assert lines[0].split() == ["patient", "event", "type", "sum", "stddev", "last"]
    assert lines[11].split() == ["all", "bp_sys", "1,122,250", "19.83", "2025-08-27T12:31:22.122149Z"]
    assert lines[-1] == "Not in columns: per_hour; they are in the JSON."


def test_a_statistic_that_there_is_not_is_usage_and_told_before_the_run(run: Run) -> None:
    ran = run("demo", "--url", "http://127.0.0.1:1", "--stats", "count,averge")
    assert (ran.code, ran.out) == (2, "")
    assert "there is no 'averge'; there are count, mean," in ran.err
    assert run("demo", "--url", "http://127.0.0.1:1", "--stats", "count", "--counts").code == 2


def test_approximate_quantiles_are_told_in_the_report_and_on_stderr(run: Run, tmp_path: Path) -> None:
    rows = [f"P001,2025-08-26T00:00:04Z,heart_rate,72.{number:04}" for number in range(5_000)]
    folder = str(export(tmp_path / "x", *rows))
    ran = run("--from", folder, "--stats", "median,count")
    assert "note: quantiles are approximate" in ran.err
    report = json.loads(ran.out)
    assert [note["kind"] for note in report["notes"]] == ["statistics"]
    assert abs(report["totals"]["heart_rate"]["median"] - 72.24995) < 72 * 0.004
    assert "notes" not in json.loads(run("--from", folder, "--stats", "count").out)


def test_rules_of_ones_own_take_the_place_of_the_built_in_ones(run: Run, tmp_path: Path) -> None:
    other = GOOD.replace("heart_rate", "spo2")  # 72: an anomaly, but for these rules
    folder = str(export(tmp_path / "x", GOOD, GOOD.replace("72", "72.6"), other))
    (tmp_path / "rules.toml").write_text("[heart_rate]\nhigh = 72.5 # only just\n")
    report = json.loads(run("--from", folder, "--rules", str(tmp_path / "rules.toml")).out)
    assert {name: found["anomalies"] for name, found in report["totals"].items()} == {"heart_rate": 1, "spo2": 0}
    chosen = run("--from", folder, "--rules", str(tmp_path / "rules.toml"), "--stats", "anomalies")
    assert json.loads(chosen.out)["totals"] == {"heart_rate": {"anomalies": 1}, "spo2": {"anomalies": 0}}
    (tmp_path / "rules.toml").write_text("[heart_rate]\nlow = 'x'\n")
    ran = run("--from", folder, "--rules", str(tmp_path / "rules.toml"))
    assert (ran.code, ran.out) == (2, "")
    assert f"{tmp_path / 'rules.toml'}, 'heart_rate': low is no number" in ran.err


def test_names_from_data_cannot_steer_the_terminal(run: Run, tmp_path: Path) -> None:
    folder = export(tmp_path / "x", GOOD.replace("P001", "\x1b[31mP\u202e1"))
    ran = run("--from", str(folder), "--format", "table")
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    assert "P1" in ran.out
    assert "[31m" not in ran.out


def test_an_output_file_is_whole_and_private_and_stdout_stays_empty(run: Run, server_url: str, tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    ran = run("demo", "--url", server_url, "-o", str(path))
    assert (ran.code, ran.out) == (0, "")
    assert path.read_text() == run("demo", "--url", server_url, "-o", "-").out
    assert path.stat().st_mode & 0o777 == 0o600
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


def test_an_incomplete_report_goes_beside_the_file_and_leaves_it_alone(run: Run, tmp_path: Path) -> None:
    folder = export(tmp_path / "x", GOOD, rows=2)
    path = tmp_path / "report.json"
    path.write_text("old")
    ran = run("--from", str(folder), "-o", str(path))
    assert (ran.code, ran.out, path.read_text()) == (3, "", "old")
    assert json.loads((tmp_path / "report.json.partial").read_text())["incomplete"] == ["a"]
    assert "incomplete" in ran.err


def test_time_is_told_on_stderr(run: Run, server_url: str) -> None:
    assert " s, " in (told := run("demo", "--url", server_url, "-t").err)
    assert "rows/s" in told


def test_verbose_is_a_log_with_times_and_levels(run: Run, server_url: str) -> None:
    assert "DEBUG mockexport" in run("demo", "--url", server_url, "-d").err


def test_exit_3_when_a_download_failed(run: Run, tmp_path: Path) -> None:
    ran = run("--from", str(export(tmp_path / "x", GOOD, rows=2)))
    assert ran.code == 3
    assert json.loads(ran.out) == {"incomplete": ["a"], "patients": {}, "totals": {}}
    assert "1 rows came of 2 announced" in ran.err


def test_exit_4_when_a_download_differs(run: Run, tmp_path: Path) -> None:
    ran = run("--from", str(export(tmp_path / "x", GOOD, GOOD, rows=1)))
    assert ran.code == 4
    assert json.loads(ran.out)["totals"]["heart_rate"]["count"] == 2
    assert "2 rows came, 1 were announced" in ran.err


def test_exit_5_when_the_export_is_unknown_and_those_there_are_are_told(run: Run, server_url: str) -> None:
    ran = run("nosuch", "--url", server_url)
    assert (ran.code, ran.out) == (5, "")
    assert "there: demo, small, large" in ran.err


def test_exit_5_when_there_is_no_server(run: Run, unused_tcp_port: int) -> None:
    ran = run("demo", "--url", f"http://127.0.0.1:{unused_tcp_port}")
    assert (ran.code, ran.out) == (5, "")
    assert "is the server running" in ran.err
    assert "Traceback" not in ran.err


def test_exit_6_for_a_bad_row_if_strict_and_a_warning_if_not(run: Run, tmp_path: Path) -> None:
    folder = str(export(tmp_path / "x", GOOD, BAD, rows=2))
    strict = run("--from", folder, "--strict")
    assert (strict.code, strict.out) == (6, "")
    assert "line 3" in strict.err
    lenient = run("--from", folder, "--max-bad", "1")
    assert lenient.code == 0
    assert "1 bad row left out (1 bad value); the first is line 3 of download a" in lenient.err
    assert "P001" not in strict.err + lenient.err


def test_a_table_with_many_bad_rows_has_failed_and_a_good_report_stays(run: Run, tmp_path: Path) -> None:
    folder = str(export(tmp_path / "x", GOOD, BAD, rows=2))
    report = tmp_path / "report.json"
    report.write_text("good")
    ran = run("--from", folder, "-o", str(report))
    assert (ran.code, report.read_text()) == (3, "good")
    assert "1 of its 2 rows are bad, more than 10% (--max-bad): 1 bad value; line 3 is one (bad value)" in ran.err
    assert "bad value: a value is a number like 37.5" in ran.err
    assert json.loads(Path(f"{report}.partial").read_text())["incomplete"] == ["a"]
    kept = run("download", "--url", "http://127.0.0.1:1", "x", str(tmp_path), "--max-bad", "1,5")
    assert kept.code == 2


def test_missing_values_are_told(run: Run, tmp_path: Path) -> None:
    ran = run("--from", str(export(tmp_path / "x", GOOD, GOOD.replace("72", ""), rows=2)))
    assert "1 row without a value" in ran.err


@pytest.mark.parametrize(
    "words",
    [
        ["demo", "--concurrency", "0"],
        ["demo", "--concurrency", "x"],
        ["demo", "--chunk-size", "1G"],
        ["demo", "--round", "-1"],
        ["demo", "--round", "101"],
        ["--from", ""],
        ["demo", "--format", "xml"],
        ["demo", "--no-such-option"],
        ["demo", "--url", "ftp://example.org"],
        ["demo", "--url", "http://127.0.0.1:1", "--from", "."],
        ["show"],
    ],
    ids=" ".join,
)
def test_exit_2_for_what_cannot_be_meant(run: Run, words: list[str]) -> None:
    ran = run(*words)
    assert (ran.code, ran.out) == (2, "")
    assert "Traceback" not in ran.err


def test_every_option_can_be_given_in_the_environment(
    run: Run, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MOCKEXPORT_URL", server_url)
    monkeypatch.setenv("MOCKEXPORT_COUNTS", "yes")
    monkeypatch.setenv("MOCKEXPORT_EXPORT_ID", "demo")
    assert json.loads(run().out)["totals"] == {"bp_dia": 9372, "bp_sys": 9412}
    monkeypatch.setenv("MOCKEXPORT_CONCURRENCY", "none")
    assert run().code == 2
    assert run("--concurrency", "1").code == 0


@pytest.mark.parametrize(
    ("name", "value"), [("MOCKEXPORT_COUNTS", "maybe"), ("MOCKEXPORT_FORMAT", "xml"), ("MOCKEXPORT_CHUNK_SIZE", "0")]
)
def test_a_variable_that_cannot_be_meant_is_usage(
    run: Run, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    assert run("demo").code == 2


def test_a_folder_needs_no_id(run: Run, tmp_path: Path) -> None:
    generate("demo", tmp_path)
    assert json.loads(run("--from", str(tmp_path)).out)["totals"] == DEMO_TOTALS


def test_the_command_line_goes_before_the_environment_that_contradicts_it(
    run: Run, server_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = export(tmp_path / "x", GOOD)
    monkeypatch.setenv("MOCKEXPORT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("MOCKEXPORT_EXPORT_ID", "nosuch")
    assert run("x", "--from", str(folder)).code == 0
    monkeypatch.setenv("MOCKEXPORT_FROM", str(folder))
    assert run("demo", "--url", server_url).code == 0
    assert run("demo").code == 2


def test_an_empty_variable_is_none_and_those_of_other_commands_do_no_harm(
    run: Run, server_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("URL", "ROUND", "FORMAT", "COUNTS"):
        monkeypatch.setenv(f"MOCKEXPORT_{name}", "")
    assert run("demo", "--url", server_url).code == 0
    monkeypatch.setenv("MOCKEXPORT_FORMAT", "xml")
    assert run("list", "--url", server_url).code == 0
    assert run("--version").code == 0


@pytest.mark.parametrize("name", ["", ".", "..", "/", "{tmp}"])
def test_an_output_that_is_no_file_is_refused_before_the_run(run: Run, tmp_path: Path, name: str) -> None:
    ran = run("demo", "--url", "http://127.0.0.1:1", "-o", name.format(tmp=tmp_path))
    assert (ran.code, ran.out) == (2, "")
    assert "is not the name of a file" in ran.err


def test_an_output_in_no_folder_is_refused_before_the_run(run: Run, tmp_path: Path) -> None:
    ran = run("demo", "--url", "http://127.0.0.1:1", "-o", str(tmp_path / "none" / "report.json"))
    assert (ran.code, ran.out) == (1, "")
    assert f"cannot write {tmp_path / 'none' / 'report.json'}: there is no folder" in ran.err


def test_an_output_that_is_a_link_or_a_pipe_stays_one(run: Run, server_url: str, tmp_path: Path) -> None:
    link, target = tmp_path / "latest.json", tmp_path / "report.json"
    link.symlink_to(target.name)
    assert run("demo", "--url", server_url, "-o", str(link)).code == 0
    assert link.is_symlink()
    assert json.loads(target.read_text())["totals"] == DEMO_TOTALS

    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    try:
        assert run("demo", "--url", server_url, "--counts", "-o", str(tmp_path / "pipe")).code == 0
        assert json.loads(os.read(reading, 65_536))["totals"] == {"bp_dia": 9372, "bp_sys": 9412}
    finally:
        os.close(reading)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["latest.json", "pipe", "report.json"]


def test_the_bad_rows_of_a_failed_download_are_not_told_as_part_of_the_report(run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "x"
    folder.mkdir()
    listed = []
    for name, rows, body in (("a", 9, f"{BAD}\nP001\n"), ("b", 2, f"{GOOD}\n{BAD}\n")):
        text = HEADER + body.encode()
        (folder / f"{name}.csv").write_bytes(text)
        sha256 = hashlib.sha256(text).hexdigest()
        listed.append({"id": name, "file": f"{name}.csv", "rows": rows, "bytes": len(text), "sha256": sha256})
    (folder / "export.json").write_text(json.dumps({"id": "x", "downloads": listed}))
    ran = run("analyze", "--from", str(folder), "--max-bad", "1")
    assert ran.code == 3
    assert "1 bad row left out (1 bad value); the first is line 3 of download b" in ran.err


@pytest.mark.parametrize("option", ["--patient", "--event-type"])
def test_what_is_too_long_for_an_id_is_a_mistake_and_not_shown(run: Run, tmp_path: Path, option: str) -> None:
    ran = run("--from", str(export(tmp_path / "e", GOOD)), option, "x" * 5_000)
    assert ran.code == 2
    assert "an id has at most 256 bytes of UTF-8" in ran.err
    assert "xxx" not in ran.err
    assert "Traceback" not in ran.err
