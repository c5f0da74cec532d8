"""Folders as sources: verified by what their listing says, or honestly unverifiable."""

import json
from pathlib import Path
from typing import Any

import pytest

from mockexport import Report, Statistics, analyze
from mockexport.errors import ExportNotFound, FolderError, OptionError
from mockexport.model import VerdictKind
from mockexport.server.folder import generate
from tests.rows import HEADER

FIRST = "00-f725622a-22ea-4acc-aab8-810ec8b5e2c6.csv"
SECOND = "01-591ef21e-8a64-413a-b506-37a41cb6b896.csv"
ROW = b"P001,2025-08-26T00:00:04Z,heart_rate,72\n"


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    generate("demo", tmp_path / "demo")
    return tmp_path / "demo"


def verdicts(report: Report[Statistics]) -> list[VerdictKind]:
    return [download.verdict.kind for download in report.account.downloads]


async def test_a_generated_folder_is_verified(demo: Path) -> None:
    report = await analyze(folder=demo)
    assert verdicts(report) == [VerdictKind.VERIFIED] * 2
    assert report.totals["bp_dia"].mean == 79.44078104993598
    assert report.account.source == str(demo)


async def test_a_folder_of_exports_is_asked_by_id(demo: Path) -> None:
    report = await analyze("demo", folder=demo.parent)
    assert report.account.rows == 18_784


async def test_a_folder_of_several_exports_needs_an_id(demo: Path) -> None:
    listing = json.loads((demo / "export.json").read_text())
    (demo.parent / "other").mkdir()
    (demo.parent / "other" / "export.json").write_text(json.dumps(listing | {"id": "other", "downloads": []}))
    with pytest.raises(OptionError, match="several exports; name one of demo, other"):
        await analyze(folder=demo.parent)
    with pytest.raises(ExportNotFound, match="there: demo, other"):
        await analyze("third", folder=demo.parent)


async def test_a_file_that_was_changed_fails_even_if_its_rows_still_count(demo: Path) -> None:
    path = demo / FIRST
    data = path.read_bytes()
    path.write_bytes(data.replace(b",bp_sys,120\n", b",bp_sys,121\n", 1))
    report = await analyze(folder=demo)
    assert verdicts(report) == [VerdictKind.FAILED, VerdictKind.VERIFIED]
    assert "SHA-256" in str(report.account.downloads[0].verdict)


@pytest.mark.parametrize("fault", ["short", "missing"])
async def test_a_file_that_is_short_or_missing_fails_alone(demo: Path, fault: str) -> None:
    path = demo / SECOND
    if fault == "short":
        path.write_bytes(path.read_bytes()[:-100])
    else:
        path.unlink()
    report = await analyze(folder=demo)
    assert verdicts(report) == [VerdictKind.VERIFIED, VerdictKind.FAILED]
    assert path.name in str(report.account.downloads[1].verdict)


async def test_without_a_listing_every_csv_is_a_download_in_name_order_and_unverifiable(tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_bytes(HEADER + ROW)
    (tmp_path / "notes.txt").write_text("no data")
    report = await analyze(folder=tmp_path)
    assert [d.download_id for d in report.account.downloads] == ["a.csv", "b.csv"]
    assert verdicts(report) == [VerdictKind.UNVERIFIABLE] * 2
    assert report.totals["heart_rate"].count == 2
    assert report.incomplete == ()


async def test_a_folder_whose_download_is_not_finished_is_no_export(demo: Path) -> None:
    (demo / "unfinished.ndjson").touch()
    with pytest.raises(FolderError, match="not finished"):
        await analyze(folder=demo)


@pytest.mark.parametrize("name", ["nothing", "file"])
async def test_what_is_no_folder_is_an_error_with_its_path(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FolderError, match=name):
        await analyze(folder=tmp_path / name)


async def test_one_source_at_a_time(tmp_path: Path) -> None:
    options: dict[str, Any] = {"folder": tmp_path, "url": "http://127.0.0.1:1"}
    with pytest.raises(OptionError, match="one of url, folder, files, urls, fhir and source"):
        await analyze("x", **options)
