"""`look` shows what files hold, and its proposals are commands that read them; `formats` lists what is known."""

import json
import shlex
from pathlib import Path

import pytest

from tests.cli.conftest import Run

TABLE = "subject;zeit;typ;wert\n" + "".join(f"P{n % 2};{n + 10}.05.2024 08:00;crp;1.23{n},5\n" for n in range(9))


def test_the_command_that_is_proposed_reads_the_file(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("ward.csv").write_text(TABLE.replace("typ", "parameter"))
    ran = run("look", "ward.csv")
    assert ran.code == 0
    assert "times (%d.%m.%Y %H:%M)" in ran.out
    assert "2024-05-10T08:00:00Z" in ran.out
    command = ran.out.splitlines()[-1].strip()
    assert command.startswith("mockexport --from ward.csv --columns patient_id=subject,event_time=zeit,")
    report = run(*shlex.split(command)[1:])
    assert report.code == 0
    assert json.loads(report.out)["totals"]["crp"]["max"] == 1238.5
    # The same is said where the file is read without.
    assert command.partition("--columns ")[2] in run("--from", "ward.csv").err


def test_a_file_that_is_read_as_it_is_and_one_that_nothing_reads(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("patient_id,event_time,event_type,value\nP1,2024-05-01T08:00:00Z,\x1b[31mhr,70\n")
    ran = run("look", str(tmp_path / "a.csv"))
    assert ran.code == 0
    assert "It is read without any option" in ran.out
    assert "\x1b" not in ran.out
    (tmp_path / "b.csv").write_text("a\nb\n")
    nothing = run("look", str(tmp_path / "b.csv"))
    assert nothing.code == 3
    assert "Nothing that was tried reads it" in nothing.out


def test_known_formats_are_listed_and_printed_and_can_be_ones_own(run: Run, tmp_path: Path) -> None:
    assert "libreview" in run("formats").out
    text = run("formats", "libreview").out
    own = tmp_path / "own.toml"
    own.write_text(text)
    assert "source = " in text
    assert run("formats", "librevew").code == 2
    own.write_text('colums = "x"')
    ran = run("--from", str(tmp_path), "--like", str(own))
    assert ran.code == 2
    assert "did you mean columns?" in ran.err


def test_options_win_over_a_description(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.toml").write_text('delimiter = "semicolon"\ncolumns = { patient_id = "p", value = "v" }\n')
    (tmp_path / "a.csv").write_text("q|event_time|event_type|v\nP1|2024-05-01|hr|70\n")
    words = ["--from", str(tmp_path / "a.csv"), "--like", str(tmp_path / "t.toml")]
    ran = run(*words, "--delimiter", "pipe", "--columns", "patient_id=q")
    assert ran.code == 0
    assert list(json.loads(ran.out)["patients"]) == ["P1"]
