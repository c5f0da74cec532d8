"""A manifest's pages, in the form of every version of the standard."""

import json
from typing import Any

import pytest

from mockexport.sources.fhir.manifest import ManifestFile, ManifestPage, read_page

BASE = "https://h.example/jobs/1?page=1"


def page(**members: Any) -> ManifestPage:
    return read_page(json.dumps({"output": [], **members}).encode(), BASE)


def test_files_are_relative_to_where_the_page_came_from_and_whole_ones_stay() -> None:
    signed = "https://files.example/a%2Fb?X-Sig=%2f+1"
    found = page(output=[{"type": "Observation", "url": "../f/1", "count": 3}, {"url": signed}])
    assert found.output == (ManifestFile("https://h.example/f/1", "Observation", 3), ManifestFile(signed))


def test_error_and_outcome_are_the_same_and_unknown_members_are_ignored() -> None:
    found = page(
        error=[{"url": "e", "type": "OperationOutcome"}], outcome=[{"url": "o"}], deleted=[{"url": "d"}],
        extension={"x": 1}, outputFormat="y",
    )  # fmt: skip
    assert [file.url[-1] for file in (*found.problems, *found.deleted)] == ["e", "o", "d"]


def test_the_next_page_is_the_link_of_that_relation() -> None:
    links = [{"relation": "self", "url": "x"}, {"relation": "next", "url": "1?page=2"}]
    assert page(link=links).next == "https://h.example/jobs/1?page=2"
    assert page(link=links[:1]).next is None


@pytest.mark.parametrize(
    "members",
    [
        {"output": {}},
        {"output": ["x"]},
        {"output": [{"type": "Observation"}]},
        {"output": [{"url": "file:///etc/passwd"}]},
        {"output": [{"url": "x", "count": -1}]},
        {"output": [{"url": "x", "count": 1.5}]},
        {"output": [{"url": "x", "type": 7}]},
        {"requiresAccessToken": 1},
    ],
)
def test_what_cannot_be_used_is_refused(members: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"no|neither"):
        page(**members)


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"{}", b'{"resourceType":"OperationOutcome"}', b"\xff"])
def test_what_is_no_manifest_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match="it is no"):
        read_page(body, BASE)


@pytest.mark.parametrize("end", ["#pending", "#closed"])
def test_a_published_manifest_that_grows_ends_where_it_has_come_to(end: str) -> None:
    link = [{"relation": "next", "url": end}]
    assert page(link=link).next is None
    stub = {"transactionTime": "2026-01-01T00:00:00Z", "requiresAccessToken": False, "link": link}
    assert read_page(json.dumps(stub).encode(), BASE).output == ()
