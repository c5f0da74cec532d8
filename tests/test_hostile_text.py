"""What reads text takes time that grows with its length and not with the square of it, and ends with its own error."""

import argparse
import string
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockexport import AnomalyRule, Filter, MockExportError, Schema, Selection, Summary
from mockexport.cli import words
from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.errors import nearest
from mockexport.formats.fields import check_id, parse_time, parse_value
from mockexport.formats.layout import read_header
from mockexport.formats.zones import zone_named
from mockexport.ingest.readings import parse_time as parse_reading_time
from mockexport.model import Chunk, Span
from mockexport.reducers.rules import read_rules
from mockexport.resuming import replies
from mockexport.server.faults import Faults
from mockexport.server.ranges import Conditions, decide
from mockexport.shown import printable, public_url
from mockexport.sources.listing import readable
from mockexport.sources.manifest import read_manifest
from mockexport.sources.metadata import ExportContents, Reply, decode_json

Parser = Callable[[str], object]

KIB = 1024
ODD = [*string.punctuation, *"\0\t\n\r\x1b\x7f a1é\u2028٣", " 2025-", "a.", "1,", '"\n']
# So little processor time says nothing; beyond it, four times the text may take eight times as long: in a straight
# line it is four, by the square sixteen.
NOTHING_S = 0.02
MOST = 8

ENGINES = ["python"] if kernel_problem() else ["python", "kernel"]


def header(text: str, delimiter: str = ",") -> object:
    return read_header(text, Schema(delimiter=delimiter), download_id="d", line=1)


def rows(engine: str, text: str) -> None:
    fold: Any = choose_engine(Summary(), Schema(), wanted=engine).new_fold(Span("d"), ",".join(Schema().columns))
    data = text.encode()
    fold.feed(Chunk(Span("d"), data, 0, len(data), 2))


def reply(text: str) -> object:
    head = replies.Head(206, (("ETag", text), ("Content-Range", f"bytes {text}"), ("Content-Encoding", text)))
    return replies.decide(replies.Asked(), head)


def asked(text: str) -> object:
    return decide(Conditions(range=f"bytes={text}", if_none_match=text, if_match=text), length=9, etag='"a"')


# Each with how long the text is: those that do much for a line, or a character, are given less of them.
PARSERS: dict[str, tuple[Parser, int]] = {
    "header": (header, 64 * KIB),
    "header by ;": (lambda text: header(text, ";"), 16 * KIB),
    "four names": (lambda text: header(f"a,b,c,{text}"), 16 * KIB),
    **{f"rows, {name}": (partial(rows, name), 16 * KIB) for name in ENGINES},
    "time": (parse_time, 64 * KIB),
    "fraction": (lambda text: parse_time(f"2025-08-26T10:00:00.{text}"), 64 * KIB),
    "value": (parse_value, 64 * KIB),
    "decimals": (lambda text: parse_value(f"{text}.{text}"), 64 * KIB),
    "exponent": (lambda text: parse_value(f"1e{text}"), 64 * KIB),
    "id": (check_id, 64 * KIB),
    "since": (lambda text: Filter.of(since=text), 64 * KIB),
    "zone": (zone_named, 64 * KIB),
    "bound": (AnomalyRule, 64 * KIB),
    "statistics": (lambda text: Selection(text.split(",")), 64 * KIB),
    "list of URLs": (lambda text: read_manifest(text.encode()), 16 * KIB),
    "links": (lambda text: read_manifest(text.encode(), base="http://h/x"), 2 * KIB),
    "URL": (lambda text: read_manifest(f"http://h/{text}".encode()), 16 * KIB),
    "authority": (lambda text: read_manifest(f"http://{text}".encode()), 16 * KIB),
    "JSON": (lambda text: decode_json(text.encode(), Reply[ExportContents]), 64 * KIB),
    "JSON string": (lambda text: decode_json(f'{{"data":{{"id":"{text}'.encode(), Reply[ExportContents]), 64 * KIB),
    "Retry-After": (lambda text: replies.retry_after_s(text, 0.0), 64 * KIB),
    "reply": (reply, 64 * KIB),
    "request": (asked, 64 * KIB),
    "faults": (Faults.parse, 64 * KIB),
    "public URL": (lambda text: public_url(f"http://{text}"), 64 * KIB),
    "nearest": (lambda text: nearest(text, ["abc"]), 64 * KIB),
    "columns": (words.columns, 64 * KIB),
    "delimiter": (words.delimiter, 64 * KIB),
    "number": (words.natural, 64 * KIB),
    "duration": (words.seconds, 64 * KIB),
    "size": (words.chunk_length, 64 * KIB),
    "shown": (printable, 64 * KIB),
    "readable": (readable, 64 * KIB),
    "reading": (parse_reading_time, 64 * KIB),
}


def spent_s(parser: Parser, text: str) -> float:
    """Return the processor time that a text takes; errors are answers, and others than its own are not caught."""
    began_s = time.thread_time()
    with suppress(MockExportError, ValueError, argparse.ArgumentTypeError):
        parser(text)
    return time.thread_time() - began_s


def assert_in_a_straight_line(parser: Parser, unit: str, length: int) -> None:
    # At the end comes something else: a pattern that has matched so far then tries all its other ways.
    short, long = ((unit * (n // len(unit) + 1))[:n] + "x" for n in (length // 4, length))
    if (spent := spent_s(parser, short)) < NOTHING_S and spent_s(parser, long) < NOTHING_S:
        return
    assert spent < 1, f"{length // 4} characters of {unit!r} take {spent:.1f} s"
    quick, slow = (min(spent_s(parser, text) for _ in range(3)) for text in (short, long))
    assert slow < MOST * max(quick, NOTHING_S / 4), f"{unit!r}: {slow / quick:.0f} times as long for four times"


@pytest.mark.parametrize("name", PARSERS)
def test_no_repetition_of_an_odd_character_takes_quadratic_time(name: str) -> None:
    parser, length = PARSERS[name]
    for unit in ODD:
        assert_in_a_straight_line(parser, unit, length)


def test_a_header_of_spaces_takes_no_longer_than_one_of_letters() -> None:
    # So much of a line is looked into that a square of it shows between lines of one length, and not with the length.
    spaces, letters = (min(spent_s(header, f"x{unit * 64 * KIB}x") for _ in range(3)) for unit in (" ", "a"))
    assert spaces < 20 * max(letters, NOTHING_S / 4)


@settings(max_examples=40)
@given(name=st.sampled_from([*PARSERS]), unit=st.text(st.sampled_from([*string.punctuation, *"\n\t 1ae"]), min_size=2))
def test_no_pattern_that_repeats_takes_quadratic_time(name: str, unit: str) -> None:
    parser, length = PARSERS[name]
    assert_in_a_straight_line(parser, unit, min(length, 16 * KIB))


@pytest.mark.parametrize("start", ["", "[a]\nlow = ", '"'], ids=repr)
def test_no_rules_take_quadratic_time(tmp_path: Path, start: str) -> None:
    def rules(text: str) -> object:
        path = tmp_path / "rules.toml"
        path.write_text(start + text, errors="surrogateescape")
        return read_rules(path)

    for unit in [*ODD, "a=1\n", '"a".', "[a]\n", "#."]:
        assert_in_a_straight_line(rules, unit, 16 * KIB)
