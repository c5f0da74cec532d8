"""`--format csv`, `--html` and `--preview`: on stdout, in files, on a terminal."""

import contextlib
import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from mockexport.cli import main
from tests.cli.conftest import Run
from tests.cli.test_analyze import GOOD, export


def test_csv_is_on_stdout_with_what_the_json_has(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url, "--format", "csv")
    totals = [row for row in csv.DictReader(io.StringIO(ran.out, newline="")) if not row["patient_id"]]
    law = json.loads(run("demo", "--url", server_url).out)["totals"]
    assert {row["event_type"]: float(row["mean"]) for row in totals} == {t: law[t]["mean"] for t in law}
    counts = run("demo", "--url", server_url, "--format", "csv", "--counts").out
    assert counts.startswith("patient_id,event_type,count\r\n")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_csv_on_a_terminal_does_not_steer_it(run: Run, tmp_path: Path) -> None:
    folder = export(tmp_path / "x", GOOD.replace("P001", "\x1b[31mP\u202e1"))
    assert "\x1b[31mP\u202e1," in run("--from", str(folder), "--format", "csv").out
    with contextlib.redirect_stdout(Terminal()) as terminal:
        assert main(["--from", str(folder), "--format", "csv"]) == 0
    lines = terminal.getvalue().split("\n")
    assert [line.partition(",")[0] for line in lines] == ["patient_id", "P1", "", ""]
    assert terminal.getvalue().replace("\n", "").isprintable()


def test_ids_like_formulas_are_told_without_naming_them(run: Run, tmp_path: Path) -> None:
    ran = run("--from", str(export(tmp_path / "x", GOOD.replace("P001", "=1+1"))), "--format", "csv")
    assert ran.out.splitlines()[1].startswith("=1+1,")
    assert "1 ids look like formulas" in ran.err
    assert "=1+1" not in ran.err


def test_what_has_no_column_in_csv_is_told(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url, "--stats", "count,per_day", "--format", "csv")
    assert ran.out.splitlines()[0] == "patient_id,event_type,count"
    assert "not in the CSV: per_day" in ran.err


def test_a_page_is_written_beside_the_report_whole_and_private(run: Run, server_url: str, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    ran = run("demo", "--url", server_url, "--html", str(path), "--account", str(tmp_path / "account.json"))
    assert ran.code == 0
    assert ran.out == run("demo", "--url", server_url).out
    assert path.stat().st_mode & 0o777 == 0o600
    html = path.read_text("utf-8")
    assert "Coverage over time" in html
    assert len(html) < 150_000
    assert "coverage" in json.loads((tmp_path / "account.json").read_text())["downloads"][0]
    rows = run("demo", "--url", server_url, "--html", str(path), "--counts")
    assert json.loads(rows.out)["totals"] == {"bp_dia": 9372, "bp_sys": 9412}
    assert "share of anomalies" in path.read_text("utf-8"), "the page has all statistics"


def test_an_incomplete_page_is_put_aside(run: Run, tmp_path: Path) -> None:
    folder, path = export(tmp_path / "x", GOOD, rows=2), tmp_path / "report.html"
    path.write_text("the one from yesterday")
    ran = run("--from", str(folder), "--html", str(path))
    assert ran.code == 3
    assert path.read_text() == "the one from yesterday"
    assert "Incomplete" in (tmp_path / "report.partial.html").read_text("utf-8")


@pytest.mark.parametrize("option", ["--html", "--account", "-o"])
def test_what_cannot_be_written_is_told_before_the_run(run: Run, tmp_path: Path, option: str) -> None:
    nowhere = run("demo", "--url", "http://127.0.0.1:1", option, str(tmp_path / "none" / "x.html"))
    assert "there is no folder" in nowhere.err


def test_no_two_outputs_are_one_and_none_is_written_over_what_is_read(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    table, rules = tmp_path / "data" / "a.csv", tmp_path / "rules.toml"
    table.write_text(GOOD)
    rules.write_text("[spo2]\nlow = 90\n")
    one, data = str(tmp_path / "one"), str(tmp_path / "data")
    for words in (
        ["--html", one, "-o", one],
        ["--account", one, "-o", one],
        ["--events", one, "--account", str(tmp_path / "data" / ".." / "one")],
        ["-o", one, "--checkpoint", one],
        ["-o", str(table)],
        ["--account", str(rules), "--rules", str(rules)],
        ["--format", "csv", "-o", str(tmp_path / "data" / "report.csv")],
    ):
        ran = run("--from", data, *words)
        assert (ran.code, ran.out) == (2, ""), words
    assert run("--from", str(table), "-o", str(table)).code == 2
    assert run("--from", f"{data}/*", "--html", str(table)).code == 2
    assert table.read_text() == GOOD
    assert run("--from", data, "-o", "/dev/null", "--account", "/dev/null").code == 3, "it has no header"


def test_without_a_terminal_there_is_no_preview_and_a_line_says_so(run: Run, server_url: str) -> None:
    ran = run("demo", "--url", server_url, "--preview")
    assert ran.code == 0
    assert "no preview" in ran.err
    assert "PROVISIONAL" not in ran.err


def test_a_terminal_shows_provisional_totals_and_is_restored_on_interrupt() -> None:
    serve = [sys.executable, "-m", "mockexport", "serve", "--port", "0", "--exit-with-stdin", "--faults", "trickle=1"]
    with subprocess.Popen(serve, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        url = server.stdout.readline().decode().strip()
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "mockexport", "demo", "--url", url, "--preview", "--chunk-size", "65536"]
        environment = {**os.environ, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "80", "LINES": "8"}
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment) as process:
            os.close(theirs)
            seen = b""
            try:
                while b" more line" not in seen:  # what does not fit the window makes room for the bars
                    seen += os.read(ours, 4096)
            except BaseException:
                process.kill()  # it writes to a terminal that nobody reads, and would be waited for
                raise
            process.send_signal(signal.SIGINT)
            try:
                while more := os.read(ours, 4096):
                    seen += more
            except OSError:  # Linux's way to say that the other end is closed
                pass
            assert process.stdout is not None
            assert process.stdout.read() == b""
            assert process.wait() == 130
        os.close(ours)
        assert b"PROVISIONAL, of " in seen
        assert b"of 2 downloads finished" in seen
        assert b"\x1b[?25l" not in seen, "the cursor was never gone"
        assert b"\x1b[3" not in seen, "no colour"
        server.communicate()
