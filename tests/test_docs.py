"""The pages say what is true: options, names and exit codes as the code has them."""

import json
import re
import subprocess
import sys
from itertools import takewhile
from pathlib import Path
from typing import get_args

import pytest

import mockexport
from mockexport import events
from mockexport.analysis import AnalyzeKeywords
from mockexport.cli import exits
from mockexport.cli.arguments import COMMANDS
from mockexport.events import to_plain
from mockexport.formats import BadRowReason
from mockexport.formats.noted import Noted
from mockexport.model import Verdict, VerdictKind
from mockexport.reducers.selection import STATISTICS
from mockexport.report import notes
from mockexport.report.account import Account, DownloadAccount
from tests.test_house import ROOMS

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def section(page: str, title: str) -> str:
    """The text under the `## …` whose title names `title`."""
    parts = re.split(r"(?m)^## ", (DOCS / page).read_text())
    return next(part for part in parts if title in part.split("\n")[0].split(", "))


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_of_a_command_is_on_its_page(command: str) -> None:
    usage = subprocess.run(
        [sys.executable, "-m", "mockexport", command, "--help-all"],
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    ).stdout
    options = set(re.findall(r"(?<![\w-])--[a-z][a-z_-]+", usage)) - {
        "--help",
        "--help-all",
        "--version",
        "--verbose",
        "--quiet",
        "--time",
    }
    text = section("reference/cli.md", command)
    assert not [option for option in options if option not in text]


def test_every_option_on_any_page_exists() -> None:
    usage = "".join(
        subprocess.run(
            [sys.executable, "-m", "mockexport", command, "--help-all"],
            capture_output=True, text=True, check=True, timeout=50,
        ).stdout
        for command in COMMANDS
    )  # fmt: skip
    known = set(re.findall(r"--[a-z][a-z_-]+", usage))
    told = {
        (page.name, option)
        for page in (ROOT / "README.md", *DOCS.rglob("*.md"))
        for option in re.findall(r"`(?:-\w`, `)?(--[a-z][a-z_-]+)", page.read_text())
    }
    assert not [(page, option) for page, option in told if option not in known]


def test_every_exit_code_is_on_the_page() -> None:
    text = (DOCS / "reference" / "exit-codes.md").read_text()
    for name in ("OTHER", "USAGE", "FAILED", "MISMATCH", "UNREACHABLE", "BAD_ROW", "INTERRUPTED", "TERMINATED"):
        assert re.search(rf"\b{getattr(exits, name)}\b", text), name


def test_every_public_name_is_on_the_page() -> None:
    text = (DOCS / "reference" / "api.md").read_text()
    told = set(re.findall(r"(?m)(?:`|:: mockexport\.)(\w+)", text))
    assert not [name for name in mockexport.__all__ if name not in told]


def test_every_keyword_and_figure_has_its_type_on_the_page() -> None:
    text = (DOCS / "reference" / "api.md").read_text().replace(r"\|", "/")
    rows = {line.split("|")[1].strip(): line.split("|")[2].strip() for line in text.splitlines() if line[:2] == "| "}
    assert [name for name in AnalyzeKeywords.__annotations__ if f"`{name}`" not in rows] == []
    for name, annotation in AnalyzeKeywords.__annotations__.items():
        if annotation in (bool, int, int | str, int | None, str | None):
            assert rows[f"`{name}`"] == f"`{getattr(annotation, '__name__', str(annotation)).replace('|', '/')}`", name
    figures = section("reference/api.md", "The report")
    assert not [name for name in (*STATISTICS, "p100") if f"`{name}`" not in figures]


def test_every_room_is_on_the_page_of_the_design_and_in_the_map_in_import_order() -> None:
    named = section("explanation/design.md", "The house")
    table = "".join(line.split("|")[1] for line in named.splitlines() if line.startswith("|"))
    for text in (table, mockexport.__doc__ or ""):
        rooms = [room for room in ROOMS if not room.startswith("_")]
        places = [re.search(rf"\b{room}(?:\.py|/)", text) for room in rooms]
        assert [room for room, place in zip(rooms, places, strict=True) if place is None] == []
        assert [place.start() for place in places if place] == sorted(place.start() for place in places if place)


