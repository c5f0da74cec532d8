"""Values without times: each one's time follows from its place, wherever another decoder goes on."""

import pytest

from mockexport import Schema
from mockexport.errors import HeaderError
from mockexport.formats import Cutter
from mockexport.model import Chunk, Span

SCHEMA = Schema(
    value="#1", constants=(("patient_id", "A01"), ("event_type", "{stem}")), time_formats=("sampled",), header=False
)
BODY = b"1551453312.500000\r\n4.000000\r\n106.57\r\n\r\nx\r\n90.5\r\n91\r\n"


def decode(data: bytes, chunk_bytes: int) -> tuple[list[int], list[int]]:
    """Return the times, in ms from the start, and the lines of bad rows; another decoder goes on after every chunk."""
    cutter, header = Cutter(Span("HR.csv"), chunk_bytes), None
    times, bad = [], []
    for chunk in [*cutter.feed(data), *cutter.finish()]:
        decoder = SCHEMA.decoder(header, download_id="HR.csv")
        decoded = decoder.decode(chunk)
        header = decoder.header
        times += [(at - 1_551_453_312_500_000) // 1000 for at in decoded.batch.event_times]
        bad += [row.line for row in decoded.bad]
        assert set(decoded.batch.event_types) <= {"HR"}
    return times, bad


def test_a_values_time_follows_from_its_place_bad_ones_counted() -> None:
    assert decode(BODY, 1000) == ([0, 500, 750], [5])
    assert decode(BODY, 32) == ([0, 500, 750], [5])


@pytest.mark.parametrize("body", [b"x\n4\n1\n", b"1551453312\n0\n1\n", b"1551453312\nfour\n1\n"])
def test_two_lines_that_say_nothing_of_times_are_refused(body: bytes) -> None:
    with pytest.raises(HeaderError, match="how many come a second"):
        SCHEMA.decoder(download_id="d").decode(Chunk(Span("d"), body, 0, len(body), 1))
