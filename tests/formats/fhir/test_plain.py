"""The fast path says what the reference says, of good lines and of hostile ones made of good ones.

`python -m tests.formats.fhir.test_plain 100000` tries as many lines, from a seed that may follow.
"""

import json
import random
import sys
from typing import Any

import pytest

from mockexport.errors import ContentError
from mockexport.formats import Decoded
from mockexport.formats.batch import Identified
from mockexport.formats.fhir import FhirObservations
from mockexport.formats.fhir.decoding import ObservationDecoder, key_of
from mockexport.formats.fhir.plain import MAX_LEARNT_BYTES, MAX_REMEMBERED_BYTES, Remembered
from tests.observations import chunk_of, component, concept, observation, quantity

OPTIONS = FhirObservations(base="https://h.example", timezone="Europe/Berlin", issued=True)
ABSENT: dict[str, Any] = {"dataAbsentReason": {"coding": [{"code": "masked"}]}}
PANEL = [component("8480-6", 120), component("8462-4", 80)]
GOOD: list[dict[str, Any]] = [
    observation(),
    observation(id="o-2", meta=None),
    observation(id="o-3", code=concept("85354-9"), valueQuantity=None, component=PANEL),
    observation(id="o-4", valueQuantity=None),
    observation(id="o-5", status="entered-in-error"),
    observation(id="o-6", code=concept("1-8")),
    observation(id="o-7", valueQuantity=quantity(30, comparator="<")),
    observation(id="o-8", effectiveDateTime="2025-08-26"),
    observation(id="o-9", effectiveDateTime="2025-08-26T10:00:00"),
    observation(id="o-10", effectiveDateTime=None, issued="2025-08-26T10:00:00Z"),
    observation(id="o-11", subject={"reference": "Group/1"}),
    observation(id="o-12", subject={"reference": "#p"}, contained=[{"id": "p", "resourceType": "Patient"}]),
    observation(id="o-13", valueQuantity=None, **ABSENT),
    observation(
        id="o-15", meta={"versionId": "7", "lastUpdated": "2024-02-29T23:59:59.123456789-05:30", "tag": [{"a": 1}]}
    ),
    observation(id="o-16", meta={"versionId": "12345678901234567890", "lastUpdated": "2025-02-28"}),
    observation(id="o-14", note=[{"text": 'wärmer \U0001f493 \\ / " \n'}]),
    observation(id="o-15", valueQuantity=None, valueString="high"),
    observation(id=None),
    {"resourceType": "Patient", "id": "p"},
]
LINES = [json.dumps(each, ensure_ascii=number % 2 == 0).encode() for number, each in enumerate(GOOD)]
# What is put in, by chance: tokens that change what a line means, or whether it means anything.
TOKENS = [
    b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"0", b"-", b".", b"e5", b"null", b"true", b" ", b"\t", b"\x00",
    b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"\\u0041", b"\\ud800", b'"id":"x",', b'"status":"final",', b'"x":1,',
    b'"modifierExtension":[],', b'"valueString":"x",', b"_history/1", b"1e400", b"NaN", b"[" * 30, b"<",
    b'"subject":null,', b'"versionId":"2"', b'"versionId":"x"', b'"lastUpdated":"2025-02-29T00:00:00Z"',
]  # fmt: skip


def hostile(draw: random.Random) -> bytes:
    """A good line, altered in one to three places."""
    line = draw.choice(LINES)
    for _ in range(draw.choice((0, 1, 1, 1, 2, 3))):
        at, end = sorted((draw.randrange(len(line) + 1), draw.randrange(len(line) + 1)))
        match draw.randrange(6):
            case 0:
                line = line[:at] + draw.choice(TOKENS) + line[at:]
            case 1:
                line = line[:at] + draw.choice(TOKENS) + line[at + 1 :]
            case 2:
                line = line[:at] + line[min(end, at + draw.randrange(1, 30)) :]
            case 3:  # a piece of another
                other = draw.choice(LINES)
                begin = draw.randrange(len(other))
                line = line[:at] + other[begin : begin + draw.randrange(40)] + line[at:]
            case 4:  # a member twice
                line = line[:at] + line[at:end][:60] + line[at:]
            case _:
                line = line.replace(
                    draw.choice((b"72", b"final", b"Patient", b"loinc", b"/min", b"10")), draw.choice(TOKENS), 1
                )
    return line.replace(b"\n", b" ")


