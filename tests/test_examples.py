"""Every example is a script that runs, and the reports kept beside them are those that it gives today."""

import runpy
import subprocess
import sys
from pathlib import Path

import polars
import pytest

from mockexport import Batch, Row
from mockexport.testing import check_reducer
from tests.ingest.running import RunningService

ROOT = Path(__file__).parent.parent
EXAMPLES = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "generate_data.py")

# What each prints, at least; a new example needs its line here.
TELLS = {
    "analyze_export.py": "bp_dia: 9,372 values, mean 79.4, 906 anomalies",
    "custom_reducer.py": "P001  bp_sys: 79.2% in range",
    "fast_reducer.py": "│ P001       ┆ bp_sys     ┆ 0.791505 │",
    "own_files.py": "ward.csv: unverifiable: no row count was announced; bad rows: {'bad event_time': 1}",
    "test_your_client.py": "206 bytes=100000- 291,899 bytes None",
    "watch_progress.py": "verified, 9,014 rows in 391,899 bytes",
}


def test_the_examples_of_reducers_keep_the_laws_and_agree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT / "examples")
    slow = runpy.run_path(str(ROOT / "examples" / "custom_reducer.py"))["InRange"]()
    fast = runpy.run_path(str(ROOT / "examples" / "fast_reducer.py"))["FastInRange"]()
    check_reducer(slow, commutative=True)
    check_reducer(fast, commutative=True, rounds=25)
    rows = [Row("P", time, name, time * 7 * 10**18) for time in range(30) for name in ("bp_sys", "spo2")]
    batch = Batch(*([*column] for column in zip(*rows, strict=True)))
    assert fast.dump(fast.update(fast.empty(), batch)) == slow.dump(slow.update(slow.empty(), batch))
    # Of an event type without a range there is no share, least of all one of 0.
    for reducer in (slow, fast):
        with pytest.raises((KeyError, polars.exceptions.InvalidOperationError)):
            reducer.update(reducer.empty(), Batch(["P"], [0], ["glucose"], [5 * 10**18]))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_runs_and_tells_what_it_should(path: Path, tmp_path: Path) -> None:
    ran = subprocess.run(
        [sys.executable, path], capture_output=True, text=True, timeout=50, check=True, cwd=tmp_path
    )  # fmt: skip
    assert TELLS[path.name] in ran.stdout


def test_the_devices_play_against_a_running_service(tmp_path: Path) -> None:
    with RunningService(tmp_path) as service:
        command = [sys.executable, str(ROOT / "examples" / "generate_data.py"), "--url", service.url]
        ran = subprocess.run(
            [*command, "--max", "300", "--rate", "0"], capture_output=True, text=True, timeout=50, check=True
        )
    assert "lost 0, stale 0, doubled 0" in ran.stdout


@pytest.mark.parametrize(("name", "words"), [("demo.json", []), ("demo.counts.json", ["--counts"])])
def test_the_kept_reports_are_those_of_today(name: str, words: list[str]) -> None:
    command = [sys.executable, "-m", "mockexport", "demo", *words]
    ran = subprocess.run(command, capture_output=True, timeout=50, check=True)
    assert ran.stdout == (ROOT / "examples" / "outputs" / name).read_bytes()
