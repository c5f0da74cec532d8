"""Every write, sync, rename and truncation of a real process failing once, by its place: SQLite's own included."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) to build the failing library with")
@pytest.mark.skipif(sys.platform != "linux", reason="preloading is Linux's")
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
def test_each_system_call_fails_once_and_nothing_acknowledged_is_lost(tmp_path: Path, error: str) -> None:
    library = tmp_path / "failing_calls.so"
    source = Path(__file__).with_name("failing_calls.c")
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, source, "-ldl"], check=True)
    # Each of the two errors takes every fourth place, so half of all fail here; all of them take a command of its own,
    # `tests.ingest.failing_calls` with a stride of 1.
    first, stride = ("0", "4") if error == "EIO" else ("2", "4")
    command = [sys.executable, "-m", "tests.ingest.failing_calls", str(tmp_path), str(library), error, first, stride]
    environment = {**os.environ, "LD_PRELOAD": str(library)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    lives = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(lives) > 12
    for life in lives:
        assert "crashed" not in life, life
        assert "crashed" not in life["after"], life
        assert set(life["acknowledged"]) <= set(life["after"]["found"]), life
        assert life["after"]["grows"], life
        assert life["failed"], life
        if life["opened"]:
            assert life["readable"], life
            assert "accepted_after_failure" not in life, life
        if life["opened"] and life["failed"] in ("fsync", "fdatasync") and life["state"] == "open":
            # The only sync whose failure may pass: it came after the last promise of this life.
            assert len(life["acknowledged"]) == 6, life
    assert {"fsync", "fdatasync"} & {life["failed"] for life in lives}
    assert {"write", "pwrite"} & {life["failed"] for life in lives}
