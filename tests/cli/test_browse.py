"""`mockexport list` and `show`, for people and for programs."""

import json

from tests.cli.conftest import Run


def test_list_names_the_exports(run: Run, server_url: str) -> None:
    assert run("list", "--url", server_url).out == "demo\nsmall\nlarge\n"
    assert json.loads(run("list", "--url", server_url, "--json").out) == {"export_ids": ["demo", "small", "large"]}


def test_show_tells_what_is_announced(run: Run, server_url: str) -> None:
    out = run("show", "demo", "--url", server_url).out
    assert "f725622a-22ea-4acc-aab8-810ec8b5e2c6  9,014         3  bp_sys, bp_dia  2025-08-26T00:00:00Z" in out
    assert "2 downloads, 18,784 rows announced" in out
    first = json.loads(run("show", "demo", "--url", server_url, "--json").out)["downloads"][0]
    assert (first["rows"], first["patients"]) == (9014, ["P001", "P004", "P003"])


def test_show_of_an_unknown_export_names_those_there_are(run: Run, server_url: str) -> None:
    ran = run("show", "nosuch", "--url", server_url)
    assert (ran.code, ran.out) == (5, "")
    assert "there: demo, small, large" in ran.err
