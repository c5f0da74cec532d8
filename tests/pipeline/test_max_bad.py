"""A download with more bad rows than there may be has failed, whoever brings it in, and whatever is asked for."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mockexport import Download, Filter, Report, Statistics, analyze
from mockexport.errors import CheckpointError, OptionError
from mockexport.model import MaxBad, VerdictKind
from mockexport.sources.scripted import Scripted
from tests.faults.memory import MemorySource
from tests.rows import HEADER

T = "2025-08-26T00:00:{:02}Z"


def body(good: int, bad: int, *, null: int = 0) -> bytes:
    rows = [f"P1,{T.format(n % 60)},hr,{n}\n" for n in range(good)] + [f"P1,{T.format(0)},hr,x\n"] * bad
    return HEADER + "".join([*rows, *[f"P1,{T.format(0)},hr,\n"] * null]).encode()


async def report_of(content: bytes, **options: Any) -> Report[Statistics]:
    source = Scripted("x", {Download("a"): [[content]], Download("b"): [[body(3, 0)]]})
    return await analyze("x", source=source, allow_incomplete=True, **options)


async def kind_of(content: bytes, **options: Any) -> VerdictKind:
    return (await report_of(content, **options)).account.downloads[0].verdict.kind


@pytest.mark.parametrize("engine", ["python", "auto"])
async def test_more_bad_rows_than_one_in_ten_and_the_download_contributes_nothing(engine: str) -> None:
    report = await report_of(body(17, 2), engine=engine)
    verdict = report.account.downloads[0].verdict
    assert verdict.kind is VerdictKind.FAILED
    assert verdict.reasons == (
        "2 of its 19 rows are bad, more than 10% (analyze.max_bad): 2 bad value; line 19 is one (bad value)",
        "values are texts: the first 17 values are read with `--text missing` (in Python: `Schema(text='missing')`)",
    )
    assert (report.incomplete, report.totals["hr"].count) == (("a",), 3)
    assert await kind_of(body(18, 2), engine=engine) is VerdictKind.UNVERIFIABLE


@pytest.mark.parametrize(
    ("said", "bad", "failed"),
    [
        (0, 1, True),
        (0, 0, False),
        (2, 2, False),
        ("2", 3, True),
        ("15%", 3, False),
        ("14.9%", 3, True),
        ("0%", 1, True),
    ],
)
async def test_what_may_be_is_a_number_or_a_share(said: int | str, bad: int, *, failed: bool) -> None:
    assert (await kind_of(body(20 - bad, bad), max_bad=said) is VerdictKind.FAILED) is failed


@pytest.mark.parametrize("said", [10**6, "100%"])
async def test_with_bad_rows_alone_it_has_always_failed(said: int | str) -> None:
    report = await report_of(body(0, 7), max_bad=said)
    assert report.incomplete == ("a",)
    assert report.account.downloads[0].verdict.reasons[0].startswith("all its 7 rows are bad: 7 bad value; line 2")
    assert await kind_of(body(1, 7), max_bad=said) is VerdictKind.UNVERIFIABLE
    assert await kind_of(body(0, 1, null=1), max_bad=said) is VerdictKind.UNVERIFIABLE
    assert await kind_of(body(0, 0), max_bad=said) is VerdictKind.UNVERIFIABLE


async def test_bad_rows_are_judged_before_the_filter() -> None:
    asked = Filter.of(patients=["somebody"])
    assert await kind_of(body(1, 4), filter=asked) is VerdictKind.FAILED
    assert await kind_of(body(99, 4), filter=asked) is VerdictKind.UNVERIFIABLE


async def test_of_a_download_in_spans_the_whole_is_judged() -> None:
    # All bad rows are in one span, of which they are most.
    content = body(300, 12)
    source = MemorySource("x", {Download("a"): content})
    report = await analyze("x", source=source, split=4096, chunk_bytes=512)
    assert report.account.bad_rows == 12
    with_more = MemorySource("x", {Download("a"): body(300, 40)})
    failed = await analyze("x", source=with_more, split=4096, chunk_bytes=512, allow_incomplete=True)
    assert failed.incomplete == ("a",)
    assert "40 of its 340 rows are bad" in failed.account.downloads[0].verdict.reasons[0]


async def test_rows_that_are_bad_are_not_fetched_again() -> None:
    report = await report_of(body(1, 9))
    assert report.account.downloads[0].attempts == 1


@pytest.mark.parametrize("said", ["", "-1", "10 %", "%", "101%", "1e2", "٣", True, "x" * 99])
def test_what_is_neither_is_refused(said: int | str) -> None:
    with pytest.raises(OptionError, match="max_bad"):
        MaxBad.of(said)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 100))
def test_a_share_is_exact(bad: int, good: int, percent: int) -> None:
    rows = bad + good
    too_many = bad > 0 and (good == 0 or bad * 100 > percent * rows)
    assert MaxBad.of(f"{percent}%").exceeded(bad, rows) is too_many


async def test_a_checkpoint_with_another_limit_is_another_runs(tmp_path: Path) -> None:
    path = tmp_path / "run"
    await report_of(body(1, 9), checkpoint=path)
    with pytest.raises(CheckpointError, match="bad rows allowed"):
        await report_of(body(1, 9), checkpoint=path, max_bad="95%")
