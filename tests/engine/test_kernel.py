"""Law 6: the kernel and the reference never disagree: states and tallies are the same, however the bytes arrive.

`python -m tests.fuzz.kernel` is the same at length.
"""

import json
import random
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mockexport import Batch, Counts, Filter, Reducer, Schema, Selection, Summary, analyze
from mockexport.engine.choosing import choose_engine, kernel_problem
from mockexport.errors import OptionError
from mockexport.formats import CsvDecoder
from mockexport.model import AnomalyRule, Chunk, Span
from mockexport.reducers import pack_state, unpack_state
from mockexport.reducers.drawing import DRAWING
from mockexport.reducers.packing import unpack_rows
from mockexport.reducers.selection import STATISTICS
from mockexport.server.folder import generate
from tests import lookalikes
from tests.fuzz.comparing import EVERYTHING, SUMMARY, Rows, outcome
from tests.fuzz.rows import asked as any_filter
from tests.fuzz.rows import body
from tests.fuzz.rows import schema as any_schema
from tests.rows import HEADER, batches, csv_bodies

if kernel_problem() is not None:
    pytest.skip("there is no kernel here", allow_module_level=True)

from mockexport import _kernel
from mockexport.engine.kernel import KernelSummary, new_scan

USUAL = Schema()
USUAL_REDUCERS: list[Reducer[Any, Any]] = [Rows(), SUMMARY]


@pytest.fixture(params=["sse2", "avx2", "avx512", "neon", "words"])
def path(request: pytest.FixtureRequest) -> Iterator[str]:
    """Every choice of instructions that this machine has, one after another."""
    if not _kernel.use_path(request.param):
        pytest.skip("not on this machine")
    yield request.param
    _kernel.use_path()


def agree(
    data: bytes, schema: Schema = USUAL, *, reducers: Iterable[Reducer[Any, Any]] = USUAL_REDUCERS, **options: Any
) -> tuple[Any, ...]:
    """Check that both engines make the same of `data`, as batches and as states; return the last of these."""
    for reducer in reducers:
        law = outcome("python", data, schema, reducer=reducer, **options)
        assert outcome("kernel", data, schema, reducer=reducer, **options) == law
    return law


@given(csv_bodies(), st.sampled_from([1, 50, 5_000]), st.booleans())
def test_the_engines_agree_on_any_mixture_of_rows(data: bytes, chunk_bytes: int, strict: bool) -> None:
    agree(data, chunk_bytes=chunk_bytes, strict=strict)


@pytest.mark.parametrize("seed", range(24))
def test_the_engines_agree_on_hostile_rows(seed: int, path: str) -> None:
    draw = random.Random(seed)
    schema = any_schema(draw)
    data = body(draw, draw.choice([3, 30, 300]), schema)
    agree(
        data,
        schema,
        reducers=[Rows(), draw.choice([SUMMARY, EVERYTHING])],
        asked=any_filter(draw),
        chunk_bytes=draw.choice([1, 100, 5_000, 20_000, 300_000]),
        strict=draw.random() < 0.1,
        coverage=draw.random() < 0.5,
    )


@pytest.mark.parametrize("seed", range(6))
def test_a_cut_at_any_position_changes_nothing(seed: int) -> None:
    draw = random.Random(seed)
    data = body(draw, 12, USUAL)[:1500]
    law = outcome("python", data, USUAL, chunk_bytes=64)
    for edge in range(len(data) + 1):
        assert outcome("kernel", data, USUAL, edges=[edge], chunk_bytes=64) == law
    assert outcome("kernel", data, USUAL, edges=range(1, len(data)), chunk_bytes=64) == law


@pytest.mark.parametrize(
    "row",
    [
        b"P001,2025-08-26T00:00:04.906404Z,heart_rate,97",
        b"P001,2025-08-26T23:59:59Z,spo2,98.25",
        b"P001,2024-02-29 23:59:59.12+02:30,spo2,-5.5",
    ],
)
def test_the_engines_agree_on_any_byte_at_any_place(row: bytes) -> None:
    rows = [row[:at] + bytes([byte]) + row[at + 1 :] for at in range(len(row)) for byte in range(256)]
    agree(HEADER + b"\n".join(rows), chunk_bytes=100_000)


