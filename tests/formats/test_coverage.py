"""Coverage over time: the same in both engines, for any order and split, and bounded whatever the times."""

import json
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Schema, analyze
from mockexport.engine.choosing import kernel_problem
from mockexport.formats.coverage import HOUR_US, MAX_BUCKETS, HourCounts
from mockexport.formats.fields import format_time
from mockexport.formats.tally import Tally
from mockexport.model import VerdictKind
from mockexport.server.folder import generate
from tests.fuzz.comparing import Rows, outcome
from tests.rows import HEADER

# Years 1 to 9999; close together, and anywhere.
hours = st.integers(-17_000_000, 70_000_000) | st.integers(-5, 5)


def counts_of(*hours: int) -> HourCounts:
    counts = HourCounts()
    counts.add(hour * HOUR_US + HOUR_US - 1 for hour in hours)
    return counts


def narrowest(hours: list[int]) -> tuple[int, dict[int, int]]:
    """What the buckets must be, said another way."""
    width = 1
    while len({hour // width for hour in hours}) > MAX_BUCKETS:
        width *= 2
    rows: dict[int, int] = {}
    for hour in hours:
        rows[hour // width * width] = rows.get(hour // width * width, 0) + 1
    return width, rows


@given(st.lists(hours, max_size=20), st.lists(hours, max_size=20))
def test_merging_is_counting_both(first: list[int], second: list[int]) -> None:
    merged, expected = counts_of(*first), counts_of(*first, *second)
    merged.merge(counts_of(*second))
    assert merged == expected
    assert (expected.width, expected.rows) == narrowest([*first, *second])
    assert HourCounts.from_plain(json.loads(json.dumps(merged.to_plain()))) == merged


@pytest.mark.parametrize("spread", [1, 3, 1000])
@pytest.mark.parametrize("parts", [1, 2, 7])
def test_many_hours_make_wide_buckets_whatever_the_order_and_split(spread: int, parts: int) -> None:
    draw = random.Random(spread)
    hours = [draw.randrange(-MAX_BUCKETS, 2 * MAX_BUCKETS) * spread for _ in range(3 * MAX_BUCKETS)]
    merged = HourCounts()
    for part in range(parts):
        merged.merge(counts_of(*hours[part::parts]))
    assert (merged.width, merged.rows) == narrowest(hours)
    assert len(merged.rows) <= MAX_BUCKETS < len(set(hours))


@pytest.mark.parametrize(
    "plain", [[3, []], [0, []], [2, [[1, 1]]], [1, [[1, 0]]], [1, [[1, 1], [1, 1]]], [1, [["1", 1]]], [1], {}]
)
def test_other_values_are_no_counts(plain: object) -> None:
    with pytest.raises((ValueError, TypeError)):
        HourCounts.from_plain(plain)


def test_a_tally_without_coverage_takes_up_that_of_another() -> None:
    tally, other = Tally(), Tally(coverage=True)
    assert other.coverage is not None
    other.coverage.add([0])
    tally.merge(other)
    assert tally.coverage == other.coverage
    assert Tally.from_bytes(tally.to_bytes()) == tally


@pytest.mark.skipif(kernel_problem() is not None, reason="there is no kernel here")
@pytest.mark.parametrize("spread", [1, 50])
def test_the_engines_agree_on_rows_all_over_time(spread: int) -> None:
    draw = random.Random(spread)
    lines = [HEADER]
    for _ in range(9_000):
        at = format_time(draw.randrange(-9_000, 9_000) * spread * HOUR_US + draw.choice([0, HOUR_US - 1, -1]))
        rest = draw.choice(["x,1", "x,", "x,no", '"x"" y",1'])
        lines.append(f"P,{at},{rest}\n".encode())
    data = b"".join(lines)
    for reducer in (Rows(), None):
        chosen = {} if reducer is None else {"reducer": reducer}
        law = outcome("python", data, Schema(), coverage=True, chunk_bytes=50_000, **chosen)  # type: ignore[arg-type]
        assert outcome("kernel", data, Schema(), coverage=True, chunk_bytes=50_000, **chosen)[:3] == law[:3]  # type: ignore[arg-type]
        tally = Tally.from_bytes(law[1])
        assert tally.coverage is not None
        assert sum(tally.coverage.rows.values()) == tally.rows - tally.bad_rows > 0
        assert tally.coverage.width > 1


@pytest.mark.parametrize("concurrency", [1, 3])
async def test_the_account_tells_of_every_row_when(tmp_path: Path, concurrency: int) -> None:
    generate("demo", tmp_path)
    report = await analyze(folder=tmp_path, coverage=True, concurrency=concurrency)
    for download in report.account.downloads:
        covered = download.coverage
        assert covered is not None
        assert sum(covered.rows.values()) == download.rows
        assert covered.announced_start_us is not None
        assert covered.first_us is not None
        assert covered.announced_start_us <= covered.first_us
        assert download.verdict.kind is VerdictKind.VERIFIED
    told = json.loads(report.account.to_json())["downloads"][0]["coverage"]
    assert told["announced_start"] == "2025-08-26T00:00:00Z"
    assert next(iter(told["rows"])) == "2025-08-26T00:00:00Z"
    plain = await analyze(folder=tmp_path)
    assert plain.to_json() == report.to_json()
    assert "coverage" not in plain.account.to_json()