HAPPENED: list[events.Event] = [
    events.RunStarted("x", (), "kernel"),
    events.DownloadStarted("a"),
    events.Opened("a", True, 1),
    events.Divided("a", 2),
    events.Advanced("a", 1, 1),
    events.Retried("a", 1, 0.5, "why", 1, None),
    events.Resumed("a", 1),
    events.StartedOver("a", 1, 0.5, "why"),
    events.Restored("a", 1, 1, False),
    events.Kept("a", 1, False),
    events.Skipped("a", "why"),
    events.WorkerLost("tcp://10.0.0.1:1", ("a",)),
    events.CheckpointSaved(1, 1),
    events.DownloadFinished("a", Verdict(VerdictKind.VERIFIED), 1, 1, 0),
    events.RunFinished("x", 1.0),
]


def test_every_event_is_on_the_page_with_its_fields() -> None:
    assert {type(event) for event in HAPPENED} == set(get_args(events.Event))
    rows = re.findall(r"(?m)^\| `(\w+)` \| (.*?) \| `(\w+)` \|$", (DOCS / "reference" / "events.md").read_text())
    told = {name: (set(re.findall(r"`(\w+)`", re.sub(r"\(`.*?\)", "", further))), kind) for name, further, kind in rows}
    plain = {type(event).__name__: to_plain(event) for event in HAPPENED}
    assert told == {line["event"]: (set(line) - {"event"}, kind) for kind, line in plain.items() if line is not None}


def test_the_account_on_the_page_has_the_keys_that_there_are() -> None:
    page = (DOCS / "reference" / "file-formats.md").read_text()
    (shown,) = (json.loads(block) for block in re.findall(r"(?s)```json\n(.*?)```", page) if '"synthetic"' in block)
    verdict = Verdict(VerdictKind(shown["downloads"][0]["verdict"]))
    download = DownloadAccount("a", verdict, 1, {}, (), {}, 1, 1, 1)
    account = json.loads(Account("x", "y", False, "kernel", "1", 1.0, (download,)).to_json())
    assert list(shown) == list(account)
    assert list(shown["downloads"][0]) == list(account["downloads"][0])


def test_every_reason_of_a_bad_row_is_on_the_page() -> None:
    text = (DOCS / "reference" / "file-formats.md").read_text().replace("\n", " ")
    assert not [reason for reason in BadRowReason if f"`{reason}`" not in text]


def test_every_kind_of_note_is_on_the_page() -> None:
    kinds = {value for name, value in vars(notes).items() if name.isupper() and isinstance(value, str)}
    of_tables = takewhile(lambda kind: kind != Noted.OTHER_RESOURCES, Noted)
    text = section("reference/file-formats.md", "The report")
    assert not [kind for kind in (*kinds, *of_tables) if f"`{kind}`" not in text]


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.stem)
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    links = re.findall(r"\]\(((?!https?:)[^)#]+)", page.read_text())
    paths = re.findall(r"`((?:examples|docs|tests|mockexport|\.ci)/[\w./-]+)`", page.read_text())
    assert not [link for link in links if not (page.parent / link).exists()]
    assert not [path for path in paths if not (ROOT / path).exists()]


def test_versions_agree() -> None:
    assert f"## {mockexport.__version__}" in (DOCS / "changelog.md").read_text()


def test_the_report_that_the_readme_shows_is_the_demos() -> None:
    (shown,) = re.findall(r"mockexport demo\n(\{.*?)\n +…\n", (ROOT / "README.md").read_text(), re.DOTALL)
    assert (ROOT / "examples" / "outputs" / "demo.json").read_text().startswith(shown + "\n")


def test_every_test_that_shows_what_the_standard_asks_exists() -> None:
    text = (DOCS / "explanation" / "bulk-data-clients.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", text))
    there = {
        name for file in (ROOT / "tests").rglob("test_*.py") for name in re.findall(r"def (test_\w+)", file.read_text())
    }
    assert len(named) > 20
    assert not named - there
    for line in text.splitlines():
        if line.startswith(("| SHALL", "| SHOULD", "| MAY")):
            assert "`test_" in line or "Not done" in line, line
