"""Several exports in one command: each report exactly what it is alone."""

import json
import subprocess
from pathlib import Path

import pytest

from mockexport.cli.arguments import parse
from mockexport.cli.running import run
from mockexport.server.folder import generate
from tests.cli.test_process import MODULE, clean

OUTPUTS = Path(__file__).parent.parent.parent / "examples" / "outputs"


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    generate("demo", tmp_path / "exports" / "demo")
    other = json.loads((tmp_path / "exports" / "demo" / "export.json").read_text())
    generate("demo", tmp_path / "exports" / "other")
    (tmp_path / "exports" / "other" / "export.json").write_text(json.dumps(other | {"id": "other"}))
    return tmp_path / "exports"


@pytest.mark.parametrize("named", [["demo", "other"], ["--all"]])
def test_every_report_is_what_it_is_alone(folders: Path, named: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    account = folders.parent / "account.json"
    assert run(parse(["analyze", *named, "--from", str(folders), "--account", str(account)])) == 0
    demo = json.loads((OUTPUTS / "demo.json").read_text())
    assert json.loads(capsys.readouterr().out) == {"exports": {"demo": demo, "other": demo}}
    accounts = json.loads(account.read_text())["exports"]
    assert [accounts[name]["export_id"] for name in ("demo", "other")] == ["demo", "other"]


def test_a_table_has_a_heading_for_each(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse(["demo", "other", "--from", str(folders), "--format", "table"])) == 0
    told = capsys.readouterr().out
    assert told.startswith("demo\n\n")
    assert "\nother\n\n" in told


def test_the_exit_code_is_the_gravest(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = next((folders / "other").glob("*.csv"))
    file.write_bytes(file.read_bytes()[:-50])
    assert run(parse(["--all", "--from", str(folders)])) == 3
    told = json.loads(capsys.readouterr().out)["exports"]
    assert "incomplete" not in told["demo"]
    assert len(told["other"]["incomplete"]) == 1


def test_all_and_a_name_contradict_each_other(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse(["demo", "--all", "--from", str(folders)])) == 2
    assert "all: means every export" in capsys.readouterr().err


def test_ids_that_are_no_names_lead_nowhere(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    listing = folders / "other" / "export.json"
    listing.write_text(json.dumps(json.loads(listing.read_text()) | {"id": "../escaped"}))
    for option in ("--save", "--checkpoint"):
        assert run(parse(["--all", "--from", str(folders), option, str(folders.parent / "kept")])) == 2
        assert "'../escaped' is no name for a file" in capsys.readouterr().err
    assert [path.name for path in folders.parent.iterdir()] == ["exports"]


@pytest.mark.parametrize(
    ("address", "told"),
    [("local:0", "is not local: and a number"), ("scheduler", "neither local:N nor an address")],
)
def test_an_address_that_is_none_is_told(address: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(parse(["demo", "--dask", address])) == 2
    assert told in capsys.readouterr().err


def test_all_exports_by_a_cluster_of_processes_are_what_they_are_alone(folders: Path) -> None:
    command = [*MODULE, "--all", "--from", str(folders), "--dask", "local:1"]
    ran = subprocess.run(command, capture_output=True, text=True, env=clean(), timeout=55, check=True)
    demo = json.loads((OUTPUTS / "demo.json").read_text())
    assert json.loads(ran.stdout) == {"exports": {"demo": demo, "other": demo}}
    assert all(line.startswith("mockexport: ") for line in ran.stderr.splitlines())
