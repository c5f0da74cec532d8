"""FHIR Observations on the command line: the report is the one of the same rows as CSV, whatever door they come by."""

import gzip
import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from mockexport.cli.arguments import parse
from mockexport.cli.fhir import fhir_server
from mockexport.server.exports import EventType, GeneratedDownload
from mockexport.server.fhir.observations import KINDS, lines_of
from mockexport.server.generation import rows_of
from mockexport.testing import mock_server
from tests.cli.conftest import Run
from tests.observations import observation

TYPES = tuple(EventType(name, 80, 20, 30, 200) for name in KINDS)


def downloads() -> list[GeneratedDownload]:
    return [GeneratedDownload(uuid.UUID(int=n), 150, ("P1", "P2"), TYPES, n * 10**15, 10**6) for n in (1, 2)]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The same rows as CSV and as NDJSON."""
    tables, lines = tmp_path_factory.mktemp("x"), tmp_path_factory.mktemp("y")
    for number, download in enumerate(downloads()):
        rows = list(rows_of(download))
        (tables / f"{number}.csv").write_bytes(b"".join(rows))
        (lines / f"{number}.ndjson").write_bytes(b"".join(lines_of(rows, f"{number}-observations")))
    return tables, lines


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--engine", "python"],
        ["--counts"],
        ["--stats", "count,median,per_day"],
        ["--since", "2001-09-09T01:47:00Z", "--patient", "P1"],
        ["--concurrency", "1", "--chunk-size", "1K"],
        ["--split", "20K"],
    ],
)
def test_the_report_is_that_of_the_rows_as_csv(run: Run, folders: tuple[Path, Path], options: list[str]) -> None:
    reports = [run("--from", str(folder), *options) for folder in folders]
    assert [ran.code for ran in reports] == [0, 0]
    assert reports[0].out == reports[1].out


def test_files_patterns_and_packed_ones_are_known_by_their_names(
    run: Run, folders: tuple[Path, Path], tmp_path: Path
) -> None:
    for path in folders[1].iterdir():
        (tmp_path / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    (tmp_path / "log.ndjson").write_text('{"eventId": "kickoff"}\n')
    expected = run("--from", str(folders[0])).out
    assert run("--from", str(tmp_path)).out == expected
    assert run("--from", f"{tmp_path}/?.*").out == expected
    assert run("--from", f"{folders[1]}/0.ndjson").out == run("--from", f"{folders[0]}/0.csv").out


def test_another_name_takes_the_option(run: Run, folders: tuple[Path, Path], tmp_path: Path) -> None:
    named = tmp_path / "observations.txt"
    named.write_bytes((folders[1] / "0.ndjson").read_bytes())
    assert run("--from", str(named)).code == 3
    assert run("--from", str(named), "--input", "fhir").out == run("--from", f"{folders[0]}/0.csv").out


def test_a_folder_of_both_kinds_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("x")
    (tmp_path / "a.ndjson").write_text("x")
    ran = run("--from", str(tmp_path))
    assert ran.code == 5
    assert "holds both tables and NDJSON" in ran.err


def test_the_account_has_what_was_left_out(run: Run, tmp_path: Path) -> None:
    lines = [observation(), observation(id="2", status="cancelled"), observation(id="3", valueQuantity=None)]
    (tmp_path / "o.ndjson").write_text("\n".join(map(json.dumps, lines)) + "\n")
    ran = run("--from", f"{tmp_path}/o.ndjson", "--account", f"{tmp_path}/account.json")
    (download,) = json.loads((tmp_path / "account.json").read_text())["downloads"]
    assert ran.code == 0
    assert download["noted"] == {"no value": 1, "status cancelled": 1}
    assert download["missing_values"] == {"heart_rate": 1}


def test_a_cut_file_and_a_page_fail(run: Run, tmp_path: Path) -> None:
    (tmp_path / "cut.ndjson").write_text(json.dumps(observation()) + "\n" + '{"resourceType":"Obs')
    (tmp_path / "page.ndjson").write_text("<html><title>Log in</title></html>")
    for name, why in (("cut", "the last line is cut off"), ("page", "it is a page")):
        ran = run("--from", f"{tmp_path}/{name}.ndjson")
        assert ran.code == 3
        assert why in ran.err


def test_codes_of_one_s_own_and_what_is_no_such_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / "o.ndjson").write_text(json.dumps(observation(status="preliminary")) + "\n")
    (tmp_path / "codes.toml").write_text('["8867-4"]\ntype = "pulse"\nunits = ["/min"]\n')
    ran = run("--from", f"{tmp_path}/o.ndjson", "--fhir-codes", f"{tmp_path}/codes.toml", "--fhir-preliminary")
    assert list(json.loads(ran.out)["totals"]) == ["pulse"]
    (tmp_path / "codes.toml").write_text('["8867-4"]\nunit = "/min"\n')
    ran = run("--from", f"{tmp_path}/o.ndjson", "--fhir-codes", f"{tmp_path}/codes.toml")
    assert ran.code == 2
    assert "fhir-codes" in ran.err
    assert "Traceback" not in ran.err


def test_more_resources_than_there_may_be_end_the_run(run: Run, folders: tuple[Path, Path]) -> None:
    ran = run("--from", str(folders[1]), "--max-resources", "100")
    assert ran.code == 1
    assert "--max-resources" in ran.err


@pytest.fixture(scope="module")
def bulk_server() -> Iterator[str]:
    """The URL of a mock server's /fhir, in a thread of its own."""
    with mock_server() as server:
        yield f"{server.url}/fhir"


