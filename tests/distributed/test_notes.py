"""What is noted of tables, and rows that count once, are the same on a cluster."""

from pathlib import Path
from typing import Any

import pytest

from mockexport import Distinct, Schema, Summary, analyze
from mockexport import distributed as cluster
from tests.distributed.machine import workers_in_this_process

pytestmark = pytest.mark.filterwarnings("ignore")  # the scheduler's library has its own

HEADER = "patient_id,event_time,event_type,value,unit\n"


def day(number: int, *values: str) -> str:
    rows = [f"P{at % 2},2024-05-{number:02} {at:02}:00,crp,{value},mg/l\n" for at, value in enumerate(values)]
    return "".join(rows)


@pytest.mark.parametrize("reducer", [Summary(), Distinct(Summary())])
async def test_notes_are_those_of_one_machine(tmp_path: Path, reducer: Any) -> None:
    numbers = [f"{number}.5" for number in range(20)]
    first = HEADER + day(1, *numbers) + HEADER + "P1,2024-05-02,crp,7,mg/l\nP1,2024-05-02,crp,<0.6,mg/l\n"
    (tmp_path / "a.csv").write_text(first)
    (tmp_path / "b.csv").write_text(HEADER + day(1, *numbers[:9]) + day(3, *numbers, "0.1234567890123456789", "x"))
    options: dict[str, Any] = {"folder": tmp_path, "schema": Schema(null_tokens=frozenset({"NA"})), "reducer": reducer}
    whole = await analyze(**options)
    async with workers_in_this_process(2) as client:
        found = await cluster.analyze(client=client, split=300, chunk_bytes=64, **options)
    assert found.to_json() == whole.to_json()
    kinds = {note.kind for note in found.notes}
    told = {"header lines", "dates only", "censored values", "rounded values", "units not looked at"}
    assert told <= kinds
    assert ("repeated rows" in kinds) is isinstance(reducer, Distinct)
