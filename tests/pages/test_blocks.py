"""The reader of pages notices what is not so: each of these shows something that is not what happens."""

import os
from pathlib import Path

import pytest

from tests.pages.blocks import Reader, blocks


def read(folder: Path, page: str) -> None:
    with Reader(Path("page.md"), folder, {"the.example": "here"}, os.environ) as reader:
        for block in blocks(page):
            reader.read(block)


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ printf 'one\\ntwo\\n'\none\n…\n$ export A=1\n$ echo $A\n1\n```",
        "```console\n$ false\n$ echo $?\n1\n```",
        "```console\n$ cat <<END\n> one\n> END\none\n```",
        "Two lines in `a/b.csv`:\n\n```csv\n1\nthe.example\n```\n\n```console\n$ cat a/b.csv\n1\nthe.example\n```",
        "```console\n$ echo the.example; echo here > file\nthe.example\n$ grep -c here file\n1\n```",
        "```python\nx = 1\n```\n\n```python\nprint(x, 'y')\n```\n```text\n1 …\n```",
        "```console\n$ echo up; exec sleep 60\nup\n^C\n```",
        "```console\n$ (echo up; exec sleep 60) &\n$ echo two\ntwo\n```",
        "<!-- not run: never -->\n```console\n$ false\n```",
        '```json\n{"a": 1, …}\n```',
    ],
)
def test_a_page_that_tells_the_truth_is_read(page: str, tmp_path: Path) -> None:
    read(tmp_path, page)


@pytest.mark.parametrize(
    "page",
    [
        "```console\n$ echo one\ntwo\n```",
        "```console\n$ printf 'one\\ntwo\\n'\none\n```",
        "```console\n$ false\n```",
        "```console\n$ false\n$ echo $?\n2\n```",
        "```console\necho one\n```",
        "```python\nprint(1)\n```\n```text\n2\n```",
        "```python\nassert False\n```",
        "<!-- not run: never -->\n\nA paragraph.\n\n```console\n$ false\n```",
    ],
)
def test_a_page_that_does_not_is_noticed(page: str, tmp_path: Path) -> None:
    with pytest.raises(AssertionError):
        read(tmp_path, page)


def test_json_that_is_none_is_noticed(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="Expecting"):
        read(tmp_path, "```json\n{a: 1}\n```")
