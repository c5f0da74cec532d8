"""The pytest plugin: one fixture and one marker. It is loaded in every run of pytest where mockexport is installed.

So nothing but pytest is imported before a test asks for the fixture.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from mockexport.testing.serving import RunningServer


def pytest_configure(config: pytest.Config) -> None:
    """Name the marker."""
    config.addinivalue_line(
        "markers",
        "mock_export(data=None, faults=None, seed=0, token=None): what mock_export_server serves, and what goes wrong",
    )


@pytest.fixture
def mock_export_server(request: pytest.FixtureRequest) -> "Iterator[RunningServer]":
    """mockexport's mock server on a free port of this machine: `url`, and `faults` with their log.

    `@pytest.mark.mock_export(faults="reset=0.2", seed=7)` says what it does; see mockexport.testing.mock_server.
    """
    from mockexport.testing.serving import mock_server

    marker = request.node.get_closest_marker("mock_export")
    if marker is not None and marker.args:
        raise pytest.UsageError("mock_export takes data, faults, seed and token by their names")
    with mock_server(**(marker.kwargs if marker is not None else {})) as server:
        yield server