def test_a_job_is_ended_once_the_report_is_complete(run: Run, bulk_server: str, tmp_path: Path) -> None:
    expected = run("demo", "--url", bulk_server.removesuffix("/fhir")).out
    ran = run("--fhir", bulk_server, "--group", "demo", "-o", f"{tmp_path}/report.json")
    assert ran.code == 0
    assert (tmp_path / "report.json").read_text() == expected
    assert "the job on the FHIR server is ended" in ran.err
    assert "is ended" not in run("--fhir", bulk_server, "--group", "demo", "--fhir-keep").err


def test_a_group_that_is_not_there_is_told(run: Run, bulk_server: str) -> None:
    ran = run("--fhir", bulk_server, "--group", "nobody")
    assert ran.code == 5
    assert "no such group" in ran.err


@pytest.mark.parametrize(
    "options",
    [
        ["--group", "demo"],
        ["--fhir", "ftp://h.example"],
        ["--fhir", "http://h.example", "--fhir-client-id", "me"],
        ["--fhir", "http://h.example", "--url", "http://h.example"],
        ["--fhir-status", "http://h.example/1", "--fhir-manifest", "http://h.example/2"],
    ],
)
def test_what_does_not_go_together_is_a_usage_error(run: Run, options: list[str]) -> None:
    ran = run(*options)
    assert ran.code == 2
    assert "Traceback" not in ran.err


def test_saved_files_are_known_for_what_they_are(run: Run, bulk_server: str, tmp_path: Path) -> None:
    saved = run("--fhir", bulk_server, "--group", "demo", "--save", f"{tmp_path}/kept")
    assert saved.code == 0
    assert "is ended" in saved.err
    again = run("--from", f"{tmp_path}/kept")
    assert (again.code, again.out) == (0, saved.out)
    assert "2 verified" in again.err
    saved = run("--from", f"{tmp_path}/kept/00-file-00001.ndjson", "--save", f"{tmp_path}/one")
    assert saved.code == 0
    assert {path.name for path in (tmp_path / "one").iterdir()} == {"00-00-file-00001.ndjson", "export.json"}


def test_a_bundle_fails_its_file_with_a_hint(run: Run, tmp_path: Path) -> None:
    bundle = {"resourceType": "Bundle", "entry": [{"resource": observation()}]}
    (tmp_path / "o.ndjson").write_text(json.dumps(bundle) + "\n")
    ran = run("--from", f"{tmp_path}/o.ndjson")
    assert ran.code == 3
    assert "jq -c '.entry[].resource'" in ran.err
    deletions = {"resourceType": "Bundle", "entry": [{"request": {"method": "DELETE", "url": "Patient/1"}}]}
    (tmp_path / "o.ndjson").write_text(json.dumps(deletions) + "\n")
    assert run("--from", f"{tmp_path}/o.ndjson").code == 0


