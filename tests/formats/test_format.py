"""A format of somebody's own goes wherever CSV goes."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

import pytest

from mockexport import analyze
from mockexport.errors import HeaderError
from mockexport.formats import Batch, Cutter, Decoded
from mockexport.formats.fields import parse_time, parse_value
from mockexport.model import Chunk, Span
from mockexport.sources.piped import Piped
from tests.rows import HEADER


@dataclass(frozen=True)
class Spaced:
    """Rows without a header whose fields are separated by a space: patient, time, type, value."""

    fingerprint: str = "spaced"
    versioned: bool = False

    def cutter(self, span: Span, *, offset: int = 0) -> Cutter:
        return Cutter(span, offset=offset)

    def decoder(self, header: str | None = None, *, pending: bytes = b"", download_id: str = "") -> "SpacedDecoder":
        return SpacedDecoder()


class SpacedDecoder:
    header = ""
    pending = b""

    def finish(self, line: int) -> Decoded:
        return Decoded(Batch(), [], [])

    def decode(self, chunk: Chunk) -> Decoded:
        rows = [line.split() for line in bytes(chunk.data).decode().splitlines()]
        if any(row[0] == "<html>" for row in rows):
            raise HeaderError(chunk.span.download_id, chunk.line, "a page")
        patients, times, types, values = (list(column) for column in zip(*rows, strict=True))
        return Decoded(
            Batch(patients, [*map(parse_time, times)], types, [parse_value(value)[0] for value in values]), [], []
        )


ROWS = b"P1 2025-01-01T00:00:00Z hr 60\nP2 2025-01-01T00:00:01Z hr 70\nP1 2025-01-01T00:00:02Z hr 61\n"


async def piped(data: bytes) -> AsyncIterator[bytes]:
    yield data


@pytest.mark.parametrize("engine", ["auto", "python"])
def test_the_report_is_the_one_of_the_same_rows_as_csv(engine: Literal["auto", "python"]) -> None:
    as_csv = HEADER + ROWS.replace(b" ", b",")
    reports = [
        asyncio.run(analyze(source=Piped(piped(data)), schema=schema, engine=engine))
        for data, schema in ((ROWS, Spaced()), (as_csv, None))
    ]
    assert reports[0].to_json() == reports[1].to_json()


def test_what_is_not_of_the_format_fails_the_download() -> None:
    report = asyncio.run(analyze(source=Piped(piped(b"<html>\n")), schema=Spaced(), allow_incomplete=True))
    assert report.incomplete == ("stdin",)
