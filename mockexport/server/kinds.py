"""What can go wrong with a request, by its name, and what one fault is. Data, with no rules of when it happens."""

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = [
    "AT_A_BYTE", "EDITS", "FHIR_KINDS", "KINDS", "OF_ANY_REPLY", "RETRY_AFTER", "ROUTES", "STATUSES", "WRONG_PARTS",
    "Fault", "Target",
]  # fmt: skip

KINDS: Mapping[str, str] = {
    "refuse": "the connection is reset before a byte of the reply",
    "delay": "the reply comes late, and is right",
    "stall": "the body stops at some byte, and the connection stays",
    "trickle": "from some byte on the body comes a byte at a time, with long pauses",
    "reset": "the connection is reset at some byte of the body",
    "cut": "the connection is closed at some byte, short of the Content-Length",
    "cut-chunked": "a chunked body ends at some byte, without its last chunk",
    "cut-close": "a body framed by nothing but the connection's end is cut at some byte",
    "cut-gzip": "a gzip body is cut, with a Content-Length that matches the cut (where gzip is accepted; else as cut)",
    "status": "an error status that may pass, with one form of Retry-After, for one to three tries",
    "etag": "the connection is reset at some byte, and from then on the ETag is another",
    "no-range": "a Range is ignored: 200 and all of it; a request without one is reset at some byte first",
    "wrong-206": "the part is not the one that was asked for; a request without Range is reset at some byte first",
    "few-rows": "a row is missing, and the framing says that all is well",
    "bad-row": "a row's value is no number",
    "duplicate-row": "a row comes twice",
    "unordered-rows": "rows come out of order",
    "html": "a login page with status 200",
    "slow-headers": "the head comes a byte at a time",
    "short-length": "the Content-Length says that the body ends at some byte; the rest comes all the same",
    "new-etag": "from this reply on the ETag is another, and the reply is right",
}  # fmt: skip

# What goes wrong at /fhir, or comes in another form there. Each is drawn by itself: for a job, a file or a request.
FHIR_KINDS: Mapping[str, str] = {
    "fhir-post-only": "a GET of $export is refused with 405",
    "fhir-no-filter": "_typeFilter is refused with 400",
    "fhir-kickoff-429": "a kick-off is refused with 429 and Retry-After",
    "fhir-slow-job": "a job is done after some polls, with X-Progress and Retry-After",
    "fhir-poll-429": "a poll is refused with 429 and Retry-After",
    "fhir-file-429": "a file is refused with 429 and Retry-After",
    "fhir-retry-date": "Retry-After is a date",
    "fhir-500": "a poll or a file is answered with 500 and a transient OperationOutcome",
    "fhir-html-503": "a poll or a file is answered with 503 and a page",
    "fhir-pages": "the manifest comes in pages, the next of which may be 202 at first",
    "fhir-expired-link": "a file's link has expired (403) until the manifest is fetched again",
    "fhir-expired-token": "a token is refused with 401 before its time",
    "fhir-other-origin": "files are at another origin",
    "fhir-redirect": "a file is redirected (307) to a place that refuses a token",
    "fhir-cut-gzip": "a gzip body is cut, and its framing says that all is well",
    "fhir-short-file": "lines are missing at a file's end, and its framing says that all is well",
    "fhir-cut-line": "a file's last line is cut, and its framing says that all is well",
    "fhir-wrong-count": "the manifest's count of a file is too large, until it is fetched again",
    "fhir-wrong-resource": "an OperationOutcome comes in place of a file's lines",
    "fhir-html-file": "a login page comes in place of a file, with status 200",
    "fhir-array": "a file's lines come as one JSON array",
    "fhir-error-file": "the manifest names a file of problems",
    "fhir-duplicates": "some Observations come again, or before in an earlier version",
    "fhir-orders": "codings and components come in one order and another",
    "fhir-units": "units come in every form that is in use",
    "fhir-days": "cancelled Observations with a day for a time come between the others",
    "fhir-stu1": "the manifest is as in the first version of the standard: without counts",
    "fhir-stu4": "the manifest is as in the ballot of the fourth: outcome in place of error, no types",
}  # fmt: skip

STATUSES = (429, 500, 502, 503, 504, 408, 425)
# None is no such field; `date` stands for the date and time in a second.
RETRY_AFTER = (None, "1", "0", "-1", "1e9", "junk", "date")
WRONG_PARTS = ("other-first", "other-total", "other-etag", "no-content-range", "any-total", "any-range", "multipart")

# What a request may ask for.
ROUTES: Mapping[str, str] = {
    "exports": "/api/export",
    "export": "/api/export/{export}",
    "metadata": "/api/export/{export}/{download}",
    "data": "/api/export/{export}/{download}/data",
}
# Other content with a framing that is right.
EDITS = frozenset({"few-rows", "bad-row", "duplicate-row", "unordered-rows"})
AT_A_BYTE = EDITS | {
    "stall", "trickle", "reset", "cut", "cut-chunked", "cut-close", "cut-gzip", "etag", "short-length"
}  # fmt: skip
# The others need rows, parts or tags.
OF_ANY_REPLY = frozenset({
    "refuse", "delay", "stall", "trickle", "reset", "cut", "cut-chunked", "cut-close", "status", "html",
    "slow-headers", "short-length",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Target:
    """What a request asks for: a route of ROUTES, and of data the part [first, first + count) of `length` bytes.

    `ranged` tells whether it has a Range, also where that does not count.
    """

    download_id: str = ""
    export_id: str = ""
    route: str = "data"
    ranged: bool = False
    first: int = 0
    count: int = 0
    length: int = 0


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request: a kind of KINDS, at a fraction of the body, and what else the kind needs.

    `at_byte` is the download's byte at which it happens, None where `at` says it. `seconds` are of `delay`, of a
    `stall` that ends, and between the steps of `trickle` and `slow-headers`, None for the server's usual; `step` is how
    many bytes come at a time. `prepares` is a kind that waits for a request with a Range: this request is only reset.
    """

    kind: str
    at: float = 0.0
    status: int = 0
    retry_after: str | None = None
    variant: str = ""
    prepares: bool = False
    at_byte: int | None = None
    seconds: float | None = None
    step: int = 1

    def byte(self, count: int, first: int = 0) -> int:
        """Return at which byte of a part of `count` bytes, whose first is the body's `first`, it happens: 0 … count."""
        if self.at_byte is not None:
            return min(max(self.at_byte - first, 0), count)
        return round(self.at * count)
