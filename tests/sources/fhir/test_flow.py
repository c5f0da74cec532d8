"""A server of few words, and hostile ones: what a client asks, in which order, of whom, and what it never does."""

import asyncio
import gzip
import json
import logging
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mockexport import MockExportError, Report, RetryPolicy, SizeLimits, analyze
from mockexport.errors import MetadataError, ServerUnreachable
from mockexport.formats.fhir import FhirObservations
from mockexport.model import VerdictKind
from mockexport.resuming.retrying import TimeLimits
from mockexport.sources.fhir import FhirServer
from mockexport.sources.http import Access
from tests.certificates import Authority
from tests.observations import observation

LINE = json.dumps(observation()).encode() + b"\n"
Answer = Callable[[web.Request], web.StreamResponse]
RETRY = RetryPolicy(attempts=2, base_wait_s=0.001)


class Hospital:
    """Answers by path, and writes down what it was asked. A list of answers is given out one by one, the last again."""

    def __init__(self) -> None:
        self.asked: list[web.Request] = []
        self.answers: dict[str, Any] = {
            "/Patient/$export": lambda request: web.Response(status=202, headers={"Content-Location": "/job"}),
            "/job": {"requiresAccessToken": False, "output": [{"type": "Observation", "url": "/file", "count": 1}]},
            "/file": LINE,
        }
        self.url = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(request)
        await request.read()
        found = self.answers.get(request.path)
        if isinstance(found, list):
            found = found.pop(0) if len(found) > 1 else found[0]
        if found is None:
            return web.Response(status=404)
        if isinstance(found, bytes):
            return web.Response(body=found)
        if isinstance(found, dict):
            return web.json_response(found)
        made: web.StreamResponse = found(request)
        return made

    def requests(self, path: str) -> list[web.Request]:
        return [request for request in self.asked if request.path == path]


@asynccontextmanager
async def running(hospital: Hospital, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hospital.answer)
    server = TestServer(app, scheme="http" if tls is None else "https", host="localhost" if tls else "127.0.0.1")
    await server.start_server(ssl=tls)
    try:
        hospital.url = str(server.make_url("/")).rstrip("/")
        yield hospital.url
    finally:
        await server.close()


@pytest.fixture
async def hospital() -> AsyncIterator[Hospital]:
    made = Hospital()
    async with running(made):
        yield made


async def report_of(hospital: Hospital, *, more: dict[str, Any] | None = None, **asked: Any) -> Report[Any]:
    server = FhirServer(url=hospital.url, poll_s=0.001, **asked)
    options = more or {}
    report: Report[Any] = await analyze(
        fhir=server, schema=FhirObservations(), retry=RETRY, allow_incomplete=True, **options
    )
    return report


def outcome(code: str, text: str, severity: str = "error", status: int = 400) -> Answer:
    body = {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, "diagnostics": text}]}
    return lambda request: web.json_response(body, status=status)


def accepted(request: web.Request) -> web.Response:
    return web.Response(status=202, headers={"Content-Location": "/job"})


def count(report: Report[Any]) -> int:
    return int(json.loads(report.to_json())["totals"].get("heart_rate", {"count": 0})["count"])


# ---- kick-off ----


async def test_a_kick_off_is_a_get_with_repeated_parameters_and_no_since(hospital: Hospital) -> None:
    filters = ("Observation?code=http://loinc.org|8867-4,x", "Observation?code=y")
    assert count(await report_of(hospital, type_filters=filters)) == 1
    (kickoff,) = hospital.requests("/Patient/$export")
    assert kickoff.method == "GET"
    assert list(kickoff.query.items()) == [("_type", "Observation"), *(("_typeFilter", text) for text in filters)]
    assert (kickoff.headers["Accept"], kickoff.headers["Prefer"]) == ("application/fhir+json", "respond-async")


@pytest.mark.parametrize(
    "refusal", [lambda request: web.Response(status=405), outcome("not-supported", "use POST for this operation")]
)
async def test_where_a_get_is_refused_the_same_is_posted_as_parameters(hospital: Hospital, refusal: Answer) -> None:
    hospital.answers["/Patient/$export"] = [refusal, accepted]
    await report_of(hospital, type_filters=("Observation?code=y",))
    first, second = hospital.requests("/Patient/$export")
    assert (first.method, second.method) == ("GET", "POST")
    assert second.headers["Content-Type"] == "application/fhir+json"
    assert await second.json() == {
        "resourceType": "Parameters",
        "parameter": [
            {"name": "_type", "valueString": "Observation"},
            {"name": "_typeFilter", "valueString": "Observation?code=y"},
        ],
    }


