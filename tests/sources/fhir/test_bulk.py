"""FHIR Bulk Data over real sockets: whatever the server does, the report is right, or says that it is not."""

import json
import logging
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from mockexport import MockServer, Report, RetryPolicy, analyze
from mockexport.errors import ExportNotFound, MetadataError, ServerUnreachable
from mockexport.formats.fhir import FhirObservations
from mockexport.model import VerdictKind
from mockexport.sources.fhir import FhirServer
from mockexport.sources.fhir.bulk import delete_job
from mockexport.sources.http import Access

RETRY = RetryPolicy(attempts=8, base_wait_s=0.001)


async def report_of(server: MockServer | str, **more: Any) -> Report[Any]:
    url = f"{server if isinstance(server, str) else server.url}/fhir"
    asked: dict[str, Any] = {"url": url, "group": "ward", "poll_s": 0.001} | more
    asked = {name: value for name, value in asked.items() if value is not None}
    return await analyze(fhir=FhirServer(**asked), schema=FhirObservations(), retry=RETRY, allow_incomplete=True)


def figures(report: Report[Any]) -> Any:
    plain = json.loads(report.to_json())
    return plain["patients"], plain["totals"]


@pytest.mark.parametrize(
    "faults",
    [
        "",
        "fhir-pages=1",
        "fhir-other-origin=1,fhir-redirect=1",
        "fhir-post-only=1",
        "fhir-no-filter=1",
        "fhir-post-only=1,fhir-no-filter=1",
        "fhir-500=0.5",
        "fhir-html-503=0.5",
        "fhir-expired-link=1",
        "fhir-cut-gzip=0.5",
        "fhir-short-file=0.5",
        "fhir-cut-line=0.5",
        "fhir-array=0.5",
        "fhir-error-file=1",
        "fhir-duplicates=1",
        "fhir-orders=1",
        "fhir-units=1",
        "fhir-days=1",
        "fhir-stu4=1",
        "fhir-stu1=1",
        "fhir-stu1=1,fhir-cut-line=0.5",
        "fhir-duplicates=1,fhir-units=1,fhir-days=1,fhir-orders=1,fhir-pages=1,fhir-cut-gzip=0.3",
    ],
)
async def test_the_report_is_that_of_the_csv(ward: Path, right: Report[Any], faults: str) -> None:
    async with MockServer(data=ward, faults=faults, seed=3) as server:
        report = await report_of(server, type_filters=("Observation?category=vital-signs",))
    assert figures(report) == figures(right)
    assert not report.incomplete
    kind = VerdictKind.UNVERIFIABLE if "stu1" in faults else VerdictKind.VERIFIED
    assert {download.verdict.kind for download in report.account.downloads} == {kind}


async def test_without_faults_the_bytes_are_the_same(ward: Path, right: Report[Any]) -> None:
    async with MockServer(data=ward) as server:
        assert (await report_of(server)).to_json() == right.to_json()


@pytest.mark.parametrize(
    ("faults", "told"),
    [
        ("fhir-wrong-count=1", "60 resources came of 61 announced"),
        ("fhir-wrong-resource=1", "the file could not be made"),
        ("fhir-html-file=1", "it is a page"),
        ("fhir-short-file=1", "resources came of 60 announced"),
        ("fhir-cut-gzip=1", "cut off before its end"),
        ("fhir-500=1", "HTTP 500"),
    ],
)
async def test_what_does_not_pass_makes_the_report_incomplete_or_none(ward: Path, faults: str, told: str) -> None:
    async with MockServer(data=ward, faults=faults) as server:
        try:
            report = await report_of(server)
        except ServerUnreachable as error:
            assert told in str(error)  # noqa: PT017 - one of two good ends
            return
    assert len(report.incomplete) == 3
    assert told in str(report.account.downloads[0].verdict)


async def test_a_wait_that_the_server_asks_for_is_kept(ward: Path, right: Report[Any]) -> None:
    async with MockServer(data=ward, faults="fhir-kickoff-429=0.5,fhir-retry-date=1", seed=1) as server:
        assert figures(await report_of(server)) == figures(right)


async def test_a_job_is_taken_up_by_its_status_and_by_its_manifest(ward: Path, right: Report[Any]) -> None:
    async with MockServer(data=ward) as server, aiohttp.ClientSession() as session:
        url = f"{server.url}/fhir/Group/ward/$export"
        async with session.get(url, headers={"Prefer": "respond-async"}) as reply:
            status = reply.headers["Content-Location"]
        for where in ("status", "manifest"):
            report = await report_of(server, url=None, group=None, **{where: status})
            assert figures(report) == figures(right)


async def test_the_job_is_known_and_ended_when_that_is_asked(ward: Path) -> None:
    async with MockServer(data=ward) as server:
        asked = FhirServer(url=f"{server.url}/fhir", group="ward", poll_s=0.001)
        await analyze(fhir=asked, schema=FhirObservations())
        assert asked.job.status_url is not None
        assert await delete_job(asked) is None
        assert await delete_job(asked) is None  # gone already is as good
        with pytest.raises(ServerUnreachable, match="there is no such job"):
            await report_of(server, url=None, group=None, status=asked.job.status_url)


async def test_no_group_and_no_server(ward: Path) -> None:
    async with MockServer(data=ward) as server:
        with pytest.raises(ServerUnreachable, match="no such group"):
            await report_of(server, group="another")
        with pytest.raises(ExportNotFound):
            await analyze("another", fhir=FhirServer(url=f"{server.url}/fhir", group="ward"))
        url = server.url
    with pytest.raises(ServerUnreachable):
        await report_of(url)


async def test_what_is_no_manifest_is_told(ward: Path) -> None:
    async with MockServer(data=ward) as server:
        with pytest.raises(MetadataError, match="the manifest: it is no manifest"):
            await report_of(server, url=None, group=None, manifest=f"{server.url}/api/export")


async def test_a_given_token_goes_to_the_server_and_not_to_files_that_take_none(
    ward: Path, caplog: pytest.LogCaptureFixture
) -> None:
    # With a token at the door every request needs one; the manifest says that files take none, and so they fail.
    async with MockServer(data=ward, token="sesame") as server:
        asked = FhirServer(url=f"{server.url}/fhir", group="ward", poll_s=0.001)
        with caplog.at_level(logging.DEBUG):
            report = await analyze(
                fhir=asked, schema=FhirObservations(), retry=RETRY, access=Access(token="sesame"), allow_incomplete=True
            )
    assert len(report.incomplete) == 3
    assert "401" in str(report.account.downloads[0].verdict)
    assert "sesame" not in caplog.text


async def test_no_url_of_a_file_is_told_anywhere(ward: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with MockServer(data=ward, faults="fhir-500=0.4,fhir-short-file=0.5,fhir-expired-link=0.5", seed=5) as server:
        with caplog.at_level(logging.DEBUG, logger="mockexport"):
            report = await report_of(server)
    told = caplog.text + report.to_json() + report.account.to_json() + str(report.notes)
    assert "/files/" not in told
    assert "link=" not in told
