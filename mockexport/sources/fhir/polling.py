"""What the answers of a FHIR Bulk Data server mean, and when to ask again. Pure: no sockets, no clock."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import msgspec

from mockexport.resuming.replies import Head, retry_after_s
from mockexport.shown import discreet, foreign

__all__ = ["Again", "Done", "Refusal", "next_wait_s", "outcome_of", "place_of_job", "polled", "severities_of"]

FACTOR = 1.5
LONGEST_WAIT_S = 60.0
# Issue types that the standard calls transient.
TRANSIENT = frozenset({"transient", "lock-error", "no-store", "exception", "timeout", "incomplete", "throttled"})
# Of an issue; one that is none of the standard's is taken for the worst.
_NO_ERRORS = ("warning", "information", "success")
PASSING_STATUSES = frozenset({408, 425, 429})


@dataclass(frozen=True, slots=True)
class Again:
    """Not yet: ask again, not before `asked_s`, if the server says so. `failed` if it is because something failed."""

    asked_s: float | None
    progress: str = ""
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Done:
    """The body is the manifest, or a page of it."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """The job has failed, or is none; and why."""

    problem: str


def polled(head: Head, body: bytes, now_s: float) -> Again | Done | Refusal:
    """Return what the answer to a question for a job's status means; `now_s` is in seconds since 1970."""
    asked_s = retry_after_s(next(iter(head.values("retry-after")), None), now_s)
    codes, told = outcome_of(body)
    if head.status == 202:
        return Again(asked_s, foreign(next(iter(head.values("x-progress")), "")))
    if head.status == 200:
        return Done()
    problem = f"HTTP {head.status}" + (f", {told}" if told else "")
    if head.status in PASSING_STATUSES or head.status >= 500 or codes & TRANSIENT:
        return Again(asked_s, failed=problem)
    return Refusal(problem)


def place_of_job(asked: str, told: Sequence[str]) -> str | None:
    """Return where a job's status is asked for, by what the reply says; None if it does not."""
    with suppress(ValueError):
        if len(told) == 1 and told[0].strip():
            found = urljoin(asked, told[0])
            return found if found != asked and urlsplit(found).scheme in ("http", "https") else None
    return None


def next_wait_s(before_s: float | None, asked_s: float | None, first_s: float = 1.0) -> float:
    """Return how long to wait after having waited so long before; what the server asks for is a minimum."""
    wait_s = first_s if before_s is None else min(before_s * FACTOR, LONGEST_WAIT_S)
    return max(wait_s, asked_s or 0.0)


def outcome_of(body: bytes) -> tuple[set[str], str]:
    """Return the codes of an OperationOutcome's issues, and what it says, in few words; nothing if it is none."""
    try:
        found: Any = msgspec.json.decode(body)
        issues = found["issue"] if found["resourceType"] == "OperationOutcome" else []
        codes = {issue["code"] for issue in issues if isinstance(issue.get("code"), str)}
        texts = []
        for issue in issues:
            details = issue.get("details")
            text = issue.get("diagnostics") or (details.get("text") if isinstance(details, dict) else None)
            if isinstance(text, str):
                texts.append(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError):
        return set(), ""
    return codes, discreet("; ".join(texts))


def severities_of(lines: bytes) -> tuple[int, int, str]:
    """Return how many issues a file of OperationOutcomes has, how many of them are errors, and what the first says."""
    issues = errors = 0
    first = ""
    for line in lines.splitlines():
        if not line.strip():
            continue
        try:
            found: Any = msgspec.json.decode(line)
            for issue in found["issue"] if found["resourceType"] == "OperationOutcome" else [{"severity": "error"}]:
                issues += 1
                if issue.get("severity") not in _NO_ERRORS:
                    errors += 1
                    first = first or outcome_of(line)[1] or str(issue.get("code", ""))
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError, KeyError, TypeError, AttributeError):
            issues, errors = issues + 1, errors + 1
            first = first or "a line that is no OperationOutcome"
    return issues, errors, foreign(first)
