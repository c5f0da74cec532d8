"""`mockexport download` and `generate`: whole files in a folder, made once."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

from tests.cli.conftest import Run


def test_a_download_is_the_generated_folder_and_is_not_made_twice(run: Run, server_url: str, tmp_path: Path) -> None:
    assert run("generate", "demo", str(tmp_path / "made")).code == 0
    ran = run("download", "demo", str(tmp_path / "kept"), "--url", server_url)
    assert (ran.code, ran.out) == (0, "")
    assert "2 of 2 files are in" in ran.err
    kept = {path.name: path.stat().st_ino for path in (tmp_path / "kept").iterdir()}
    for path in (tmp_path / "made").glob("*.csv"):
        assert (tmp_path / "kept" / path.name).read_bytes() == path.read_bytes()
    made, listed = (json.loads((tmp_path / folder / "export.json").read_text()) for folder in ("made", "kept"))
    assert all(download.pop("version") for download in listed["downloads"])  # what was kept has a tag
    assert listed == made
    assert run("download", "demo", str(tmp_path / "kept"), "--url", server_url).code == 0
    again = {path.name: path.stat().st_ino for path in (tmp_path / "kept").iterdir()}
    assert {n: i for n, i in again.items() if n.endswith(".csv")} == {
        n: i for n, i in kept.items() if n.endswith(".csv")
    }


def test_generating_an_unknown_export_names_those_there_are(run: Run, tmp_path: Path) -> None:
    ran = run("generate", "nosuch", str(tmp_path))
    assert ran.code == 5
    assert "there: demo, small, large" in ran.err


def test_a_folder_is_for_one_export(run: Run, server_url: str, tmp_path: Path) -> None:
    run("generate", "demo", str(tmp_path))
    ran = run("download", "small", str(tmp_path), "--url", server_url)
    assert ran.code == 5
    assert "holds the export 'demo'" in ran.err


def test_a_disk_that_is_full_is_an_error_with_the_path_and_leaves_nothing_whole(
    server_url: str, tmp_path: Path
) -> None:
    def full() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    command = [sys.executable, "-m", "mockexport", "download", "demo", str(tmp_path / "kept"), "--url", server_url]
    ran = subprocess.run(command, preexec_fn=full, capture_output=True, text=True, timeout=50, check=False)
    assert ran.returncode == 1
    assert "cannot write" in ran.stderr
    assert ".csv" in ran.stderr
    assert "Traceback" not in ran.stderr
    assert not [name for name in os.listdir(tmp_path / "kept") if name.endswith((".csv", ".json"))]


def test_analyze_keeps_the_files_in_the_same_pass(run: Run, server_url: str, tmp_path: Path) -> None:
    plain = run("demo", "--url", server_url)
    ran = run("demo", "--url", server_url, "--save", str(tmp_path / "kept"))
    assert (ran.code, ran.out) == (0, plain.out)
    assert "2 of 2 files are in" in ran.err
    again = run("--from", str(tmp_path / "kept"))
    assert (again.code, again.out) == (0, plain.out)
    assert "2 verified" in again.err


def test_what_is_kept_is_whole_so_neither_filter_nor_checkpoint_goes_with_it(run: Run, tmp_path: Path) -> None:
    for option in (("--patient", "P001"), ("--checkpoint", str(tmp_path / "c"))):
        ran = run("demo", "--save", str(tmp_path / "kept"), *option)
        assert (ran.code, ran.out) == (2, "")
        assert "does not go with save" in ran.err
    assert not (tmp_path / "kept").exists()