async def test_a_refused_parameter_is_left_out_once_and_told_and_what_comes_is_filtered_here(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    hospital.answers["/Patient/$export"] = [
        outcome("invalid", "_typeFilter is not supported"), outcome("invalid", "_type is not supported"), accepted,
    ]  # fmt: skip
    other = json.dumps({"resourceType": "Patient", "id": "p"}).encode() + b"\n"
    hospital.answers["/job"]["output"][0] |= {"count": 2}
    hospital.answers["/file"] = LINE + other
    assert count(await report_of(hospital, type_filters=("Observation?code=y",))) == 1
    assert [sorted(set(request.query)) for request in hospital.requests("/Patient/$export")] == [
        ["_type", "_typeFilter"], ["_type"], [],
    ]  # fmt: skip
    assert "knows no _typeFilter: all Observations are fetched" in caplog.text
    assert "knows no _type: all resources are fetched" in caplog.text


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (outcome("conflict", "a similar job is running", status=409), "HTTP 409, a similar job is running: there is a"),
        (outcome("forbidden", "not for you", status=403), "no job was started: HTTP 403, not for you"),
        (lambda request: web.Response(status=202), "does not say where"),
        (lambda request: web.Response(status=200, body=b"<html>"), "no job was started: HTTP 200"),
    ],
)
async def test_what_begins_no_job_is_told(hospital: Hospital, answer: Answer, told: str) -> None:
    hospital.answers["/Patient/$export"] = answer
    with pytest.raises(MockExportError, match=told):
        await report_of(hospital)
    assert len(hospital.asked) == 1


async def test_a_job_that_is_running_already_is_waited_for(hospital: Hospital) -> None:
    hospital.answers["/Patient/$export"] = [
        lambda request: web.Response(status=429, headers={"Retry-After": "0"}), accepted,
    ]  # fmt: skip
    assert count(await report_of(hospital)) == 1


# ---- polling ----


async def test_progress_is_told_and_a_transient_outcome_asked_again(
    hospital: Hospital, caplog: pytest.LogCaptureFixture
) -> None:
    hospital.answers["/job"] = [
        lambda request: web.Response(status=202, headers={"X-Progress": "40 % of patients"}),
        outcome("lock-error", "the index is being rebuilt"),
        outcome("throttled", "slow down", status=429),
        lambda request: web.Response(status=502, body=b"<html>"),
        hospital.answers["/job"],
    ]
    with caplog.at_level(logging.INFO, "mockexport"):
        assert count(await report_of(hospital)) == 1
    assert "40 % of patients" in caplog.text
    assert {request.headers["Accept"] for request in hospital.requests("/job")} == {"application/json"}


async def test_a_job_that_has_failed_is_told_at_once(hospital: Hospital) -> None:
    hospital.answers["/job"] = outcome("processing", "out of disk")
    with pytest.raises(ServerUnreachable, match="the job: HTTP 400, out of disk"):
        await report_of(hospital)
    assert len(hospital.requests("/job")) == 1


# ---- the manifest ----


async def test_no_output_is_an_empty_report_that_says_so(hospital: Hospital, caplog: pytest.LogCaptureFixture) -> None:
    hospital.answers["/job"] = {"requiresAccessToken": False, "output": []}
    report = await report_of(hospital)
    assert json.loads(report.to_json()) == {"patients": {}, "totals": {}}
    assert "the report is empty" in caplog.text


@pytest.mark.parametrize(("severity", "failed"), [("warning", False), ("error", True), ("fatal", True)])
async def test_an_error_file_of_severity_error_makes_the_report_incomplete(
    hospital: Hospital, severity: str, failed: bool
) -> None:
    hospital.answers["/job"]["error"] = [{"type": "OperationOutcome", "url": "/errors"}]
    issue = {"severity": severity, "code": "processing", "diagnostics": "two wards are lacking"}
    hospital.answers["/errors"] = json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode() + b"\n"
    report = await report_of(hospital)
    assert bool(report.incomplete) == failed
    assert ("two wards are lacking" in report.account.to_json()) == failed


async def test_what_was_deleted_is_counted_and_told(hospital: Hospital, caplog: pytest.LogCaptureFixture) -> None:
    hospital.answers["/job"]["deleted"] = [{"type": "Bundle", "url": "/deleted"}, {"type": "Bundle", "url": "/more"}]
    assert count(await report_of(hospital)) == 1
    assert "resources were deleted since (2 files)" in caplog.text


async def test_files_of_other_types_are_not_fetched(hospital: Hospital) -> None:
    hospital.answers["/job"]["output"].append({"type": "Patient", "url": "/patients"})
    assert count(await report_of(hospital)) == 1
    assert not hospital.requests("/patients")


