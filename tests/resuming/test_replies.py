"""What a reply's head means: the table of cases."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport.pipeline.streams import Mark
from mockexport.resuming.replies import (
    Asked,
    Begin,
    Complete,
    Head,
    Join,
    Refused,
    Void,
    decide,
    retry_after_s,
)

ORIGIN = "https://example.org:443"
MARK = Mark('"a"', 100, ORIGIN)
ASKED = Asked(40, MARK)


def head(status: int, origin: str = ORIGIN, /, **fields: str) -> Head:
    return Head(status, tuple((name.replace("_", "-"), value) for name, value in fields.items()), origin)


PART = {"Content_Range": "bytes 40-99/100", "Content_Length": "60", "ETag": '"a"'}


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        ({"ETag": '"a"', "Content_Length": "9"}, Begin(Mark('"a"', 9, ORIGIN), '"a"', True, False, '"a"')),
        ({"ETag": '"a"', "Transfer_Encoding": "chunked"}, Begin(Mark('"a"', None, ORIGIN), '"a"', True, False, '"a"')),
        (
            {"ETag": '"a"', "Transfer_Encoding": "chunked", "Content_Length": "9"},
            Begin(Mark('"a"', None, ORIGIN), '"a"', True, False, '"a"'),
        ),
        ({"ETag": '"a"'}, Begin(Mark('"a"', None, ORIGIN), '"a"', False, False, '"a"')),
        ({"ETag": 'W/"a"', "Content_Length": "9"}, Begin(None, 'W/"a"', True, False, '"a"')),
        ({"ETag": "a", "Content_Length": "9"}, Begin(None, "a", True, False, "a")),
        ({"Content_Length": "9"}, Begin(None, None, True, False)),
        ({"Content_Length": "\uff19"}, Begin(None, None, False, False)),
        ({"Content_Length": "9", "Content_Encoding": "identity"}, Begin(None, None, True, False)),
        ({"Last_Modified": "Sun", "Content_Length": "9"}, Begin(None, None, True, False, "Sun, 9 bytes")),
        ({"Last_Modified": "Sun"}, Begin(None, None, False, False, "Sun")),
        ({}, Begin(None, None, False, False)),
    ],
)
def test_a_200_begins_and_can_be_resumed_only_by_a_strong_tag(fields: dict[str, str], meant: Begin) -> None:
    assert decide(Asked(), head(200, **fields)) == meant
    # The same to one who asked for a part: everything comes, from the first byte.
    assert decide(ASKED, head(200, **fields)) == meant


def test_two_tags_are_as_good_as_none() -> None:
    two = Head(200, (("ETag", '"a"'), ("etag", '"b"'), ("Content-Length", "9")), ORIGIN)
    assert decide(Asked(), two) == Begin(None, None, True, False)


@pytest.mark.parametrize("coding", ["gzip", "x-gzip", "GZIP", "identity, gzip"])
def test_gzip_is_taken_where_it_was_asked_for_and_not_resumed(coding: str) -> None:
    answer = head(200, ETag='"a"', Content_Length="9", Content_Encoding=coding)
    assert decide(Asked(gzip=True), answer) == Begin(None, '"a"', True, True, '"a"')
    refused = decide(Asked(), answer)
    assert isinstance(refused, Refused)
    assert not refused.passing


@pytest.mark.parametrize(
    "coding", ["utf-8", "UTF-8", "aws-chunked", "", "identity", "none", "aws-chunked, identity", ","]
)
def test_what_is_no_coding_is_ignored(coding: str) -> None:
    answer = decide(Asked(), head(200, ETag='"a"', Content_Length="9", Content_Encoding=coding))
    assert answer == Begin(Mark('"a"', 9, ORIGIN), '"a"', True, False, '"a"')
    assert decide(ASKED, head(206, **PART | {"Content_Encoding": coding})) == Join(100, 100)
    with_gzip = decide(Asked(gzip=True), head(200, ETag='"a"', Content_Length="9", Content_Encoding=f"gzip, {coding}"))
    assert with_gzip == Begin(None, '"a"', True, True, '"a"')


@pytest.mark.parametrize(
    ("path", "coding"), [("/a.csv.gz", "gzip"), ("/A.CSV.GZ", "x-gzip"), ("/a.tgz", "gzip"), ("/a.csv.zst", "zstd")]
)
def test_the_coding_of_a_file_that_is_compressed_itself_is_its_own(path: str, coding: str) -> None:
    for paths in ((path,), ("/get", path), (path, "/blob/7")):
        for asked in (Asked(), Asked(gzip=True)):
            answer = Head(200, (("ETag", '"a"'), ("Content-Length", "9"), ("Content-Encoding", coding)), ORIGIN, paths)
            assert decide(asked, answer) == Begin(Mark('"a"', 9, ORIGIN), '"a"', True, False, '"a"')
    twice = Head(200, (("Content-Encoding", f"{coding}, {coding}"),), ORIGIN, (path,))
    assert isinstance(decide(Asked(), twice), Refused)
    other = Head(200, (("Content-Encoding", "br"),), ORIGIN, (path,))
    assert isinstance(decide(Asked(), other), Refused)


@pytest.mark.parametrize("coding", ["br", "deflate", "gzip, gzip", "gzip, br"])
def test_other_encodings_are_refused(coding: str) -> None:
    refused = decide(Asked(gzip=True), head(200, Content_Encoding=coding))
    assert isinstance(refused, Refused)
    assert "not asked for" in refused.problem


def test_the_part_asked_for_joins() -> None:
    assert decide(ASKED, head(206, **PART)) == Join(100, 100)
    # It may hold less than asked, tell no length, and be of a body whose length was not known before.
    assert decide(ASKED, head(206, **PART | {"Content_Range": "bytes 40-59/100", "Content_Length": "20"})) == Join(
        60, 100
    )
    assert decide(ASKED, head(206, ETag='"a"', Content_Range="bytes 40-99/100")) == Join(100, 100)
    assert decide(ASKED, head(206, ETag='"a"', Content_Range="Bytes  40-99/100")) == Join(100, 100)
    unknown = Asked(40, Mark('"a"', None, ORIGIN))
    assert decide(unknown, head(206, **PART)) == Join(100, 100)
    assert decide(ASKED, head(206, **PART | {"Content_Encoding": "identity"})) == Join(100, 100)


@pytest.mark.parametrize(
    "changed",
    [
        {"Content_Range": "bytes 39-99/100"},
        {"Content_Range": "bytes 41-99/100"},
        {"Content_Range": "bytes 40-39/100"},
        {"Content_Range": "bytes 40-100/100"},
        {"Content_Range": "bytes 40-99/101"},
        {"Content_Range": "bytes 40-98/99"},
        {"Content_Range": "bytes 40-99/*"},
        {"Content_Range": "bytes */100"},
        {"Content_Range": "items 40-99/100"},
        {"Content_Range": "bytes 40-99"},
        {"Content_Range": "bytes \uff140-99/100"},
        {"Content_Range": "bytes 40-99/100, bytes 40-99/100"},
        {"Content_Range": "bytes 40-" + "9" * 5000 + "/" + "9" * 5000},
        {"Content_Range": ""},
        {"Content_Length": "59"},
        {"Content_Length": "61"},
        {"Content_Length": "x"},
        {"ETag": '"b"'},
        {"ETag": 'W/"a"'},
        {"ETag": '"A"'},
        {"ETag": ""},
        {"Content_Encoding": "gzip"},
        {"Content_Type": "multipart/byteranges; boundary=x"},
    ],
    ids=lambda changed: "-".join(changed.values())[:40],
)
def test_a_part_that_does_not_fit_in_every_way_does_not_join(changed: dict[str, str]) -> None:
    assert isinstance(decide(ASKED, head(206, **PART | changed)), Void)
    if "Content_Length" not in changed:
        # Without a length there is nothing else that does not fit.
        unframed = {name: value for name, value in (PART | changed).items() if name != "Content_Length"}
        assert isinstance(decide(ASKED, head(206, **unframed)), Void)


@pytest.mark.parametrize("missing", ["Content_Range", "ETag"])
def test_a_part_that_does_not_say_what_it_is_does_not_join(missing: str) -> None:
    fields = {name: value for name, value in PART.items() if name != missing}
    assert isinstance(decide(ASKED, head(206, **fields)), Void)


@pytest.mark.parametrize("repeated", ["Content-Range", "ETag", "Content-Length"])
def test_a_part_that_says_it_twice_does_not_join(repeated: str) -> None:
    fields = [(name.replace("_", "-"), value) for name, value in PART.items()]
    twice = [*fields, *((name, value) for name, value in fields if name == repeated)]
    assert isinstance(decide(ASKED, Head(206, tuple(twice), ORIGIN)), Void)


def test_a_part_from_another_origin_does_not_join() -> None:
    assert isinstance(decide(ASKED, head(206, "https://elsewhere.org:443", **PART)), Void)


def test_a_tag_that_has_changed_is_told() -> None:
    assert decide(ASKED, head(206, **PART | {"ETag": '"b"'})) == Void("the part belongs to other content", '"b"')


def test_a_part_that_nobody_asked_for_is_an_error() -> None:
    answer = decide(Asked(), head(206, **PART))
    assert isinstance(answer, Refused)
    assert not answer.passing


def test_416_is_completion_only_if_everything_is_here() -> None:
    all_of_it = Asked(100, MARK)
    assert decide(all_of_it, head(416, Content_Range="bytes */100")) == Complete()
    for answer in (
        decide(ASKED, head(416, Content_Range="bytes */100")),
        decide(ASKED, head(416, Content_Range="bytes */40")),
        decide(all_of_it, head(416, Content_Range="bytes */99")),
        decide(all_of_it, head(416, Content_Range="bytes 0-99/100")),
        decide(all_of_it, head(416)),
        decide(all_of_it, head(416, "https://elsewhere.org:443", Content_Range="bytes */100")),
        decide(Asked(100, Mark('"a"', None, ORIGIN)), head(416, Content_Range="bytes */100")),
    ):
        assert isinstance(answer, Void)
    assert isinstance(decide(Asked(), head(416, Content_Range="bytes */100")), Refused)


@pytest.mark.parametrize(
    "status", [408, 425, 429, 500, 502, 503, 504, 400, 401, 403, 404, 410, 204, 301, 405, 412, 451, 501, 505]
)
def test_only_statuses_that_may_pass_are_tried_again(status: int) -> None:
    for asked in (Asked(), ASKED):
        answer = decide(asked, head(status, Retry_After="7"))
        if asked is ASKED and status in {400, 403, 412, 501}:
            continue  # that is about the part
        assert isinstance(answer, Refused)
        assert answer.problem.partition(":")[0] == f"status {status}"  # what helps may follow
        assert (answer.passing, answer.retry_after) == (status in {408, 425, 429, 500, 502, 503, 504}, "7")
        assert answer.outage == (status in {429, 502, 503, 504})


@pytest.mark.parametrize("status", [400, 403, 412, 501])
def test_a_part_that_is_refused_may_still_be_had_with_the_whole(status: int) -> None:
    answer = decide(ASKED, head(status, Retry_After="7"))
    assert answer == Void(f"the server refuses to serve a part (status {status})", no_parts=True)


@pytest.mark.parametrize("told", ["bytes 40-99/100", "bytes 0-39/100", "bytes 0-99/*", "junk", ""])
def test_a_200_that_says_it_is_a_part_is_not_taken_for_the_whole(told: str) -> None:
    for asked in (Asked(), ASKED):
        answer = decide(asked, head(200, ETag='"a"', Content_Length="60", Content_Range=told))
        assert answer == Void("status 200 with the Content-Range of a part", no_parts=True)
    # One that says it holds everything says nothing else.
    assert isinstance(decide(ASKED, head(200, ETag='"a"', Content_Range="bytes 0-99/100")), Begin)


NOW = 784_111_777.0  # 1994-11-06 08:49:37


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("2", 2),
        ("0", 0),
        ("-1", None),
        ("1e9", None),
        ("1.5", None),
        ("\u0663", None),
        ("1000000000", 1e9),
        ("9" * 5000, float("inf")),
        ("junk", None),
        ("", None),
        ("Sun, 06 Nov 1994 08:49:47 GMT", 10),
        ("Sunday, 06-Nov-94 08:49:47 GMT", 10),
        ("Sun Nov  6 08:49:47 1994", 10),
        ("Sun, 06 Nov 1994 08:49:00 GMT", 0),
        ("Sun, 99 Nov 1994 08:49:47 GMT", None),
        ("Sun, 06 Nov 99999999999 08:49:47 GMT", None),
    ],
)
def test_retry_after_is_seconds_or_a_date_or_junk(text: str | None, seconds: float | None) -> None:
    assert retry_after_s(text, NOW) == seconds


@given(st.text(max_size=60))
def test_no_text_in_retry_after_is_too_strange(text: str) -> None:
    seconds = retry_after_s(text, NOW)
    assert seconds is None or seconds >= 0
