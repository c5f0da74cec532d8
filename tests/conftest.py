"""What all tests share: Hypothesis without time limits of its own (each test has one), and where the data lies."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("suite")

DATA = Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def published() -> dict[str, list[dict[str, Any]]]:
    """The published metadata of all three exports' downloads, with the SHA-256 of some."""
    listing: dict[str, list[dict[str, Any]]] = json.loads((DATA / "exports.json").read_text())
    return listing
