"""Chunks of NDJSON → rows, missing values, bad rows, and what was left out: the reference, whose word is law."""

import re
from dataclasses import replace
from functools import partial
from hashlib import blake2b
from typing import Any

from mockexport.errors import ContentError
from mockexport.formats.batch import UPDATED_UNKNOWN, BadRow, Decoded, Identified, Identity
from mockexport.formats.fhir.json_lines import read_object
from mockexport.formats.fhir.mapping import Mapped, Rules
from mockexport.formats.fhir.plain import PlainLines, Remembered
from mockexport.formats.fhir.times import parse_instant
from mockexport.formats.fields import BadField, BadRowReason
from mockexport.formats.noted import Noted
from mockexport.model import Chunk
from mockexport.shown import discreet, foreign

__all__ = ["ObservationDecoder", "identity_of"]

_BOM = b"\xef\xbb\xbf"
_WHITE = b" \t\r"
_NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)
# Of an error page or an outcome, what it says is looked for in so much of it.
_LOOKED_INTO = 4096


class ObservationDecoder:
    """Decodes the chunks of one span, in order. There is no header line."""

    header = ""
    pending = b""

    def __init__(self, rules: Rules, remembered: Remembered | None = None, *, compiled: bool = True) -> None:
        self._rules = rules
        remembered = remembered or Remembered()
        self._plain = None
        if compiled and remembered.shapes is not None:
            self._plain = PlainLines(rules, remembered.shapes, remembered)

    def finish(self, line: int) -> Decoded:
        """Return nothing: a resource is a line, and none is pending."""
        return Decoded(Identified(), [], [], resources=0)

    def decode(self, chunk: Chunk) -> Decoded:
        """Return what the chunk's lines come to.

        Raises:
            ContentError: the file holds no resources: it is a page, or says what went wrong.
        """
        data = bytes(chunk.data)
        if chunk.offset == 0:
            data = data.removeprefix(_BOM)
            _refuse_page(chunk.span.download_id, data)
        into = Decoded(Identified(), [], [], resources=0)
        take = partial(self._take, chunk.span.download_id, into)
        if self._plain is not None and is_utf8(data):
            decoded = self._plain.take(data, chunk.line, take, into)
        else:
            lines = ((line.strip(_WHITE), number) for number, line in enumerate(data.split(b"\n"), chunk.line))
            decoded = replace(into, resources=sum(take(line, number) for line, number in lines if line))
        unended = None
        if data.rpartition(b"\n")[2].strip(_WHITE):
            unended = chunk.line + data.count(b"\n")
        cut_off = unended is not None and bool(decoded.bad) and decoded.bad[-1].line == unended
        return replace(decoded, cut_off=cut_off) if cut_off else decoded

    def _take(self, download_id: str, into: Decoded, line: bytes, number: int) -> int:
        """Add what a line comes to; return how many resources it is."""
        try:
            found = read_object(line)
            kind = found.get("resourceType")
            if not isinstance(kind, str):
                raise BadField(BadRowReason.ELEMENT)
            if kind == "OperationOutcome":
                raise ContentError(download_id, number, f"the server says: {outcome_text(found)}")
            if kind == "Bundle" and _holds_resources(found):
                problem = (
                    "a Bundle, and what it holds would not count; give each resource a line: jq -c '.entry[].resource'"
                )
                raise ContentError(download_id, number, problem)
            if kind != "Observation":
                is_header = kind == "Parameters" and _is_header(found)
                into.noted[Noted.HEADER_RESOURCES if is_header else Noted.OTHER_RESOURCES] += 1
                return not is_header
            identity = identity_of(found)
        except BadField as bad:
            into.bad.append(BadRow(number, bad.reason))
            return 1
        mapped = self._rules.map(found)
        into.noted.update(mapped.noted)
        into.missing.extend(mapped.missing)
        into.missing_lines.extend([number] * len(mapped.missing))
        into.bad.extend(BadRow(number, reason) for reason in mapped.bad)
        _add(mapped, identity, number, into)
        return 1


def _add(mapped: Mapped, identity: Identity | None, number: int, into: Decoded) -> None:
    batch = into.batch
    assert isinstance(batch, Identified)  # noqa: S101 - it was made so
    if identity is None:
        into.noted[Noted.NO_ID] += 1
    else:
        batch.absent.extend((identity, missing.event_type) for missing in mapped.missing)
        if not mapped.rows:
            batch.rowless.append(identity)
    key, version, updated = identity or (b"", 0, UPDATED_UNKNOWN)
    for place, row in enumerate(mapped.rows):
        batch.patient_ids.append(row.patient_id)
        batch.event_times.append(row.event_time)
        batch.event_types.append(row.event_type)
        batch.values.append(row.value)
        batch.keys.append(key)
        batch.versions.append(version)
        batch.updated.append(updated)
        batch.places.append(place)
        into.lines.append(number)


def is_utf8(data: bytes) -> bool:
    """Tell whether bytes are UTF-8."""
    if data.isascii():
        return True
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def identity_of(resource: dict[str, Any]) -> Identity | None:
    """Return which resource it is, and which of its versions; None if it has no id.

    Raises:
        BadField: its id or its meta is none that FHIR allows.
    """
    resource_id, meta = resource.get("id"), resource.get("meta", {})
    if resource_id is None:
        return None
    if not isinstance(resource_id, str) or not resource_id or not isinstance(meta, dict):
        raise BadField(BadRowReason.ELEMENT)
    version, updated = meta.get("versionId"), meta.get("lastUpdated")
    if not isinstance(version, str | None):
        raise BadField(BadRowReason.ELEMENT)
    number = int(version) + 1 if isinstance(version, str) and _NUMBER.fullmatch(version) else 0
    updated_us = UPDATED_UNKNOWN
    if updated is not None:
        try:
            updated_us, _ = parse_instant(updated)
        except BadField:
            raise BadField(BadRowReason.ELEMENT) from None
    return Identity(key_of(resource_id.encode()), number, updated_us)


def key_of(resource_id: bytes) -> bytes:
    """Return what stands for an id: 16 bytes, so that what is kept of each does not depend on its length."""
    return blake2b(resource_id, digest_size=16).digest()


def outcome_text(outcome: dict[str, Any]) -> str:
    """Return what an OperationOutcome says, in words fit for a message."""
    told = []
    issues = outcome.get("issue")
    for issue in issues if isinstance(issues, list) else ():
        if isinstance(issue, dict):
            details = issue.get("details")
            text = details.get("text") if isinstance(details, dict) else None
            parts = [issue.get("severity"), issue.get("code"), issue.get("diagnostics") or text]
            told.append(" ".join(part for part in parts if isinstance(part, str)))
    return discreet("; ".join(told)) or "that something went wrong"


def _holds_resources(bundle: dict[str, Any]) -> bool:
    """Tell whether a Bundle holds any; one of deletions only names them."""
    entries = bundle.get("entry")
    return isinstance(entries, list) and any(isinstance(entry, dict) and "resource" in entry for entry in entries)


def _is_header(parameters: dict[str, Any]) -> bool:
    found = parameters.get("parameter")
    return isinstance(found, list) and any(isinstance(part, dict) and part.get("name") == "header" for part in found)


def _refuse_page(download_id: str, data: bytes) -> None:
    start = data[:_LOOKED_INTO].lstrip(b" \t\r\n")
    if start.startswith(b"<"):
        shown = foreign(start.decode(errors="replace")[:80])
        raise ContentError(download_id, 1, f"it is a page or XML, and no NDJSON: {shown}")
