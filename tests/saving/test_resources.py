"""Files of FHIR resources that are kept: under their own names, with a manifest, and never those of another job."""

import json
from pathlib import Path
from typing import Any

import pytest

from mockexport import MockServer, Report, RetryPolicy, analyze
from mockexport.errors import FolderError
from mockexport.formats.fhir import FhirObservations
from mockexport.model import VerdictKind
from mockexport.sources.fhir import FhirServer
from tests.observations import observation
from tests.sources.fhir.conftest import right, ward  # noqa: F401 - fixtures

RETRY = RetryPolicy(attempts=4, base_wait_s=0.001)
FHIR = FhirObservations()


async def kept(server: MockServer, folder: Path) -> Report[Any]:
    asked = FhirServer(url=f"{server.url}/fhir", group="ward", poll_s=0.001)
    return await analyze(fhir=asked, schema=FHIR, retry=RETRY, save=folder, allow_incomplete=True)


def lines(folder: Path, count: int, name: str = "a.ndjson", start: int = 0) -> None:
    made = [json.dumps(observation(id=f"o-{number}")) + "\n" for number in range(start, start + count)]
    (folder / name).write_text("".join(made))


def modes(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()}


def manifest(folder: Path, *output: dict[str, Any]) -> None:
    (folder / "manifest.json").write_text(json.dumps({"output": output, "requiresAccessToken": False}))


async def test_they_are_kept_with_a_manifest_without_addresses_and_verified_from_there(
    ward: Path,  # noqa: F811
    right: Report[Any],  # noqa: F811
    tmp_path: Path,
) -> None:
    async with MockServer(data=ward, faults="fhir-pages=1,fhir-cut-gzip=0.4", seed=3) as server:
        report = await kept(server, tmp_path)
    assert report.to_json() == right.to_json()
    names = [f"0{number}-file-0000{number + 1}.ndjson" for number in range(3)]
    assert modes(tmp_path) == dict.fromkeys([*names, "export.json", "manifest.json"], 0o600)
    told = json.loads((tmp_path / "manifest.json").read_text())
    assert told["output"] == [{"type": "Observation", "url": name, "count": 60} for name in names]
    assert told["transactionTime"] == "2026-01-01T00:00:00.000Z"
    assert "127.0.0.1" not in (tmp_path / "manifest.json").read_text()
    again = await analyze(folder=tmp_path, schema=FHIR)
    assert again.to_json() == right.to_json()
    assert {download.verdict.kind for download in again.account.downloads} == {VerdictKind.VERIFIED}


async def test_another_job_s_files_are_fetched_and_the_same_job_s_are_not(ward: Path, tmp_path: Path) -> None:  # noqa: F811
    async with MockServer(data=ward) as server:
        first = await kept(server, tmp_path)
        assert sum(download.fetched_bytes for download in first.account.downloads) > 0
        second = await kept(server, tmp_path)
        assert sum(download.fetched_bytes for download in second.account.downloads) > 0
        asked = FhirServer(url=f"{server.url}/fhir", group="ward", poll_s=0.001)
        for fetched in (True, False):
            report = await analyze(fhir=asked, schema=FHIR, retry=RETRY, save=tmp_path)
            assert bool(sum(download.fetched_bytes for download in report.account.downloads)) == fetched
            asked = FhirServer(url=asked.url, status=asked.job.status_url, poll_s=0.001)
            (tmp_path / "export.json").write_text((tmp_path / "export.json").read_text().replace('"ward"', '"fhir"'))


async def test_what_the_server_could_not_export_leaves_the_folder_unfinished(ward: Path, tmp_path: Path) -> None:  # noqa: F811
    async with MockServer(data=ward, faults="fhir-short-file=1") as server:
        report = await kept(server, tmp_path)
    assert len(report.incomplete) == 3
    assert not (tmp_path / "manifest.json").exists()
    assert not (tmp_path / "export.json").exists()


@pytest.mark.parametrize(("lines_there", "kind"), [(3, VerdictKind.VERIFIED), (2, VerdictKind.FAILED)])
async def test_a_manifest_that_another_program_has_left_has_the_counts(
    tmp_path: Path, lines_there: int, kind: VerdictKind
) -> None:
    lines(tmp_path, lines_there)
    manifest(
        tmp_path, {"type": "Observation", "url": "https://h.example/f/a.ndjson?sig=1", "count": 3},
        {"type": "Patient", "url": "https://h.example/f/b.ndjson"},
    )  # fmt: skip
    report = await analyze(folder=tmp_path, schema=FHIR, allow_incomplete=True)
    (download,) = report.account.downloads
    assert download.verdict.kind is kind or (kind is VerdictKind.FAILED and report.incomplete)


async def test_files_that_a_manifest_names_and_are_not_there_are_told(tmp_path: Path) -> None:
    lines(tmp_path, 1)
    manifest(tmp_path, {"url": "a.ndjson", "count": 1}, {"url": "b.ndjson", "count": 1})
    with pytest.raises(FolderError, match=r"1 of 2 files that are not here, such as b\.ndjson"):
        await analyze(folder=tmp_path, schema=FHIR)


@pytest.mark.parametrize("text", ['{"output": [{"url": "other.ndjson", "count": 9}]}', "{}", "no JSON"])
async def test_a_manifest_of_other_names_or_none_checks_nothing_and_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    lines(tmp_path, 1)
    (tmp_path / "manifest.json").write_text(text)
    report = await analyze(folder=tmp_path, schema=FHIR)
    assert [download.verdict.kind for download in report.account.downloads] == [VerdictKind.UNVERIFIABLE]
    assert "no counts are checked" in caplog.text