@settings(max_examples=300)
@given(st.binary(max_size=200))
def test_the_engines_agree_on_bytes_without_sense(noise: bytes) -> None:
    agree(HEADER + noise)
    agree(noise)


@settings(max_examples=500)
@given(st.from_regex(r"[+\-]?[0-9]{0,12}\.?[0-9]{0,12}(e[+\-]?[0-9]{1,3})?[0-9.+\-e ]?", fullmatch=True))
def test_the_engines_agree_on_anything_like_a_value(value: str) -> None:
    agree(HEADER + f"P,2025-08-26T00:00:00Z,t,{value}\nP,2025-08-26T00:00:00Z,t,{value}\r\n".encode())


@settings(max_examples=500)
@given(
    st.from_regex(
        r"(19|20|00|99)[0-9]{2}-(0[0-9]|1[0-3])-(0[1-9]|[12][0-9]|3[0-2])[T t]([01][0-9]|2[0-4]):[0-6][0-9]"
        r"(:[0-6][0-9])?([.,][0-9]{0,10})? ?(Z|z|UTC|GMT|[+\-][0-9]{2}:?([0-9]{2})?)?",
        fullmatch=True,
    )
)
def test_the_engines_agree_on_anything_like_a_time(time: str) -> None:
    agree(HEADER + f"P,{time},t,1\nP,{time},t,2\n".encode())


