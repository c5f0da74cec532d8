"""Whatever the description, the figures are those of the cells drawn, and the same by every way to read a table."""

import random
from pathlib import Path

import pytest

from mockexport import Download, Report, Statistics, analyze
from mockexport import distributed as cluster
from tests.distributed.machine import workers_in_this_process
from tests.faults.memory import MemorySource
from tests.tables.checking import check_pieces, check_spans, check_whole, figures
from tests.tables.drawing import Drawn, draw_table


def drawn(seed: int, *rows: int) -> tuple[Drawn, random.Random]:
    draw = random.Random(seed)
    return draw_table(draw, draw.choice(rows)), draw


@pytest.mark.parametrize("start", range(0, 400, 50))
def test_the_figures_are_those_of_the_cells_drawn(start: int) -> None:
    for seed in range(start, start + 50):
        check_whole(drawn(seed, 1, 3, 10, 40)[0])


@pytest.mark.parametrize("start", range(1000, 1080, 20))
def test_pieces_and_chunks_of_any_size_come_to_the_same(start: int) -> None:
    for seed in range(start, start + 20):
        check_pieces(*drawn(seed, 1, 3, 10))


@pytest.mark.parametrize("engine", ["python", "kernel"])
@pytest.mark.parametrize("start", range(2000, 2060, 20))
def test_spans_with_any_borders_come_to_the_whole(start: int, engine: str) -> None:
    for seed in range(start, start + 20):
        check_spans(*drawn(seed, 3, 10), engine, every=False)


@pytest.mark.parametrize("seed", range(3000, 3006))
def test_every_border_of_a_small_table(seed: int) -> None:
    check_spans(*drawn(seed, 3), "python", every=True)


def held_to(table: Drawn, report: Report[Statistics]) -> None:
    found = {
        (patient, event_type): (each.count, each.mean, each.min, each.max, each.latency)
        for patient, types in report.patients.items()
        for event_type, each in types.items()
    }
    assert found == figures(table.expected.groups)
    (account,) = report.account.downloads
    reasons = [reason for _, reason in table.expected.bad]
    assert account.bad_rows == {reason: reasons.count(reason) for reason in reasons}
    assert account.noted == dict(table.expected.noted)
    assert account.missing_values == dict(table.expected.missing)


def with_figures(seed: int) -> Drawn:
    """Draw a table that is not bad rows alone: of those there is no report."""
    draw = random.Random(seed)
    while not (table := draw_table(draw, 40)).expected.groups:
        pass
    return table


@pytest.mark.parametrize("seed", range(4000, 4012))
async def test_a_download_in_spans_comes_to_the_figures(seed: int) -> None:
    table = with_figures(seed)
    source = MemorySource("x", {Download(table.name): table.data}, piece_bytes=97)
    for split in (200, 999):
        held_to(
            table, await analyze("x", source=source, schema=table.schema, split=split, chunk_bytes=64, max_bad="100%")
        )


@pytest.mark.filterwarnings("ignore")  # the scheduler's library has its own
async def test_a_cluster_comes_to_the_figures(tmp_path: Path) -> None:
    async with workers_in_this_process(2) as client:
        for seed in range(5000, 5004):
            table = with_figures(seed)
            path = tmp_path / str(seed) / "ward 7" / "Bett 3.csv"
            path.parent.mkdir(parents=True)
            path.write_bytes(table.data)
            report = await cluster.analyze(
                client=client, folder=path.parent, schema=table.schema, split=500, chunk_bytes=64, max_bad="100%"
            )
            held_to(table, report)
