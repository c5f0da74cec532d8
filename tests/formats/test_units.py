"""Values in the units that laboratories have, from mol/l to cells per litre: the figures of exact arithmetic."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from mockexport import Report, Schema, Statistics, analyze
from mockexport.engine.choosing import kernel_problem
from mockexport.formats.noted import Noted

ENGINES = ["python"] if kernel_problem() is not None else ["python", "kernel"]
SCHEMA = Schema("subject", "collected", "analyte", "result", constants=(("unit", ""),))
# Free thyroxine of one person in mol/l, by the day.
FREE_T4 = (
    "1.27e-11 2.29e-11 1.78e-11 9.43e-12 1.45e-11 1.56e-11 2.14e-11 9.24e-12 2.26e-11 2.04e-11 2.30e-11 2.15e-11 "
    "1.77e-11 1.22e-11 2.37e-11 1.86e-11 9.17e-12 2.34e-11 9.25e-12 1.50e-11 1.93e-11 9.08e-12 2.05e-11 9.05e-12 "
    "1.11e-11 9.03e-12 1.75e-11 1.14e-11 1.51e-11 2.38e-11"
)


async def report_of(tmp_path: Path, engine: Any, values: Sequence[str]) -> Report[Statistics]:
    """The report of a table with one value a day."""
    rows = [f"S0,2024-02-{1 + day // 24:02} {day % 24:02}:00:00,x,{value},mol/L\n" for day, value in enumerate(values)]
    (tmp_path / "table.csv").write_text("subject,collected,analyte,result,unit\n" + "".join(rows))
    return await analyze(files=tmp_path / "table.csv", schema=SCHEMA, engine=engine, chunk_bytes=4096)


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_hormone_in_mol_per_litre_has_its_figures(tmp_path: Path, engine: str) -> None:
    found = (await report_of(tmp_path, engine, FREE_T4.split())).patients["S0"]["x"]
    assert (found.count, found.mean, found.min, found.max) == (30, 1.6198333333333334e-11, 9.03e-12, 2.38e-11)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    "values",
    [
        ["5e12", "4.1e12", "250000000000", "4.85e12"],  # red cells and platelets in a litre
        ["1e15", "-1e15", "1e-18", "72", "98.6", "0.1234567890123"],
        ["1e-12"] * 3,
        ["1.50000000000", "2.25e0", "3"],  # as few places as ever, written with more
    ],
    ids=lambda values: values[0],
)
async def test_figures_are_those_of_exact_arithmetic(tmp_path: Path, engine: str, values: list[str]) -> None:
    report = await report_of(tmp_path, engine, values)
    exact = [Fraction(value) for value in values]
    found = report.patients["S0"]["x"]
    assert found == report.totals["x"]
    assert (found.count, found.mean) == (len(values), float(sum(exact) / len(exact)))
    assert (Fraction(found.min), Fraction(found.max)) == (Fraction(float(min(exact))), Fraction(float(max(exact))))
    assert not report.account.downloads[0].noted


@pytest.mark.parametrize("engine", ENGINES)
async def test_what_is_rounded_is_noted_and_what_is_too_large_is_bad(tmp_path: Path, engine: str) -> None:
    values = ["1e-19", "0.12345678901234567891", "1.0000000000000000000", "5", "6", "7", *["8"] * 10, "1.1e15"]
    report = await report_of(tmp_path, engine, values)
    told = report.account.downloads[0]
    assert told.noted == {Noted.ROUNDED.value: 2}
    assert told.bad_rows == {"value out of range": 1}
    assert report.patients["S0"]["x"].min == 0