@pytest.mark.parametrize("length", [1, 7, 8, 9, 15, 16, 17, 24, 255, 256, 257])
def test_ids_of_every_length_are_told_apart(length: int) -> None:
    ids = ["a" * length, "a" * (length - 1) + "b", "b" + "a" * (length - 1), "ä" * (length // 2)]
    rows = [f"{one},2025-08-26T00:00:0{n}Z,{other},{n}\n" for n, one in enumerate(ids) for other in ids]
    agree(HEADER + "".join(rows * 2).encode())


def test_an_id_that_needs_quotes_is_not_taken_without_them() -> None:
    quoted = b'"a""b",2025-08-26T00:00:00Z,t,1\n'
    bare = b'a"b,2025-08-26T00:00:01Z,t,1\n'
    for chunk_bytes in (1, 1000):  # the quoted one in a chunk before, and in the same
        _, tally, rows, _, _ = agree(HEADER + quoted + bare, chunk_bytes=chunk_bytes)
        assert rows == 2
        assert json.loads(tally)["bad"] == {"unbalanced quote": 1}


def test_more_groups_than_the_caches_hold_are_kept_apart() -> None:
    draw = random.Random(3)
    rows = [
        b"Q%d,2025-08-26T00:%02d:00Z,type%d,%d\n"
        % (draw.randrange(9_000), number % 60, number % 3, draw.randrange(200))
        for number in range(30_000)
    ]
    state, *_ = agree(HEADER + b"".join(rows), chunk_bytes=100_000)
    assert len(unpack_rows(state)) > 10_000


def test_a_header_among_plain_rows_is_in_force_from_there_on() -> None:
    rows = b"".join(b"P,2025-08-26T00:00:%02dZ,t,%d\n" % (number % 60, number) for number in range(700))
    other = b"".join(b"%d,t,2025-08-26T00:01:00Z,P\n" % number for number in range(700))
    body = HEADER + rows + HEADER + rows + b"value,event_type,event_time,patient_id\n" + other + HEADER + rows
    state, *_ = agree(body, chunk_bytes=50_000)
    assert unpack_rows(state)[0][1][:2] == [2800, 4 * 10**18 * sum(range(700))]


def test_sums_are_exact_beyond_64_bits() -> None:
    rows = [b"P,2025-08-26T00:00:00Z,t,999999999.999999999\n", b"P,2025-08-26T00:00:00Z,t,-999999999.999999997\n"]
    state, *_ = agree(HEADER + rows[0] * 40 + rows[1] * 7, chunk_bytes=50_000)
    assert unpack_rows(state)[0][1][1] == (40 * (10**18 - 1) - 7 * (10**18 - 3)) * 10**9


@pytest.mark.parametrize(
    ("low", "high"),
    [
        (40, 180),
        (-(10**30), 10**30),
        (0, 0),
        (10**12, 10**13),
        (None, 40),
        (40, None),
        ("-0.000000001", "40.5"),
        ("-1e-18", "1e-18"),
        ("1.0000000001", "1.0000000002"),
        ("-1.1e-9", 10**15),
    ],
)
def test_any_bounds_count_the_same_anomalies(low: int | str | None, high: int | str | None) -> None:
    values = [
        -(10**33),
        -(10**27),
        -(10**9),
        -2,
        -1,
        0,
        1,
        2,
        10**18,
        10**18 + 15 * 10**7,
        40 * 10**18,
        40 * 10**18 - 1,
        180 * 10**18,
        180 * 10**18 + 1,
        10**33,
    ]
    summary = Summary({"t": AnomalyRule(low, high)})
    batch = Batch(["P"] * len(values), [0] * len(values), ["t"] * len(values), values)
    twin = KernelSummary(summary)
    assert twin.dump(twin.update(twin.empty(), batch)) == summary.dump(summary.update(summary.empty(), batch))


@given(batches(max_size=20), batches(max_size=20))
def test_a_state_goes_from_one_engine_to_the_other_and_back(first: Batch, second: Batch) -> None:
    summary, twin = Summary(), KernelSummary(Summary())
    ours, theirs = twin.update(twin.empty(), first), summary.update(summary.empty(), first)
    packed = pack_state(twin, ours)
    assert packed == pack_state(summary, theirs)
    # Each goes on from what the other left.
    assert twin.dump(twin.update(unpack_state(twin, packed), second)) == summary.dump(
        summary.update(unpack_state(summary, packed), second)
    )


@given(batches(max_size=20))
@pytest.mark.parametrize("reducer", [SUMMARY, EVERYTHING], ids=["summary", "everything"])
def test_results_are_the_same(reducer: Summary | Selection, batch: Batch) -> None:
    twin = choose_engine(reducer, USUAL).reducer
    law: Reducer[Any, Any] = reducer
    assert twin.result(twin.update(twin.empty(), batch)) == law.result(law.update(law.empty(), batch))


@pytest.mark.parametrize("sizes", [(4096, 1), (4097, 1), (10, 5_000), (3_000, 3_000)])
@pytest.mark.parametrize(
    "names", [["median"], ["stddev"], ["per_hour"], list(STATISTICS), [DRAWING]], ids=lambda names: names[-1]
)
def test_the_engines_agree_on_more_values_than_are_kept_apart(sizes: tuple[int, int], names: list[str]) -> None:
    law: Reducer[Any, Any] = Selection(names)
    twin = choose_engine(law, USUAL).reducer
    draw = random.Random(1)

    def rows(size: int) -> Batch:
        spread, step = draw.choice([(10**6, 1), (10**6, 10**9), (10**12, 10**6), (10**18, 10**9), (10**33, 1)])
        return Batch(
            [draw.choice("PQRS") if size < 1000 else "P" for _ in range(size)],
            [draw.randrange(-(10**15), 10**15) for _ in range(size)],
            ["t"] * size,
            [draw.randrange(-spread, spread) * step + (step > 1) * draw.choice([0, 0, 1]) for _ in range(size)],
        )

    parts = [rows(size) for size in sizes]
    ours, theirs = ([of.update(of.empty(), part) for part in parts] for of in (twin, law))
    merged = twin.merge(*ours)
    assert twin.dump(merged) == law.dump(law.merge(*theirs))
    assert twin.result(merged) == law.result(theirs[0])
    # And on from the bytes, in the other order.
    assert twin.dump(twin.merge(ours[1], twin.load(law.dump(law.update(law.empty(), parts[0]))))) == twin.dump(merged)


@pytest.mark.parametrize("days", [1, 60, 900, 3_000_000], ids="{} days".format)
def test_the_engines_agree_on_a_course_at_every_level(days: int) -> None:
    law: Reducer[Any, Any] = Selection([DRAWING])
    twin = choose_engine(law, USUAL).reducer
    draw = random.Random(days)
    parts = [
        Batch(
            ["P"] * size,
            [draw.randrange(-days * 43_200_000_000, days * 43_200_000_000) for _ in range(size)],
            ["t"] * size,
            [round(draw.gauss(0, spread) * 10**18) for _ in range(size)],
        )
        for size, spread in ((17_000, 40), (3, 1), (13_000, 10**6))
    ]
    ours, theirs = ([of.update(of.empty(), part) for part in parts] for of in (twin, law))
    for earlier, later in ((0, 1), (0, 2)):
        merged, expected = twin.merge(ours[earlier], ours[later]), law.merge(theirs[earlier], theirs[later])
        assert twin.dump(merged) == law.dump(expected)
    assert twin.result(merged) == law.result(expected)


def test_pairs_of_which_nothing_is_asked_for_are_in_no_result() -> None:
    data = HEADER + b"P,2025-08-26T00:00:00Z,t,1\nQ,2025-08-26T00:00:00Z,t,2\nQ,2025-08-27T00:00:00Z,u,3\n"
    found = []
    for wanted in ("python", "kernel"):
        engine = choose_engine(EVERYTHING, USUAL, asked=Filter.of(patients=["P"]), wanted=wanted)
        fold = engine.new_fold(Span("d"))
        fold.feed(Chunk(Span("d"), data, 0, len(data), 1))
        found.append(engine.reducer.result(fold.state))
    assert found[0] == found[1]
    assert (list(found[1].patients), list(found[1].totals)) == (["P"], ["t"])


def test_further_statistics_are_the_same_with_more_groups_than_caches_hold() -> None:
    draw = random.Random(4)
    rows = [
        b"Q%d,2025-08-%02dT%02d:00:00Z,type%d,%d.%d\n"
        % (draw.randrange(4_000), draw.randrange(1, 29), draw.randrange(24), number % 3, number % 97, number % 7)
        for number in range(20_000)
    ]
    # The usual columns and others: each has a scan of its own.
    agree(HEADER + b"".join(rows), chunk_bytes=100_000, reducers=[EVERYTHING])
    agree(b"x," + HEADER + b"".join(b"," + row for row in rows[:3_000]), chunk_bytes=100_000, reducers=[EVERYTHING])


@given(
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=64),
    st.text(min_size=1, max_size=256).filter(str.isascii),
)
def test_any_text_is_written_as_the_reference_writes_it(patient: str, event_type: str) -> None:
    batch = Batch([patient], [5], [event_type], [-7])
    summary, twin = Summary(), KernelSummary(Summary())
    assert twin.dump(twin.update(twin.empty(), batch)) == summary.dump(summary.update(summary.empty(), batch))


def test_a_tally_stays_that_of_its_rows_when_its_state_is_merged_into() -> None:
    engine = choose_engine(Summary(), USUAL, wanted="kernel")
    folds = []
    for patient in ("P", "Q"):
        fold = engine.new_fold(Span("d"))
        data = HEADER + f"{patient},2025-08-26T00:00:00Z,t,1\n".encode()
        fold.feed(Chunk(Span("d"), data, 0, len(data), 1))
        folds.append(fold)
    engine.reducer.merge(folds[0].state, folds[1].state)
    assert folds[0].tally.patients == {"P"}


def test_the_kernel_reduces_for_summary_and_decodes_for_the_rest() -> None:
    assert choose_engine(Summary(), USUAL).name == "kernel"
    assert choose_engine(Summary(), USUAL, wanted="python").name == "python"
    assert choose_engine(EVERYTHING, USUAL).name == "kernel"
    assert choose_engine(Counts(), USUAL).name == "kernel+python"
    assert choose_engine(Counts(), USUAL, wanted="kernel").name == "kernel+python"
    assert choose_engine(Counts(), USUAL, wanted="python").name == "python"

    class Own(Summary):
        """A Summary with ideas of its own."""

    assert choose_engine(Own(), USUAL).name == "kernel+python"
    with pytest.raises(OptionError, match="none of auto, kernel, python"):
        choose_engine(Summary(), USUAL, wanted="fast")


async def test_reports_are_equal_byte_by_byte(tmp_path: Path) -> None:
    generate("demo", tmp_path)
    reports = {wanted: await analyze(folder=tmp_path, engine=wanted) for wanted in ("kernel", "python")}
    assert reports["kernel"].account.engine == "kernel"
    assert reports["python"].account.engine == "python"
    assert reports["kernel"].to_json() == reports["python"].to_json()
    assert reports["kernel"].account.rows == 18_784


@pytest.mark.parametrize("timezone", [None, "America/New_York", "Africa/Casablanca"])
@pytest.mark.parametrize("table", ["chartevents", "measurement"])
def test_the_engines_agree_on_tables_of_clinical_research(table: str, timezone: str | None, path: str) -> None:
    if table == "chartevents":
        data, schema = lookalikes.chartevents(600, quoted=0.2), lookalikes.CHARTEVENTS
        asked = Filter.of(event_types=["220045", "223761"], since="2120-01-01")
    else:
        data, schema = lookalikes.measurement(600), lookalikes.MEASUREMENT
        asked = Filter.of(event_types=["3027018"], until="2020-01-01", timezone=timezone)
    schema = replace(schema, timezone=timezone)
    _, tally, rows, _, _ = agree(data, schema, chunk_bytes=20_000)
    assert rows == 600
    assert json.loads(tally)["missing"]
    agree(data, schema, asked=asked, chunk_bytes=20_000)
    agree(data.replace(b"\n", b"\r\n"), schema, asked=asked, chunk_bytes=20_000)


@pytest.mark.parametrize("zone", ["Europe/Berlin", "UTC"])
def test_the_kernel_reads_these_tables_by_itself(zone: str) -> None:
    tables = (
        (lookalikes.chartevents(2_000, quoted=0.1), lookalikes.CHARTEVENTS),
        (lookalikes.measurement(2_000), lookalikes.MEASUREMENT),
    )
    for data, schema in tables:
        decoder = CsvDecoder(replace(schema, timezone=zone))
        chunk = Chunk(Span("d"), data, 0, len(data), 1)
        taken = decoder.take(chunk)
        scan = new_scan(_kernel.Scan, KernelSummary(Summary()).empty(), decoder, replace(schema, timezone=zone), None)
        aside = scan.feed(data, taken.start, taken.line)
        assert (len(aside), scan.rows) == (0, 2_000)


@pytest.mark.parametrize("end", ["+00", "+0000", " +02:00", " UTC", "GMT", ".5 +0130", "Z"])
@pytest.mark.parametrize("zone", [None, "Europe/Berlin"])
def test_the_kernel_reads_offsets_in_every_form_by_itself(end: str, zone: str | None) -> None:
    schema = Schema(timezone=zone)
    rows = "".join(f"P,2025-08-26 10:{n:02}:07{end},t,1\nP,2025-08-26T10:{n:02},t,1\n" for n in range(50))
    data = HEADER + rows.encode()
    decoder = CsvDecoder(schema)
    taken = decoder.take(Chunk(Span("d"), data, 0, len(data), 1))
    scan = new_scan(_kernel.Scan, KernelSummary(Summary()).empty(), decoder, schema, None)
    assert scan.feed(data, taken.start, taken.line) == []
    agree(data, schema)
