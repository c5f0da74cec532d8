"""What goes wrong with a data request, and when: kinds, probabilities, and a draw that can be replayed.

Rules: pure; `misbehaving` does what is drawn here. The draw for a download's n-th data request depends on the seed, the
download's id and n alone. So the same seed brings the same faults in the same order to every download, however many of
them a client fetches at once. A request suffers one fault at most.
"""

import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from mockexport.errors import OptionError

__all__ = ["FHIR_KINDS", "KINDS", "RETRY_AFTER", "STATUSES", "WRONG_PARTS", "Fault", "Faults", "Served"]

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

# Whoever replays a run needs the whole list; whoever forgets a server for a week needs an end to it.
MAX_SERVED = 1_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """What happens to one request: a kind of KINDS, at a fraction of the body, and what else the kind needs.

    `prepares` is a kind that waits for a request with a Range: this request is only reset at its byte.
    """

    kind: str
    at: float = 0.0
    status: int = 0
    retry_after: str | None = None
    variant: str = ""
    prepares: bool = False

    def byte(self, count: int) -> int:
        """Return the byte of a body of `count` bytes at which it happens: 0 … count."""
        return round(self.at * count)


@dataclass(frozen=True, slots=True)
class Served:
    """A line of the log: which data request of a download it was, from 1, and what happened to it, None for nothing."""

    download_id: str
    request: int
    fault: Fault | None


class Faults:
    """The faults of one server, and the log of what was done to whom.

        Faults.parse("reset=0.2,cut=0.1", seed=7)

    Args:
        probabilities: by kind, for each data request; their sum is 1 at most.
        seed: the same seed brings the same faults.
        delay_s: of `delay`.
        pause_s: between two bytes of `trickle`.
        drip_s: between two bytes of `slow-headers`.
    """

    def __init__(
        self,
        probabilities: Mapping[str, float],
        *,
        seed: int = 0,
        delay_s: float = 1.0,
        pause_s: float = 10.0,
        drip_s: float = 0.05,
    ) -> None:
        for kind, probability in probabilities.items():
            if kind not in KINDS and kind not in FHIR_KINDS:
                known = [*KINDS, *FHIR_KINDS]
                raise OptionError("faults", f"no kind {kind!a}; there are {', '.join(known)}", given=kind, known=known)
            if not 0 <= probability <= 1:
                raise OptionError("faults", f"{kind}: {probability:g} is no probability from 0 to 1")
        if sum(number for kind, number in probabilities.items() if kind in KINDS) > 1 + 1e-9:
            raise OptionError(
                "faults", "the probabilities come to more than 1, and a request suffers one fault at most"
            )
        self.probabilities: dict[str, float] = dict(probabilities)
        self.seed = seed
        self.delay_s = delay_s
        self.pause_s = pause_s
        self.drip_s = drip_s
        self.served: list[Served] = []
        self.changes: Counter[str] = Counter()  # of ETags, by download
        self._asked: Counter[str] = Counter()
        self._prepared: dict[str, Fault] = {}
        self._failing: dict[str, tuple[Fault, int]] = {}  # a status that goes on, for so many tries more

    @classmethod
    def parse(cls, text: str, *, seed: int = 0) -> "Faults":
        """Return the faults that a text like `reset=0.2,cut=0.1` means.

        Raises:
            OptionError: it means none.
        """
        probabilities = {}
        for part in filter(None, (part.strip() for part in text.split(","))):
            kind, _, number = part.partition("=")
            try:
                probabilities[kind.strip()] = float(number)
            except ValueError:
                raise OptionError("faults", f"{part!a} is not KIND=P, with a probability P from 0 to 1") from None
        return cls(probabilities, seed=seed)

    def __repr__(self) -> str:
        told = ",".join(f"{kind}={probability:g}" for kind, probability in self.probabilities.items())
        return f"<Faults {told} seed {self.seed}, {len(self.served)} requests>"

    def asked(self, download_id: str) -> int:
        """Return how many requests there were for a download's data."""
        return self._asked[download_id]

    def happens(self, kind: str, *place: object) -> bool:
        """Tell whether a kind of FHIR_KINDS happens at this place: to the n-th of something, by its numbers."""
        probability = self.probabilities.get(kind, 0.0)
        return bool(probability) and random.Random(f"{self.seed} {kind} {place}").random() < probability  # noqa: S311

    def next(self, download_id: str, *, ranged: bool) -> Fault | None:
        """Return what happens to a download's next data request; `ranged` tells whether it asks for a part."""
        self._asked[download_id] += 1
        number = self._asked[download_id]
        fault = self._draw(download_id, number, ranged=ranged)
        if len(self.served) < MAX_SERVED:
            self.served.append(Served(download_id, number, fault))
        return fault

    def _draw(self, download_id: str, number: int, *, ranged: bool) -> Fault | None:
        if download_id in self._failing:
            fault, left = self._failing.pop(download_id)
            if left > 1:
                self._failing[download_id] = (fault, left - 1)
            return fault
        if ranged and download_id in self._prepared:
            return self._prepared.pop(download_id)
        draw = random.Random(f"{self.seed} {download_id} {number}")  # noqa: S311 - to be replayed
        kind = self._kind(draw.random())
        if kind is None:
            return None
        fault = Fault(
            kind,
            # The first and the last byte are where mistakes are made.
            at=draw.choice((0.0, 1.0, *(draw.random() for _ in range(6)))),
            status=draw.choice(STATUSES) if kind == "status" else 0,
            retry_after=draw.choice(RETRY_AFTER) if kind == "status" else None,
            variant=draw.choice(WRONG_PARTS) if kind == "wrong-206" else "",
        )
        tries = draw.randint(1, 3)
        if kind == "status" and tries > 1:
            self._failing[download_id] = (fault, tries - 1)
        if kind in ("no-range", "wrong-206") and not ranged:
            self._prepared[download_id] = fault
            return Fault(kind, at=fault.at, prepares=True)
        return fault

    def _kind(self, number: float) -> str | None:
        for kind, probability in self.probabilities.items():
            if kind in FHIR_KINDS:
                continue
            if number < probability:
                return kind
            number -= probability
        return None
