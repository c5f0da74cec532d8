"""Starting a job and waiting for it: what is asked of the server, again and again, until there is a manifest.

Rules: what an answer means is decided in polling.py; here it is awaited.
"""

import asyncio
import logging
import time
from urllib.parse import quote, urlencode

import msgspec

from mockexport.errors import MetadataError, ServerUnreachable
from mockexport.resuming.exchange import ExchangeFailed
from mockexport.resuming.replies import Head
from mockexport.resuming.retrying import RetryPolicy, TimeLimits
from mockexport.sources.fhir.client import FhirClient
from mockexport.sources.fhir.options import FhirServer
from mockexport.sources.fhir.polling import Again, Refusal, next_wait_s, outcome_of, place_of_job, polled

__all__ = ["FHIR_JSON", "Asking"]

FHIR_JSON = "application/fhir+json"

_log = logging.getLogger("mockexport")


class Asking:
    """Asks a server for a job, and after it.

    Args:
        server: which one, and what for.
        client: what asks.
        retry: how often.
        limits: for how long.
        name: the server's, for messages.
    """

    def __init__(
        self, server: FhirServer, client: FhirClient, retry: RetryPolicy, limits: TimeLimits, name: str
    ) -> None:
        self._server = server
        self._client = client
        self._retry = retry
        self._limits = limits
        self._name = name

    async def kick_off(self) -> str:
        """Start a job; return the URL of its status."""
        base = (self._server.url or "").rstrip("/")
        group = self._server.group
        path = "Patient" if group is None else f"Group/{quote(group, safe='')}"
        url = f"{base}/{path}/$export"
        asked: list[tuple[str, str]] = [
            ("_type", "Observation"),
            *(("_typeFilter", text) for text in self._server.type_filters),
        ]
        method, wait_s, failures = "GET", None, 0
        while True:
            head, body, place = await self._start(method, url, asked)
            codes, told = outcome_of(body)
            problem = f"HTTP {head.status}" + (f", {told}" if told else "")
            if head.status == 202:
                if (found := place_of_job(place, head.values("content-location"))) is None:
                    raise MetadataError(
                        self._name, "a job was started, and the reply does not say where (Content-Location)"
                    )
                return found
            if method == "GET" and (head.status == 405 or (head.status == 400 and _is_of_method(codes, told))):
                method = "POST"
            elif head.status == 400 and len(asked) > 1 and "_typeFilter" in told:
                _log.warning("%s knows no _typeFilter: all Observations are fetched, and filtered here", self._name)
                asked = asked[:1]
            elif head.status == 400 and asked and "_type" in told:
                _log.warning("%s knows no _type: all resources are fetched, and filtered here", self._name)
                asked = []
            elif head.status in (429, 503) and failures < self._retry.most_failures:
                failures += 1
                answer = polled(head, b"", time.time())
                wait_s = next_wait_s(wait_s, answer.asked_s if isinstance(answer, Again) else None, self._server.poll_s)
                if wait_s > self._limits.total_s:
                    raise ServerUnreachable(self._name, f"{problem}; it asks to wait {wait_s:,.0f} s")
                _log.info("%s: %s; asking again in %.0f s", self._name, problem, wait_s)
                await asyncio.sleep(wait_s)
            elif head.status == 409:
                raise ServerUnreachable(
                    self._name, f"{problem}: there is a job like this one; take that up by its status"
                )
            else:
                raise ServerUnreachable(self._name, f"no job was started: {problem}")

    async def _start(self, method: str, url: str, asked: list[tuple[str, str]]) -> tuple[Head, bytes, str]:
        fields = {"Accept": FHIR_JSON, "Prefer": "respond-async", "Accept-Encoding": "identity"}
        body = None
        if method == "GET":
            url = f"{url}?{urlencode(asked)}" if asked else url
        else:
            fields["Content-Type"] = FHIR_JSON
            parameters = [{"name": name, "valueString": text} for name, text in asked]
            body = msgspec.json.encode({"resourceType": "Parameters", "parameter": parameters})
        try:
            return await self._client.ask(method, url, fields, body)
        except ExchangeFailed as error:
            raise ServerUnreachable(self._name, error.problem, silent=error.silent) from error

    async def wait_for(self, url: str) -> tuple[bytes, str]:
        """Ask for a job's status until it is done; return the body, and where it came from."""
        fields = {"Accept": "application/json", "Accept-Encoding": "identity"}
        until_s = time.monotonic() + self._limits.total_s
        wait_s: float | None = None
        failures = 0
        while True:
            try:
                head, body, place = await self._client.ask("GET", url, fields, limit="list_bytes")
                answer = polled(head, body, time.time())
            except ExchangeFailed as error:
                if not error.passing:
                    raise ServerUnreachable(self._name, error.problem, silent=error.silent) from error
                answer = Again(None, failed=error.problem)
            if isinstance(answer, Refusal):
                raise ServerUnreachable(self._name, f"the job: {answer.problem}")
            if not isinstance(answer, Again):
                return body, place
            failures = failures + 1 if answer.failed else 0
            wait_s = next_wait_s(wait_s, answer.asked_s, self._server.poll_s)
            if failures > 2 * self._retry.most_failures or time.monotonic() + wait_s > until_s:
                raise ServerUnreachable(self._name, f"the job's status: {answer.failed or 'it is not done in time'}")
            told = answer.failed or answer.progress or "not done yet"
            _log.info("%s: the job: %s; asking again in %.0f s", self._name, told, wait_s)
            await asyncio.sleep(wait_s)


def _is_of_method(codes: set[str], told: str) -> bool:
    return ("not-supported" in codes and "_type" not in told) or "POST" in told or "method" in told.lower()
