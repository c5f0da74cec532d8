"""What all tests share: Hypothesis without time limits of its own (each test has one), and where the data lies.

And Ctrl-C: a shell's background job is started with it ignored, and so would be all that the tests start.
"""

import json
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = Path(__file__).parent / "data"


def pytest_xdist_auto_num_workers() -> int:
    """One process more than there are cores: many tests wait for deadlines and for processes that start."""
    return (os.cpu_count() or 1) + 1


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The command line, which tests run in their process, sets the package's log up for a process of its own."""
    log = logging.getLogger("mockexport")
    before = (log.handlers[:], log.propagate, log.level)
    yield
    log.handlers[:], log.propagate = before[:2]
    log.setLevel(before[2])


@pytest.fixture(scope="session")
def published() -> dict[str, list[dict[str, Any]]]:
    """The published metadata of all three exports' downloads, with the SHA-256 of some."""
    listing: dict[str, list[dict[str, Any]]] = json.loads((DATA / "exports.json").read_text())
    return listing
