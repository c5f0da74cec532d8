"""What may be shown: no secret of a URL, nothing that steers a terminal, and both in linear time."""

import pytest

from mockexport.errors import ExportNotFound, MetadataError, TransferError
from mockexport.shown import foreign, given_url, public_url, shown


@pytest.mark.parametrize(
    ("url", "seen"),
    [
        ("http://host:8000/a/b", "http://host:8000/a/b"),
        ("http://user:hush@host/a?b=c#d", "http://***@host/a?***"),
        ("https://host/a.csv?X-Amz-Signature=hush&X-Amz-Date=1", "https://host/a.csv?***"),
        ("https://host/a#access_token=hush", "https://host/a#***"),
        ("http://user:hu/sh@host/a", "http://***@host/a"),
        ("http://user:hu?sh@host/a?hush", "http://***@host/a?***"),
        ("http://user:hu#sh@host", "http://***@host"),
        ("http://hush@[::1]:80/", "http://***@[::1]:80/"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("http://host:80/a@b", "http://host:80/a@b"),
        ("http:/user:hush@host/a", "http:/***@host/a"),
        ("folder/a@b?c", "folder/a@b?c"),
    ],
)
def test_a_url_is_shown_without_its_secrets_alone_and_in_a_sentence(url: str, seen: str) -> None:
    assert public_url(url) == seen
    assert public_url(seen) == seen
    assert shown(f"no answer from {url}: is it right?") == f"no answer from {seen}: is it right?"
    assert shown(f"'{url}', of two") == f"'{seen}', of two"


def test_urls_that_follow_without_a_space_are_all_seen_to() -> None:
    assert shown("http://a/b,http://user:hush@c/d?hush") == "http://a/b,http://***@c/d?***"


def test_what_was_given_for_a_url_shows_nothing_before_an_at() -> None:
    assert given_url("user:hush@proxy:3128") == "***@proxy:3128"
    assert given_url("ftp://user:hush@host/a?hush") == "ftp://***@host/a?***"
    assert given_url("http:/user:hush@host") == "***@host"
    assert given_url("my-file.csv") == "my-file.csv"


@pytest.mark.parametrize(
    "steering",
    [
        "\x1b[2J", "\x1b[31m", "\x9b31m", "\x1b]0;title\x07", "\x1b]8;;http://x\x1b\\", "\x9d0;t\x9c", "\x1bc",
        "\x1b(0", "\x00", "\x07", "\x08", "\x7f", "\x85", "\u202e", "\u2066", "\u200f", "\ud800",
    ],
)  # fmt: skip
def test_what_steers_a_terminal_is_left_out_of_every_error(steering: str) -> None:
    assert shown(f"a{steering}b") == "ab"
    assert "ab" in str(ExportNotFound("x", "http://host", [f"a{steering}b"]))
    assert "ab" in str(TransferError(f"a{steering}b", "http://host", "it broke"))
    assert str(MetadataError("http://host", f"a\r\n{steering}b")).endswith("a  b")


def test_a_string_that_has_no_end_hides_nothing_of_what_follows() -> None:
    assert shown("\x1b]0;x is the server's; what follows is ours") == "0;x is the server's; what follows is ours"


def test_what_a_server_says_is_cut() -> None:
    assert foreign("x" * 201) == "x" * 200 + "…"
    told = str(ExportNotFound("x", "http://host", [f"{number}{'x' * 300}" for number in range(1_000)]))
    assert len(told) < 5_000
    assert told.endswith("…, and 980 more")


@pytest.mark.parametrize("unit", ["a", "http://", "http://a@", "http:/", "x:", "a.+", "\x1b]", "\x1b[0", "\x1b", "?#@"])
def test_long_texts_take_linear_time(unit: str) -> None:
    """The test's time limit is the proof: quadratic, each of them takes minutes."""
    text = unit * (100_000 // len(unit))
    shown(text)
    public_url(text)
    given_url(text)
