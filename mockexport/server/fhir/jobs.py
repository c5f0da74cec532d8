"""Jobs of FHIR Bulk Data, and the manifest of one that is done, in the forms that the versions of the standard give it.

Rules: pure; what goes wrong is drawn by `Faults.happens`, so the same seed brings the same to the n-th job.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mockexport.server.catalogue import Offer
from mockexport.server.faults import Faults
from mockexport.server.fhir.observations import Forms

__all__ = ["Job", "Jobs", "elsewhere", "forms_of", "manifest_page"]

# A server that runs for weeks forgets jobs; the oldest go first.
MAX_JOBS = 1_000
# The polls of a slow job that are answered with "not yet".
SLOW_POLLS = 3
# Files to a page, in a manifest that comes in pages.
PAGE_FILES = 1


@dataclass(slots=True)
class Job:
    """One kick-off and what became of it. `links` is the generation of its files' links, from 1."""

    number: int
    export_id: str
    offers: Mapping[str, Offer]
    request: str
    has_filter: bool = False
    key: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    polls: int = 0
    links: int = 0
    pages_asked: set[int] = field(default_factory=set)
    files_asked: dict[str, int] = field(default_factory=dict)

    def file(self, index: int) -> Offer | None:
        """Return the file of that number, None if there is none."""
        offers = list(self.offers.values())
        return offers[index] if 0 <= index < len(offers) else None


class Jobs:
    """The jobs that there are, by their keys."""

    def __init__(self) -> None:
        self._jobs: dict[str, Job] = {}
        self._started = 0

    def start(self, export_id: str, offers: Mapping[str, Offer], request: str) -> Job:
        """Begin a job."""
        self._started += 1
        job = Job(self._started, export_id, offers, request)
        self._jobs[job.key] = job
        while len(self._jobs) > MAX_JOBS:
            del self._jobs[next(iter(self._jobs))]
        return job

    def get(self, key: str) -> Job | None:
        """Return a job; None if there is none, or no longer."""
        return self._jobs.get(key)

    def remove(self, key: str) -> None:
        """Forget a job."""
        self._jobs.pop(key, None)

    def __len__(self) -> int:
        return len(self._jobs)


def elsewhere(base: str) -> str:
    """Return the same server by its other name, which is another origin."""
    return base.replace("127.0.0.1", "localhost") if "127.0.0.1" in base else base.replace("localhost", "127.0.0.1")


def forms_of(faults: Faults, download_id: str) -> Forms:
    """Return in which forms a download's Observations come: always the same, as a file never changes."""
    kinds = ("duplicates", "orders", "units", "days")
    return Forms(**{kind: faults.happens(f"fhir-{kind}", download_id) for kind in kinds})


def manifest_page(job: Job, page: int, base: str, faults: Faults, *, needs_token: bool) -> dict[str, Any] | None:
    """Return a page of a job's manifest, from 0; None if there is none. `base` is the URL of the FHIR server."""
    paged = faults.happens("fhir-pages", job.number)
    size = PAGE_FILES if paged else max(1, len(job.offers))
    if page and page * size >= len(job.offers):
        return None
    stu1, stu4 = faults.happens("fhir-stu1", job.number), faults.happens("fhir-stu4", job.number)
    # The same machine by another name is another origin; secrets are for the one that was named.
    files = elsewhere(base) if faults.happens("fhir-other-origin", job.number) else base
    output = []
    for index, offer in list(enumerate(job.offers.values()))[page * size : (page + 1) * size]:
        entry: dict[str, Any] = {"url": f"{files}/files/{job.key}/{index}?link={job.links}"}
        if not stu4:
            entry["type"] = "Observation"
        if not stu1:
            entry["count"] = forms_of(faults, offer.metadata.id).lines(offer.metadata.rows or 0)
            entry["count"] += job.links == 1 and faults.happens("fhir-wrong-count", job.number, index)
        output.append(entry)
    problems = []
    if page == 0 and faults.happens("fhir-error-file", job.number):
        problems.append({"url": f"{files}/errors/{job.key}"} | ({} if stu4 else {"type": "OperationOutcome"}))
    manifest: dict[str, Any] = {
        "transactionTime": "2026-01-01T00:00:00.000Z",
        "requiresAccessToken": needs_token,
        "output": output,
        "outcome" if stu4 else "error": problems,
    }
    if stu4:
        manifest["extension"] = [{"url": "http://example.org/unknown", "valueBoolean": True}]
    else:
        manifest["request"] = job.request
    if not stu1:
        manifest["deleted"] = []
    if (page + 1) * size < len(job.offers):
        # Relative to where the page came from.
        manifest["link"] = [{"relation": "next", "url": f"{job.key}?page={page + 2}"}]
    return manifest
