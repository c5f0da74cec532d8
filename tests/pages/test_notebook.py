"""The page about notebooks, run as a notebook: by a kernel of Jupyter's, a cell for each of its blocks."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from tests.pages.blocks import blocks

PAGE = Path(__file__).parents[2] / "docs" / "howto" / "notebook.md"


def shown(*cells: str) -> list[str]:
    """Run cells; return what the last one shows, as HTML."""
    v4: Any = nbformat.v4  # without types
    notebook = v4.new_notebook(cells=[v4.new_code_cell(cell) for cell in cells])
    NotebookClient(notebook, timeout=60, kernel_name="python3").execute()
    return [output["data"].get("text/html", "") for output in notebook.cells[-1].outputs if "data" in output]


@pytest.mark.timeout(120)
def test_every_cell_runs_and_the_last_one_ends_with_the_report() -> None:
    cells = [block.text for block in blocks(PAGE.read_text("utf-8")) if block.not_run is None]
    followed = shown(*cells)
    whole = shown(cells[0])
    assert "bp_sys" in whole[0]
    assert "P001" not in whole[0]
    assert followed[-1] == whole[0]


@pytest.mark.timeout(120)
def test_a_mistake_is_told_in_the_cell() -> None:
    with pytest.raises(CellExecutionError, match="there: demo, small, large"):
        shown("import mockexport", "mockexport.run('dmo')")
