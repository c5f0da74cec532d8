"""What a line may be: one JSON object, and nothing that two readers could take for two things."""

import json

import pytest

from mockexport.errors import ContentError
from mockexport.formats import Decoded
from mockexport.formats.fhir import FhirObservations
from mockexport.formats.fhir.json_lines import MAX_LINE_BYTES, MAX_NESTING
from mockexport.formats.noted import Noted
from tests.observations import GOOD, chunk_of, decoded, observation

LINE = json.dumps(GOOD).encode()


def decode(data: bytes, *, offset: int = 0) -> Decoded:
    return FhirObservations().decoder().decode(chunk_of(data, offset=offset))


@pytest.mark.parametrize(
    "data",
    [
        LINE,
        LINE + b"\n",
        b"\xef\xbb\xbf" + LINE + b"\n",
        LINE + b"\r\n",
        b"\n\r\n  \n" + LINE + b"\n\n",
        b" \t" + LINE + b" \n",
    ],
)
def test_mark_ends_and_blank_lines_are_no_part_of_it(data: bytes) -> None:
    found = decode(data)
    assert found.batch.patient_ids == ["P1"]
    assert found.resources == 1
    assert not found.bad


def test_line_numbers_are_those_of_the_file() -> None:
    found = decode(b"\n" + LINE + b"\n\n[]\n")
    assert found.lines == [2]
    assert [row.line for row in found.bad] == [4]


NESTED = b'{"resourceType":"Observation","x":' + b"[" * (MAX_NESTING - 1) + b"]" * (MAX_NESTING - 1) + b"}"


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (LINE[:-1], "not one JSON object"),
        (LINE + LINE, "not one JSON object"),
        (b"[" + LINE + b"]", "not one JSON object"),
        (b"null", "not one JSON object"),
        (b"{}x", "not one JSON object"),
        (b"\xef\xbb\xbf" + LINE, "not one JSON object"),  # not the file's first
        (LINE.replace(b'"value": 72', b'"value": NaN'), "not one JSON object"),
        (LINE.replace(b'"value": 72', b'"value": 072'), "not one JSON object"),
        (LINE.replace(b"Heart rate", b"Heart\trate"), "not one JSON object"),
        (LINE.replace(b'{"resourceType"', b"{'resourceType'"), "not one JSON object"),
        (NESTED.replace(b"[]", b"[[]]"), "nested too deeply"),
        (b'{"resourceType":"Observation","x":' + b"[" * 100_000, "nested too deeply"),
        (LINE.replace(b'"status"', b'"id": "2", "status"'), "a key twice"),
        (LINE.replace(b'"value": 72', b'"value": 71, "value": 72'), "a key twice"),
        (LINE.replace(b'"text"', b'"a": 1, "\\u0061": 2, "text"'), "a key twice"),
        (LINE.replace(b"Heart rate", b"Heart \xff"), "not UTF-8"),
        (LINE.replace(b"Heart rate", b"Heart \xed\xa0\x80"), "not UTF-8"),
        (LINE.replace(b"Heart rate", b"Heart \\ud800"), "lone surrogate"),
        (LINE.replace(b'"text"', b'"\\udc00"'), "lone surrogate"),
        (LINE.replace(b'"versionId": "1"', b'"versionId": 1'), "an element that FHIR does not allow"),
        (b"{}", "an element that FHIR does not allow"),
        (b'{"resourceType":7}', "an element that FHIR does not allow"),
    ],
)
def test_a_line_that_is_not_one_object_is_bad(line: bytes, reason: str) -> None:
    found = decode(b"\n" + LINE + b"\n" + line + b"\n" + LINE + b"\n")
    assert [(row.line, row.reason.value) for row in found.bad] == [(3, reason)]
    assert found.lines == [2, 4]
    assert found.resources == 3


def test_what_is_just_allowed_is_allowed() -> None:
    assert not decode(NESTED.replace(b'"Observation"', b'"Other"')).bad
    assert not decode(LINE.replace(b"Heart rate", b"Heart \\ud83d\\ude00")).bad
    assert not decode(LINE.replace(b"Heart rate", "Hërz 💓".encode())).bad


def test_a_line_that_is_too_long_is_bad_and_its_neighbours_are_not() -> None:
    long = b'{"resourceType":"' + b"x" * MAX_LINE_BYTES + b'"}'
    assert [row.reason.value for row in decode(long + b"\n" + LINE).bad] == ["row too long"]


def test_a_last_line_that_is_cut_is_told_from_one_without_an_end() -> None:
    assert decode(LINE + b"\n" + LINE[:-5]).cut_off
    assert not decode(LINE + b"\n" + LINE).cut_off
    assert not decode(LINE + b"\n" + LINE[:-5] + b"\n").cut_off


def test_a_header_is_no_resource_that_counts_and_other_types_are() -> None:
    header = {"resourceType": "Parameters", "parameter": [{"name": "header", "valueReference": {}}]}
    found = decoded(header, {"resourceType": "Parameters"}, {"resourceType": "Patient", "contained": [GOOD]}, GOOD)
    assert found.noted == {Noted.HEADER_RESOURCES: 1, Noted.OTHER_RESOURCES: 2}
    assert found.resources == 3
    assert len(found.batch) == 1


@pytest.mark.parametrize(
    "data",
    [
        b"<!DOCTYPE html><title>Log in</title>",
        b"\n  <html>\n",
        LINE + b'\n{"resourceType":"OperationOutcome","issue":[{"severity":"error","code":"exception"}]}\n',
    ],
)
def test_a_page_or_the_server_s_own_words_fail_the_file(data: bytes) -> None:
    with pytest.raises(ContentError):
        decode(data)


def test_what_the_server_says_is_told_in_few_words() -> None:
    outcome = {"severity": "fatal", "code": "timeout", "diagnostics": "x" * 9000}
    with pytest.raises(ContentError, match="fatal timeout xxx") as raised:
        decoded({"resourceType": "OperationOutcome", "issue": [outcome, "?"]})
    assert len(str(raised.value)) < 400


def test_what_the_server_says_is_told_without_ids_and_addresses() -> None:
    said = "no Patient/p-77 at https://files.example/o/f-77?sig=s77, nor urn:uuid:u-77 by http://x.example/y77"
    with pytest.raises(ContentError, match=r"no Patient/\*\*\* at https://files\.example/") as raised:
        decoded({"resourceType": "OperationOutcome", "issue": [{"code": "x", "diagnostics": said}]})
    assert "77" not in str(raised.value)


def test_many_escapes_in_a_deep_line_take_no_time() -> None:
    line = b'{"resourceType":"Observation","x":' + b"[" * 101 + b'"' + b'\\"' * 1_000_000
    assert [row.reason.value for row in decode(line + b"\n").bad] == ["nested too deeply"]


def test_one_without_an_id_counts_and_is_noted() -> None:
    found = decoded(observation(id=None), observation(id=None))
    assert len(found.batch) == 2
    assert found.noted == {Noted.NO_ID: 2}
