"""Generated rows are, byte by byte, those that `random.Random` draws."""

import hashlib
import itertools
import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from mockexport.server.bodies import Body, body_of
from mockexport.server.exports import EXPORTS, EventType, GeneratedDownload, downloads_of
from mockexport.server.generation import HEADER, generator_problem, reference_rows, rows_of
from mockexport.server.lengths import measure

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

# The reference, and its compiled twin where there is one.
GENERATORS = [False] if generator_problem() else [False, True]
either = pytest.mark.parametrize("compiled", GENERATORS, ids=lambda compiled: "twin" if compiled else "reference")


def by_the_contract(download: GeneratedDownload, rows: int) -> bytes:
    """The first rows, made with the calls that the contract names."""
    draw = random.Random(download.id.bytes)
    slot = EPOCH + timedelta(microseconds=download.start_us)
    step = timedelta(microseconds=download.step_us)
    text = HEADER.decode()
    for _ in range(rows):
        patient = draw.choice(download.patients)
        time = (slot + timedelta(seconds=draw.uniform(0, step.total_seconds()))).replace(tzinfo=None).isoformat()
        event_type = draw.choice(download.event_types)
        value = min(max(int(draw.gauss(event_type.mean, event_type.deviation)), event_type.lowest), event_type.highest)
        text += f"{patient},{time}Z,{event_type.name},{value}\n"
        slot += step
    return text.encode()


@pytest.mark.parametrize("number", [0, 1])
def test_demo_is_the_published_one(number: int) -> None:
    assert measure("demo", number) == body_of(str(downloads_of("demo")[number].id))


def test_a_small_download_is_the_published_one() -> None:
    assert measure("small", 3) == body_of("e30de01f-ada0-4483-a3b7-bb590b4a5254")


@pytest.mark.parametrize("export_id", list(EXPORTS))
def test_every_download_begins_as_the_contract_draws_it(export_id: str) -> None:
    for download in downloads_of(export_id):
        expected = by_the_contract(download, 500)
        assert next(reference_rows(download, 500)) == expected


@either
@pytest.mark.parametrize("patients", [1, 2, 3, 7])
@pytest.mark.parametrize("types", [1, 2, 3])
@pytest.mark.parametrize("step_us", [1, 2, 300_000, 90_000_000, 7_200_000_000])
def test_other_exports_would_be_as_the_contract_draws_them(
    patients: int, types: int, step_us: int, compiled: bool
) -> None:
    # Tiny steps give fractions of zero and ties; large ones leave out minutes; the year ends in between.
    start = datetime(2023, 12, 31, 23, 59, 59, 999_900, tzinfo=UTC)
    download = GeneratedDownload(
        id=UUID(int=patients * types * step_us),
        rows=200,
        patients=tuple(f"X{number}" for number in range(patients)),
        event_types=tuple(EventType(f"t{number}", 10 * number, 5, -3, 22) for number in range(types)),
        start_us=(start - EPOCH) // timedelta(microseconds=1),
        step_us=step_us,
    )
    assert b"".join(rows_of(download, compiled=compiled)) == by_the_contract(download, 200)


@either
@pytest.mark.parametrize("number", [2778, 5657, 7008])
def test_half_a_microsecond_is_rounded_to_even(number: int, compiled: bool) -> None:
    # Ties come about only where numbers are coarse: so much of a second is left 4,000 years into a slot. Of the first
    # thousands of ids, these draw one that other ways of rounding would turn upwards.
    laws = (EventType("t", 50, 5, 0, 100),)
    download = GeneratedDownload(UUID(int=number), 1, ("P",), laws, start_us=0, step_us=2**37 * 1_000_000)
    assert b"".join(rows_of(download, compiled=compiled)) == by_the_contract(download, 1)


@pytest.mark.parametrize("piece_rows", [1, 7, 9013, 9014, 9015, 100_000])
def test_the_pieces_cut_does_not_change_the_bytes(piece_rows: int) -> None:
    download = downloads_of("demo")[0]
    body = b"".join(reference_rows(download, piece_rows))
    assert Body(len(body), hashlib.sha256(body).hexdigest()) == body_of(str(download.id))