async def test_a_manifest_may_be_long_and_has_a_limit_with_a_name(hospital: Hospital) -> None:
    hospital.answers["/job"]["extension"] = {"padding": "x" * 20_000}
    assert count(await report_of(hospital, more={"size_limits": SizeLimits(reply_bytes=1000)})) == 1
    with pytest.raises(ServerUnreachable, match=r"longer than 2,000 bytes.*list_bytes"):
        await report_of(hospital, more={"size_limits": SizeLimits(list_bytes=2000)})
    hospital.answers["/job"]["output"] = [{"url": f"/{number}"} for number in range(20)]
    with pytest.raises(MockExportError, match="files in a manifest"):
        await report_of(hospital, more={"size_limits": SizeLimits(downloads=10)})


@pytest.mark.parametrize("output", [[], [{"url": "/file"}]])
async def test_links_to_a_next_page_without_an_end_are_given_up(hospital: Hospital, output: list[Any]) -> None:
    def page(request: web.Request) -> web.Response:
        following = {"relation": "next", "url": f"/job?page={int(request.query.get('page', '0')) + 1}"}
        return web.json_response({"output": output, "link": [following]})

    hospital.answers["/job"] = page
    told = "files in a manifest" if output else "come to no end"
    with pytest.raises(MockExportError, match=told):
        await report_of(hospital, more={"size_limits": SizeLimits(downloads=50)})


async def test_a_page_that_is_its_own_next_is_told(hospital: Hospital) -> None:
    hospital.answers["/job"]["link"] = [{"relation": "next", "url": "/job"}]
    with pytest.raises(MetadataError, match="come to no end"):
        await report_of(hospital)


# ---- files ----


async def test_files_are_asked_for_as_ndjson_and_packed(hospital: Hospital) -> None:
    await report_of(hospital)
    (asked,) = hospital.requests("/file")
    assert asked.headers["Accept"].startswith("application/fhir+ndjson")
    assert "gzip" in asked.headers["Accept-Encoding"]


@pytest.mark.parametrize("needed", [True, False, None])
async def test_a_token_goes_to_another_origin_only_if_the_manifest_says_so_and_never_along_a_redirect(
    hospital: Hospital, needed: bool | None
) -> None:
    elsewhere, third = Hospital(), Hospital()
    async with running(elsewhere) as elsewhere_url, running(third) as third_url:
        moved = {"Location": f"{third_url}/file"}
        elsewhere.answers["/moved"] = lambda request: web.Response(status=307, headers=moved)
        hospital.answers["/job"] = {"output": [{"url": f"{elsewhere_url}/moved", "count": 1}]} | (
            {} if needed is None else {"requiresAccessToken": needed}
        )
        report = await report_of(hospital, more={"access": Access(token="t0ken")})
    assert count(report) == 1
    assert ["Authorization" in request.headers for request in elsewhere.requests("/moved")] == [bool(needed)]
    assert ["Authorization" in request.headers for request in third.requests("/file")] == [False]
    assert all("Authorization" in request.headers for request in hospital.asked)


async def test_a_status_at_another_origin_gets_no_token(hospital: Hospital) -> None:
    elsewhere = Hospital()
    async with running(elsewhere) as url:
        away = {"Content-Location": f"{url}/job"}
        hospital.answers["/Patient/$export"] = lambda request: web.Response(status=202, headers=away)
        report = await report_of(hospital, more={"access": Access(token="t0ken")})
    assert count(report) == 1
    assert ["Authorization" in request.headers for request in elsewhere.asked] == [False, False]


async def test_a_redirected_status_gets_no_token_elsewhere(hospital: Hospital) -> None:
    elsewhere = Hospital()
    async with running(elsewhere) as url:
        hospital.answers["/job"] = lambda request: web.Response(status=302, headers={"Location": f"{url}/job"})
        report = await report_of(hospital, more={"access": Access(token="t0ken")})
    assert count(report) == 1
    assert ["Authorization" in request.headers for request in elsewhere.asked] == [False, False]


async def test_no_file_is_fetched_by_http_that_a_manifest_by_https_names(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "authority")
    secure, plain = Hospital(), Hospital()
    async with running(secure, authority.certify("localhost").server()), running(plain) as plain_url:
        secure.answers["/job"] = {"requiresAccessToken": True, "output": [{"url": f"{plain_url}/file", "count": 1}]}
        access = Access(token="t0ken", cacert=authority.own.cert)
        report = await report_of(secure, more={"access": access})
    assert report.incomplete == ("file-00001",)
    assert "from https to http" in report.account.to_json()
    assert not plain.asked