@pytest.mark.parametrize("options", [["--html", "page.html"], ["--checkpoint", "run.checkpoint"], ["--split", "10K"]])
def test_what_goes_with_tables_goes_with_resources(
    run: Run, folders: tuple[Path, Path], tmp_path: Path, options: list[str]
) -> None:
    target = [options[0], str(tmp_path / options[1]) if "." in options[1] else options[1]]
    reports = [run("--from", str(folder), *target) for folder in folders]
    assert [ran.code for ran in reports] == [0, 0]
    assert reports[0].out == reports[1].out


def test_a_failed_run_leaves_the_job_and_says_how_to_take_it_up(run: Run) -> None:
    with mock_server(faults="fhir-short-file=1") as server:
        ran = run("--fhir", f"{server.url}/fhir", "--group", "demo", "--attempts", "1")
        assert ran.code == 3
        assert "--fhir-status" in ran.err
        words = ran.err.split("--fhir-status ")[1].split()
        assert run("--fhir-status", words[0], "--attempts", "1").code == 3


@pytest.mark.parametrize("engine", ["auto", "python"])
def test_a_missing_value_that_came_later_is_not_told_as_missing(run: Run, tmp_path: Path, engine: str) -> None:
    versions = [
        observation(
            id=f"o-{number}", meta={"versionId": version}, **({} if version == there else {"valueQuantity": None})
        )
        for number, there in ((1, "2"), (2, "2"), (3, "1"))
        for version in ("1", "2")
    ]
    (tmp_path / "o.ndjson").write_text("".join(json.dumps(line) + "\n" for line in versions))
    ran = run("--from", f"{tmp_path}/o.ndjson", "--engine", engine)
    report = json.loads(ran.out)
    assert ran.code == 0
    assert report["totals"]["heart_rate"]["count"] == 2
    assert [note["count"] for note in report["notes"] if note["kind"] == "missing values"] == [1]


def test_more_rows_than_are_kept_in_memory_come_to_the_same(run: Run, tmp_path: Path) -> None:
    lines = [json.dumps(observation(id=f"o-@{number}", meta=None)) for number in range(1000)]
    body = "\n".join(lines) + "\n"
    for part in range(3):
        with (tmp_path / f"{part}.ndjson").open("w") as file:
            for turn in range(80):  # the last of each come again in the next part
                file.write(body.replace("o-@", f"o-{part * 79 + turn}-"))
    ran = run("--from", str(tmp_path), "--stats", "count", "--checkpoint", f"{tmp_path}/kept")
    report = json.loads(ran.out)
    assert ran.code == 0
    assert report["totals"]["heart_rate"]["count"] == 238_000
    assert "2,000 observations came more than once" in ran.out


def test_types_are_asked_for_by_category_and_code() -> None:
    words = ["analyze", "--fhir", "http://h.example/fhir", "--event-type", "bp_sys", "--event-type", "glucose"]
    server = fhir_server(parse(words))
    assert server is not None
    loinc = "code=http://loinc.org|"
    assert server.type_filters == (
        f"Observation?category=vital-signs&{loinc}85354-9",
        f"Observation?category=vital-signs&{loinc}8480-6",
        *(f"Observation?{loinc}{code}" for code in ("2339-0", "2345-7", "15074-8")),
    )


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no such device here")
def test_a_job_whose_report_cannot_be_written_is_left_with_a_word(bulk_server: str) -> None:
    command = [sys.executable, "-m", "mockexport", "--fhir", bulk_server, "--group", "demo"]
    with open("/dev/full", "w") as full:
        ran = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, timeout=55, check=False)
    assert ran.returncode == 1
    assert "--fhir-status" in ran.stderr
    assert "is ended" not in ran.stderr
