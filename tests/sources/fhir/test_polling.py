"""What a job's answers mean, and when to ask again."""

import json

import pytest

from mockexport.resuming.replies import Head
from mockexport.sources.fhir.polling import Again, Done, Refusal, next_wait_s, outcome_of, polled, severities_of

NOW_S = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT


def outcome(code: str, severity: str = "error", **more: object) -> bytes:
    return json.dumps(
        {"resourceType": "OperationOutcome", "issue": [{"severity": severity, "code": code, **more}]}
    ).encode()


@pytest.mark.parametrize(
    ("status", "fields", "body", "expected"),
    [
        (200, (), b"{}", Done()),
        (202, (), b"", Again(None)),
        (202, (("X-Progress", "70 %"), ("Retry-After", "120")), b"", Again(120.0, "70 %")),
        (202, (("Retry-After", "Sun, 06 Nov 1994 08:50:37 GMT"),), b"", Again(60.0)),
        (429, (("Retry-After", "7"),), b"", Again(7.0, failed="HTTP 429")),
        (503, (), b"<html>", Again(None, failed="HTTP 503")),
        (404, (), outcome("not-found"), Refusal("HTTP 404")),
        (400, (), outcome("lock-error", diagnostics="later"), Again(None, failed="HTTP 400, later")),
        (401, (), b"", Refusal("HTTP 401")),
    ],
)
def test_what_an_answer_means(
    status: int, fields: tuple[tuple[str, str], ...], body: bytes, expected: Again | Done | Refusal
) -> None:
    assert polled(Head(status, fields), body, NOW_S) == expected


@pytest.mark.parametrize(
    "code", ["transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"]
)
def test_what_the_standard_calls_transient_is_asked_again(code: str) -> None:
    assert isinstance(polled(Head(400), outcome(code), NOW_S), Again)


def test_it_is_waited_longer_and_longer_and_never_shorter_than_asked() -> None:
    waits = [next_wait_s(None, None)]
    for _ in range(15):
        waits.append(next_wait_s(waits[-1], None))
    assert waits[:3] == [1.0, 1.5, 2.25]
    assert waits[-1] == 60.0
    assert next_wait_s(2.0, 3600.0) == 3600.0


@pytest.mark.parametrize(
    "body", [b"", b"<html>", b"[]", b"{}", b'{"resourceType":"OperationOutcome","issue":7}', b"\xff"]
)
def test_what_is_no_outcome_says_nothing(body: bytes) -> None:
    assert outcome_of(body) == (set(), "")


def test_errors_are_told_from_warnings() -> None:
    lines = b"\n".join([outcome("x", "warning"), outcome("y", "fatal", diagnostics="lost"), b"", outcome("z")])
    assert severities_of(lines) == (3, 2, "lost")
    assert severities_of(b"?") == (1, 1, "a line that is no OperationOutcome")