def told(decoder: ObservationDecoder, data: bytes) -> tuple[Any, ...]:
    """All that comes of some lines, to be compared."""
    try:
        found: Decoded = decoder.decode(chunk_of(data, offset=7))
    except ContentError as error:
        return (str(error),)
    batch = found.batch
    assert isinstance(batch, Identified)
    columns = [list(batch.rows()), batch.keys, batch.versions, batch.updated, batch.places, sorted(batch.rowless)]
    return (
        columns, found.missing, found.missing_lines, found.bad, found.lines, +found.noted, found.resources,
        found.cut_off,
    )  # fmt: skip


def disagreement(lines: int, seed: int) -> bytes | None:
    """The first line of which the two say different things."""
    draw = random.Random(seed)
    remembered = Remembered()
    for _ in range(lines):
        line = hostile(draw)
        fast = told(ObservationDecoder(OPTIONS.rules, remembered), line)
        if fast != told(ObservationDecoder(OPTIONS.rules, compiled=False), line):
            return line
    return None


pytestmark = pytest.mark.skipif(Remembered().shapes is None, reason="the compiled scan was not built")


def test_of_good_lines_the_two_say_the_same() -> None:
    remembered = Remembered()
    data = b"\n".join([*LINES, *LINES])
    for _ in range(2):
        fast = told(ObservationDecoder(OPTIONS.rules, remembered), data)
        assert fast == told(ObservationDecoder(OPTIONS.rules, compiled=False), data)


def test_of_hostile_lines_the_two_say_the_same() -> None:
    assert disagreement(600, random.randrange(2**32)) is None


def test_what_is_long_is_not_remembered() -> None:
    remembered = Remembered()
    samples = {"code": concept("1-8"), "valueSampledData": {"data": "1 " * MAX_REMEMBERED_BYTES}}
    found = ObservationDecoder(OPTIONS.rules, remembered).decode(
        chunk_of(json.dumps(observation(component=[samples])).encode())
    )
    assert len(found.batch) == 1
    assert not remembered.known


def test_what_was_learnt_may_be_forgotten() -> None:
    # More than the scan of a span remembers: subjects of 4,000 bytes.
    lines = [
        json.dumps(
            observation(id=f"o{n}", subject={"reference": f"Patient/{n % 900}", "display": f"{n:04000}"})
        ).encode()
        for n in range(MAX_LEARNT_BYTES // 4000 + 100)
    ]
    decoder = ObservationDecoder(OPTIONS.rules, Remembered())
    found = [
        decoder.decode(chunk_of(b"\n".join(part), offset=7)).batch for part in (lines, lines[:300], lines[200:400])
    ]
    assert [batch.patient_ids for batch in found] == [
        [f"{n % 900}" for n in range(first, end)] for first, end in ((0, len(lines)), (0, 300), (200, 400))
    ]


def test_a_key_is_that_of_the_id_whatever_its_length() -> None:
    ids = ["x" * length for length in range(1, 140)]
    data = b"\n".join(json.dumps(observation(id=each)).encode() for each in ids)
    found = ObservationDecoder(OPTIONS.rules, Remembered()).decode(chunk_of(data)).batch
    assert isinstance(found, Identified)
    assert found.keys == [key_of(each.encode()) for each in ids]


def test_every_line_falls_into_exactly_one_account() -> None:
    draw = random.Random(5)
    for _ in range(300):
        line = hostile(draw)
        try:
            found = ObservationDecoder(OPTIONS.rules).decode(chunk_of(line, offset=7))
        except ContentError:
            continue
        told_somewhere = len(found.batch) + len(found.missing) + len(found.bad) + found.noted.total()
        assert told_somewhere > 0 or not line.strip(b" \t\r")
        assert found.resources in (0, 1)


if __name__ == "__main__":
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    print(disagreement(int(sys.argv[1]), seed))  # noqa: T201 - a command of its own