@pytest.mark.parametrize("url", ["http://169.254.169.254/latest", "file:///etc/passwd"])
async def test_a_file_at_no_place_to_fetch_from_is_refused(hospital: Hospital, url: str) -> None:
    hospital.answers["/job"]["output"] = [{"url": url}]
    try:
        report = await report_of(hospital)
    except MetadataError as error:
        assert "at no http or https address" in str(error)  # noqa: PT017 - one of two good ends
    else:
        assert report.incomplete


@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ({"Content-Encoding": "gzip"}, gzip.compress(LINE)[:-4]),
        ({"Content-Encoding": "gzip"}, gzip.compress(LINE)[:-8] + b"\0" * 8),
        ({}, LINE[:-20]),
        ({}, b""),
        ({}, b'{"resourceType":"Bundle","entry":[{"resource":' + LINE.rstrip() + b"}]}\n"),
        ({}, b"<html>"),
    ],
)
async def test_a_file_is_whole_or_it_fails(hospital: Hospital, headers: dict[str, str], body: bytes) -> None:
    hospital.answers["/file"] = lambda request: web.Response(body=body, headers=headers)
    report = await report_of(hospital)
    assert report.incomplete == ("file-00001",)
    assert count(report) == 0


async def test_a_body_that_ends_before_its_length_is_fetched_again(hospital: Hospital) -> None:
    def cut(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(LINE) * 2, LINE))
        request.transport.close()
        return web.Response()

    hospital.answers["/file"] = [cut, LINE]
    assert count(await report_of(hospital)) == 1
    assert len(hospital.requests("/file")) == 2


async def test_without_a_count_nothing_is_verified_and_the_verdict_says_what_is_lacking(hospital: Hospital) -> None:
    del hospital.answers["/job"]["output"][0]["count"]
    (download,) = (await report_of(hospital)).account.downloads
    assert download.verdict.kind is VerdictKind.UNVERIFIABLE
    assert "no resource count was announced" in str(download.verdict)


async def test_files_are_never_joined(hospital: Hospital) -> None:
    hospital.answers["/job"]["output"] = [{"url": "/file?1", "count": 1}, {"url": "/file?2", "count": 1}]
    second = json.dumps(observation(id="o-2")).encode()
    hospital.answers["/file"] = lambda request: web.Response(
        body=LINE.rstrip() if request.query_string == "1" else second
    )
    assert count(await report_of(hospital)) == 2


async def test_the_same_resource_in_two_files_counts_once(hospital: Hospital) -> None:
    hospital.answers["/job"]["output"] = [{"url": "/file?1", "count": 1}, {"url": "/file?2", "count": 1}]
    report = await report_of(hospital)
    assert count(report) == 1
    assert "1 observations came more than once" in report.to_json()


async def test_more_files_than_could_be_open_at_once_all_come(hospital: Hospital) -> None:
    output = [{"url": f"/many?{number}", "count": 1} for number in range(300)]
    hospital.answers["/job"]["output"] = output
    hospital.answers["/many"] = lambda request: web.Response(
        body=json.dumps(observation(id=request.query_string)).encode()
    )
    assert count(await report_of(hospital)) == 300


# ---- hostile ones ----


async def test_a_line_without_an_end_and_a_bomb_are_stopped(hospital: Hospital) -> None:
    def endless(request: web.Request) -> web.StreamResponse:
        return web.Response(body=b'{"resourceType":"' + b"x" * (17 * 2**20))

    bomb = gzip.compress(b"\0" * 2**28, 9)
    for answer in (endless, lambda request: web.Response(body=bomb, headers={"Content-Encoding": "gzip"})):
        hospital.answers["/file"] = answer
        report = await report_of(hospital)
        assert report.incomplete == ("file-00001",)


async def test_a_reply_that_does_not_come_to_its_end_is_given_up(hospital: Hospital) -> None:
    class Dripping(web.StreamResponse):
        async def prepare(self, request: web.BaseRequest) -> Any:
            await super().prepare(request)
            while True:
                await self.write(b" ")
                await asyncio.sleep(0.01)

    hospital.answers["/job"] = lambda request: Dripping()
    limits = TimeLimits(connect_s=0.2, first_byte_s=0.2, stall_s=0.2, total_s=2)
    with pytest.raises(ServerUnreachable):
        await report_of(hospital, more={"limits": limits})


async def test_ids_in_what_a_server_says_are_told_nowhere(hospital: Hospital, caplog: pytest.LogCaptureFixture) -> None:
    hospital.answers["/file"] = outcome("forbidden", "no access to Patient/secret77 by /f?sig=secret77", status=403)
    with caplog.at_level(logging.DEBUG):
        report = await report_of(hospital)
    assert report.incomplete
    assert "secret77" not in caplog.text + report.account.to_json()
