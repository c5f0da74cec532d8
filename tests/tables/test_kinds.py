"""Tables of the kinds that people have: right by their options; without any right, too, or they say what to type."""

import json
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.cli.conftest import Ran, Run, run
from tests.tables.kinds import KINDS, Figures, Kind

__all__ = ["run"]  # the fixture

NAMES = list(KINDS)


@pytest.fixture
def placed(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Kind, str]:
    """The kind, and the path of its file."""
    kind = KINDS[request.param]
    for name, data in {kind.file: kind.data, **kind.more}.items():
        (tmp_path / name).write_bytes(data)
    return kind, str(tmp_path / kind.file)


def figures(ran: Ran) -> Figures:
    report = json.loads(ran.out)
    return {
        patient: {
            kind: (each["count"], each["mean"], float(each["min"]), float(each["max"])) for kind, each in types.items()
        }
        for patient, types in report["patients"].items()
    }


def hints(ran: Ran) -> list[Sequence[str]]:
    """The options that stderr proposes."""
    found = re.findall(r"values are read with `(.*?)`", ran.err)
    return [shlex.split(each) for each in found]


@pytest.mark.parametrize("placed", NAMES, indirect=True)
def test_the_options_of_a_kind_read_it(run: Run, placed: tuple[Kind, str]) -> None:
    kind, path = placed
    ran = run("--from", path, *kind.options)
    if kind.figures:
        assert (ran.code, figures(ran)) == (0, kind.figures)
    else:  # nothing reads it
        assert ran.code == 3


@pytest.mark.parametrize("placed", NAMES, indirect=True)
def test_without_options_a_kind_is_read_right_or_says_what_to_type(run: Run, placed: tuple[Kind, str]) -> None:
    kind, path = placed
    ran = run("--from", path)
    assert kind.says in ran.err + ran.out
    if kind.without in ("right", "noted"):
        assert (ran.code, figures(ran)) == (0, kind.figures)
        assert ("notes" in json.loads(ran.out)) is (kind.without == "noted")
        return
    assert ran.code == 3
    ways = [run("--from", path, *options) for options in hints(ran)]
    if kind.without == "hint":
        assert ways
        assert (ways[0].code, figures(ways[0])) == (0, kind.figures)
    elif kind.without == "either":  # both readings are told, one is right
        assert kind.figures in [figures(way) for way in ways]
        assert all(way.code == 0 for way in ways)
    elif kind.without == "refused":
        assert not ways
