"""What a type checker says of natural mistakes, and what they say when they are run: the right name, or what to do."""

import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import mockexport
from mockexport import MockExportError
from mockexport.errors import OptionError

pytest.importorskip("mypy", reason="mypy is not installed (it is in the group lint)")

ROOT = Path(__file__).parent.parent.parent
MISTAKES = Path(__file__).with_name("mistakes.py")


@pytest.mark.timeout(300)  # without a cache mypy reads all that the package imports
def test_a_type_checker_names_what_is_right() -> None:
    expected = {
        number: line.partition("# error: ")[2]
        for number, line in enumerate(MISTAKES.read_text().splitlines(), 1)
        if "# error: " in line
    }
    command = [sys.executable, "-m", "mypy", "--no-error-summary", str(MISTAKES.relative_to(ROOT))]
    ran = subprocess.run(command, cwd=ROOT, text=True, capture_output=True, check=False)
    said: dict[int, str] = defaultdict(str)
    for line in ran.stdout.splitlines():
        found = re.match(r"tests/typing/mistakes\.py:(\d+): (?:error|note): (.*)", line)
        if found is not None:
            said[int(found[1])] += found[2] + "\n"
    assert said.keys() == expected.keys(), ran.stdout + ran.stderr
    for number, part in expected.items():
        assert part in said[number], number


def analyzing(export_id: str | None = None, **given: Any) -> Callable[[], object]:
    return lambda: mockexport.run(export_id, **given)


@pytest.mark.parametrize(
    ("mistake", "error", "right"),
    [
        (analyzing("demo", engine="pyhton"), OptionError, "auto, kernel, python"),
        (analyzing("demo", on_failure="abort"), OptionError, "neither continue nor stop"),
        (analyzing("demo", save="x", save_format="cvs"), OptionError, "neither csv nor parquet"),
        (analyzing("demo", concurency=8), OptionError, "did you mean concurrency"),
        (analyzing("demo", chunksize=8), OptionError, "did you mean chunk_bytes"),
        (analyzing("demo", concurrency="8"), OptionError, "takes a whole number"),
        (analyzing("demo", reducer=mockexport.Counts), OptionError, r"Counts\(\)"),
        (analyzing("demo", reducer="p95"), OptionError, r"mockexport.Selection\(\['p95'\]\)"),
        (analyzing("demo", schema="semicolon"), OptionError, "mockexport.Schema"),
        (analyzing("demo", filter="P001"), OptionError, "mockexport.Filter"),
        (analyzing("demo", access="secret"), OptionError, "^access: takes a mockexport.Access, not a str$"),
        (analyzing("demo", retry=3), OptionError, "mockexport.RetryPolicy"),
        (analyzing("demo", url=Path("x")), OptionError, "takes a text"),
        (analyzing(files=3), OptionError, "a list of them"),
        (analyzing(folder=["x"]), OptionError, "a text or a Path"),
        (lambda: mockexport.Schema(censored="leave out"), OptionError, "leave-out, bound, bad"),  # type: ignore[arg-type]
        (lambda: mockexport.Schema(time_formats="iso"), OptionError, "a sequence of texts"),  # type: ignore[arg-type]
        (lambda: mockexport.Selection("p95"), OptionError, r"\['p95'\]"),
        (lambda: mockexport.Selection(["p59x"]), OptionError, "median, and quantiles"),
        (lambda: mockexport.Selection(["p5"], {"a": (1, 2)}), OptionError, r"AnomalyRule\(low, high\)"),  # type: ignore[dict-item]
        (lambda: mockexport.AnomalyRule(), OptionError, "neither low nor high"),
        (lambda: mockexport.MockServer(faults="rest=0.1"), OptionError, "did you mean reset"),
        (lambda: mockexport.analise, AttributeError, "analise"),  # type: ignore[attr-defined]
        (lambda: mockexport.OptionError, AttributeError, "import it from mockexport.errors"),  # type: ignore[attr-defined]
    ],
)  # fmt: skip
def test_who_runs_it_is_told_what_is_right(mistake: Callable[[], object], error: type[Exception], right: str) -> None:
    with pytest.raises(error, match=right) as raised:
        mistake()
    assert "secret" not in str(raised.value)
    assert isinstance(raised.value, MockExportError | AttributeError)


def test_a_missing_key_or_name_says_which_there_are(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("patient_id,event_time,event_type,value\nP,2025-08-26,bp_sys,120\n")
    report = mockexport.run(files=tmp_path / "t.csv")
    for mistake, right in (
        (lambda: report.totals["bp_sis"], "there are bp_sys"),
        (lambda: report.counts().totals["bp_sis"], "there are bp_sys"),
        (lambda: report.patients["p"], "as in the data"),
        (lambda: report.patients["P", "bp_sys"], r"patients\[id\]\[event_type\]"),  # type: ignore[index]
    ):
        with pytest.raises(KeyError, match=right):
            mistake()
    with pytest.raises(AttributeError, match="count, mean, min, max, anomalies, latency"):
        report.totals["bp_sys"].average  # type: ignore[attr-defined]  # noqa: B018 - the mistake
