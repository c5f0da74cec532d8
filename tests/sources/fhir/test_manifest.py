"""Manifests: what one says, and which files are which when it is fetched again."""

import json
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from mockexport import Report, RetryPolicy, analyze
from mockexport.formats.fhir import FhirObservations
from mockexport.sources.fhir import FhirServer
from mockexport.sources.fhir.bulk import FhirBulk
from mockexport.sources.fhir.manifest import ManifestFile, read_page, renewed
from mockexport.sources.fhir.polling import place_of_job, severities_of
from mockexport.sources.http import Access
from tests.observations import observation

BASE = "http://h.example/jobs/1"


def files(*urls: str, count: int | None = None) -> list[ManifestFile]:
    return [ManifestFile(url, "Observation", count) for url in urls]


@pytest.mark.parametrize(
    "page",
    [
        '{"transactionTime":"2026-01-01T00:00:00Z"}',
        '{"transactionTime":"2026-01-01T00:00:00Z","output":null}',
        '{"output":[{"url":"/1"}],"output":[]}',
        '{"output":[{"url":"/1"}],"link":{"relation":"next","url":"/2"}}',
        '{"output":[{"url":"/1"}],"link":[{"relation":"next"}]}',
        '{"output":[{"url":"/1"}],"link":[{"relation":"next","url":"/2"},{"relation":"next","url":"/3"}]}',
        '{"output":[{"url":"http://h.example:99999999/1"}]}',
        '{"output":[{"url":"http://[::1/1"}]}',
        '{"output":[{"url":"file:///1"}]}',
    ],
)
def test_what_could_hide_a_file_is_no_manifest(page: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_page(page.encode(), BASE)


def test_renewed_links_are_known_by_all_but_their_query() -> None:
    first, second = files("http://h/1?s=1", "http://h/2?s=1")
    again = files("http://h/2?s=2", "http://h/1?s=2")
    assert renewed([first, second], again) == again[::-1]


def test_all_new_places_go_by_their_number_and_count() -> None:
    before = files("http://h/a/1", "http://h/a/2", count=5)
    after = files("http://h/b/1", "http://h/b/2", count=5)
    assert renewed(before, after) == after


@pytest.mark.parametrize(
    "after",
    [
        files("http://h/1"),
        files("http://h/1", "http://h/2", "http://h/3"),
        files("http://h/2", "http://h/3"),
        files("http://h/3", "http://h/4", count=5),
    ],
)
def test_what_may_be_other_files_is_not_taken_for_these(after: list[ManifestFile]) -> None:
    assert renewed(files("http://h/1", "http://h/2"), after) is None


@pytest.mark.parametrize("told", [[], [""], [" "], ["/a", "/b"], ["ftp://h/a"], ["http://[::1"], ["http://h/$export"]])
def test_a_place_of_a_job_that_is_none(told: list[str]) -> None:
    assert place_of_job("http://h/$export", told) is None
    assert place_of_job("http://h/$export", ["jobs/1"]) == "http://h/jobs/1"


@pytest.mark.parametrize(
    "line", [b'{"error":"x"}', b'{"resourceType":"Patient"}', b'{"resourceType":"OperationOutcome"}', b"[]", b"<html>"]
)
def test_an_error_file_that_says_something_else_is_an_error(line: bytes) -> None:
    assert severities_of(line)[:2] == (1, 1)


@pytest.mark.parametrize(("severity", "errors"), [("warning", 0), ("fatal", 1), (["error"], 1), (None, 1)])
def test_an_unknown_severity_is_an_error(severity: Any, errors: int) -> None:
    outcome = {"resourceType": "OperationOutcome", "issue": [{"severity": severity}]}
    assert severities_of(json.dumps(outcome).encode())[:2] == (1, errors)


class Server:
    """Serves a manifest of three files; their links expire, and come again in another order."""

    def __init__(self) -> None:
        self.manifests = 0
        self.tokens: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        name = request.path.strip("/")
        if "Authorization" in request.headers:
            self.tokens.append(name)
        if name.startswith("page"):
            self.manifests += 1
            needed = {"page1": [1], "page2": [2, 3]}[name]
            order = needed if self.manifests < 3 else needed[::-1]
            output = [{"url": f"/{number}?link={self.manifests}", "count": 1} for number in order]
            link = [{"relation": "next", "url": "/page2"}] if name == "page1" else []
            return web.json_response({"requiresAccessToken": name == "page1", "output": output, "link": link})
        if name == "2" and request.query["link"] == "2":
            return web.Response(status=410)
        line = observation(id=name, subject={"reference": f"Patient/{name}"})
        return web.Response(body=json.dumps(line).encode() + b"\n")


async def report_of(server: Server) -> Report[Any]:
    app = web.Application()
    app.router.add_get("/{name}", server.answer)
    async with TestServer(app) as running:
        manifest = str(running.make_url("/page1"))
        return await analyze(
            fhir=FhirServer(manifest=manifest), schema=FhirObservations(), access=Access(token="t"),
            concurrency=1, retry=RetryPolicy(base_wait_s=0.001),
        )  # fmt: skip


async def test_each_file_counts_once_when_links_come_again_in_another_order() -> None:
    server = Server()
    report = await report_of(server)
    assert server.manifests == 4
    assert sorted(json.loads(report.to_json())["patients"]) == ["1", "2", "3"]


async def test_a_page_s_files_take_a_token_if_that_page_says_so() -> None:
    server = Server()
    await report_of(server)
    assert sorted(set(server.tokens)) == ["1", "page1", "page2"]


async def test_a_checkpoint_is_of_these_files_in_this_order() -> None:
    places = ["/1", "/2"]

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"output": [{"url": f"{place}?{request.query_string}"} for place in places]})

    app = web.Application()
    app.router.add_get("/m", answer)
    told = []
    async with TestServer(app) as running:
        for query in ("a", "b", "c"):
            if query == "c":
                places.reverse()
            async with FhirBulk(FhirServer(manifest=str(running.make_url(f"/m?{query}")))) as source:
                await source.discover("fhir")
                told.append(source.as_of())
    assert told[0] == told[1] != told[2]
