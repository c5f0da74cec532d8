"""How far a run is, where no bars show it."""

import pytest

from mockexport import Download, Verdict
from mockexport.cli.lines import LINE_EVERY_S, Lines
from mockexport.events import Advanced, DownloadFinished, RunStarted, Skipped, StartedOver
from mockexport.model import VerdictKind


def test_a_long_run_says_a_line_every_half_minute(capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]

    def told() -> list[str]:
        return capsys.readouterr().err.splitlines()

    lines = Lines(now=lambda: clock[0])
    lines(RunStarted("x", (Download("a", rows=1_000), Download("b", rows=3_000), Download("c", rows=9)), "kernel"))
    lines(Skipped("c", "not asked for"))
    told()
    lines(Advanced("a", 50_000, 500))
    lines(Advanced("b", 1_500_000, 1_500))
    assert told() == []
    clock[0] = LINE_EVERY_S
    lines(DownloadFinished("a", Verdict(VerdictKind.VERIFIED), 100_000, 1_000, 0))
    assert told() == ["mockexport: so far 2,500 of 4,000 rows (62%), 1.6 MB; 1 of 2 downloads finished"]
    lines(Advanced("b", 1_500_000, 1_600))
    clock[0] = 2 * LINE_EVERY_S - 1
    lines(Advanced("b", 1_500_000, 1_700))
    assert told() == []
    clock[0] = 2 * LINE_EVERY_S
    lines(StartedOver("b", 1, 0.0, "it broke"))
    assert told()[-1] == "mockexport: so far 1,000 of 4,000 rows (25%), 100.0 kB; 1 of 2 downloads finished"


def test_rows_that_are_not_announced_have_no_share(capsys: pytest.CaptureFixture[str]) -> None:
    clock = [0.0]
    lines = Lines(now=lambda: clock[0])
    lines(RunStarted("x", (Download("a"),), "kernel"))
    clock[0] = LINE_EVERY_S
    lines(Advanced("a", 10, 7))
    assert capsys.readouterr().err.splitlines()[-1] == "mockexport: so far 7 rows, 10 B; 0 of 1 download finished"
