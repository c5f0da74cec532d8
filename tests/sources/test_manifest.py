"""Lists of URLs and manifests: what they say, and what they must not."""

import json
from typing import Any

import pytest

from mockexport.sources.manifest import read_manifest

SHA = "0" * 64


def manifest(*downloads: dict[str, Any], **further: Any) -> bytes:
    return json.dumps({"downloads": downloads, "more": 1, **further}).encode()


def test_a_list_is_a_url_a_line() -> None:
    body = b"\xef\xbb\xbf# ward 7\r\nhttps://h.example/a.csv?sig=x\r\n\r\n  https://h.example/b%20c.csv.gz \n"
    read = read_manifest(body)
    assert [(listed.download.id, listed.url) for listed in read.downloads] == [
        ("a.csv", "https://h.example/a.csv?sig=x"),
        ("b c.csv.gz", "https://h.example/b%20c.csv.gz"),
    ]


def test_a_url_that_is_not_ascii_is_asked_for_as_one_that_is() -> None:
    (listed,) = read_manifest("http://h/jörg%20ü.csv?k=ä".encode()).downloads
    assert (listed.url, listed.download.id) == ("http://h/j%C3%B6rg%20%C3%BC.csv?k=%C3%A4", "jörg ü.csv")


def test_names_that_repeat_are_numbered() -> None:
    read = read_manifest(b"http://h/1/data.csv\nhttp://h/2/data.csv\n")
    assert [listed.download.id for listed in read.downloads] == ["00-data.csv", "01-data.csv"]


def test_a_manifest_tells_what_the_api_would_and_urls_may_be_relative() -> None:
    body = manifest(
        {"url": "a.csv", "id": "first", "rows": 3, "sha256": SHA, "bytes": 9, "start_time": "2025-08-26T00:00:00"},
        {"url": "/b.csv"},
        id="ward-7",
    )
    read = read_manifest(b"\xef\xbb\xbf" + body, base="https://h.example/exports/manifest.json")
    first, second = read.downloads
    assert (read.id, first.download.id, first.download.rows, first.sha256, first.sent_bytes) == (
        "ward-7", "first", 3, SHA, 9,
    )  # fmt: skip
    assert first.download.start_us == 1_756_166_400_000_000
    assert (first.url, second.url) == ("https://h.example/exports/a.csv", "https://h.example/b.csv")


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "names no URL"),
        (b"# nothing\n", "names no URL"),
        (b"ftp://h/a.csv", "no http"),
        (b"a.csv", "no http"),
        (b"http://h/a b.csv", "no http"),
        (b"http://user:pass@h/a.csv", "http://\\*\\*\\*@h/a.csv holds credentials"),
        (b"http://h/a.csv?s=1\nhttp://h/a.csv?s=1", r"names http://h/a\.csv\?\*\*\* 2 times"),
        (b"http://h/a.csv\nHTTP://H:80/a.csv#rows", r"names http://h/a\.csv 2 times"),
        (b"\xff\xfe", "not UTF-8"),
        (b"{}", "downloads"),
        (manifest({"url": "http://h/a", "rows": -1}), "rows"),
        (manifest({"url": "http://h/a", "sha256": "x"}), "sha256"),
        (manifest({"url": "http://h/a", "start_time": "monday"}), "download 'a': start_time is no time"),
        (manifest({"url": "http://h/a", "id": "x"}, {"url": "http://h/b", "id": "x"}), "gives the id 'x' to 2"),
        (b"{" * 100_000, "nested too deeply|malformed|JSON"),
    ],
)
def test_what_is_no_list_is_an_error_that_says_why(body: bytes, told: str) -> None:
    with pytest.raises(ValueError, match=told) as problem:
        read_manifest(body)
    assert "s=1" not in str(problem.value)
    assert "pass" not in str(problem.value)