@either
def test_no_rows_leave_the_header(compiled: bool) -> None:
    download = GeneratedDownload(UUID(int=0), 0, ("P",), (EventType("t", 0, 1, 0, 1),), 0, 1)
    assert b"".join(rows_of(download, compiled=compiled)) == HEADER


@either
def test_rows_from_any_byte_on_are_the_rest_of_all_rows(compiled: bool) -> None:
    download = downloads_of("demo")[1]
    whole = b"".join(rows_of(download, compiled=compiled))
    first_piece = len(next(rows_of(download, compiled=compiled)))
    for start in (0, 1, len(HEADER), first_piece - 1, first_piece, first_piece + 1, len(whole) - 1, len(whole)):
        assert b"".join(rows_of(download, start=start, compiled=compiled)) == whole[start:]


@either
def test_the_way_to_a_late_byte_can_be_broken_off_at_every_piece(compiled: bool) -> None:
    pieces = rows_of(downloads_of("large")[0], start=400_000_000, compiled=compiled)
    assert list(itertools.islice(pieces, 3)) == [b"", b"", b""]


def test_pieces_are_of_a_size_that_suits_a_socket() -> None:
    for export_id in EXPORTS:
        pieces = list(itertools.islice(rows_of(downloads_of(export_id)[0]), 3))
        assert all(len(piece) < 300 * 1024 for piece in pieces)
        assert all(len(piece) > 32 * 1024 for piece in pieces[1:])


@pytest.mark.skipif(not GENERATORS[-1], reason="there is no compiled generator here")
@pytest.mark.parametrize("export_id", ["small", "large"])
@pytest.mark.parametrize("number", [0, -1])
def test_the_twin_goes_on_as_the_reference_does(export_id: str, number: int) -> None:
    download = replace(downloads_of(export_id)[number], rows=20_000)
    assert b"".join(rows_of(download, compiled=True)) == b"".join(rows_of(download, compiled=False))


@pytest.mark.skipif(not GENERATORS[-1], reason="there is no compiled generator here")
@pytest.mark.parametrize(
    ("patients", "law"),
    [
        (("a", "ä" * 40, "x" * 15, "y" * 16, "z" * 17, ""), EventType("a type with a name that is long", 0, 0, 0, 0)),
        (("P",), EventType("t", -500_000_000, 400_000_000, -999_999_999, 999_999_999)),
        (("P",), EventType("t", 1000, 3, 0, 99_999)),
    ],
)
def test_the_twin_writes_texts_and_values_of_any_length(patients: tuple[str, ...], law: EventType) -> None:
    download = GeneratedDownload(UUID(int=9), 3_000, patients, (law,), start_us=951_782_399_000_000, step_us=3_000_000)
    law_bytes = b"".join(rows_of(download, compiled=False))
    assert b"".join(rows_of(download, compiled=True)) == law_bytes
    for start in range(len(law_bytes) - 500, len(law_bytes) + 2, 7):
        assert b"".join(rows_of(download, start=start, compiled=True)) == law_bytes[start:]


@pytest.mark.skipif(not GENERATORS[-1], reason="there is no compiled generator here")
def test_downloads_beyond_the_twins_numbers_are_left_to_the_reference() -> None:
    huge = EventType("t", 10**30, 1, 0, 10**30)
    download = GeneratedDownload(UUID(int=1), 5, ("P",), (huge,), start_us=0, step_us=1)
    assert b"".join(rows_of(download)) == b"".join(rows_of(download, compiled=False))


@pytest.mark.skipif(not GENERATORS[-1], reason="there is no compiled generator here")
def test_the_last_rows_of_a_large_download_are_the_published_ones() -> None:
    # All of its bytes, hashed, in a second; the other nineteen are for the command.
    assert measure("large", 2) == body_of(str(downloads_of("large")[2].id))
