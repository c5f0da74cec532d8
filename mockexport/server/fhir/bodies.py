"""The bytes of a job's file: Observations of a download's rows, gzip where asked for, and what goes wrong.

Rules: pure and without I/O; a piece is at hand before the next is begun.
"""

import json
import zlib
from collections.abc import Iterator

from mockexport.server.catalogue import Offer, StoredFile
from mockexport.server.fhir.observations import Forms, lines_of
from mockexport.server.generation import rows_of

__all__ = ["BROKEN", "LOGIN_PAGE", "broken", "file_pieces", "outcome", "packed"]

LOGIN_PAGE = b"<!DOCTYPE html>\n<html><head><title>Log in</title></head><body>Please log in.</body></html>\n"
READ_BYTES = 64 * 1024
# The faults of a file's bytes, whatever the framing says.
BROKEN = ("fhir-short-file", "fhir-cut-line", "fhir-wrong-resource", "fhir-html-file", "fhir-array", "fhir-cut-gzip")


def file_pieces(offer: Offer, forms: Forms) -> Iterator[bytes]:
    """Yield a download's rows as Observations."""
    return lines_of(_rows(offer), offer.metadata.id, forms)


def _rows(offer: Offer) -> Iterator[bytes]:
    if not isinstance(offer.content, StoredFile):
        yield from rows_of(offer.content)
        return
    with offer.content.path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece


def broken(pieces: Iterator[bytes], kind: str) -> Iterator[bytes]:
    """Yield what a fault makes of a file's pieces, all but a cut of its gzip."""
    if kind == "fhir-html-file":
        yield LOGIN_PAGE
        return
    if kind == "fhir-wrong-resource":
        yield outcome("error", "exception", "the file could not be made") + b"\n"
        return
    first = next(pieces, b"")
    lines = first.splitlines(keepends=True)
    if kind == "fhir-short-file":
        yield b"".join(lines[: len(lines) // 2])
    elif kind == "fhir-cut-line":
        yield first[:-20]
    else:
        yield b"[" + b",".join(line.rstrip() for line in lines) + b"]\n"


def packed(pieces: Iterator[bytes], *, cut: bool = False) -> Iterator[bytes]:
    """Yield pieces as one gzip stream; one that is `cut` ends before its last block and its checksum."""
    packer = zlib.compressobj(1, wbits=31)
    for piece in pieces:
        if made := packer.compress(piece):
            yield made
    last = packer.flush()
    yield last[: len(last) // 2] if cut else last


def outcome(severity: str, code: str, diagnostics: str) -> bytes:
    """Return an OperationOutcome."""
    issue = {"severity": severity, "code": code, "diagnostics": diagnostics}
    return json.dumps({"resourceType": "OperationOutcome", "issue": [issue]}).encode()
