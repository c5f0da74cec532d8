"""A generated download's rows, in pieces: the reference, in Python, and the one place that picks the generator.

Rules: pure and without I/O; a piece is at hand before the next is begun, so its reader may stop at any piece. The
bytes are part of the contract: they are those of `random.Random`'s `choice`, `uniform` and `gauss` as CPython has them.

Their few lines are written out here. That is twice as quick as calling them, and safer: across Python's versions only
`random()` and the seeding are promised to stay (and `getrandbits` is the generator itself), while `choice` and `gauss`
may change.
"""

import math
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from mockexport.engine.unbuilt import unbuilt
from mockexport.server.exports import GeneratedDownload

__all__ = ["HEADER", "PIECE_ROWS", "generator_problem", "reference_rows", "rows_of"]

HEADER = b"patient_id,event_time,event_type,value\n"

# Rows in a piece: some 64 KiB. A piece is what one visit to a worker thread makes: large enough that the visit is not
# what costs, small enough that stopping and waiting for the interpreter's lock stay a matter of milliseconds.
PIECE_ROWS = 1500

# The twin makes so much in a quarter of a millisecond: enough that the visit is not what costs.
PIECE_BYTES = 256 * 1024
# Rows that the twin passes over in one visit: some milliseconds.
SKIPPED_ROWS = 100_000

MINUTE_US = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_10000_US = 253_402_300_800_000_000


def rows_of(download: GeneratedDownload, *, start: int = 0, compiled: bool | None = None) -> Iterator[bytes]:
    """Yield the download's CSV from byte `start` on, in pieces that end where they like.

    On the way to `start` empty pieces come, so that a long way there can be broken off like any other. `compiled` asks
    for the compiled twin (True) or the reference (False); by default it is the twin where there is one.
    """
    if compiled is None:
        compiled = generator_problem() is None and _suits_the_twin(download)
    return _compiled_rows(download, start) if compiled else _rows_in_python(download, start)


def generator_problem() -> str | None:
    """Return why the compiled generator cannot be used; None if it can."""
    try:
        import mockexport.server._generator  # noqa: F401
    except ImportError as error:
        return unbuilt("server._generator", error)
    return None


def _suits_the_twin(download: GeneratedDownload) -> bool:
    """Tell whether all numbers of a download are of a size that the twin's integers hold; the exports' own are."""
    return (
        0 <= download.start_us <= download.end_us < _YEAR_10000_US
        and bool(download.patients and download.event_types)
        and all(
            max(map(abs, (law.mean, law.deviation, law.lowest, law.highest))) < 10**9 and law.lowest <= law.highest
            for law in download.event_types
        )
    )


def _compiled_rows(download: GeneratedDownload, start: int) -> Iterator[bytes]:
    from mockexport.server._generator import Generator

    state = random.Random(download.id.bytes).getstate()[1]  # noqa: S311 - the contract's generator
    rows = Generator(
        state,
        [patient.encode() for patient in download.patients],
        [(law.name.encode(), law.mean, law.deviation, law.lowest, law.highest) for law in download.event_types],
        download.rows,
        download.start_us,
        download.step_us,
        PIECE_BYTES,
    )
    before = start
    if before < len(HEADER):
        # As the reference does: the header comes with the first rows.
        yield HEADER[before:] + rows.piece()
        before = 0
    else:
        before -= len(HEADER)
        # Rows that are only counted take half the time; the last few before `start` are made and cut.
        while skipped := rows.skip(before, SKIPPED_ROWS):
            before -= skipped
            yield b""
    while piece := rows.piece():
        yield piece[before:]
        before = max(0, before - len(piece))


def _rows_in_python(download: GeneratedDownload, start: int) -> Iterator[bytes]:
    before = start
    for piece in reference_rows(download):
        if before >= len(piece):
            before -= len(piece)
            yield b""
        elif before:
            yield piece[before:]
            before = 0
        else:
            yield piece


def reference_rows(download: GeneratedDownload, piece_rows: int = PIECE_ROWS) -> Iterator[bytes]:
    """Yield the download's CSV: the header with the first rows, then pieces of `piece_rows` rows."""
    draw = random.Random(download.id.bytes)  # noqa: S311 - the contract's generator, nothing to keep secret
    random_float, random_bits = draw.random, draw.getrandbits
    log, sqrt, cos, sin, turn = math.log, math.sqrt, math.cos, math.sin, math.tau

    patients = download.patients
    patient_count, patient_bits = len(patients), len(patients).bit_length()
    laws = [(f"Z,{law.name},", law.mean, law.deviation, law.lowest, law.highest) for law in download.event_types]
    law_count, law_bits = len(laws), len(laws).bit_length()
    step_us = download.step_us
    step_s = step_us / 1_000_000

    # The clock runs in microseconds of the current minute, whose text is made once; rows of a download never go back.
    slot_us = download.start_us % MINUTE_US
    minute = EPOCH + timedelta(microseconds=download.start_us - slot_us)
    minute_text = minute.strftime("%Y-%m-%dT%H:%M:")
    spare: float | None = None  # `gauss` draws normal numbers in pairs and keeps one

    piece = HEADER.decode()
    for first in range(0, download.rows, piece_rows):
        lines = [piece]
        for _ in range(min(piece_rows, download.rows - first)):
            # choice(patients): bits are drawn until they name one
            pick = random_bits(patient_bits)
            while pick >= patient_count:
                pick = random_bits(patient_bits)
            patient = patients[pick]

            # timedelta(seconds=uniform(0, step)): whole seconds apart, the rest rounded half to even
            offset_s = step_s * random_float()
            whole_s = int(offset_s)
            time_us = slot_us + whole_s * 1_000_000 + round((offset_s - whole_s) * 1_000_000)
            if time_us >= MINUTE_US:
                minutes = time_us // MINUTE_US
                minute += timedelta(minutes=minutes)
                minute_text = minute.strftime("%Y-%m-%dT%H:%M:")
                slot_us -= minutes * MINUTE_US
                time_us -= minutes * MINUTE_US
            slot_us += step_us

            # choice(event_types)
            pick = random_bits(law_bits)
            while pick >= law_count:
                pick = random_bits(law_bits)
            tail, mean, deviation, lowest, highest = laws[pick]

            # int(gauss(mean, deviation)), clamped
            if spare is None:
                angle = random_float() * turn
                radius = sqrt(-2.0 * log(1.0 - random_float()))
                normal = cos(angle) * radius
                spare = sin(angle) * radius
            else:
                normal = spare
                spare = None
            value = int(mean + normal * deviation)
            if value < lowest:
                value = lowest
            elif value > highest:
                value = highest

            second, fraction = divmod(time_us, 1_000_000)
            if fraction:
                lines.append(f"{patient},{minute_text}{second:02d}.{fraction:06d}{tail}{value}\n")
            else:
                lines.append(f"{patient},{minute_text}{second:02d}{tail}{value}\n")
        yield "".join(lines).encode()
        piece = ""
    if not download.rows:
        yield HEADER
